import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPolicy } from '../../test/fakes/scheduler-world.ts';
import type { DeviceBudget, ModelPolicy, SchedulerSetup } from '../scheduler/model-policy.ts';
import { makePlan } from './plan.ts';

function gpu(id: string, budgetMib = 20_000, pool: string | null = null): DeviceBudget {
  return { id, pool, totalMib: 24_000, budgetMib, spareMib: 0, foreignMib: 0 };
}

function planOf(
  models: readonly ModelPolicy[],
  devices: readonly DeviceBudget[],
  changes: Partial<SchedulerSetup> = {},
) {
  return makePlan({
    models,
    scheduling: { switchShare: 0.2, lingerMaxMs: 20_000 },
    learned: {},
    hostBudgetMib: 100_000,
    launchPrefix: 'plan',
    ...changes,
    devices,
  });
}

const moves = { startMs: null, stopMs: null, sleepMs: 1_250, wakeMs: 1_250 };
const sleeper = { sleepLevel: 1, residueMib: 1_000, hostAsleepMib: 15_000, hostAwakeMib: 4_000 } as const;

test('all maximal sets, always-on models in each, and who may sleep beside', () => {
  const plan = planOf(
    [
      testPolicy('a', { memoryMibPerDevice: 9_000, alwaysOn: true }),
      testPolicy('b', { memoryMibPerDevice: 9_000, ...sleeper }),
      testPolicy('c', { memoryMibPerDevice: 11_000, ...sleeper }),
      testPolicy('d', { memoryMibPerDevice: 21_000 }),
    ],
    [gpu('x')],
  );
  assert.deepEqual(plan.together, {
    exact: true,
    sets: [
      // 9,000 + 9,000 leave 2,000 of 20,000 for c's residue of 1,000; 9,000 + 11,000 leave nothing.
      { awake: ['a', 'b'], asleep: ['c'] },
      { awake: ['a', 'c'], asleep: [] },
    ],
    crowdedOut: [],
  });
  assert.deepEqual(plan.sleepers, { hostBudgetMib: 100_000, able: ['b', 'c'], mostAtOnce: 2 });
  assert.match(plan.neverFits.get('d') ?? '', /needs 21000 MiB .* x 20000 MiB/);
});

test('beyond the exact number each model still stands in a set, and none can be added to it', () => {
  const models = Array.from({ length: 30 }, (_, index) =>
    testPolicy(`m${index}`, { memoryMibPerDevice: 3_000 + 1_000 * (index % 5) }),
  );
  const { together } = planOf(models, [gpu('x'), gpu('y')]);
  assert.equal(together.exact, false);
  assert.equal(new Set(together.sets.flatMap(({ awake }) => awake)).size, 30);
});

test('twelve models on eight devices are answered exactly', () => {
  const models = Array.from({ length: 12 }, (_, index) =>
    testPolicy(`m${index}`, {
      memoryMibPerDevice: 8_000 + 700 * index,
      deviceCount: index % 3 === 0 ? 2 : 1,
    }),
  );
  const devices = Array.from({ length: 8 }, (_, index) => gpu(`d${index}`));
  assert.equal(planOf(models, devices).together.exact, true);
});

test('a sleep that the host holds is preferred, and becomes a stop where it does not', () => {
  const models = [
    testPolicy('a', { memoryMibPerDevice: 15_000, ...sleeper }),
    testPolicy('b', { memoryMibPerDevice: 15_000, ...sleeper }),
  ];
  const roomy = planOf(models, [gpu('x')], { learned: { a: moves } }).makingRoom.get('b');
  assert.deepEqual(roomy, {
    kind: 'evict',
    victims: [{ model: 'a', how: 'sleep' }],
    roomInMs: 1_250,
    servesInMs: 3_250,
  });
  const tight = planOf(models, [gpu('x')], { hostBudgetMib: 14_000 }).makingRoom.get('b');
  assert.deepEqual(tight?.kind === 'evict' ? tight.victims : null, [{ model: 'a', how: 'stop' }]);
});

test('the cheapest to bring back gives way', () => {
  const models = [
    testPolicy('dear', { memoryMibPerDevice: 10_000, assumedStartMs: 60_000 }),
    testPolicy('cheap', { memoryMibPerDevice: 10_000, assumedStartMs: 3_000 }),
    testPolicy('new', { memoryMibPerDevice: 10_000 }),
  ];
  const room = planOf(models, [gpu('x')]).makingRoom.get('new');
  assert.deepEqual(room?.kind === 'evict' ? room.victims : null, [{ model: 'cheap', how: 'stop' }]);
});

