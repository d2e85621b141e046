/** What the desk refuses, and what it does for policies (define-policy.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import { definePolicy } from './define-policy.ts';
import type { PolicyDesk } from './policy-desk.ts';

/** A world whose policy does what the test tells it at each review. */
class DeskWorld extends SchedulerWorld {
  review: (desk: PolicyDesk) => void;

  constructor(setup: Parameters<typeof testSetup>[0], budgetsMib: readonly number[] = [16_000]) {
    const told: { review: (desk: PolicyDesk) => void } = { review: startWhereFree };
    const policy = definePolicy('told', () => ({ review: (desk) => told.review(desk) }));
    super({ ...testSetup(setup, budgetsMib), hostBudgetMib: 100_000 }, {}, policy);
    this.review = startWhereFree;
    this.beforeDecision = () => {
      told.review = this.review;
    };
  }
}

function startWhereFree(desk: PolicyDesk): void {
  for (const model of desk.waiting) {
    const deviceIds = desk.roomFor(model);
    if (deviceIds !== null) desk.bringUp(model, deviceIds);
  }
}

/** `a` is awake, and `b` begins to wait while the policy does `review`. */
function waitingFor(
  review: (desk: PolicyDesk) => void,
  changes: Parameters<typeof testPolicy>[1] = {},
): DeskWorld {
  const world = new DeskWorld([testPolicy('a', changes), testPolicy('b')]);
  world.request('a');
  world.clock.advanceTo(10_000);
  world.review = review;
  world.request('b');
  return world;
}

function named(desk: PolicyDesk, name: string) {
  const model = desk.models.find((view) => view.name === name);
  assert.ok(model !== undefined);
  return model;
}

test('nothing is brought up without room, where it does not wait, or on devices that it cannot have', () => {
  const b = (desk: PolicyDesk) => named(desk, 'b');
  assert.throws(() => waitingFor((desk) => desk.bringUp(b(desk), ['gpu-0'])), /without room there/);
  assert.throws(() => waitingFor((desk) => desk.bringUp(named(desk, 'a'), ['gpu-0'])), /does not wait/);
  assert.throws(() => waitingFor((desk) => desk.bringUp(b(desk), ['gpu-9'])), /is not there/);
  assert.throws(() => waitingFor((desk) => desk.bringUp(b(desk), ['gpu-0', 'gpu-0'])), /takes 1 devices/);
});

test('who is always on, or within the minimum residence of its configuration, is not put away', () => {
  const away = (desk: PolicyDesk) => desk.putAway(named(desk, 'a'), 'stop', 'the test says so');
  assert.throws(() => waitingFor(away, { alwaysOn: true }), /must not be put away now/);
  assert.throws(() => waitingFor(away, { minResidenceMs: 60_000 }), /must not be put away now/);
  assert.throws(
    () => waitingFor((desk) => desk.putAway(named(desk, 'a'), 'sleep', 'the test says so')),
    /cannot sleep/,
  );
});

test('a device is held for one model, until the next review', () => {
  const heldBefore: (readonly string[] | null)[] = [];
  const world = waitingFor((desk) => {
    const [model] = desk.waiting;
    if (model === undefined) return;
    heldBefore.push(desk.heldBefore(model));
    desk.hold(model, ['gpu-0']);
    assert.equal(desk.devices[0]?.heldFor, 'b');
  });
  world.send({ kind: 'host_memory', budgetMib: 90_000 });
  assert.deepEqual(heldBefore, [null, ['gpu-0']]);
  world.review = startWhereFree;
  world.send({ kind: 'host_memory', budgetMib: 80_000 });
  assert.equal(world.state.plans.size, 0);
});

test('a policy is asked again when it wanted to look again', () => {
  const atMs: number[] = [];
  const world = waitingFor((desk) => {
    atMs.push(desk.nowMs);
    if (desk.nowMs < 12_000) desk.lookAgainAt(12_345);
  });
  world.clock.advanceTo(30_000);
  assert.deepEqual(atMs, [10_000, 12_345]);
});

test('what a policy keeps belongs to one run', () => {
  let runs = 0;
  const policy = definePolicy('counting', () => {
    runs += 1;
    return { review: startWhereFree };
  });
  const defined = runs;
  for (let run = 0; run < 2; run += 1)
    new SchedulerWorld(testSetup([testPolicy('a')]), {}, policy).request('a');
  assert.equal(runs - defined, 2);
});
