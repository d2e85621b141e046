/** The gateway killed fifty times in the middle of its work: nothing orphaned, nothing started twice, no lost byte unnoticed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runStorm } from './storm.ts';
import { PROCESS_RUNTIME } from './storm-machine.ts';
import { reportOf } from './storm-report.ts';

const KILLS = 50;

/** `CRASH_SEED` repeats a storm as far as the machine lets it: points in time are the same, what happens there may differ. */
const seed = Number(process.env['CRASH_SEED'] ?? Date.now() % 1_000_000);
const kills = Number(process.env['CRASH_KILLS'] ?? KILLS);

test(`engines as processes: ${kills} kills, seed ${seed}`, async () => {
  console.log(`CRASH_SEED=${seed}`);
  const result = await runStorm({ runtime: PROCESS_RUNTIME, kills, seed, print: console.log });
  console.log(reportOf(result));
  assert.equal(result.faults.length, 0, result.faults.join('\n'));
  assert.equal(result.kills, kills);
  if (kills < KILLS) return;
  // A storm in which nothing happened would show nothing.
  const { adopted, resumedStarts } = result.aftermath;
  assert.ok(adopted >= kills / 2, `only ${adopted} engines were adopted`);
  assert.ok(resumedStarts >= 1, 'no start was resumed');
  assert.ok(result.brokenStreams >= kills / 2, `only ${result.brokenStreams} streams were under way`);
  assert.ok(result.rivalsRefused >= 1, 'no second gateway was tried');
});
