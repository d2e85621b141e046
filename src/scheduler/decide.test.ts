import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';

const SMALL = { memoryMibPerDevice: 6_000 };

test('a first request starts its model and is dispatched when it is ready', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  const request = world.request('a');
  assert.equal(world.engineKind('a'), 'starting');
  world.clock.advanceTo(10_000);
  assert.equal(request.dispatchedMs, 2_000);
  assert.equal(request.finishedMs, 3_000);
});

test('models that fit together stay together', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', SMALL), testPolicy('b', SMALL)]));
  world.request('a');
  world.request('b');
  world.clock.advanceTo(20_000);
  assert.equal(world.engineKind('a'), 'awake');
  assert.equal(world.engineKind('b'), 'awake');
  assert.equal(world.count('stop'), 0);
});

test('starts on one device are serialised', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', SMALL), testPolicy('b', SMALL)]));
  world.request('a');
  const second = world.request('b');
  assert.equal(world.engineKind('b'), 'cold');
  world.clock.advanceTo(20_000);
  assert.equal(second.dispatchedMs, 4_000);
});

test('an idle engine gives way at once after its linger', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]));
  world.request('a');
  world.clock.advanceTo(60_000);
  const request = world.request('b');
  assert.equal(world.engineKind('a'), 'stopping');
  world.clock.advanceTo(100_000);
  assert.equal(request.dispatchedMs, 60_000 + 500 + 2_000);
});

test('a busy engine gives way when its turn has ended, after its running requests', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]));
  world.onEnd = (record) => {
    if (record.model === 'a' && world.clock.nowMs() < 300_000) world.request('a');
  };
  for (let client = 0; client < 4; client += 1) world.request('a');
  world.clock.advanceTo(5_000);
  const request = world.request('b');
  world.clock.advanceTo(60_000);
  // Quantum: switch cost (2.0 + 1.0 assumed stop) x 0.8 / 0.2 = 12 s after ready at 2 s; then a drain of at most 1 s.
  assert.ok(request.dispatchedMs !== null && request.dispatchedMs <= 2_000 + 12_000 + 1_000 + 500 + 2_000);
});

test('overlapping clients of one model never starve another', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]));
  world.onEnd = (record) => {
    if (world.clock.nowMs() < 600_000) world.request(record.model);
  };
  for (let client = 0; client < 10; client += 1) world.request('a');
  world.clock.advanceTo(10_000);
  world.request('b');
  world.clock.advanceTo(700_000);
  const worst = Math.max(
    ...[...world.requests.values()].map((record) => (record.dispatchedMs ?? Infinity) - record.arrivedMs),
  );
  const served = [...world.requests.values()].filter(
    (record) => record.model === 'b' && record.finishedMs !== null,
  );
  assert.ok(served.length > 50, `b was served ${served.length} times`);
  assert.ok(worst < 40_000, `the longest wait was ${worst} ms`);
});

test('two closed-loop clients on two models swap per turn, not per request', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]), { serviceMs: 200 });
  world.onEnd = (record) => {
    if (world.clock.nowMs() > 300_000) return;
    world.clock.setTimer(world.clock.nowMs() + 50, () => world.request(record.model));
  };
  world.request('a');
  world.request('b');
  world.clock.advanceTo(400_000);
  const finished = [...world.requests.values()].filter((record) => record.finishedMs !== null).length;
  const starts = world.count('start');
  assert.ok(finished > 20 * starts, `${finished} requests with ${starts} starts`);
});

test('a waiting client that leaves takes its wish with it', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]));
  world.onEnd = (record) => {
    if (record.model === 'a' && world.clock.nowMs() < 100_000) world.request('a');
  };
  for (let client = 0; client < 4; client += 1) world.request('a');
  world.clock.advanceTo(5_000);
  const request = world.request('b');
  world.send({ kind: 'left', requestId: request.id });
  world.clock.advanceTo(90_000);
  assert.equal(world.count('start', 'b'), 0);
  assert.equal(world.count('stop', 'a'), 0);
});

test('a drain is taken back when the model it was for is not wanted any more', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]), { serviceMs: 30_000 });
  world.request('a');
  world.clock.advanceTo(20_000);
  const request = world.request('b');
  assert.equal(world.engineKind('a'), 'draining');
  const later = world.request('a');
  assert.equal(later.dispatchedMs, null);
  world.send({ kind: 'left', requestId: request.id });
  assert.equal(world.engineKind('a'), 'awake');
  assert.equal(later.dispatchedMs, 20_000);
});

