import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import { sleeper } from '../../test/fakes/sleeper-world.ts';
import type { AdoptedStage } from './model-policy.ts';

function adopting(stage: AdoptedStage, model = 'a'): SchedulerWorld {
  const world = new SchedulerWorld({
    ...testSetup([sleeper('a'), sleeper('b')]),
    devices: null,
    hostBudgetMib: 100_000,
  });
  const launch = {
    model,
    launchId: 'old-1',
    deviceIds: ['gpu-0'],
    memoryMibPerDevice: 10_000,
    signature: 'a',
    stage,
  };
  world.send({ kind: 'adopted', launch, contextLength: null });
  world.send({ kind: 'devices_changed', devices: testSetup([]).devices ?? [] });
  return world;
}

test('an engine that was starting goes on starting: requests wait for it and nothing is started anew', () => {
  const world = adopting({ kind: 'starting', ageMs: 30_000 });
  const record = world.request('a');
  assert.equal(world.engineKind('a'), 'starting');
  world.clock.advanceTo(5_000);
  world.send({ kind: 'ready', launchId: 'old-1', model: 'a', contextLength: 2048 });
  assert.equal(record.dispatchedMs, 5_000);
  assert.equal(world.count('start'), 0);
  // Its whole start counts, also the part that the earlier gateway saw.
  assert.equal(world.state.models.get('a')?.startMs, 35_000);
});

test('an adopted start that nobody asks for holds up those who wait for no longer than it is worth', () => {
  const wide = testPolicy('wide', { deviceCount: 2, memoryMibPerDevice: 8_000 });
  const models = [testPolicy('slow'), testPolicy('small', { memoryMibPerDevice: 6_000 }), wide];
  const setup = testSetup(models, [16_000, 16_000]);
  const world = new SchedulerWorld({ ...setup, devices: null });
  const records = ['wide', 'wide', 'wide', 'small'].map((model) => world.request(model));
  // Too far to be given up.
  const stage = { kind: 'starting', ageMs: 1_500 } as const;
  const about = { launchId: 'old-1', deviceIds: ['gpu-1'], memoryMibPerDevice: 10_000, signature: 'slow' };
  world.send({ kind: 'adopted', launch: { ...about, model: 'slow', stage }, contextLength: null });
  world.goOn('slow', 'old-1', stage);
  world.send({ kind: 'devices_changed', devices: setup.devices ?? [] });
  world.clock.advanceTo(1_000);
  // The wide one holds both devices, and so nothing starts beside the engine that is not ready yet.
  assert.equal(world.count('start'), 0);
  world.clock.advanceTo(30_000);
  assert.ok(records.every(({ finishedMs }) => finishedMs !== null && finishedMs < 15_000));
});

test('an adopted start that never ends is ended at its limit', () => {
  const world = adopting({ kind: 'starting', ageMs: 30_000 });
  const record = world.request('a');
  world.clock.advanceTo(700_000);
  assert.equal(record.refusal?.code, 'start_failed');
  assert.equal(world.count('stop', 'a'), 1);
});

test('a sleep under way is finished, and the level is known at the waking', () => {
  const world = adopting({ kind: 'falling_asleep', level: 1 });
  const record = world.request('a');
  assert.equal(world.engineKind('a'), 'falling_asleep');
  world.send({
    kind: 'slept',
    launchId: 'old-1',
    model: 'a',
    ok: true,
    residueMib: null,
    hostMib: null,
    detail: '',
  });
  world.clock.advanceTo(10_000);
  assert.notEqual(record.dispatchedMs, null);
  const wake = world.effects.find((effect) => effect.kind === 'wake');
  assert.equal(wake?.kind === 'wake' && wake.level, 1);
});

test('a waking under way is finished; one that fails is started anew, and its requests wait', () => {
  const well = adopting({ kind: 'waking', level: 2 });
  const record = well.request('a');
  well.send({ kind: 'woke', launchId: 'old-1', model: 'a', ok: true, detail: '' });
  assert.equal(record.dispatchedMs, 0);
  const ill = adopting({ kind: 'waking', level: 2 });
  const waiting = ill.request('a');
  ill.send({ kind: 'woke', launchId: 'old-1', model: 'a', ok: false, detail: 'it hangs' });
  ill.clock.advanceTo(60_000);
  assert.equal(ill.count('start', 'a'), 1);
  assert.notEqual(waiting.dispatchedMs, null);
});

test('what nobody can use is ended before others start on its devices', () => {
  const world = adopting({ kind: 'unusable', why: 'that does not answer' });
  const record = world.request('a');
  assert.equal(world.count('stop'), 1);
  assert.equal(world.count('start'), 0);
  world.clock.advanceTo(60_000);
  assert.notEqual(record.dispatchedMs, null);
});

