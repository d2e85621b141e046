import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type RequestRecord,
  SchedulerWorld,
  testPolicy,
  testSetup,
} from '../../test/fakes/scheduler-world.ts';

const BROKEN = { cause: 'out_of_memory', text: 'CUDA out of memory', retryable: true };

function failStart(world: SchedulerWorld, failure = BROKEN): void {
  world.send({ kind: 'exited', model: 'a', launchId: world.launchId('a'), failure });
}

test('waiters of a failed start get the cause; the next try waits for its backoff, which doubles', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.hanging.add('a');
  const first = world.request('a');
  failStart(world);
  assert.equal(first.refusal?.code, 'start_failed');
  assert.equal(first.refusal?.parameters.cause, 'CUDA out of memory');
  assert.equal(first.refusal?.retryAfterS, 2);
  world.clock.advanceTo(1_900);
  assert.equal(world.request('a').refusal?.code, 'start_failed');
  world.clock.advanceTo(2_000);
  assert.equal(world.request('a').refusal, null);
  failStart(world);
  assert.equal(world.request('a').refusal?.retryAfterS, 4);
});

test('three failed starts in ten minutes turn the model to failed until the window has passed', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.hanging.add('a');
  for (const atMs of [0, 10_000, 20_000]) {
    world.clock.advanceTo(atMs);
    world.request('a');
    failStart(world);
  }
  world.clock.advanceTo(30_000);
  assert.equal(world.engineKind('a'), 'failed');
  assert.equal(world.request('a').refusal?.code, 'engine_failed');
  world.clock.advanceTo(20_000 + 600_000);
  world.hanging.delete('a');
  const later = world.request('a');
  world.clock.advanceTo(700_000);
  assert.notEqual(later.finishedMs, null);
});

test('a start that only a changed configuration can mend is not tried again', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.hanging.add('a');
  const first = world.request('a');
  failStart(world, { cause: 'context_too_long', text: 'max_model_len is too large', retryable: false });
  world.clock.advanceTo(60_000);
  assert.equal(first.refusal?.code, 'start_failed_for_good');
  assert.equal(world.request('a').refusal?.code, 'start_failed_for_good');
  assert.equal(world.count('start'), 1);
  world.send({ kind: 'operator_command', command: { kind: 'reset', model: 'a' } });
  assert.equal(world.request('a').refusal, null);
});

test('a start that hangs ends at its load timeout', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { loadTimeoutMs: 30_000 })]));
  world.hanging.add('a');
  const request = world.request('a');
  world.clock.advanceTo(30_000);
  assert.equal(request.refusal?.code, 'start_failed');
  assert.equal(world.count('stop', 'a'), 1);
});

test('an engine that dies while serving is started again for those who wait', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { maxConcurrent: 1 })]), { serviceMs: 60_000 });
  const running = world.request('a');
  const waiting = world.request('a');
  world.clock.advanceTo(10_000);
  failStart(world);
  world.send({ kind: 'finished', requestId: running.id, broken: true });
  world.clock.advanceTo(12_500);
  assert.equal(waiting.dispatchedMs, 12_500);
  assert.equal(waiting.refusal, null);
});

test('memory of a dead engine stays reserved until its stop is verified', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]), { stopMs: 5_000 });
  world.request('a');
  world.clock.advanceTo(10_000);
  failStart(world);
  const other = world.request('b');
  assert.equal(world.count('start', 'b'), 0);
  world.clock.advanceTo(20_000);
  assert.equal(other.dispatchedMs, 15_000 + 2_000);
});

test('a stop that cannot be verified is asked for again and keeps its memory', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]), { stopMs: 1_000_000 });
  world.request('a');
  world.clock.advanceTo(10_000);
  world.request('b');
  const launchId = world.launchId('a');
  world.send({ kind: 'stopped', model: 'a', launchId, verified: false, detail: 'a child is left' });
  world.clock.advanceTo(25_000);
  assert.equal(world.count('stop', 'a'), 2);
  assert.equal(world.count('start', 'b'), 0);
  world.send({ kind: 'stopped', model: 'a', launchId, verified: true, detail: '' });
  assert.equal(world.count('start', 'b'), 1);
});

