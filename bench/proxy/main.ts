/**
 * CPU per request and per streamed chunk of the gateway beside nginx, in one run on one machine: absolute figures drift
 * with the machine, the ratios are what counts. Rounds are interleaved, medians compared. Prints JSON; exits with 1 when
 * a ratio is above its bound and `--check` is given.
 *
 *   npm run bench:proxy [-- --rounds 3] [--seconds 4] [--streams 2] [--check]
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nginxIsThere, startNginx } from './nginx.ts';
import { cpuMicroseconds, end, residentMib, startScript } from './processes.ts';

/** Bounds of the ratios to nginx. */
const UNARY_RATIO_MAX = 3.0;
const CHUNK_RATIO_MAX = 2.2;
const WARM_UP_MS = 1500;

interface Proxy {
  readonly name: string;
  readonly child: ChildProcess;
  readonly port: number;
}

interface Figures {
  readonly unaryUs: number[];
  readonly requestsPerSecond: number[];
  readonly chunkUs: number[];
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    streams: { type: 'string', default: '2' },
    check: { type: 'boolean', default: false },
  },
});
const directory = await mkdtemp(join(tmpdir(), 'bench-proxy-'));
const children: ChildProcess[] = [];

/** What is measured as the gateway; prints its port as its first line. */
async function startGateway(enginePort: number): Promise<Proxy> {
  const { child, line } = await startScript('gateway.ts', [String(enginePort)]);
  return { name: 'gateway', child, port: Number(line) };
}

async function load(proxy: Proxy, mode: 'unary' | 'stream', amount: number) {
  const pid = proxy.child.pid ?? 0;
  const before = await cpuMicroseconds(pid);
  const { child, line } = await startScript('load.ts', [String(proxy.port), mode, String(amount)]);
  await end(child);
  const cpu = (await cpuMicroseconds(pid)) - before;
  const result = JSON.parse(line) as { requests?: number; chunks?: number; seconds: number };
  return { cpu, ...result };
}

async function measure(proxy: Proxy, figures: Figures): Promise<void> {
  const unary = await load(proxy, 'unary', Number(values.seconds) * 1000);
  const requests = unary.requests ?? Number.NaN;
  figures.unaryUs.push(unary.cpu / requests);
  figures.requestsPerSecond.push(requests / unary.seconds);
  const stream = await load(proxy, 'stream', Number(values.streams));
  figures.chunkUs.push(stream.cpu / (stream.chunks ?? Number.NaN));
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((one, other) => one - other);
  return Math.round((sorted[Math.floor(sorted.length / 2)] ?? Number.NaN) * 10) / 10;
}

async function summary(proxy: Proxy, figures: Figures) {
  return {
    cpuUsPerRequest: median(figures.unaryUs),
    requestsPerSecond: Math.round(median(figures.requestsPerSecond)),
    cpuUsPerChunk: median(figures.chunkUs),
    residentMib: await residentMib(proxy.child.pid ?? 0),
  };
}

async function run(): Promise<boolean> {
  const engine = await startScript('stub-engine.ts', []);
  children.push(engine.child);
  const enginePort = Number(engine.line);
  const gateway = await startGateway(enginePort);
  children.push(gateway.child);
  const proxies: Proxy[] = [gateway];
  if (nginxIsThere()) {
    const nginx = await startNginx(directory, enginePort);
    children.push(nginx.child);
    proxies.push({ name: 'nginx', ...nginx });
  } else {
    console.error('nginx is missing and cannot be installed here: figures without ratios');
  }
  const figures = new Map(
    proxies.map((proxy) => [proxy, { unaryUs: [], requestsPerSecond: [], chunkUs: [] } as Figures]),
  );
  for (const proxy of proxies) await load(proxy, 'unary', WARM_UP_MS);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [proxy, own] of figures) await measure(proxy, own);
  }
  const results: Record<string, Awaited<ReturnType<typeof summary>>> = {};
  for (const [proxy, own] of figures) results[proxy.name] = await summary(proxy, own);
  const { gateway: ours, nginx } = results;
  const ratios =
    ours === undefined || nginx === undefined
      ? null
      : {
          perRequest: Math.round((ours.cpuUsPerRequest / nginx.cpuUsPerRequest) * 100) / 100,
          perChunk: Math.round((ours.cpuUsPerChunk / nginx.cpuUsPerChunk) * 100) / 100,
        };
  const bounds = { perRequest: UNARY_RATIO_MAX, perChunk: CHUNK_RATIO_MAX };
  console.log(JSON.stringify({ results, ratios, bounds }, null, 2));
  return ratios === null || (ratios.perRequest <= bounds.perRequest && ratios.perChunk <= bounds.perChunk);
}

try {
  const within = await run();
  if (!within && values.check) process.exitCode = 1;
} finally {
  for (const child of children) await end(child);
  await rm(directory, { recursive: true, force: true });
}
