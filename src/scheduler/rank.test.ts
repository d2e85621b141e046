import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import { overdue } from './rank.ts';
import type { ModelState } from './state.ts';

const NO_PLANS = new Map();

function pool(id: string) {
  return { id, pool: id, totalMib: 16_000, budgetMib: 16_000, spareMib: 0, foreignMib: 0 };
}

function names(models: readonly ModelState[]): string[] {
  return models.map(({ policy }) => policy.name);
}

test('one that cannot be seated guards nobody: those behind it, in its pool and in others, are overdue as well', () => {
  const policies = [
    testPolicy('pinned', { pool: 'x', alwaysOn: true }),
    testPolicy('stuck', { pool: 'x' }),
    testPolicy('busy', { pool: 'y' }),
    testPolicy('behind', { pool: 'y' }),
  ];
  const world = new SchedulerWorld({ ...testSetup(policies), devices: [pool('x'), pool('y')] });
  world.serviceMs.set('busy', 10_000_000);
  world.request('busy');
  world.clock.advanceTo(10_000);
  world.request('stuck');
  world.clock.advanceTo(11_000);
  world.hanging.add('behind');
  world.request('behind');
  const { models, againMs } = overdue(world.state, world.clock.nowMs(), NO_PLANS);
  assert.deepEqual(names(models), []);
  assert.ok(againMs > world.clock.nowMs() && againMs < 1_000_000);
  assert.equal(world.state.models.get('stuck')?.blocked, true);
  const late = overdue(world.state, 1_000_000, NO_PLANS);
  assert.deepEqual(names(late.models), ['stuck', 'behind']);
});
