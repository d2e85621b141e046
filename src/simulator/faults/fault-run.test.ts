import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../scheduler/effects.ts';
import { createScheduler, type Scheduler } from '../../scheduler/scheduler.ts';
import { runFaults } from './fault-run.ts';

const SEEDS = 30;

test('no rule is broken in worlds that lie, and all is well again when they cease to', async () => {
  const outcomes = [];
  for (let seed = 1; seed <= SEEDS; seed += 1) outcomes.push(await runFaults({ seed }));
  const failed = outcomes.filter(({ violations }) => violations.length > 0);
  assert.deepEqual(failed, []);
  for (const { seed, faults } of outcomes) {
    const count = [...faults.values()].reduce((sum, number) => sum + number, 0);
    assert.ok(count >= 20, `seed ${seed} has only ${count} faults`);
  }
  // Every kind of fault happens.
  const kinds = new Set(outcomes.flatMap(({ faults }) => [...faults.keys()]));
  assert.equal(kinds.size, 16);
});

test('one seed is one run', async () => {
  const [first, second] = [await runFaults({ seed: 5 }), await runFaults({ seed: 5 })];
  assert.deepEqual(second, first);
});

function changed(change: (effects: Effect[]) => Effect[]): Scheduler {
  const { begin, decide } = createScheduler();
  return { begin, decide: (state, event, nowMs) => change(decide(state, event, nowMs)) };
}

test('a defect is told, with what happened before', async () => {
  let sleeps = 0;
  const isSpared = ({ kind }: Effect): boolean => {
    if (kind === 'stop') sleeps += 1;
    return kind === 'stop' && sleeps % 4 === 0;
  };
  const scheduler = changed((effects) => effects.filter((effect) => !isSpared(effect)));
  const { violations, tail } = await runFaults({ seed: 1, scheduler });
  assert.notDeepEqual(violations, []);
  assert.equal(tail.length, 30);
  assert.match(tail.join('\n'), /FAULT/);
});