test('a fetch for a model whose engine turns up is ended', () => {
  const policy = testPolicy('a', { fetchTimeoutMs: 60_000 });
  const world = new SchedulerWorld(testSetup([policy]));
  world.fetchAnswer = () => 'silent';
  const record = world.request('a');
  assert.equal(world.engineKind('a'), 'fetching');
  const stage = { kind: 'awake' } as const;
  const launch = {
    model: 'a',
    launchId: 'old-1',
    deviceIds: ['gpu-0'],
    memoryMibPerDevice: 10_000,
    signature: 'a',
    stage,
  };
  world.send({ kind: 'adopted', launch, contextLength: null });
  assert.equal(world.count('cancel_fetch'), 1);
  assert.equal(record.dispatchedMs, 0);
});

test('engines that are left running are left in whatever state they are, but for those that end', () => {
  const world = new SchedulerWorld(testSetup([sleeper('a'), sleeper('b')], [16_000, 16_000]));
  world.state.hostBudgetMib = 100_000;
  world.request('a');
  world.request('b');
  world.clock.advanceTo(1_000);
  world.send({ kind: 'shutdown', step: 'drain', leaveEngines: true });
  world.send({ kind: 'shutdown', step: 'stop', leaveEngines: true });
  assert.deepEqual([world.count('release'), world.count('stop')], [2, 0]);
});

test('nothing is fetched before it is known which engines serve, and a failed model may have one', () => {
  const policy = testPolicy('a', { fetchTimeoutMs: 60_000 });
  const world = new SchedulerWorld({ ...testSetup([policy]), devices: null });
  const record = world.request('a');
  assert.equal(world.count('fetch'), 0);
  world.send({ kind: 'devices_changed', devices: testSetup([]).devices ?? [] });
  assert.equal(world.count('fetch'), 1);
  const failure = { cause: 'gated_repository', text: 'no token', retryable: false };
  world.send({ kind: 'fetched', model: 'a', failure });
  assert.equal(record.refusal?.code, 'start_failed_for_good');
  const stage = { kind: 'awake' } as const;
  const about = { model: 'a', launchId: 'old-1', deviceIds: ['gpu-0'], memoryMibPerDevice: 10_000 };
  world.send({ kind: 'adopted', launch: { ...about, signature: 'a', stage }, contextLength: null });
  assert.equal(world.request('a').dispatchedMs, 0);
});

test('what was noted of an engine whose model was not sized yet is mended by its size', () => {
  const { need, ...policy } = sleeper('a');
  assert.ok(need !== null);
  const setup = { ...testSetup([{ ...policy, need: null }]), devices: null, hostBudgetMib: 100_000 };
  const about = {
    model: 'a',
    launchId: 'old-1',
    deviceIds: ['gpu-0'],
    memoryMibPerDevice: 10_000,
    signature: 'a',
  };
  const asleep = new SchedulerWorld(setup);
  const launch = { ...about, stage: { kind: 'asleep', level: 1 } } as const;
  asleep.send({ kind: 'adopted', launch, contextLength: null });
  asleep.send({ kind: 'sized', model: 'a', need });
  const sleeping = asleep.state.models.get('a')?.engine;
  assert.ok(sleeping?.kind === 'asleep');
  assert.deepEqual(
    [sleeping.reservation.memoryMibPerDevice, sleeping.hostMib],
    [need.residueMib, need.hostAsleepMib],
  );
  const alone = new SchedulerWorld({
    ...setup,
    models: [...setup.models, testPolicy('b', { memoryMibPerDevice: 2_000 })],
  });
  alone.send({ kind: 'adopted', launch: { ...about, stage: { kind: 'awake' } }, contextLength: null });
  alone.send({ kind: 'sized', model: 'a', need: { ...need, memoryMibPerDevice: null } });
  alone.send({ kind: 'devices_changed', devices: testSetup([]).devices ?? [] });
  alone.request('a');
  alone.request('b');
  assert.equal(alone.count('start', 'b'), 0);
});

test('an engine that nobody wants is not stopped beside one that starts', () => {
  const world = new SchedulerWorld({
    ...testSetup([testPolicy('a', { memoryMibPerDevice: 5_000 })]),
    devices: null,
  });
  const launch = (model: string, launchId: string, stage: AdoptedStage) => ({
    ...{ model, launchId, deviceIds: ['gpu-0'], memoryMibPerDevice: 5_000, signature: 'a', stage },
  });
  world.send({
    kind: 'adopted',
    launch: launch('gone', 'old-1', { kind: 'unusable', why: 'that does not answer' }),
    contextLength: null,
  });
  world.send({
    kind: 'adopted',
    launch: launch('a', 'old-2', { kind: 'starting', ageMs: 1 }),
    contextLength: null,
  });
  world.send({ kind: 'devices_changed', devices: testSetup([]).devices ?? [] });
  assert.equal(world.count('stop'), 0);
  world.send({ kind: 'ready', launchId: 'old-2', model: 'a', contextLength: null });
  assert.equal(world.count('stop'), 1);
});

test('an age that no start can have teaches nothing', () => {
  const world = adopting({ kind: 'starting', ageMs: 20 * 365 * 86_400_000 });
  world.send({ kind: 'ready', launchId: 'old-1', model: 'a', contextLength: null });
  assert.equal(world.state.models.get('a')?.startMs, null);
});
