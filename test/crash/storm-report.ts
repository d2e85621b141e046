/** The figures of a storm, for people. */
import type { Revival, StormResult } from './storm.ts';

export function reportOf(result: StormResult): string {
  const { kills, starts, aftermath, revivals, outcomes, killedAt } = result;
  return [
    `${kills} kills (${listOf(killedAt)}), ${starts} engines started in all`,
    `  adopted ${aftermath.adopted}, starts resumed ${aftermath.resumedStarts}, finished stops ${aftermath.finishedStops}, sleeps ${aftermath.finishedSleeps}, wakes ${aftermath.finishedWakes}`,
    `  debris ended ${aftermath.endedDebris}, and ${result.plantedDebris} that were planted; second gateways refused ${result.rivalsRefused}`,
    `  requests: ${listOf(outcomes)}; streams broken within ${result.brokenStreams}`,
    ...[...new Set(revivals.map(({ adopted }) => adopted))]
      .sort()
      .map((adopted) => timesOf(adopted, revivals)),
    `  faults ${result.faults.length}`,
  ].join('\n');
}

function timesOf(adopted: number, revivals: readonly Revival[]): string {
  const those = revivals.filter((revival) => revival.adopted === adopted);
  const ready = those.map(({ readyMs }) => readyMs);
  const served = those.map(({ servedMs }) => servedMs);
  return `  from start, with ${adopted} adopted (${those.length} times): to /ready median ${median(ready)}, most ${most(ready)}; to the first served request ${median(served)}, most ${most(served)} ms`;
}

function median(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor(sorted.length / 2)] ?? 0).toFixed(0);
}

function most(values: readonly number[]): string {
  return Math.max(...values).toFixed(0);
}

function listOf(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${name} ${count}`).join(', ');
}
