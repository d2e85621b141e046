/** Sleeping instead of stopping: when, for whom, and what happens when it goes wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testNeed, testPolicy } from '../../test/fakes/scheduler-world.ts';
import { adoptAsleep, go, serve, sleeper, worldOf } from '../../test/fakes/sleeper-world.ts';
import type { ModelPolicy } from './model-policy.ts';

test('an engine that gives way sleeps where it can, and wakes where it slept', () => {
  const world = worldOf([sleeper('a'), sleeper('b')]);
  serve(world, 'a', 'b', 'a', 'b');
  assert.equal(world.count('start'), 2);
  assert.equal(world.count('sleep'), 3);
  assert.equal(world.count('wake'), 2);
  assert.equal(world.count('stop'), 0);
  const loads = world.effects.flatMap((effect) => (effect.kind === 'dispatch' ? [effect.load] : []));
  assert.deepEqual(loads, ['cold', 'cold', 'wake', 'wake']);
});

test('a model that may not sleep is stopped, also while nobody knows the host', () => {
  for (const world of [
    worldOf([sleeper('a', { sleepLevel: 0 }), sleeper('b', { sleepLevel: 0 })]),
    worldOf([sleeper('a'), sleeper('b')], { hostBudgetMib: null }),
  ]) {
    serve(world, 'a', 'b');
    assert.deepEqual([world.count('sleep'), world.count('stop')], [0, 1]);
  }
});

test('without host memory for it an engine is stopped', () => {
  const world = worldOf([sleeper('a'), sleeper('b')], { hostBudgetMib: 12_000 });
  serve(world, 'a', 'b');
  assert.deepEqual([world.count('sleep'), world.count('stop')], [0, 1]);
});

test('what a sleeper leaves on its device counts: another one that needs the rest has it stopped', () => {
  const world = worldOf([sleeper('a'), sleeper('b'), sleeper('c', { memoryMibPerDevice: 15_200 })]);
  serve(world, 'a', 'b', 'c');
  assert.equal(world.engineKind('c'), 'awake');
  const stopped = world.effects.flatMap((effect) => (effect.kind === 'stop' ? [effect.model] : []));
  // 500 MiB beside 15,200 are too many once, and b's 500 are not.
  assert.equal(stopped.length, 1);
});

test('where host memory is full the sleeper goes that is worth the least per MiB', () => {
  const cheap = sleeper('cheap', { hostAsleepMib: 25_000 });
  const world = worldOf([sleeper('a'), cheap, sleeper('c'), sleeper('d')], { hostBudgetMib: 45_000 });
  serve(world, 'a', 'cheap', 'c', 'd');
  const stopped = world.effects.flatMap((effect) => (effect.kind === 'stop' ? [effect.model] : []));
  assert.deepEqual(stopped, ['cheap']);
  assert.deepEqual([world.engineKind('a'), world.engineKind('c')], ['asleep', 'asleep']);
});

test('an idle engine is not asked to leave while its neighbour starts: it serves until then', () => {
  const models = [
    sleeper('a', { memoryMibPerDevice: 6_000, residueMib: 100 }),
    sleeper('slow', { memoryMibPerDevice: 6_000, residueMib: 100 }),
    sleeper('b', { memoryMibPerDevice: 9_000, residueMib: 100 }),
  ];
  const world = worldOf(models);
  serve(world, 'a');
  world.request('slow');
  go(world, 1_000);
  assert.equal(world.engineKind('slow'), 'starting');
  const late = world.request('b');
  go(world, 10_000);
  assert.equal(world.engineKind('a'), 'awake');
  const again = world.request('a');
  go(world, 2_000);
  assert.ok(again.finishedMs !== null, 'it still serves');
  go(world, 300_000);
  assert.ok(late.finishedMs !== null);
});

test('nobody waits for host memory of a sleeper whose neighbour starts', () => {
  const models = [
    sleeper('old', { pool: 'x' }),
    sleeper('starts', { pool: 'x' }),
    sleeper('idle', { pool: 'y', hostAsleepMib: 20_000 }),
    sleeper('next', { pool: 'y' }),
  ];
  const world = worldOf(models, { hostBudgetMib: 38_000, budgetsMib: [16_000, 16_000] });
  const devices = [...world.state.devices.values()];
  const pools = ['x', 'y'];
  world.send({
    kind: 'devices_changed',
    devices: devices.map((device, index) => ({ ...device, pool: pools[index] ?? null })),
  });
  serve(world, 'old', 'idle', 'idle', 'idle', 'idle');
  world.request('starts');
  go(world, 2_000);
  assert.deepEqual([world.engineKind('old'), world.engineKind('starts')], ['asleep', 'starting']);
  const next = world.request('next');
  // The start beside `old` takes half a minute; it is not waited for.
  go(world, 5_000);
  assert.equal(world.engineKind('next'), 'starting');
  assert.equal(world.engineKind('old'), 'asleep');
  go(world, 60_000);
  assert.ok(next.finishedMs !== null);
});

test('a sleeper waits for its busy device rather than being started anew on another one', () => {
  const models = ['a', 'b', 'c'].map((name) => sleeper(name));
  const world = worldOf(models, { budgetsMib: [16_000, 16_000] });
  serve(world, 'a', 'b');
  serve(world, 'c');
  const asleep = world.engineKind('a') === 'asleep' ? 'a' : 'b';
  const busy = 'c';
  world.serviceMs.set(busy, 50_000);
  world.request(busy);
  go(world, 1_000);
  const record = world.request(asleep);
  go(world, 600_000);
  assert.ok(record.finishedMs !== null);
  assert.deepEqual([world.count('start', asleep), world.count('wake', asleep)], [1, 1]);
});

test('a host that gets smaller has sleepers stopped', () => {
  const world = worldOf([sleeper('a'), sleeper('b')]);
  serve(world, 'a', 'b');
  world.send({ kind: 'host_memory', budgetMib: 10_000 });
  world.clock.advanceTo(world.clock.nowMs() + 5_000);
  assert.equal(world.engineKind('a'), 'cold');
});

test('a sleep that fails leaves an unknown state: the engine is killed, and after two such faults never put to sleep again', () => {
  const world = worldOf([sleeper('a'), sleeper('b', { sleepLevel: 0 })]);
  world.sleepAnswer = () => 'failed';
  serve(world, 'a', 'b', 'a', 'b', 'a', 'b');
  assert.equal(world.count('sleep', 'a'), 2);
  const stops = world.effects.filter((effect) => effect.kind === 'stop' && effect.model === 'a');
  assert.deepEqual(
    stops.map((effect) => effect.kind === 'stop' && effect.graceMs),
    [0, 0, 10_000],
  );
});

test('a waking that fails, or never ends, costs its waiting requests only the time of a new start', () => {
  for (const answer of ['failed', 'silent'] as const) {
    const world = worldOf([sleeper('a'), sleeper('b')]);
    serve(world, 'a', 'b');
    world.sleepAnswer = (kind) => (kind === 'wake' ? answer : 'ok');
    serve(world, 'a');
    assert.equal(world.count('start', 'a'), 2, answer);
    assert.equal(world.count('refuse'), 0);
  }
});

test('an engine that dies asleep is started when it is asked for', () => {
  const world = worldOf([sleeper('a'), sleeper('b')]);
  serve(world, 'a', 'b');
  const failure = { cause: 'killed', text: 'killed by SIGKILL', retryable: true };
  world.send({ kind: 'exited', model: 'a', launchId: world.launchId('a'), failure });
  serve(world, 'a');
  assert.equal(world.count('start', 'a'), 2);
});

test('what needs no device is answered asleep and evicts nobody', () => {
  const world = worldOf([sleeper('a'), sleeper('b'), sleeper('cold')]);
  serve(world, 'a', 'b');
  const asleep = world.request('a', null, true);
  assert.equal(asleep.dispatchedMs, asleep.arrivedMs);
  world.clock.advanceTo(world.clock.nowMs() + 5_000);
  assert.equal(world.engineKind('a'), 'asleep');
  const cold = world.request('cold', 60_000, true);
  world.clock.advanceTo(world.clock.nowMs() + 70_000);
  assert.equal(cold.refusal?.code, 'queue_timeout');
  assert.equal(world.engineKind('b'), 'awake');
});

test('what needs no device may start an engine in free room', () => {
  const world = worldOf([sleeper('a')]);
  const record = world.request('a', null, true);
  world.clock.advanceTo(40_000);
  assert.notEqual(record.finishedMs, null);
});

test('a sleeper that nobody asks for is stopped after its inactivity timeout', () => {
  const world = worldOf([sleeper('a', { inactivityTimeoutMs: 600_000 }), sleeper('b')]);
  serve(world, 'a', 'b');
  assert.equal(world.engineKind('a'), 'asleep');
  world.clock.advanceTo(world.clock.nowMs() + 700_000);
  assert.equal(world.engineKind('a'), 'cold');
});

test('a sleeper whose device is taken for good starts where there is room', () => {
  const world = worldOf([sleeper('a'), sleeper('fixed', { pool: 'p' })], { budgetsMib: [16_000, 16_000] });
  const devices = [...world.state.devices.values()];
  const placed = devices.map((device, index) => ({ ...device, pool: index === 0 ? 'p' : null }));
  world.send({ kind: 'devices_changed', devices: placed });
  // The first goes to the first device; the always-on one can live nowhere else.
  serve(world, 'a', 'fixed');
  assert.equal(world.engineKind('a'), 'asleep');
  const fixed = world.state.models.get('fixed');
  assert.ok(fixed);
  fixed.policy = { ...fixed.policy, alwaysOn: true };
  serve(world, 'a');
  assert.equal(world.count('start', 'a'), 2);
});

test('an engine of an earlier gateway that sleeps is woken as from level 2, whatever its level', () => {
  const world = worldOf([sleeper('a')]);
  adoptAsleep(world, 'a');
  serve(world, 'a');
  const wake = world.effects.find((effect) => effect.kind === 'wake');
  assert.equal(wake?.kind === 'wake' ? wake.level : null, 2);
  assert.equal(world.count('start'), 0);
});

test('no engine moves on a device beside one that starts, falls asleep or wakes', () => {
  const small = { memoryMibPerDevice: 5_000, hostAsleepMib: 6_000 };
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const world = worldOf(names.map((name) => sleeper(name, small)));
  // The invariants of the world assert it after every event.
  for (let round = 0; round < 20; round += 1) {
    for (const name of names) world.request(name);
    world.clock.advanceTo(world.clock.nowMs() + 20_000);
  }
  world.clock.advanceTo(world.clock.nowMs() + 3_000_000);
  assert.equal(world.state.requests.size, 0);
  assert.ok(world.count('wake') > 5);
});

test('an idle engine sleeps rather than stops', () => {
  const models = ['a', 'b', 'c', 'd'].flatMap((name) => [
    sleeper(name, { pool: name }),
    sleeper(`${name}2`, { pool: name }),
  ]);
  const world = worldOf(models, { budgetsMib: [16_000, 16_000, 16_000, 16_000] });
  const devices = [...world.state.devices.values()];
  const pools = ['a', 'b', 'c', 'd'];
  world.send({
    kind: 'devices_changed',
    devices: devices.map((device, index) => ({ ...device, pool: pools[index] ?? null })),
  });
  serve(world, ...pools);
  for (const name of pools) world.request(`${name}2`);
  world.clock.advanceTo(world.clock.nowMs() + 100_000);
  assert.deepEqual([world.count('sleep'), world.count('stop')], [4, 0]);
});

/** Has its devices to itself; leaves 1,000 MiB asleep. */
function whole(name: string): ModelPolicy {
  return sleeper(name, { memoryMibPerDevice: null, wholeShare: 0.9, residueMib: 1_000 });
}

