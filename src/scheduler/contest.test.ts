/** Who gets the devices, and who must not keep them from others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type RequestRecord,
  SchedulerWorld,
  testPolicy,
  testSetup,
} from '../../test/fakes/scheduler-world.ts';

/** Keeps so many clients of each model asking until the time. */
function closedLoops(world: SchedulerWorld, models: readonly string[], untilMs: number): void {
  world.onEnd = (record) => {
    if (models.includes(record.model) && world.clock.nowMs() < untilMs) world.request(record.model);
  };
  for (const model of models) world.request(model);
}

function waitedMs(record: RequestRecord): number {
  return (record.dispatchedMs ?? Number.POSITIVE_INFINITY) - record.arrivedMs;
}

function worstWaitMs(world: SchedulerWorld, models: readonly string[]): number {
  const records = [...world.requests.values()].filter((record) => models.includes(record.model));
  return Math.max(...records.map(waitedMs));
}

test('a contender that can never be seated holds up nobody, and pools count their own rounds', () => {
  const x = { pool: 'x' };
  const y = { pool: 'y', alwaysOn: true };
  const models = ['m1', 'm2', 'n1', 'n2'].map((name) => testPolicy(name, x));
  const setup = testSetup([...models, testPolicy('on1', y), testPolicy('on2', y)]);
  const world = new SchedulerWorld({
    ...setup,
    devices: ['x', 'y'].map((pool) => ({
      id: pool,
      pool,
      totalMib: 16_000,
      budgetMib: 16_000,
      spareMib: 0,
      foreignMib: 0,
    })),
  });
  closedLoops(world, ['m1', 'm2'], 1_200_000);
  world.clock.advanceTo(600_000);
  closedLoops(world, ['m1', 'm2', 'n1', 'n2'], 1_200_000);
  world.clock.advanceTo(1_300_000);
  const worst = worstWaitMs(world, ['m1', 'm2', 'n1', 'n2']);
  // Three others with a turn of 12 s, a drain of 1 s and moves of 2.5 s each, and the rest of a running turn.
  assert.ok(worst < 70_000, `the longest wait was ${worst} ms`);
});

test('a stop that cannot be verified attracts no waiters', () => {
  const world = new SchedulerWorld(
    testSetup(
      ['z', 'b', 'a'].map((name) => testPolicy(name)),
      [16_000, 16_000],
    ),
  );
  world.request('z');
  world.clock.advanceTo(10_000);
  world.request('b');
  world.clock.advanceTo(20_000);
  world.stuckStops.set('z', 1_000);
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 'z' } });
  world.clock.advanceTo(30_000);
  const request = world.request('a');
  world.clock.advanceTo(60_000);
  assert.equal(request.dispatchedMs, 30_000 + 500 + 2_000);
});

test('an engine that becomes idle elsewhere beats a drain under way, which is taken back', () => {
  const world = new SchedulerWorld(
    testSetup(
      ['x', 'y', 'a'].map((name) => testPolicy(name)),
      [16_000, 16_000],
    ),
  );
  world.serviceMs.set('x', 100_000);
  world.serviceMs.set('y', 40_000);
  const long = world.request('x');
  world.request('y');
  world.clock.advanceTo(30_000);
  const request = world.request('a');
  world.clock.advanceTo(200_000);
  assert.ok(waitedMs(request) < 20_000, `a waited ${waitedMs(request)} ms`);
  assert.equal(world.count('cut'), 0);
  assert.equal(long.finishedMs, 102_000);
});

test('a model whose start takes longer than the patience is started all the same, for the retry', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { inactivityTimeoutMs: 1_000 })]), {
    startMs: 90_000,
  });
  world.request('a');
  world.clock.advanceTo(200_000);
  assert.equal(world.engineKind('a'), 'cold');
  const refused = world.request('a', 60_000);
  assert.equal(refused.refusal?.code, 'wait_too_long');
  assert.equal(refused.refusal?.retryAfterS, 90);
  world.clock.advanceTo(300_000);
  const retry = world.request('a', 60_000);
  assert.equal(retry.dispatchedMs, 300_000);
});

test('a load that lost its waiter gives way to a model that has been waiting since before', () => {
  const world = new SchedulerWorld(
    testSetup([testPolicy('a', { assumedStartMs: 100_000 }), testPolicy('c')]),
  );
  world.hanging.add('a');
  const gone = world.request('a');
  world.clock.advanceTo(1_000);
  const waiting = world.request('c');
  world.clock.advanceTo(5_000);
  world.send({ kind: 'left', requestId: gone.id });
  world.clock.advanceTo(30_000);
  assert.equal(waiting.dispatchedMs, 5_000 + 500 + 2_000);
});

