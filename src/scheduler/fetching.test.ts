import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';

const FETCHES = { fetchTimeoutMs: 3_600_000 };
const OFFLINE = { cause: 'fetch_failed', text: 'the hub is not there', retryable: true };

test('files are fetched before the first start, once', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', FETCHES)]));
  const first = world.request('a');
  assert.equal(world.engineKind('a'), 'fetching');
  assert.equal(world.count('start'), 0);
  world.clock.advanceTo(4_999);
  assert.equal(world.count('start'), 0);
  world.clock.advanceTo(20_000);
  assert.equal(first.dispatchedMs, 7_000);
  world.send({ kind: 'operator_command', command: { kind: 'unload', model: 'a' } });
  world.clock.advanceTo(30_000);
  const second = world.request('a');
  world.clock.advanceTo(40_000);
  assert.equal(second.dispatchedMs, 32_000);
  assert.equal(world.count('fetch'), 1);
});

test('a fetch holds no device: others serve and start meanwhile, and are asked to go only when it is done', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', FETCHES), testPolicy('b'), testPolicy('c')]), {
    fetchMs: 60_000,
  });
  world.request('b');
  world.clock.advanceTo(10_000);
  const wanted = world.request('a');
  world.clock.advanceTo(30_000);
  assert.equal(world.engineKind('b'), 'awake');
  const other = world.request('c');
  world.clock.advanceTo(60_000);
  assert.notEqual(other.dispatchedMs, null);
  world.clock.advanceTo(200_000);
  assert.ok((wanted.dispatchedMs ?? 0) > 70_000);
});

test('who waits is refused with the reason of a failed fetch, and the next one tries again after the pause', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', FETCHES)]));
  world.fetchAnswer = () => OFFLINE;
  const first = world.request('a');
  world.clock.advanceTo(6_000);
  assert.equal(first.refusal?.code, 'start_failed');
  assert.match(String(first.refusal?.parameters.cause), /the hub is not there/);
  const early = world.request('a');
  assert.equal(early.refusal?.code, 'start_failed');
  world.fetchAnswer = () => null;
  world.clock.advanceTo(60_000);
  const later = world.request('a');
  world.clock.advanceTo(120_000);
  assert.notEqual(later.dispatchedMs, null);
});

test('what only a token can mend is not tried again and again', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', FETCHES)]));
  world.fetchAnswer = () => ({ ...OFFLINE, cause: 'gated_repository', retryable: false });
  world.request('a');
  world.clock.advanceTo(6_000);
  assert.equal(world.engineKind('a'), 'failed');
  world.clock.advanceTo(30_000);
  assert.equal(world.request('a').refusal?.code, 'start_failed_for_good');
  assert.equal(world.count('fetch'), 1);
  world.send({ kind: 'operator_command', command: { kind: 'reset', model: 'a' } });
  world.request('a');
  assert.equal(world.count('fetch'), 2);
});

test('a model that is always on is fetched again after each pause', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { ...FETCHES, alwaysOn: true })]));
  let failures = 2;
  world.fetchAnswer = () => (failures-- > 0 ? OFFLINE : null);
  world.send({ kind: 'devices_changed', devices: testSetup([]).devices ?? [] });
  world.clock.advanceTo(600_000);
  assert.equal(world.engineKind('a'), 'awake');
});

test('a fetch ends at its limit, says how far it came, and its late answer is not heeded', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', { fetchTimeoutMs: 10_000 })]));
  world.fetchAnswer = () => 'silent';
  const record = world.request('a');
  world.send({ kind: 'fetching', model: 'a', bytesDone: 3 * 1024 ** 2, bytesTotal: 9 * 1024 ** 2 });
  world.clock.advanceTo(10_000);
  assert.match(String(record.refusal?.parameters.cause), /within 10 s .*: 3 of 9 MiB are there/);
  assert.equal(world.count('cancel_fetch'), 1);
  world.send({ kind: 'fetched', model: 'a', failure: null });
  assert.equal(world.engineKind('a'), 'cold');
});

