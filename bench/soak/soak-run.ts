/** One soak: the gateway, its crowd and its samples; afterwards the counts at rest, and the three books. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RequestLine } from '../../src/engines/simulated/program/request-log.ts';
import { readActivity } from '../../src/store/read-activity.ts';
import { type RunningGateway, startGateway, until } from '../../test/fixtures/gateway.ts';
import { type MetricsPage, scrape } from '../../test/fixtures/metrics-page.ts';
import type { Entry } from './ask.ts';
import { Crowd } from './crowd.ts';
import { faultsOf, type Row } from './ledger.ts';
import { connectionsTo, openFiles, type Sample, Sampler } from './samples.ts';
import { soakConfig } from './world.ts';

/** Idle connections to engines end after some seconds; moves that were begun end too. */
const REST_LIMIT_MS = 90_000;
const PROGRESS_MS = 15_000;
const ROWS_MAX = 100_000_000;
/** Levels of the log at which something has failed. */
const ERROR_LEVEL = 50;

export interface SoakSetup {
  readonly minutes: number;
  readonly clients: number;
  readonly seed: number;
}

export interface SoakResult {
  readonly entries: readonly Entry[];
  readonly rows: number;
  readonly engineLines: number;
  readonly moves: Readonly<Record<string, number>>;
  readonly samples: readonly Sample[];
  readonly faults: readonly string[];
}

export async function soak({ minutes, clients, seed }: SoakSetup): Promise<SoakResult> {
  const directory = await mkdtemp(join(tmpdir(), 'soak-'));
  const requestLog = join(directory, 'requests.jsonl');
  const gateway = await startGateway({ config: soakConfig(requestLog) });
  try {
    await until('the devices are read', async () => (await fetch(`${gateway.url}/ready`)).status === 200);
    const sockets = await foreignSockets(gateway);
    const sampler = new Sampler(gateway);
    const untilMs = performance.now() + minutes * 60_000;
    const crowd = new Crowd({ url: gateway.url, clients, seed, untilMs });
    const progress = setInterval(
      () => console.log(`  ${crowd.entries.length} requests have ended`),
      PROGRESS_MS,
    );
    await crowd.run().finally(() => clearInterval(progress));
    await sampler.end();
    const unrested = await faultsAtRest(gateway, sockets);
    const page = await scrape(gateway.url);
    const exitCode = await gateway.stop({ keep: true });
    const rows = bookOf(gateway);
    const engineLines = await linesOf(requestLog, seed);
    const counted = countsOf(page);
    const { entries, sent } = crowd;
    const faults = [
      ...faultsOf({ sent, entries, rows, engineLines, counted }),
      ...unrested,
      ...gateway.errors.map((line) => `standard error: ${line}`),
      ...gateway.log.filter(({ level }) => level >= ERROR_LEVEL).map(({ msg }) => `log: ${msg}`),
      ...(exitCode === 0 ? [] : [`the gateway ended with ${exitCode}`]),
    ];
    const moves = movesOf(page);
    return {
      entries,
      rows: rows.length,
      engineLines: engineLines.length,
      moves,
      samples: sampler.samples,
      faults,
    };
  } finally {
    await gateway.kill();
    await rm(directory, { recursive: true, force: true });
  }
}

/** Everything that counts something must come back to what it was. */
async function faultsAtRest(gateway: RunningGateway, socketsBefore: number): Promise<readonly string[]> {
  let seen: readonly string[] = [];
  const look = async (): Promise<readonly string[]> => {
    const page = await scrape(gateway.url);
    const residents = Object.values((await gateway.status()).gpus).flatMap((device) => device.residents);
    const files = await openFiles(gateway.pid);
    const connections = await connectionsTo(portOf(gateway));
    const figures = {
      waiting: page.sum('vllm_gateway_queue_depth'),
      running: page.sum('vllm_gateway_requests_running'),
      'background responses': page.sum('vllm_gateway_background_responses'),
      'unlinked files': files.unlinked,
      'more sockets than before': Math.max(0, (await foreignSockets(gateway)) - socketsBefore),
      'more outputs than engines': Math.max(0, files.outputs - residents.length),
      'connections of clients': Math.max(0, connections.all - connections.own),
      'dropped rows': page.sum('vllm_gateway_activity_dropped_total'),
    };
    return Object.entries(figures)
      .filter(([, value]) => value !== 0)
      .map(([name, value]) => `at rest: ${value} ${name}`);
  };
  await until(
    'rest',
    async () => {
      seen = await look();
      return seen.length === 0;
    },
    REST_LIMIT_MS,
  ).catch(() => undefined);
  return seen;
}

/** The gateway's sockets without those of this process's questions. */
async function foreignSockets(gateway: RunningGateway): Promise<number> {
  const { own } = await connectionsTo(portOf(gateway));
  return (await openFiles(gateway.pid)).sockets - own;
}

function portOf(gateway: RunningGateway): number {
  return Number(new URL(gateway.url).port);
}

function bookOf(gateway: RunningGateway): readonly Row[] {
  const question = { model: null, sinceWallMs: null, failedOnly: false, limit: ROWS_MAX };
  const read = readActivity(join(gateway.directory, 'state'), question);
  if (!read.ok) throw new Error(read.error);
  return read.value.filter(({ outcome }) => outcome !== 'own');
}

async function linesOf(file: string, seed: number): Promise<readonly RequestLine[]> {
  const text = await readFile(file, 'utf8');
  return text
    .split('\n')
    .filter((line) => line.includes(`"id":"soak-${seed}-`))
    .map((line) => JSON.parse(line) as RequestLine);
}

function countsOf(page: MetricsPage): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { labels, value } of page.series('vllm_gateway_requests_total')) {
    const label = (name: string): string => labels.get(name) ?? '';
    if (label('outcome') === 'own') continue;
    counts.set([label('model'), label('outcome'), label('status'), label('code')].join(' '), value);
  }
  return counts;
}

function movesOf(page: MetricsPage): Readonly<Record<string, number>> {
  const count = (move: string): number => page.sum('vllm_gateway_engine_moves_total', { move });
  return { start: count('start'), stop: count('stop'), sleep: count('sleep'), wake: count('wake') };
}
