import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import { type Estimate, estimate } from './estimate.ts';

function ask(world: SchedulerWorld, model: string): Estimate {
  return estimate(world.state, model, world.clock.nowMs());
}

test('a cold model with free room is expected after its assumed start, and after its measured one later', () => {
  const policy = testPolicy('a', { assumedStartMs: 30_000, inactivityTimeoutMs: 1_000 });
  const world = new SchedulerWorld(testSetup([policy]));
  assert.deepEqual(ask(world, 'a'), {
    readyInMs: 30_000,
    why: '30 s to start',
    basis: 'assumed',
    phase: 'cold',
    percent: null,
  });
  world.request('a');
  world.clock.advanceTo(60_000);
  assert.deepEqual([ask(world, 'a').readyInMs, ask(world, 'a').basis], [2_000, 'measured']);
});

test('what other models have taken tells of one that was never started', () => {
  const policies = ['a', 'b'].map((name) => testPolicy(name, { assumedStartMs: 30_000 }));
  const world = new SchedulerWorld(testSetup(policies, [16_000, 16_000]), { startMs: 20_000 });
  world.request('a');
  world.clock.advanceTo(60_000);
  assert.deepEqual([ask(world, 'b').readyInMs, ask(world, 'b').basis], [20_000, 'assumed']);
});

test('while it starts the rest counts down, and the phase and percent are told', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { assumedStartMs: 10_000 })]), {
    startMs: 40_000,
  });
  world.request('a');
  world.clock.advanceTo(4_000);
  world.send({ kind: 'phase', model: 'a', launchId: world.launchId('a'), phase: 'loading', percent: 40 });
  world.send({ kind: 'phase', model: 'a', launchId: world.launchId('a'), phase: 'loading', percent: 30 });
  const expected = ask(world, 'a');
  assert.equal(expected.readyInMs, 6_000);
  // Progress never goes back within a phase.
  assert.deepEqual([expected.phase, expected.percent], ['loading', 40]);
  assert.equal(expected.why, 'waiting 4.0 s: it is starting (loading, 40 %), 6.0 s to go');
  // Longer than any start before: it is not said to be ready at once.
  world.clock.advanceTo(30_000);
  assert.ok((ask(world, 'a').readyInMs ?? 0) > 5_000);
});

test('behind a busy model it names whom it waits for and when that turn ends', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]), { serviceMs: 100_000 });
  world.request('a');
  world.clock.advanceTo(4_000);
  world.request('b');
  const expected = ask(world, 'b');
  // Quantum (2 + 1) x 4 = 12 s after ready at 2 s; then a drain, of which nothing is known but that it has run for 2 s, the
  // assumed stop and b's own start.
  const drainMs = (expected.readyInMs ?? 0) - 10_000 - 1_000 - 2_000;
  assert.ok(drainMs > 800 && drainMs < 900, `a drain of ${drainMs} ms`);
  assert.equal(
    expected.why,
    "waiting 0.0 s: gpu-0 is in a's turn until 10 s from now at the latest, then 2.0 s to start",
  );
  assert.equal(expected.basis, 'assumed');
});

test('an awake model with free slots serves now; with all taken, after the requests ahead', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { maxConcurrent: 1 })]), { serviceMs: 3_000 });
  world.request('a');
  world.clock.advanceTo(10_000);
  assert.equal(ask(world, 'a').readyInMs, 0);
  for (let index = 0; index < 3; index += 1) world.request('a');
  // Two wait already, so it is third in line at 3 s each.
  assert.equal(ask(world, 'a').readyInMs, 9_000);
});

test('it says so when nobody can know', () => {
  const always = testPolicy('a', { alwaysOn: true });
  const world = new SchedulerWorld(
    testSetup([always, testPolicy('b'), testPolicy('c', { memoryMibPerDevice: 99_000 })]),
  );
  world.clock.advanceTo(5_000);
  assert.deepEqual([ask(world, 'b').readyInMs, ask(world, 'b').phase], [null, 'cold']);
  world.request('b');
  assert.deepEqual([ask(world, 'b').readyInMs, ask(world, 'b').phase], [null, 'waiting']);
  assert.match(ask(world, 'b').why, /nobody can tell: a is always on and never gives way \(gpu-0\)/);
  assert.match(ask(world, 'c').why, /99000 MiB/);
  assert.equal(ask(world, 'nobody').readyInMs, null);
});

test('a failed model is expected when its pause is over', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.hanging.add('a');
  world.request('a');
  const failure = { cause: 'gated_repository', text: 'the repository is gated', retryable: false };
  world.send({ kind: 'exited', model: 'a', launchId: world.launchId('a'), failure });
  world.clock.advanceTo(60_000);
  const expected = ask(world, 'a');
  assert.equal(expected.why, 'a pause of 9 min (the repository is gated), then 2.0 s to start');
  assert.equal(expected.readyInMs, 540_000 + 2_000);
});

test('what an estimate for a known start promises is kept', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { inactivityTimeoutMs: 1_000 })]), {
    startMs: 7_000,
  });
  world.request('a');
  world.clock.advanceTo(60_000);
  const { readyInMs } = ask(world, 'a');
  const request = world.request('a');
  world.clock.advanceTo(100_000);
  assert.equal((request.dispatchedMs ?? 0) - request.arrivedMs, readyInMs);
});
