import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleepCost } from './sleep-cost.ts';

const ASKED = {
  level: 1,
  deviceCount: 2,
  weightsMib: 8000,
  reservedMib: 20_000,
  engineHostMib: 4096,
  learned: null,
} as const;

test('first estimates: 4 GiB of processes, 1.5 x the weights of all ranks beside them at level 1', () => {
  assert.deepEqual(sleepCost(ASKED), { residueMib: 1024, hostAwakeMib: 4096, hostAsleepMib: 28_096 });
  assert.equal(sleepCost({ ...ASKED, level: 2 }).hostAsleepMib, 4096);
  assert.equal(sleepCost({ ...ASKED, level: 0 }).hostAsleepMib, 4096);
});

test('weights that are not known are taken to be all that is reserved', () => {
  assert.equal(sleepCost({ ...ASKED, weightsMib: null }).hostAsleepMib, 4096 + 1.5 * 2 * 20_000);
});

test('measured values win, unless they cannot be of this level', () => {
  const learned = { residueMib: 700, hostAwakeMib: 5000, hostAsleepMib: 22_000 };
  assert.deepEqual(sleepCost({ ...ASKED, learned }), {
    residueMib: 700,
    hostAwakeMib: 5000,
    hostAsleepMib: 22_000,
  });
  const ofLevel2 = { ...learned, hostAsleepMib: 5000 };
  assert.equal(sleepCost({ ...ASKED, learned: ofLevel2 }).hostAsleepMib, 5000 + 1.5 * 16_000);
});
