/** Corners of sleep and of light requests, each of which once cost somebody an answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SchedulerWorld } from '../../test/fakes/scheduler-world.ts';
import { testNeed, testSetup } from '../../test/fakes/scheduler-world.ts';
import { adoptAsleep, go, serve, sleeper, worldOf } from '../../test/fakes/sleeper-world.ts';
import type { DeviceBudget } from './model-policy.ts';

function gpu(id: string, pool: string): DeviceBudget {
  return { id, pool, totalMib: 16_000, budgetMib: 16_000, spareMib: 0, foreignMib: 0 };
}

/** Nothing but b is configured any more. */
function keepOnlyB(world: SchedulerWorld): void {
  const { devices, scheduling } = testSetup([]);
  world.send({
    kind: 'configuration_changed',
    models: [sleeper('b')],
    devices: devices ?? [],
    scheduling,
  });
}

test('an adopted sleeper is woken for who waits already, before the devices are known', () => {
  const world = worldOf([sleeper('a')], { devices: null });
  const r = world.request('a');
  adoptAsleep(world, 'a');
  world.send({ kind: 'devices_changed', devices: testSetup([]).devices ?? [] });
  go(world, 100_000);
  assert.notEqual(r.finishedMs, null);
});

test('an adopted sleeper is woken for who waits already', () => {
  const world = worldOf([{ ...sleeper('a'), need: null }]);
  const r = world.request('a');
  adoptAsleep(world, 'a');
  go(world, 100_000);
  assert.notEqual(r.finishedMs, null);
});

test('an adopted sleeper that is always on is woken', () => {
  const world = worldOf([{ ...sleeper('a', { alwaysOn: true }), need: null }]);
  adoptAsleep(world, 'a');
  go(world, 100_000);
  assert.equal(world.engineKind('a'), 'awake');
});

for (const [needMib, ends] of [
  [8_000, 'stop'],
  [20_000, 'sleep'],
] as const)
  test(`an engine that took the whole device before its size was known: with ${needMib} MiB it gives way by ${ends}`, () => {
    const world = worldOf([sleeper('a', { memoryMibPerDevice: null }), sleeper('b')], {
      budgetsMib: [24_000],
    });
    serve(world, 'a');
    world.send({ kind: 'sized', model: 'a', need: testNeed({ sleepLevel: 1, memoryMibPerDevice: needMib }) });
    serve(world, 'b');
    assert.deepEqual([world.count('stop'), world.count('sleep')], ends === 'stop' ? [1, 0] : [0, 1]);
    serve(world, 'a');
    assert.equal(world.engineKind('a'), 'awake');
    assert.equal(world.engineKind('b'), ends === 'stop' ? 'awake' : 'asleep');
  });

test('a sleeper that is to go is stopped when its last request ends, and starts for the next one', () => {
  const world = worldOf([sleeper('a'), sleeper('b')]);
  serve(world, 'a', 'b');
  world.request('a', null, true);
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 'a' } });
  go(world, 5_000);
  const r = world.request('a');
  go(world, 600_000);
  assert.notEqual(r.finishedMs, null, world.engineKind('a'));
});

test('a sleeper whose model was taken out is forgotten when its last request ends', () => {
  const world = worldOf([sleeper('a'), sleeper('b')]);
  serve(world, 'a', 'b');
  world.request('a', null, true);
  keepOnlyB(world);
  go(world, 600_000);
  assert.equal(world.state.launches.size, 1);
});

test('a model that was taken out while it woke, and found no room, is forgotten', () => {
  const world = worldOf([sleeper('a'), sleeper('b')]);
  serve(world, 'a', 'b');
  world.sleepAnswer = (k) => (k === 'wake' ? 'no_room' : 'ok');
  world.request('a');
  while (world.engineKind('a') !== 'waking') go(world, 100);
  keepOnlyB(world);
  go(world, 600_000);
  assert.equal([...world.state.models.keys()].join(), 'b', world.engineKind('a'));
});

test('a light request does not wait behind one that left', () => {
  const world = worldOf([sleeper('a', { maxConcurrent: 1 }), sleeper('b')]);
  serve(world, 'a', 'b');
  world.serviceMs.set('b', 3_000_000);
  world.request('b');
  world.request('a', null, true);
  const heavy = world.request('a');
  const light = world.request('a', null, true);
  go(world, 2_000); // first light ended
  world.send({ kind: 'left', requestId: heavy.id });
  go(world, 100_000);
  assert.notEqual(light.finishedMs, null, world.engineKind('a'));
});

