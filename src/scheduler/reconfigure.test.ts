/** Configuration, devices and operators change things while engines run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import type { DeviceBudget, ModelPolicy } from './model-policy.ts';

const GPU: DeviceBudget = {
  id: 'gpu-0',
  pool: null,
  totalMib: 16_000,
  budgetMib: 16_000,
  spareMib: 0,
  foreignMib: 0,
};

function reconfigure(
  world: SchedulerWorld,
  models: readonly ModelPolicy[],
  devices: readonly DeviceBudget[] = [GPU],
): void {
  world.send({ kind: 'configuration_changed', models, devices, scheduling: testSetup([]).scheduling });
}

test('a model that moves to a foreign server is served there, and its engine is ended', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.request('a');
  world.clock.advanceTo(10_000);
  reconfigure(world, [testPolicy('a', { managed: false })]);
  const request = world.request('a');
  assert.equal(request.dispatchedMs, 10_000);
  world.clock.advanceTo(20_000);
  assert.equal(world.count('stop'), 1);
  assert.deepEqual([...world.state.models.keys()], ['a']);
  reconfigure(world, [testPolicy('a')]);
  const back = world.request('a');
  world.clock.advanceTo(30_000);
  assert.equal(back.dispatchedMs, 22_000);
});

test('more slots serve the waiting at once; fewer let what runs finish', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { maxConcurrent: 1 })]), { serviceMs: 10_000 });
  for (let index = 0; index < 4; index += 1) world.request('a');
  world.clock.advanceTo(3_000);
  assert.equal(world.count('dispatch'), 1);
  reconfigure(world, [testPolicy('a', { maxConcurrent: 3 })]);
  assert.equal(world.count('dispatch'), 3);
  reconfigure(world, [testPolicy('a', { maxConcurrent: 1 })]);
  world.clock.advanceTo(40_000);
  assert.equal([...world.requests.values()].filter((record) => record.finishedMs !== null).length, 4);
});

test('a corrected configuration and a reset are heard while a failed engine is still being ended', () => {
  for (const mend of ['configuration', 'reset']) {
    const world = new SchedulerWorld(testSetup([testPolicy('a')]));
    world.hanging.add('a');
    world.request('a');
    const failure = { cause: 'unknown_flag', text: 'unknown flag', retryable: false };
    world.send({ kind: 'exited', model: 'a', launchId: world.launchId('a'), failure });
    assert.equal(world.engineKind('a'), 'stopping');
    world.hanging.delete('a');
    if (mend === 'reset') world.send({ kind: 'operator_command', command: { kind: 'reset', model: 'a' } });
    else reconfigure(world, [testPolicy('a', { signature: 'corrected' })]);
    const request = world.request('a');
    world.clock.advanceTo(10_000);
    assert.notEqual(request.finishedMs, null, mend);
  }
});

test('a budget that shrinks ends idle engines first, and the rest when they become idle', () => {
  const models = ['a', 'b'].map((name) => testPolicy(name, { memoryMibPerDevice: 7_000 }));
  const world = new SchedulerWorld(testSetup(models));
  world.request('a');
  world.clock.advanceTo(10_000);
  world.request('b');
  world.clock.advanceTo(20_000);
  world.serviceMs.set('b', 5_000);
  const running = world.request('b');
  world.send({ kind: 'devices_changed', devices: [{ ...GPU, budgetMib: 8_000 }] });
  assert.deepEqual([world.engineKind('a'), world.engineKind('b')], ['stopping', 'awake']);
  world.send({ kind: 'devices_changed', devices: [{ ...GPU, budgetMib: 2_000 }] });
  assert.equal(world.engineKind('b'), 'awake');
  // It still serves what it holds; what would have to load anew is told the truth.
  world.clock.advanceTo(60_000);
  assert.notEqual(running.finishedMs, null);
  assert.equal(world.engineKind('b'), 'cold');
  assert.equal(world.request('a').refusal?.code, 'model_never_fits');
});

test('devices that appear later start what is always on and what waits', () => {
  const world = new SchedulerWorld({ ...testSetup([testPolicy('a', { alwaysOn: true })]), devices: [] });
  assert.equal(world.count('start'), 0);
  world.send({ kind: 'devices_changed', devices: [GPU] });
  assert.equal(world.count('start'), 1);
});

test('an engine of an earlier gateway that nobody wants keeps its memory until it is gone', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.stuckStops.set('gone', 1);
  const launch = {
    launchId: 'old-1',
    deviceIds: ['gpu-0'],
    memoryMibPerDevice: 10_000,
    signature: 'x',
    stage: { kind: 'awake' },
  } as const;
  world.send({ kind: 'adopted', launch: { ...launch, model: 'gone' }, contextLength: null });
  const request = world.request('a');
  assert.equal(world.count('start'), 0);
  world.clock.advanceTo(20_000);
  assert.ok((request.dispatchedMs ?? 0) > 2_000);
  assert.deepEqual([...world.state.models.keys()], ['a']);
});

test('an adoption that comes after the stop is ended too, or left where engines are left', () => {
  for (const leaveEngines of [false, true]) {
    const world = new SchedulerWorld(testSetup([testPolicy('a')]));
    world.send({ kind: 'shutdown', step: 'drain', leaveEngines });
    world.send({ kind: 'shutdown', step: 'stop', leaveEngines });
    const launch = {
      launchId: 'old-1',
      deviceIds: ['gpu-0'],
      memoryMibPerDevice: 10_000,
      signature: 'a',
      model: 'a',
      stage: { kind: 'awake' },
    } as const;
    world.send({ kind: 'adopted', launch, contextLength: null });
    assert.equal(world.count(leaveEngines ? 'release' : 'stop'), 1);
  }
});

test('while draining at the end, a request whose engine dies is refused and holds nothing up', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]), { serviceMs: 1_000_000 });
  const record = world.request('a');
  world.clock.advanceTo(5_000);
  world.send({ kind: 'shutdown', step: 'drain', leaveEngines: false });
  world.send({ kind: 'returned', requestId: record.id, cause: 'connection_lost', detail: 'reset' });
  world.send({ kind: 'probed', model: 'a', launchId: world.launchId('a'), healthy: false, detail: 'silent' });
  assert.equal(record.refusal?.code, 'shutting_down');
  assert.equal(world.state.requests.size, 0);
});

test('what foreign programs take is not given away, keeps nobody out for good, and is used when it comes back', () => {
  const world = new SchedulerWorld(
    testSetup([testPolicy('a'), testPolicy('b', { memoryMibPerDevice: 5_000 })]),
  );
  world.send({ kind: 'devices_changed', devices: [{ ...GPU, foreignMib: 10_000 }] });
  const large = world.request('a');
  const small = world.request('b');
  world.clock.advanceTo(20_000);
  // No refusal: the foreign program may go. The small one fits beside it.
  assert.deepEqual([large.refusal, large.dispatchedMs], [null, null]);
  assert.equal(small.dispatchedMs, 2_000);
  world.send({ kind: 'devices_changed', devices: [GPU] });
  world.clock.advanceTo(40_000);
  assert.equal(large.dispatchedMs, 22_000);
});

test('a foreign program that grows into what we hold makes idle engines give way', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.request('a');
  world.clock.advanceTo(20_000);
  world.send({ kind: 'devices_changed', devices: [{ ...GPU, foreignMib: 10_000 }] });
  assert.equal(world.engineKind('a'), 'stopping');
  const stop = world.effects.find((effect) => effect.kind === 'stop');
  assert.match(stop?.reason ?? '', /only 6000 MiB/);
});
