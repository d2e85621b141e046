/** What models take and devices have, as it becomes known: sizes, measurements, missing room, mended starts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testNeed, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';

const OUT_OF_MEMORY = { cause: 'out_of_memory', text: 'out of memory', retryable: true };

test('a model waits until its need is known', () => {
  const world = new SchedulerWorld(testSetup([{ ...testPolicy('a'), need: null }]));
  const record = world.request('a');
  world.clock.advanceTo(60_000);
  assert.equal(world.count('start'), 0);
  world.send({ kind: 'sized', model: 'a', need: testNeed() });
  world.clock.advanceTo(70_000);
  assert.equal(record.finishedMs, 63_000);
});

test('a need that no device can ever hold refuses who waits, with the words of the sizing', () => {
  const world = new SchedulerWorld(testSetup([{ ...testPolicy('a'), need: null }]));
  const record = world.request('a');
  world.send({ kind: 'sized', model: 'a', need: testNeed({ neverFits: 'it needs 90 GiB' }) });
  assert.equal(record.refusal?.code, 'model_never_fits');
  assert.deepEqual(record.refusal?.parameters, { model: 'a', why: 'it needs 90 GiB' });
});

test('a measured engine frees what was reserved too much', () => {
  const world = new SchedulerWorld(
    testSetup([testPolicy('a'), testPolicy('b', { memoryMibPerDevice: 8_000 })]),
  );
  world.request('a');
  world.clock.advanceTo(2_000);
  world.send({ kind: 'measured', model: 'a', launchId: world.launchId('a'), memoryMibPerDevice: 7_000 });
  world.request('b');
  world.clock.advanceTo(10_000);
  assert.deepEqual([world.engineKind('a'), world.engineKind('b')], ['awake', 'awake']);
});

test('an engine that takes more than was reserved has an idle neighbour give way', () => {
  const world = new SchedulerWorld(
    testSetup([
      testPolicy('a', { memoryMibPerDevice: 8_000 }),
      testPolicy('b', { memoryMibPerDevice: 8_000 }),
    ]),
  );
  world.request('a');
  world.clock.advanceTo(5_000);
  world.request('b');
  world.clock.advanceTo(20_000);
  world.send({ kind: 'measured', model: 'b', launchId: world.launchId('b'), memoryMibPerDevice: 9_000 });
  world.clock.advanceTo(30_000);
  assert.deepEqual([world.engineKind('a'), world.engineKind('b')], ['cold', 'awake']);
});

test('a start that finds no room goes where there is some', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')], [16_000, 16_000]));
  world.hanging.add('a');
  const record = world.request('a');
  assert.deepEqual(world.state.models.get('a')?.engine.kind, 'starting');
  world.hanging.clear();
  world.send({
    kind: 'no_room',
    asleep: false,
    model: 'a',
    launchId: world.launchId('a'),
    freeMib: { 'gpu-0': 6_000 },
  });
  world.clock.advanceTo(10_000);
  assert.notEqual(record.finishedMs, null);
  const starts = world.effects.flatMap((effect) => (effect.kind === 'start' ? [effect.deviceIds] : []));
  assert.deepEqual(starts, [['gpu-0'], ['gpu-1']]);
});

test('a start that finds no room anywhere is tried again, and its requests wait', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.hanging.add('a');
  const record = world.request('a');
  for (let round = 0; round < 3; round += 1) {
    world.send({
      kind: 'no_room',
      asleep: false,
      model: 'a',
      launchId: world.launchId('a'),
      freeMib: { 'gpu-0': 6_000 },
    });
    assert.equal(world.engineKind('a'), 'cold');
    if (round === 2) world.hanging.clear();
    world.clock.advanceTo(world.clock.nowMs() + 10_500);
  }
  world.clock.advanceTo(world.clock.nowMs() + 10_000);
  assert.notEqual(record.finishedMs, null);
  assert.equal(world.count('start'), 4);
});

test('a failed start that was mended is tried again at once and counts for nothing; without an end it is a failure', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.hanging.add('a');
  const record = world.request('a');
  for (let round = 0; round < 4; round += 1) {
    const launchId = world.launchId('a');
    world.send({ kind: 'exited', model: 'a', launchId, failure: OUT_OF_MEMORY, mended: 'more is reserved' });
    world.clock.advanceTo(world.clock.nowMs() + 1_000);
    assert.equal(record.refusal, null);
  }
  world.send({
    kind: 'exited',
    model: 'a',
    launchId: world.launchId('a'),
    failure: OUT_OF_MEMORY,
    mended: 'more is reserved',
  });
  assert.equal(record.refusal?.code, 'start_failed');
});

test('an engine over the budget that may not go yet is asked as soon as it may', () => {
  const setup = testSetup([testPolicy('a', { minResidenceMs: 20_000 })]);
  const world = new SchedulerWorld(setup);
  world.request('a');
  world.clock.advanceTo(5_000);
  const devices = [...world.state.devices.values()].map((device) => ({ ...device, foreignMib: 10_000 }));
  world.send({ kind: 'devices_changed', devices });
  assert.equal(world.engineKind('a'), 'awake');
  world.clock.advanceTo(23_000);
  assert.equal(world.engineKind('a'), 'cold');
});
