/** Under every policy: invariants after every event, and every request ends (test/fakes/random-run.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { policy as mostWaiting } from '../../../examples/policies/most-waiting.ts';
import { randomRun } from '../../../test/fakes/random-run.ts';
import { policyNamed, policyNames } from './named-policies.ts';

const SEEDS = 60;
// Production's has a test of its own.
const named = policyNames.filter((name) => name !== 'default' && name !== 'turns').map(policyNamed);

for (const policy of [...named.filter((policy) => policy !== null), mostWaiting]) {
  test(`${policy.name}: ${SEEDS} random runs keep the invariants and lose no request`, () => {
    let starts = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      try {
        starts += randomRun(seed, policy).world.count('start');
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
    assert.ok(starts > SEEDS, `only ${starts} starts`);
  });
}