test('a broken connection stops dispatch until the probe has answered', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]), { serviceMs: 60_000 });
  const lost = world.request('a');
  world.clock.advanceTo(5_000);
  world.send({ kind: 'returned', requestId: lost.id, cause: 'connection_lost', detail: 'ECONNRESET' });
  assert.equal(world.count('probe'), 1);
  assert.equal(world.count('dispatch'), 1);
  world.send({ kind: 'probed', model: 'a', launchId: world.launchId('a'), healthy: true, detail: '' });
  assert.equal(world.count('dispatch'), 2);
});

test('a request is sent again once, and then answered with an error', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]), { serviceMs: 60_000 });
  const lost = world.request('a');
  world.request('a');
  world.clock.advanceTo(5_000);
  for (let time = 0; time < 2; time += 1) {
    world.send({ kind: 'returned', requestId: lost.id, cause: 'connection_lost', detail: 'ECONNRESET' });
    world.send({ kind: 'probed', model: 'a', launchId: world.launchId('a'), healthy: true, detail: '' });
  }
  assert.equal(lost.refusal?.code, 'engine_died');
});

test('a request alone in flight at two deaths is poison', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]), { serviceMs: 1_000_000 });
  const poison = world.request('a');
  world.clock.advanceTo(5_000);
  world.send({ kind: 'returned', requestId: poison.id, cause: 'connection_lost', detail: 'ECONNRESET' });
  failStart(world);
  assert.equal(world.count('lone_death'), 1);
  world.clock.advanceTo(10_000);
  assert.equal(world.count('dispatch'), 2);
  world.send({ kind: 'returned', requestId: poison.id, cause: 'connection_lost', detail: 'ECONNRESET' });
  failStart(world);
  assert.equal(poison.refusal?.code, 'engine_died_twice');
  assert.equal(world.count('lone_death'), 2);
});

test('an adopted engine serves at once; one that the configuration does not want is stopped', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]));
  const stage = { kind: 'awake' } as const;
  const launch = { launchId: 'old-1', deviceIds: ['gpu-0'], memoryMibPerDevice: 10_000, stage };
  world.send({ kind: 'adopted', launch: { ...launch, model: 'a', signature: 'a' }, contextLength: 4096 });
  world.send({
    kind: 'adopted',
    launch: { ...launch, launchId: 'old-2', model: 'b', signature: 'other' },
    contextLength: null,
  });
  const request = world.request('a');
  assert.equal(request.dispatchedMs, 0);
  assert.deepEqual(
    world.effects.filter((effect) => effect.kind === 'stop').map((effect) => effect.launchId),
    ['old-2'],
  );
});

/** `a` is ready at `startMs` without its waiter; then `b` is asked for, on the same device. */
function abandonedLoad(startMs: number): { readonly world: SchedulerWorld; readonly other: RequestRecord } {
  const times = { assumedStartMs: startMs, inactivityTimeoutMs: 1_000 };
  const world = new SchedulerWorld(testSetup([testPolicy('a', times), testPolicy('b')]));
  world.startMsOf = (model) => (model === 'a' ? startMs : 2_000);
  const gone = world.request('a');
  world.clock.advanceTo(startMs / 2);
  world.send({ kind: 'left', requestId: gone.id });
  world.clock.advanceTo(startMs + 1_500);
  assert.equal(world.engineKind('a'), 'awake');
  return { world, other: world.request('b') };
}

test('a load that its only waiter left goes on, and keeps its room for the retry', () => {
  const { world, other } = abandonedLoad(90_000);
  world.clock.advanceTo(120_000);
  const retry = world.request('a');
  assert.equal(retry.dispatchedMs, 120_000);
  world.clock.advanceTo(200_000);
  // The room was kept from the other one until the retry had come and its linger passed, no longer.
  assert.ok((other.dispatchedMs ?? 0) >= 123_000 && (other.dispatchedMs ?? 0) < 150_000);
});