test('what is found missing at the start is fetched again while requests wait, once', () => {
  for (const cause of ['repository_unreachable', 'image_missing']) {
    const world = new SchedulerWorld(testSetup([testPolicy('a', FETCHES)]));
    const record = world.request('a');
    world.clock.advanceTo(6_000);
    const failure = { cause, text: 'it is not there', retryable: true };
    world.send({ kind: 'exited', model: 'a', launchId: world.launchId('a'), failure });
    world.clock.advanceTo(13_000);
    assert.deepEqual([world.count('fetch'), world.count('start'), record.refusal], [2, 2, null]);
    world.send({ kind: 'exited', model: 'a', launchId: world.launchId('a'), failure });
    assert.equal(record.refusal?.code, 'start_failed');
  }
});

test('failed fetches are no deaths of an engine', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', FETCHES)]));
  let failures = 2;
  world.fetchAnswer = () => (failures-- > 0 ? OFFLINE : null);
  for (const atMs of [0, 60_000, 120_000]) {
    world.clock.advanceTo(atMs);
    world.request('a');
  }
  world.clock.advanceTo(150_000);
  assert.equal(world.engineKind('a'), 'awake');
  assert.deepEqual(world.state.models.get('a')?.deathsMs, []);
});

test('a model that turns out never to fit is not fetched on, and who waits is told', () => {
  const policy = testPolicy('a', FETCHES);
  const world = new SchedulerWorld(testSetup([{ ...policy, need: null }]));
  world.fetchAnswer = () => 'silent';
  const record = world.request('a');
  const { need } = policy;
  assert.ok(need !== null);
  world.send({ kind: 'sized', model: 'a', need: { ...need, memoryMibPerDevice: 90_000 } });
  assert.deepEqual([world.count('cancel_fetch'), record.refusal?.code], [1, 'model_never_fits']);
});

test('the end of the gateway, a changed configuration and a removal end the fetch', () => {
  const { devices, scheduling } = testSetup([]);
  const changed = (models: readonly ReturnType<typeof testPolicy>[]) => {
    const world = new SchedulerWorld(testSetup([testPolicy('a', FETCHES)]));
    world.fetchAnswer = () => 'silent';
    const record = world.request('a');
    world.send({ kind: 'configuration_changed', models, devices: devices ?? [], scheduling });
    return { world, record };
  };
  const removed = changed([]);
  assert.equal(removed.world.count('cancel_fetch'), 1);
  assert.equal(removed.record.refusal?.code, 'model_not_found');
  assert.equal(removed.world.engineKind('a'), 'none');
  const other = changed([testPolicy('a', { ...FETCHES, signature: 'new' })]);
  assert.deepEqual([other.world.count('cancel_fetch'), other.world.count('fetch')], [1, 2]);
  const world = new SchedulerWorld(testSetup([testPolicy('a', FETCHES)]));
  world.fetchAnswer = () => 'silent';
  const record = world.request('a');
  world.send({ kind: 'shutdown', step: 'drain', leaveEngines: false });
  assert.equal(world.count('cancel_fetch'), 1);
  assert.equal(record.refusal?.code, 'shutting_down');
});

test('the estimate of a fetch follows its bytes, which never go back', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', FETCHES)]), { fetchMs: 100_000 });
  world.request('a');
  world.clock.advanceTo(10_000);
  world.send({ kind: 'fetching', model: 'a', bytesDone: 25, bytesTotal: 100 });
  world.send({ kind: 'fetching', model: 'a', bytesDone: 5, bytesTotal: 100 });
  const found = world.estimate('a');
  assert.equal(found.phase, 'fetching');
  assert.equal(found.percent, 25);
  assert.equal(found.readyInMs, 32_000);
});

test('what a person has mended meanwhile is served after a short pause', () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a', FETCHES)]));
  world.fetchAnswer = () => ({ ...OFFLINE, cause: 'gated_repository', retryable: false });
  world.request('a');
  world.fetchAnswer = () => null;
  world.clock.advanceTo(40_000);
  const record = world.request('a');
  world.clock.advanceTo(60_000);
  assert.notEqual(record.dispatchedMs, null);
});
