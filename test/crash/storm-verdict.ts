/** What every storm must show, whatever its engines are. */
import assert from 'node:assert/strict';
import { runStorm, type StormResult } from './storm.ts';
import { reportOf } from './storm-report.ts';
import type { StormRuntime } from './storm-runtime.ts';

const KILLS = 50;

/** `CRASH_SEED` repeats a storm as far as the machine lets it: points in time are the same, what happens there may differ. */
export const seed = Number(process.env['CRASH_SEED'] ?? Date.now() % 1_000_000);
export const kills = Number(process.env['CRASH_KILLS'] ?? KILLS);

/** Prints what it finds. Rejects, with all faults, when anything was wrong, or when too little has happened to tell. */
export async function stormStands(runtime: StormRuntime): Promise<void> {
  console.log(`CRASH_SEED=${seed}`);
  const isEnough = (result: StormResult): boolean => kills < KILLS || wanting(result).length === 0;
  const result = await runStorm({ runtime, kills, seed, print: console.log, isEnough });
  console.log(reportOf(result));
  assert.equal(result.faults.length, 0, result.faults.join('\n'));
  assert.ok(result.kills >= kills, `only ${result.kills} kills`);
  if (kills >= KILLS) assert.deepEqual(wanting(result), []);
}

/** A storm in which nothing happened would show nothing: what there was too little of. */
function wanting({ aftermath, brokenStreams, rivalsRefused }: StormResult): readonly string[] {
  const { adopted, resumedStarts } = aftermath;
  return [
    ...(adopted >= KILLS / 2 ? [] : [`only ${adopted} engines were adopted`]),
    ...(resumedStarts >= 1 ? [] : ['no start was resumed']),
    ...(brokenStreams >= KILLS / 2 ? [] : [`only ${brokenStreams} streams were under way`]),
    ...(rivalsRefused >= 1 ? [] : ['no second gateway was tried']),
  ];
}