test('models that have their device to themselves sleep for each other, and all wake again', () => {
  const world = worldOf([whole('a'), whole('b'), whole('c')], { budgetsMib: [24_000] });
  serve(world, 'a', 'b', 'c', 'a', 'b', 'c', 'a');
  assert.deepEqual([world.count('start'), world.count('wake'), world.count('stop')], [3, 4, 0]);
  const claims = world.effects.flatMap((effect) =>
    effect.kind === 'start' ? [effect.memoryMibPerDevice] : [],
  );
  // Nine tenths at the most, and what two sleepers leave is kept free from the beginning.
  assert.deepEqual(claims, [21_600, 21_600, 21_600]);
});

test('with more sleepers than fit beside it, a model that has its device to itself has some of them stopped', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
  const world = worldOf(names.map(whole), { budgetsMib: [24_000] });
  serve(world, ...names, ...names);
  assert.ok(world.count('wake') > 0);
  const asleep = names.filter((name) => world.engineKind(name) === 'asleep');
  // 15 % of the device at the most, where nobody knows what the model needs.
  assert.equal(asleep.length, 3);
});

test('beside a model that has its device to itself nobody is awake, whatever room it leaves', () => {
  const world = worldOf([whole('a'), sleeper('small', { memoryMibPerDevice: 500, residueMib: 100 })], {
    budgetsMib: [24_000],
  });
  serve(world, 'a', 'small');
  assert.deepEqual([world.engineKind('a'), world.engineKind('small')], ['asleep', 'awake']);
  serve(world, 'a');
  assert.deepEqual([world.engineKind('a'), world.engineKind('small')], ['awake', 'asleep']);
});

test('a model that needs all of its device, as far as its files tell, has sleepers stopped', () => {
  const world = worldOf(
    [
      whole('a'),
      { ...whole('big'), need: { ...testNeed(), ...whole('big').need, leastMibPerDevice: 23_500 } },
    ],
    {
      budgetsMib: [24_000],
    },
  );
  serve(world, 'a', 'big');
  assert.deepEqual([world.engineKind('a'), world.engineKind('big')], ['cold', 'awake']);
});

test('of engines that cost about the same, the one that was used least lately gives way', () => {
  const world = worldOf([testPolicy('a'), testPolicy('b'), testPolicy('c')], {
    budgetsMib: [16_000, 16_000],
  });
  // Starts of equal models differ by chance.
  world.startMsOf = (model) => (model === 'a' ? 29_000 : 31_000);
  serve(world, 'a', 'b', 'a', 'c');
  assert.deepEqual([world.engineKind('a'), world.engineKind('b')], ['awake', 'cold']);
});