test('a load that nobody has come back to keeps its room for a minute at most, and no longer than a switch takes', () => {
  const long = abandonedLoad(90_000);
  long.world.clock.advanceTo(200_000);
  assert.equal(long.other.dispatchedMs, 90_000 + 60_000 + 500 + 2_000);
  const short = abandonedLoad(2_000);
  short.world.clock.advanceTo(200_000);
  // A stop that was not measured yet counts as a second.
  assert.equal(short.other.dispatchedMs, 2_000 + 3_000 + 500 + 2_000);
});

test('a load that somebody was told to come back to keeps its room for a minute, whatever it took', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]));
  world.send({ kind: 'operator_command', command: { kind: 'load', model: 'a' } });
  world.clock.advanceTo(10_000);
  const other = world.request('b');
  world.clock.advanceTo(100_000);
  assert.equal(other.dispatchedMs, 2_000 + 60_000 + 500 + 2_000);
});

test('a load less than half done that nobody waits for gives way to one that somebody waits for', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { assumedStartMs: 20_000 }), testPolicy('b')]));
  world.hanging.add('a');
  const gone = world.request('a');
  world.send({ kind: 'left', requestId: gone.id });
  world.clock.advanceTo(3_000);
  const other = world.request('b');
  world.clock.advanceTo(30_000);
  assert.equal(other.dispatchedMs, 3_000 + 500 + 2_000);
});

test('a changed configuration drains what changed, keeps what did not and forgets what is gone', () => {
  const models = ['a', 'b', 'c'].map((name) => testPolicy(name, { memoryMibPerDevice: 4_000 }));
  const world = new SchedulerWorld(testSetup(models));
  for (const name of ['a', 'b', 'c']) world.request(name);
  world.clock.advanceTo(20_000);
  const [a, b] = models;
  assert.ok(a && b);
  const { devices, scheduling } = testSetup(models);
  world.send({
    kind: 'configuration_changed',
    models: [a, { ...b, signature: 'new' }, testPolicy('d')],
    devices: devices ?? [],
    scheduling,
  });
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((name) => world.engineKind(name)),
    ['awake', 'stopping', 'stopping', 'cold'],
  );
  world.clock.advanceTo(30_000);
  assert.equal(world.engineKind('c'), 'none');
  const again = world.request('b');
  world.clock.advanceTo(40_000);
  assert.notEqual(again.finishedMs, null);
});

test('an operator loads, unloads and resets', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.send({ kind: 'operator_command', command: { kind: 'load', model: 'a' } });
  world.clock.advanceTo(5_000);
  assert.equal(world.engineKind('a'), 'awake');
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 'a' } });
  world.clock.advanceTo(10_000);
  assert.equal(world.engineKind('a'), 'cold');
});

test('a shutdown serves what is awake, refuses what would have to load, and stops every engine', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { maxConcurrent: 1 }), testPolicy('b')]));
  world.request('a');
  world.clock.advanceTo(2_000);
  const queued = world.request('a');
  const cold = world.request('b');
  world.send({ kind: 'shutdown', step: 'drain', leaveEngines: false });
  assert.equal(cold.refusal?.code, 'shutting_down');
  assert.equal(world.request('a').refusal?.code, 'shutting_down');
  world.clock.advanceTo(10_000);
  assert.equal(queued.finishedMs, 4_000);
  world.send({ kind: 'shutdown', step: 'stop', leaveEngines: false });
  world.clock.advanceTo(20_000);
  assert.equal(world.engineKind('a'), 'cold');
});

test('until the devices are read requests wait and none is refused for want of them', () => {
  const world = new SchedulerWorld({ ...testSetup([testPolicy('a')]), devices: null });
  const request = world.request('a');
  assert.equal(request.refusal, null);
  assert.equal(world.count('start'), 0);
  world.send({
    kind: 'devices_changed',
    devices: [{ id: 'gpu-0', pool: null, totalMib: 16_000, budgetMib: 16_000, spareMib: 0, foreignMib: 0 }],
  });
  assert.equal(world.count('start'), 1);
});