test('the worst wait on one shared device is the theorem, by hand', () => {
  const models = [
    testPolicy('a', { memoryMibPerDevice: 15_000, drainTimeoutMs: 10_000 }),
    testPolicy('b', { memoryMibPerDevice: 15_000, drainTimeoutMs: 20_000, assumedStartMs: 4_000 }),
    testPolicy('c', { memoryMibPerDevice: 15_000, drainTimeoutMs: 30_000, assumedStartMs: 8_000 }),
  ];
  const wait = planOf(models, [gpu('x')]).worstWaits.get('a');
  // e = 0.2: quantum = 4 x (start + 1,000). b: 20,000; c: 36,000. With 5,000 for what is cut: q + d is 45,000 and 71,000.
  // R = 71,000; b: 5,000 + 45,000; c: 9,000 + 71,000; a itself: 3,000.
  assert.deepEqual(wait, {
    kind: 'bound',
    rule: 'shared_device',
    coldMs: 71_000 + 50_000 + 80_000 + 3_000,
    asleepMs: null,
    others: ['b', 'c'],
  });
});

test('a slow leaver lengthens the turn of who comes after it', () => {
  const learned = { b: { startMs: 2_000, stopMs: 9_000, sleepMs: null, wakeMs: null } };
  const models = ['a', 'b'].map((name) =>
    testPolicy(name, { memoryMibPerDevice: 15_000, drainTimeoutMs: 0 }),
  );
  const wait = planOf(models, [gpu('x')], { learned }).worstWaits.get('b');
  // a's own quantum is 4 x 3,000; the move that brought it, b's stop and its start, refills in 4 x 11,000.
  // R = 44,000 + 5,000; a: 3,000 + 49,000; b itself: 11,000.
  assert.equal(wait?.kind === 'bound' ? wait.coldMs : null, 49_000 + 52_000 + 11_000);
});

test('on several devices the bound is that of the order', () => {
  const models = ['a', 'b', 'c'].map((name) => testPolicy(name, { memoryMibPerDevice: 15_000 }));
  const wait = planOf(models, [gpu('x'), gpu('y')]).worstWaits.get('a');
  // 3 x (3,000 + 12,000 + 125,000) + 3,000
  assert.deepEqual(wait?.kind === 'bound' ? [wait.rule, wait.coldMs] : null, ['order', 423_000]);
});

test('while all are asleep the wait is shorter', () => {
  const models = ['a', 'b'].map((name) =>
    testPolicy(name, { memoryMibPerDevice: 15_000, assumedStartMs: 60_000, ...sleeper }),
  );
  const wait = planOf(models, [gpu('x')], { learned: { a: moves, b: moves } }).worstWaits.get('a');
  assert.ok(wait?.kind === 'bound' && wait.asleepMs !== null && wait.asleepMs < wait.coldMs);
  // Sleep and waking 1,250 ms each: quantum 10,000; R = 10,000 + 125,000, b: 2,500 + that, a: 2,500.
  assert.equal(wait.asleepMs, 135_000 + 137_500 + 2_500);
  const tight = planOf(models, [gpu('x')], { hostBudgetMib: 20_000 }).worstWaits.get('a');
  assert.equal(tight?.kind === 'bound' ? tight.asleepMs : 0, null);
});

test('who always has room waits for starts alone', () => {
  const models = ['a', 'b'].map((name) => testPolicy(name, { memoryMibPerDevice: 9_000 }));
  const wait = planOf(models, [gpu('x')]).worstWaits.get('a');
  assert.deepEqual(wait?.kind === 'bound' ? [wait.rule, wait.coldMs] : null, ['room', 4_000]);
  // Two whole devices of three may be taken; the third is left.
  const whole = ['a', 'b', 'c'].map((name) => testPolicy(name, { memoryMibPerDevice: null }));
  const found = planOf(whole, [gpu('x'), gpu('y'), gpu('z')]).worstWaits.get('c');
  assert.equal(found?.kind === 'bound' ? found.rule : null, 'room');
});

test('no bound beside endless drains and always-on models without room, and the reason is told', () => {
  const endless = [
    testPolicy('a', { memoryMibPerDevice: 15_000 }),
    testPolicy('b', { memoryMibPerDevice: 15_000, onDrainTimeout: 'wait' }),
  ];
  const waits = planOf(endless, [gpu('x')]).worstWaits;
  const [a, b] = [waits.get('a'), waits.get('b')];
  assert.match(a?.kind === 'none' ? a.why : '', /^b may keep devices .*on_drain_timeout: wait/);
  assert.equal(b?.kind, 'bound');
  const pinned = [
    testPolicy('a', { memoryMibPerDevice: 15_000 }),
    testPolicy('b', { memoryMibPerDevice: 15_000, alwaysOn: true }),
  ];
  const plan = planOf(pinned, [gpu('x')]);
  const kept = plan.worstWaits.get('a');
  assert.match(kept?.kind === 'none' ? kept.why : '', /^always-on models take the room/);
  assert.equal(plan.makingRoom.get('a')?.kind, 'blocked');
  assert.deepEqual(plan.together.sets, [{ awake: ['b'], asleep: [] }]);
});

test('always-on models that do not fit beside each other are named', () => {
  const models = ['a', 'b'].map((name) => testPolicy(name, { memoryMibPerDevice: 15_000, alwaysOn: true }));
  assert.deepEqual(planOf(models, [gpu('x')]).together.crowdedOut, ['b']);
});