test('light requests are answered when a waking was not begun', () => {
  const world = worldOf([sleeper('a'), sleeper('b')]);
  serve(world, 'a', 'b');
  world.sleepAnswer = () => 'silent';
  const heavy = world.request('a');
  while (world.engineKind('a') !== 'waking') {
    world.sleepAnswer = (k) => (k === 'wake' ? 'silent' : 'ok');
    go(world, 100);
  }
  const light = world.request('a', null, true);
  world.send({ kind: 'left', requestId: heavy.id });
  const launchId = world.launchId('a');
  world.send({ kind: 'no_room', asleep: true, launchId, model: 'a', freeMib: { 'gpu-0': 2_000 } });
  go(world, 5_000);
  assert.notEqual(light.finishedMs, null, world.engineKind('a'));
});

test('an operator unloads an engine that falls asleep or wakes', () => {
  for (const kind of ['falling_asleep', 'waking']) {
    const world = worldOf([sleeper('a'), sleeper('b')]);
    serve(world, 'a');
    if (kind === 'waking') serve(world, 'b');
    const r = world.request(kind === 'waking' ? 'a' : 'b');
    while (world.engineKind('a') !== kind) go(world, 50);
    world.send({ kind: 'left', requestId: r.id });
    world.send({ kind: 'operator_command', command: { kind: 'unload', model: 'a' } });
    go(world, 600_000);
    assert.equal(world.engineKind('a'), 'cold', kind);
  }
});

test('an operator loads an engine that falls asleep', () => {
  const world = worldOf([sleeper('a'), sleeper('b')]);
  serve(world, 'a');
  const r = world.request('b');
  while (world.engineKind('a') !== 'falling_asleep') go(world, 50);
  world.send({ kind: 'left', requestId: r.id });
  world.send({ kind: 'operator_command', command: { kind: 'load', model: 'a' } });
  go(world, 600_000);
  assert.equal(world.engineKind('a'), 'awake');
});

test('a load that is taken back evicts nobody', () => {
  const world = worldOf([sleeper('a'), sleeper('b')]);
  serve(world, 'a');
  world.serviceMs.set('a', 20_000);
  world.request('a');
  world.send({ kind: 'operator_command', command: { kind: 'load', model: 'b' } });
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 'b' } });
  go(world, 600_000);
  assert.equal(world.count('start', 'b'), 0);
  assert.equal(world.engineKind('a'), 'awake');
});

test('an always-on model that fits after all is started', () => {
  const a = sleeper('a', { alwaysOn: true, neverFits: 'too large' });
  const world = worldOf([a]);
  go(world, 1000);
  world.send({ kind: 'sized', model: 'a', need: testNeed({ sleepLevel: 1 }) });
  go(world, 600_000);
  assert.equal(world.engineKind('a'), 'awake');
});

test('a light request that a sleeper does not take is not sent again and again', () => {
  const world = worldOf([sleeper('a'), sleeper('b')]);
  serve(world, 'a', 'b');
  const r = world.request('a', null, true);
  let dispatches = 0;
  for (let i = 0; i < 100; i += 1) {
    const e = world.send({ kind: 'returned', requestId: r.id, cause: 'not_sent', detail: 'refused' });
    if (e.some((x) => x.kind === 'dispatch')) dispatches += 1;
  }
  assert.ok(dispatches < 10, `${dispatches} dispatches at one instant`);
});

test('host memory is not expected of a stop that cannot be verified', () => {
  const world = worldOf([sleeper('a'), sleeper('b'), sleeper('c', { pool: 'x' })], { hostBudgetMib: 17_000 });
  world.send({ kind: 'devices_changed', devices: [gpu('gpu-0', 'y'), gpu('gpu-1', 'x')] });
  serve(world, 'c', 'a');
  world.stuckStops.set('c', 1e9);
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 'c' } });
  go(world, 60_000);
  const r = world.request('b');
  const again = world.request('a');
  go(world, 600_000);
  assert.notEqual(r.finishedMs, null, `a ${world.engineKind('a')} b ${world.engineKind('b')}`);
  assert.notEqual(again.finishedMs, null);
});

