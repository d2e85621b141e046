/** Explanations against what comes true: in small worlds without chance each wait is known beforehand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import { type Explanation, explain, explainAll } from './explanation.ts';

function ask(world: SchedulerWorld, model: string): Explanation {
  const found = explain(world.state, model, world.clock.nowMs());
  if (found === null) throw new Error(`no explanation of ${model}`);
  return found;
}

const SLEEPS = { sleepLevel: 1 as const };

/** Models that have served once, so that what they cost is known. */
function served(names: readonly string[], budgetsMib: readonly number[], sleeps: boolean): SchedulerWorld {
  const policies = names.map((name) => testPolicy(name, sleeps ? SLEEPS : {}));
  const setup = { ...testSetup(policies, budgetsMib), hostBudgetMib: sleeps ? 500_000 : null };
  const world = new SchedulerWorld(setup, { startMs: 4_000 });
  for (let round = 0; round < 2; round += 1) {
    for (const name of names) {
      world.request(name);
      world.clock.advanceTo(world.clock.nowMs() + 30_000);
    }
  }
  return world;
}

test('the steps add up to the wait, and the wait comes true', () => {
  const world = served(['a', 'b'], [16_000], true);
  const request = world.request('a');
  const explanation = ask(world, 'a');
  const sum = explanation.steps.reduce((total, { expectedMs }) => total + (expectedMs ?? 0), 0);
  assert.equal(sum, explanation.readyInMs);
  assert.deepEqual(
    explanation.steps.map(({ kind, models }) => [kind, ...models]),
    [
      ['leaving', 'b'],
      ['wake', 'a'],
    ],
  );
  world.clock.advanceTo(world.clock.nowMs() + 30_000);
  assert.ok(
    Math.abs((request.dispatchedMs ?? 0) - request.arrivedMs - (explanation.readyInMs ?? 0)) < 5,
    `${explanation.readyInMs} ms`,
  );
});

test('a busy neighbour: its turn, its drain and its stop, then the start', () => {
  const world = served(['a', 'b'], [16_000], false);
  world.request('a');
  world.clock.advanceTo(world.clock.nowMs() + 30_000);
  // It is always busy: its turn ends only when it has to.
  world.onEnd = (record) => void (record.model === 'b' && world.request('b'));
  for (let index = 0; index < 6; index += 1) {
    world.request('b');
    world.clock.advanceTo(world.clock.nowMs() + 200);
  }
  world.clock.advanceTo(world.clock.nowMs() + 6_000);
  const request = world.request('a');
  const explanation = ask(world, 'a');
  assert.deepEqual(
    explanation.steps.map(({ kind }) => kind),
    ['turn', 'drain', 'leaving', 'start'],
  );
  assert.equal(explanation.steps[0]?.models[0], 'b');
  assert.equal(explanation.basis, 'assumed');
  world.clock.advanceTo(world.clock.nowMs() + 200_000);
  const waitedMs = (request.dispatchedMs ?? 0) - request.arrivedMs;
  assert.ok(waitedMs > 5_000, `${waitedMs} ms`);
  assert.ok(Math.abs(waitedMs - (explanation.readyInMs ?? 0)) < 0.3 * waitedMs, `${explanation.readyInMs}`);
});

test('who ranks before it is named with the reason, and is reckoned with', () => {
  const names = ['a', 'b', 'c', 'd'];
  const world = served(names, [16_000], false);
  const requests = ['a', 'b', 'c'].map((name) => world.request(name));
  const last = ask(world, 'c');
  assert.deepEqual(
    last.ahead.map(({ model, why }) => [model, why]),
    [
      ['a', 'holds_devices'],
      ['b', 'more_waiting_work'],
    ],
  );
  assert.equal(last.aheadCount, 2);
  assert.ok(last.steps.some(({ kind, models }) => kind === 'ahead' && models.includes('b')));
  world.clock.advanceTo(world.clock.nowMs() + 300_000);
  const waitedMs = (requests[2]?.dispatchedMs ?? 0) - (requests[2]?.arrivedMs ?? 0);
  assert.ok(Math.abs(waitedMs - (last.readyInMs ?? 0)) < 0.35 * waitedMs, `${last.readyInMs} of ${waitedMs}`);
});

test('on several devices turns run side by side', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const one = served(names, [16_000], false);
  const three = served(names, [16_000, 16_000, 16_000], false);
  const waits = [one, three].map((world) => {
    for (const name of names) world.request(name);
    return Math.max(...names.map((name) => ask(world, name).readyInMs ?? 0));
  });
  assert.ok((waits[0] ?? 0) > 2.5 * (waits[1] ?? 0), waits.join(' and '));
});

test('all at once tells the same as one by one', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const world = served(names, [16_000, 16_000], true);
  for (const name of names) world.request(name);
  const all = explainAll(world.state, world.clock.nowMs());
  for (const name of names) assert.deepEqual(all.get(name), ask(world, name));
});

test('an assumption of the bound that does not hold is named', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]));
  world.request('a');
  world.clock.advanceTo(5_000);
  world.stuckStops.set('a', 99);
  world.request('b');
  world.clock.advanceTo(20_000);
  const stuck = ask(world, 'b');
  assert.equal(stuck.hindrance, 'stop_unverified');
  assert.equal(stuck.readyInMs, null);
  const [device] = [...world.state.devices.values()];
  if (device === undefined) throw new Error('no device');
  const foreign = new SchedulerWorld(testSetup([testPolicy('a')]));
  foreign.send({ kind: 'devices_changed', devices: [{ ...device, foreignMib: 12_000 }] });
  foreign.request('a');
  assert.equal(ask(foreign, 'a').hindrance, 'foreign_memory');
});
