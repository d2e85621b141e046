/** One run: a gateway on a simulated host, a crowd of clients, and what was seen of its memory. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPrng } from '../../src/core/prng.ts';
import { openLedger } from '../../src/engines/simulated/ledger.ts';
import { type RunningGateway, startGateway, until } from '../fixtures/gateway.ts';
import { type MetricsPage, scrape } from '../fixtures/metrics-page.ts';
import { type CrowdResult, sendCrowd } from './clients.ts';
import { type ConfigKeys, deviceId, type HostPlan, hostConfig, plannedModels } from './host-plan.ts';
import { LedgerWatch, type Watched } from './ledger-watch.ts';
import { type Verdict, verdictOf } from './verdict.ts';

const PROGRESS_STEP = 500;

export interface RunSetup {
  readonly requests: number;
  readonly bursts: number;
  readonly keys?: ConfigKeys;
  /** Runs beside the crowd, and must end before the crowd does. */
  readonly beside?: (gateway: RunningGateway) => Promise<void>;
}

export interface HostRun {
  readonly plan: HostPlan;
  readonly crowd: CrowdResult;
  readonly watched: Watched;
  readonly verdict: Verdict;
  /** Starts, stops, sleeps and wakes that were decided. */
  readonly moves: Readonly<Record<'start' | 'stop' | 'sleep' | 'wake', number>>;
  /** Starts that ended otherwise than with a ready engine, by the gateway's own count. */
  readonly failedStarts: number;
  /** Sleepers that were stopped because host memory was short. */
  readonly hostStops: number;
  /** What devices and host still held when the gateway had ended. */
  readonly leftMib: number;
  readonly exitCode: number | null;
}

export async function runHost(plan: HostPlan, setup: RunSetup): Promise<HostRun> {
  const directory = await mkdtemp(join(tmpdir(), 'hosts-'));
  const models = plannedModels(plan);
  const config = await hostConfig(directory, plan, models, setup.keys);
  const gateway = await startGateway({ config });
  try {
    await until('the devices are read', async () => (await fetch(`${gateway.url}/ready`)).status === 200);
    const watch = new LedgerWatch(gateway);
    // Looked at when the crowd has gone: whatever goes wrong earlier must not leave engines behind.
    const beside = Promise.allSettled([setup.beside?.(gateway)]);
    const crowd = await sendCrowd({
      url: gateway.url,
      models: shuffled(
        models.map(({ name }) => name),
        plan.seed,
      ),
      requests: setup.requests,
      bursts: setup.bursts,
      seed: plan.seed,
      progress: (ended) => {
        if (ended % PROGRESS_STEP === 0) console.log(`  ${plan.name}: ${ended} requests have ended`);
      },
    });
    const [story] = await beside;
    if (story.status === 'rejected') throw story.reason;
    const page = await scrape(gateway.url);
    const watched = await watch.end();
    const exitCode = await gateway.stop({ keep: true });
    const leftMib = heldMib(gateway);
    const verdict = await verdictOf(gateway);
    const hostStops = gateway.log.filter(({ msg }) => msg.includes('host memory is needed')).length;
    const failedStarts = failedStartsOf(page);
    return {
      ...{ plan, crowd, watched, verdict, moves: movesOf(page) },
      ...{ failedStarts, hostStops, leftMib, exitCode },
    };
  } finally {
    await gateway.kill();
    await rm(directory, { recursive: true, force: true });
  }
}

function heldMib(gateway: RunningGateway): number {
  const ledger = openLedger(join(gateway.directory, 'state', 'ledger'));
  return ledger.read().reduce((sum, use) => sum + use.usedMib, ledger.host()?.usedMib ?? 0);
}

function movesOf(page: MetricsPage): HostRun['moves'] {
  const count = (move: string) => page.sum('vllm_gateway_engine_moves_total', { move });
  return { start: count('start'), stop: count('stop'), sleep: count('sleep'), wake: count('wake') };
}

function failedStartsOf(page: MetricsPage): number {
  const name = 'vllm_gateway_engine_starts_ended_total';
  return page.sum(name) - page.sum(name, { result: 'ready' });
}

/** One model is more popular than the next; which ones is chance. */
function shuffled(names: readonly string[], seed: number): readonly string[] {
  const random = createPrng(seed);
  const keys = new Map(names.map((name) => [name, random.next()]));
  return [...names].sort((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0));
}

/** What speaks against the run, in words; empty: nothing. */
export function faultsOf({
  crowd,
  watched,
  verdict,
  failedStarts,
  leftMib,
  exitCode,
}: HostRun): readonly string[] {
  return [
    ...crowd.faults,
    ...watched.overCommits,
    ...Object.values(verdict).flat(),
    ...(failedStarts === 0 ? [] : [`${failedStarts} starts have failed`]),
    ...(leftMib === 0 ? [] : [`${leftMib} MiB are still held after the end`]),
    ...(exitCode === 0 ? [] : [`the gateway ended with ${exitCode}`]),
  ];
}

export function figures({ plan, crowd, watched, verdict, moves, hostStops }: HostRun): string {
  const { sent, answered, left, longestWaitMs, tookMs } = crowd;
  const peaks = plan.devices.map((totalMib, index) => {
    const mib = watched.peakMib.get(deviceId(index)) ?? 0;
    return `${((100 * mib) / totalMib).toFixed(0)} %`;
  });
  return [
    `${plan.name}: ${answered} answered, ${left} left, ${sent - answered - left} failed in ${(tookMs / 1000).toFixed(1)} s`,
    `  ${((answered + left) / (tookMs / 1000)).toFixed(0)} requests/s, longest wait ${(longestWaitMs / 1000).toFixed(1)} s`,
    `  starts ${moves.start}, stops ${moves.stop}, sleeps ${moves.sleep}, wakes ${moves.wake}, sleepers stopped for host memory ${hostStops}`,
    `  most in use: ${peaks.join(', ')}; host ${watched.peakHostMib} of ${plan.hostMemoryMib} MiB`,
    `  over-commits ${watched.overCommits.length} in ${watched.looks} looks, out of memory ${verdict.outOfMemory.length}, corrected ${verdict.mended.length}, room missing ${verdict.roomMissing.length}, engines that ended ${verdict.ended.length}`,
  ].join('\n');
}