test('nobody waits beside a stop that cannot be verified while another device would do', () => {
  const world = worldOf(
    [sleeper('s', { memoryMibPerDevice: 2_000, sleepLevel: 0 }), sleeper('a'), sleeper('b')],
    { budgetsMib: [16_000, 16_000] },
  );
  serve(world, 's');
  serve(world, 'a');
  world.send({
    kind: 'configuration_changed',
    models: ['s', 'a', 'b', 'c'].map((n) =>
      n === 's' ? sleeper('s', { memoryMibPerDevice: 2_000, sleepLevel: 0 }) : sleeper(n),
    ),
    devices: [...world.state.devices.values()],
    scheduling: world.state.scheduling,
  });
  serve(world, 'c');
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 'a' } });
  go(world, 60_000);
  world.stuckStops.set('s', 1e9);
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 's' } });
  go(world, 60_000);
  const r = world.request('b');
  go(world, 900_000);
  assert.notEqual(
    r.finishedMs,
    null,
    `${JSON.stringify([...world.state.plans.values()])} c ${world.engineKind('c')}`,
  );
});

test('a drain without time beside a start does not spin', () => {
  const small = { memoryMibPerDevice: 4_000, sleepLevel: 0 as const, drainTimeoutMs: 0 };
  const world = worldOf([sleeper('a', small), sleeper('b', small), sleeper('c', small)]);
  serve(world, 'a');
  world.request('b');
  go(world, 100);
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 'a' } });
  go(world, 60_000);
});

test('light requests do not have their own sleeper stopped', () => {
  const world = worldOf(
    [sleeper('a', { maxConcurrent: 1 }), sleeper('fixed', { pool: 'p' }), sleeper('b', { pool: 'q' })],
    { budgetsMib: [16_000, 16_000] },
  );
  const devices = [...world.state.devices.values()].map((d, i) => ({ ...d, pool: i === 0 ? 'p' : 'q' }));
  world.send({ kind: 'devices_changed', devices });
  serve(world, 'a', 'fixed', 'b');
  assert.equal(world.engineKind('a'), 'asleep');
  const fixed = world.state.models.get('fixed');
  assert.ok(fixed);
  fixed.policy = { ...fixed.policy, alwaysOn: true };
  world.serviceMs.set('b', 3_000_000);
  world.serviceMs.set('a', 10_000);
  world.request('b');
  world.request('a', null, true);
  const second = world.request('a', 600_000, true);
  go(world, 700_000);
  assert.notEqual(second.finishedMs, null, world.engineKind('a'));
});

test('a model that may sleep and finds no host memory to sleep in serves as much as one that may not', () => {
  const served = (sleepLevel: 0 | 1, hostBudgetMib: number | null): number => {
    const models = ['a', 'b'].map((name) => sleeper(name, { sleepLevel }));
    const world = worldOf(models, { hostBudgetMib });
    let count = 0;
    world.onEnd = ({ model }) => {
      count += 1;
      world.clock.setTimer(world.clock.nowMs() + 3_000, () => void world.request(model));
    };
    for (const name of ['a', 'b']) world.request(name);
    go(world, 3_600_000);
    return count;
  };
  const stopped = served(0, null);
  assert.equal(served(1, null), stopped);
  assert.equal(served(1, 12_000), stopped);
  assert.ok(served(1, 100_000) > 1.9 * stopped);
});

test('a device with a stop that cannot be verified still serves who is awake there', () => {
  const world = worldOf([sleeper('s', { memoryMibPerDevice: 2_000, sleepLevel: 0 }), sleeper('a')]);
  serve(world, 's', 'a');
  world.stuckStops.set('s', 1e9);
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 's' } });
  go(world, 60_000);
  world.send({
    kind: 'devices_changed',
    devices: [...world.state.devices.values()].map((d) => ({ ...d, foreignMib: 5_000 })),
  });
  go(world, 1_000);
  world.send({
    kind: 'devices_changed',
    devices: [...world.state.devices.values()].map((d) => ({ ...d, foreignMib: 0 })),
  });
  go(world, 60_000);
  const r = world.request('a');
  go(world, 900_000);
  assert.notEqual(r.finishedMs, null, `a ${world.engineKind('a')}`);
});