test('running requests are cut at the drain limit and return to the queue', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { drainTimeoutMs: 10_000 }), testPolicy('b')]));
  world.serviceMs.set('a', 1_000_000);
  const long = world.request('a');
  world.clock.advanceTo(20_000);
  const request = world.request('b');
  world.clock.advanceTo(60_000);
  assert.equal(world.count('cut'), 1);
  assert.equal(request.dispatchedMs, 20_000 + 10_000 + 500 + 2_000);
  // It was cut before its first byte, so it waits for the model's next turn and gets it.
  assert.ok((long.dispatchedMs ?? 0) > 30_000);
});

test('an engine is stopped for idleness at the exact time, counted from its last request', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { inactivityTimeoutMs: 30_000 })]));
  world.request('a');
  world.clock.advanceTo(20_000);
  world.request('a');
  world.clock.advanceTo(50_999);
  assert.equal(world.engineKind('a'), 'awake');
  world.clock.advanceTo(51_000);
  assert.equal(world.engineKind('a'), 'stopping');
});

test('an always-on model starts by itself and never gives way', () => {
  const world = new SchedulerWorld(
    testSetup([testPolicy('a', { alwaysOn: true, inactivityTimeoutMs: 1_000 }), testPolicy('b')]),
  );
  world.clock.advanceTo(5_000);
  assert.equal(world.engineKind('a'), 'awake');
  const request = world.request('b', 60_000);
  world.clock.advanceTo(200_000);
  assert.equal(world.engineKind('a'), 'awake');
  assert.equal(request.refusal?.code, 'queue_timeout');
});

test('minimum residence keeps an idle engine', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { minResidenceMs: 90_000 }), testPolicy('b')]));
  world.request('a');
  world.clock.advanceTo(10_000);
  const request = world.request('b');
  world.clock.advanceTo(200_000);
  assert.equal(request.dispatchedMs, 2_000 + 90_000 + 500 + 2_000);
});

test('a model that fits no device is refused with the numbers', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { memoryMibPerDevice: 99_000 })]));
  const request = world.request('a');
  assert.equal(request.refusal?.code, 'model_never_fits');
  assert.match(String(request.refusal?.parameters.why), /99000 MiB.*16000 MiB/);
});

test('a model on two devices holds both and gets them though small ones keep coming', () => {
  const small = ['s0', 's1', 's2', 's3'].map((name) => testPolicy(name));
  const world = new SchedulerWorld(
    testSetup([...small, testPolicy('big', { deviceCount: 2 })], [16_000, 16_000]),
  );
  world.onEnd = (record) => {
    if (record.model !== 'big' && world.clock.nowMs() < 500_000) world.request(record.model);
  };
  for (const model of small) for (let client = 0; client < 3; client += 1) world.request(model.name);
  world.clock.advanceTo(50_000);
  const request = world.request('big');
  world.clock.advanceTo(600_000);
  assert.ok(
    request.dispatchedMs !== null && request.dispatchedMs - 50_000 < 80_000,
    `waited ${(request.dispatchedMs ?? Infinity) - 50_000}`,
  );
});

test('a full queue is refused with depth, limit and the time to come back', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { queueSize: 2, maxConcurrent: 1 })]));
  world.request('a');
  world.request('a');
  const third = world.request('a');
  assert.equal(third.refusal?.code, 'queue_full');
  assert.equal(third.refusal?.beside?.queue_depth, 2);
  assert.equal(third.refusal?.headers?.['x-queue-max-size'], '2');
  assert.ok((third.refusal?.retryAfterS ?? 0) > 0);
});

test('without any patience a request is served at once or refused, and nothing is started for it', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { maxConcurrent: 1 })]));
  const cold = world.request('a', 0);
  assert.equal(cold.refusal?.code, 'queue_timeout');
  world.clock.advanceTo(10_000);
  assert.equal(world.engineKind('a'), 'cold');
  world.request('a');
  world.clock.advanceTo(600_000);
  assert.equal(world.engineKind('a'), 'awake');
  assert.equal(world.request('a', 0).refusal, null);
});

test('a known start time beyond the patience is refused at once', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { inactivityTimeoutMs: 1_000 })]), {
    startMs: 30_000,
  });
  world.request('a');
  world.clock.advanceTo(60_000);
  assert.equal(world.engineKind('a'), 'cold');
  assert.equal(world.request('a', 10_000).refusal?.code, 'wait_too_long');
  assert.equal(world.request('a', 60_000).refusal, null);
});