test('a request that was cut has the time at its engine given back to its patience', () => {
  const policies = [testPolicy('a', { drainTimeoutMs: 10_000, queueTimeoutMs: 60_000 }), testPolicy('b')];
  const world = new SchedulerWorld(testSetup(policies));
  world.serviceMs.set('a', 1_000_000);
  const long = world.request('a');
  world.clock.advanceTo(100_000);
  world.request('b');
  world.clock.advanceTo(111_000);
  assert.equal(world.count('cut'), 1);
  assert.equal(long.refusal, null);
});

test('a failed always-on model without room does not spin', () => {
  const world = new SchedulerWorld(
    testSetup([testPolicy('a', { alwaysOn: true }), testPolicy('b', { alwaysOn: true })]),
  );
  world.clock.advanceTo(10_000);
  const blocked = world.engineKind('a') === 'awake' ? 'b' : 'a';
  const running = blocked === 'a' ? 'b' : 'a';
  const failure = { cause: 'gated_repository', text: 'gated', retryable: false };
  world.send({ kind: 'exited', model: running, launchId: world.launchId(running), failure });
  // The other one takes the room; the world fails at hundreds of events in one instant.
  world.clock.advanceTo(2_000_000);
  assert.equal(world.engineKind(blocked), 'awake');
});

/** Two closed-loop clients on two models that exclude each other; how much they got, and what the moves cost. */
function twoClients(thinkMs: number): { served: number; moveShare: number; worstMs: number } {
  const untilMs = 600_000;
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]), { serviceMs: 200 });
  world.onEnd = (record) => {
    if (world.clock.nowMs() > untilMs) return;
    world.clock.setTimer(world.clock.nowMs() + thinkMs, () => world.request(record.model));
  };
  world.request('a');
  world.request('b');
  world.clock.advanceTo(untilMs + 60_000);
  const served = [...world.requests.values()].filter((record) => record.finishedMs !== null).length;
  const movedMs = world.count('start') * world.times.startMs + world.count('stop') * world.times.stopMs;
  return { served, moveShare: movedMs / untilMs, worstMs: worstWaitMs(world, ['a', 'b']) };
}

test('clients that think for less than a switch takes are served in turns, whatever they think', () => {
  // A switch takes 2.5 s here; the quantum at a share of 0.2 is 10 s.
  for (const thinkMs of [0, 100, 500, 1_000, 2_000]) {
    const { served, moveShare, worstMs } = twoClients(thinkMs);
    assert.ok(
      moveShare < 0.3,
      `thinking ${thinkMs} ms: moves took ${moveShare} of the time for ${served} requests`,
    );
    assert.ok(worstMs < 20_000, `thinking ${thinkMs} ms: the longest wait was ${worstMs} ms`);
  }
});

test('clients that think for longer than a switch takes lose nothing by turns', () => {
  for (const thinkMs of [4_000, 8_000, 30_000]) {
    const { served, worstMs } = twoClients(thinkMs);
    // Each request waits for one swap at most: nobody lingers for clients who are far away.
    assert.ok(worstMs < 8_000, `thinking ${thinkMs} ms: the longest wait was ${worstMs} ms`);
    assert.ok(served > (2 * 600_000) / (thinkMs + 8_200), `thinking ${thinkMs} ms: only ${served} served`);
  }
});

test('one victim that suffices is enough, however long its stop takes and whatever happens meanwhile', () => {
  const models = ['a', 'b', 'c'].map((name) => testPolicy(name, { memoryMibPerDevice: 7_000 }));
  const world = new SchedulerWorld(testSetup(models), { stopMs: 5_000 });
  world.request('a');
  world.clock.advanceTo(10_000);
  world.request('b');
  world.clock.advanceTo(20_000);
  world.request('c');
  for (let atMs = 20_100; atMs < 24_900; atMs += 300) {
    world.clock.advanceTo(atMs);
    world.request('c');
    world.send({ kind: 'operator_command', command: { kind: 'load', model: 'c' } });
  }
  world.clock.advanceTo(40_000);
  assert.equal(world.count('stop'), 1);
  assert.equal(world.engineKind('c'), 'awake');
});