test('a sleeper that waits for its devices and dies is started elsewhere', () => {
  const world = worldOf([sleeper('a'), sleeper('b'), sleeper('c')], { budgetsMib: [16_000, 16_000] });
  serve(world, 'a', 'b');
  world.serviceMs.set('b', 40_000);
  serve(world, 'c');
  world.serviceMs.set('c', 110_000);
  for (const name of ['b', 'c']) if (world.engineKind(name) === 'awake') world.request(name);
  const sleepy = ['a', 'b', 'c'].find((name) => world.engineKind(name) === 'asleep') ?? '';
  const r = world.request(sleepy);
  go(world, 39_800);
  world.stuckStops.set(sleepy, 3);
  const failure = { cause: 'killed', text: 'killed by SIGKILL', retryable: true };
  world.send({ kind: 'exited', model: sleepy, launchId: world.launchId(sleepy), failure });
  go(world, 600_000);
  assert.notEqual(r.finishedMs, null);
});

test('light requests that were answered asleep evict nobody afterwards', () => {
  const world = worldOf([sleeper('a', { maxConcurrent: 1 }), sleeper('b')]);
  serve(world, 'a', 'b');
  world.request('a', null, true);
  world.request('a', null, true);
  go(world, 1_000_000);
  assert.equal(world.engineKind('b'), 'awake');
  assert.equal(world.count('wake'), 0);
});

test('a light request without an end is cut when its sleeper has to go', () => {
  const world = worldOf([sleeper('a'), sleeper('b'), sleeper('c', { memoryMibPerDevice: 15_900 })]);
  serve(world, 'a', 'b');
  world.serviceMs.set('a', 3_000_000);
  world.request('a', null, true);
  const r = world.request('c');
  go(world, 600_000);
  assert.notEqual(r.finishedMs, null, world.engineKind('a'));
});

test('a model that needs fewer devices than it held has one engine stopped', () => {
  const w = sleeper('w', { deviceCount: 2, sleepLevel: 0 });
  const world = worldOf([w, sleeper('a', { sleepLevel: 0 }), sleeper('b', { sleepLevel: 0 })], {
    budgetsMib: [16_000, 16_000],
  });
  serve(world, 'a', 'b');
  world.serviceMs.set('a', 60_000).set('b', 60_000);
  world.onEnd = (rec) => {
    if (rec.model !== 'w') void world.request(rec.model);
  };
  world.request('a');
  world.request('b');
  world.request('w');
  world.send({ kind: 'sized', model: 'w', need: testNeed({ deviceCount: 1 }) });
  while (world.engineKind('w') !== 'awake') go(world, 1_000);
  assert.equal(world.count('stop'), 1);
});

test('a model that needs more devices than it held holds so many', () => {
  const wide = sleeper('w', { deviceCount: 1, sleepLevel: 0 });
  const others = ['a', 'b'].map((name) => sleeper(name, { sleepLevel: 0 }));
  const world = worldOf([wide, ...others], { budgetsMib: [16_000, 16_000] });
  serve(world, 'a', 'b');
  world.serviceMs.set('a', 60_000).set('b', 60_000);
  for (const name of ['a', 'b', 'w']) world.request(name);
  world.send({ kind: 'sized', model: 'w', need: testNeed({ deviceCount: 2 }) });
  assert.deepEqual(
    [...world.state.plans.values()].map((plan) => plan.deviceIds.length),
    [2],
  );
});

test('an engine over the budget beside a stop that cannot be verified serves on', () => {
  const world = worldOf([
    sleeper('s', { memoryMibPerDevice: 2_000, sleepLevel: 0 }),
    sleeper('a'),
    sleeper('b'),
  ]);
  serve(world, 's', 'a');
  world.serviceMs.set('a', 20_000);
  world.stuckStops.set('s', 1e9);
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 's' } });
  world.send({
    kind: 'devices_changed',
    devices: [...world.state.devices.values()].map((d) => ({ ...d, budgetMib: 11_900 })),
  });
  go(world, 100_000);
  const r = world.request('a');
  go(world, 900_000);
  assert.notEqual(r.finishedMs, null, `a ${world.engineKind('a')}`);
});
