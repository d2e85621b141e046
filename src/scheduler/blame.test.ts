/** Who is blamed for an engine's death, and what that costs: only a request that was alone in flight, once per death. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type RequestRecord,
  SchedulerWorld,
  testPolicy,
  testSetup,
} from '../../test/fakes/scheduler-world.ts';

function serving(count: number): { world: SchedulerWorld; records: RequestRecord[] } {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]), { serviceMs: 1_000_000 });
  const records = Array.from({ length: count }, () => world.request('a'));
  world.clock.advanceTo(5_000);
  return { world, records };
}

function lose(world: SchedulerWorld, record: RequestRecord): void {
  world.send({ kind: 'returned', requestId: record.id, cause: 'connection_lost', detail: 'ECONNRESET' });
}

function die(world: SchedulerWorld): void {
  const failure = { cause: 'killed', text: 'killed', retryable: true };
  world.send({ kind: 'exited', model: 'a', launchId: world.launchId('a'), failure });
}

test('of several requests that an engine takes along none is blamed, whichever is heard of last', () => {
  const { world, records } = serving(8);
  for (const record of records) lose(world, record);
  die(world);
  assert.equal(world.count('lone_death'), 0);
  world.clock.advanceTo(10_000);
  for (const record of records) lose(world, record);
  die(world);
  assert.equal(world.count('lone_death'), 0);
  assert.deepEqual(new Set(records.map((record) => record.refusal?.code)), new Set(['engine_died']));
});

test('a death that is known before its broken connections counts once', () => {
  const { world, records } = serving(1);
  const [record] = records;
  assert.ok(record);
  die(world);
  lose(world, record);
  assert.equal(world.count('lone_death'), 1);
  assert.equal(record.refusal, null);
  world.clock.advanceTo(10_000);
  assert.equal(world.count('dispatch'), 2);
});

test('a request that breaks while its engine is suspect already is innocent', () => {
  const { world, records } = serving(2);
  const [first, second] = records;
  assert.ok(first && second);
  lose(world, first);
  world.send({ kind: 'probed', model: 'a', launchId: world.launchId('a'), healthy: false, detail: 'silent' });
  lose(world, second);
  assert.equal(world.count('lone_death'), 0);
  assert.equal(second.refusal, null);
});

test('a mute engine gets nothing until it has shown that it works', () => {
  const { world, records } = serving(1);
  const mute = { kind: 'mute', model: 'a', launchId: world.launchId('a') } as const;
  world.send(mute);
  world.send(mute);
  assert.equal(world.count('probe'), 1);
  const later = world.request('a');
  assert.equal(later.dispatchedMs, null);
  world.send({ kind: 'probed', model: 'a', launchId: mute.launchId, healthy: true, detail: '' });
  assert.notEqual(later.dispatchedMs, null);
  assert.equal(world.engineKind('a'), 'awake');
  assert.equal(records[0]?.refusal, null);
});

test('a mute engine that does not work is ended, and nobody is blamed', () => {
  const { world, records } = serving(1);
  const [record] = records;
  assert.ok(record);
  const launchId = world.launchId('a');
  world.send({ kind: 'mute', model: 'a', launchId });
  world.send({ kind: 'probed', model: 'a', launchId, healthy: false, detail: 'it hangs' });
  lose(world, record);
  assert.equal(world.count('stop'), 1);
  assert.equal(world.count('lone_death'), 0);
  world.clock.advanceTo(20_000);
  assert.equal(world.count('dispatch'), 2);
  assert.equal(record.refusal, null);
});

test('a foreign server that closes a connection as it is used gets the request once more, and then it is unreachable', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { managed: false })]), {
    serviceMs: 1_000_000,
  });
  const record = world.request('a');
  lose(world, record);
  assert.equal(world.count('dispatch'), 2);
  lose(world, record);
  assert.equal(record.refusal?.code, 'engine_unreachable');
  assert.equal(world.count('probe'), 0);
});

test('a foreign server that takes no connection is unreachable at once', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { managed: false })]), {
    serviceMs: 1_000_000,
  });
  const record = world.request('a');
  world.send({ kind: 'returned', requestId: record.id, cause: 'not_sent', detail: 'ECONNREFUSED' });
  assert.equal(record.refusal?.code, 'engine_unreachable');
});
