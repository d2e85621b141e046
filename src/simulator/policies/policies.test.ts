/** What each of the policies to compare with is known for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type RequestRecord,
  SchedulerWorld,
  testPolicy,
  testSetup,
} from '../../../test/fakes/scheduler-world.ts';
import { policyNamed, policyNames } from './named-policies.ts';

type Changes = Parameters<typeof testPolicy>[1];

/** Models of 10,000 MiB on devices of 16,000, but for what is said. */
function worldUnder(name: string, models: Readonly<Record<string, Changes>>, devices = 1): SchedulerWorld {
  const policies = Object.entries(models).map(([model, changes]) => testPolicy(model, changes));
  const budgets = Array.from({ length: devices }, () => 16_000);
  const setup = { ...testSetup(policies, budgets), hostBudgetMib: 1_000_000 };
  return new SchedulerWorld(setup, {}, policyNamed(name) ?? undefined);
}

/** Each of the models is asked in turn, when the answer before has come. */
function askInTurn(world: SchedulerWorld, models: readonly string[], times: number): void {
  let asked = 0;
  const ask = (): void => {
    const model = models[asked % models.length];
    asked += 1;
    if (asked <= times && model !== undefined) world.request(model);
  };
  world.onEnd = ask;
  ask();
  world.clock.advanceTo(3_600_000);
}

/** A client that asks every so often, whatever comes back. */
function askEvery(world: SchedulerWorld, model: string, everyMs: number, untilMs: number): void {
  const ask = (): void => {
    world.request(model);
    const nextMs = world.clock.nowMs() + everyMs;
    if (nextMs < untilMs) world.clock.setTimer(nextMs, ask);
  };
  ask();
}

/** Who is awake. */
function awakeModels(world: SchedulerWorld): readonly string[] {
  return [...world.state.models.keys()].filter((model) => world.engineKind(model) === 'awake');
}

/** The first of `b` comes while requests of `a` overlap for ten minutes. */
function overlapping(policy: string): RequestRecord {
  const world = worldUnder(policy, { a: {}, b: {} });
  askEvery(world, 'a', 600, 600_000);
  world.clock.advanceTo(10_000);
  const record = world.request('b');
  world.clock.advanceTo(700_000);
  return record;
}

test('each policy has its name, and `default` is production`s', () => {
  assert.equal(policyNames[0], 'default');
  for (const name of policyNames) assert.ok(policyNamed(name) !== null, name);
  assert.equal(policyNamed('default'), policyNamed('turns'));
  assert.equal(policyNamed('no such policy'), null);
});

test('llama-swap: clients whose requests overlap starve another model, which has its turn in production', () => {
  assert.ok((overlapping('llama-swap').dispatchedMs ?? 0) > 600_000);
  assert.ok((overlapping('default').dispatchedMs ?? Number.POSITIVE_INFINITY) < 60_000);
});

test('llama-swap: two models that are asked in turn swap for every request', () => {
  const world = worldUnder('llama-swap', { a: {}, b: {} });
  askInTurn(world, ['a', 'b'], 21);
  assert.equal(world.count('start'), 21);
});

test('llama-swap: a device holds one model, whatever room there is beside it', () => {
  const small = { memoryMibPerDevice: 4_000 };
  const world = worldUnder('llama-swap', { a: small, b: small });
  askInTurn(world, ['a', 'b'], 4);
  assert.equal(world.count('start'), 4);
  const shared = worldUnder('lru', { a: small, b: small });
  askInTurn(shared, ['a', 'b'], 4);
  assert.equal(shared.count('start'), 2);
});

test('llama-swap: a model on two devices does not hold the one that is quiet, and waits for both', () => {
  const world = worldUnder('llama-swap', { wide: { deviceCount: 2 }, a: {}, b: {} }, 2);
  askEvery(world, 'a', 600, 300_000);
  world.clock.advanceTo(10_000);
  const wide = world.request('wide');
  const other = world.request('b');
  world.clock.advanceTo(400_000);
  assert.equal(other.dispatchedMs, 12_000);
  assert.ok((wide.dispatchedMs ?? 0) > 300_000);
});

test('lru: an idle model stays for its minimum residence, and the one used longest ago goes first', () => {
  const world = worldUnder('lru', { a: {}, b: {}, c: {} }, 2);
  world.request('a');
  world.request('b');
  world.clock.advanceTo(20_000);
  world.request('a');
  world.clock.advanceTo(30_000);
  const record = world.request('c');
  world.clock.advanceTo(200_000);
  // `b` was ready at 2 s; its stop takes half a second, the start 2 s.
  assert.equal(record.dispatchedMs, 2_000 + 90_000 + 500 + 2_000);
  assert.deepEqual([world.engineKind('a'), world.engineKind('b')], ['awake', 'cold']);
});

test('lru-sleep: victims sleep where they can, and wake', () => {
  const world = worldUnder('lru-sleep', { a: { sleepLevel: 1 }, b: {} });
  askInTurn(world, ['a', 'b'], 6);
  assert.deepEqual([world.count('sleep'), world.count('wake'), world.count('start')], [3, 2, 4]);
});

test('ollama: the head of the line blocks a model that would find room at once', () => {
  const slow = { memoryMibPerDevice: 4_000 };
  const world = worldUnder('ollama', { a: slow, big: {}, wide: { memoryMibPerDevice: 16_000 } });
  world.serviceMs.set('a', 60_000);
  world.request('a');
  world.clock.advanceTo(10_000);
  const head = world.request('wide');
  const behind = world.request('big');
  const hot = world.request('a');
  world.clock.advanceTo(300_000);
  // The loaded model's request passes, and the head waits for its end.
  assert.equal(hot.dispatchedMs, 10_000);
  assert.equal(head.dispatchedMs, 70_000 + 500 + 2_000);
  assert.ok((behind.dispatchedMs ?? 0) > (head.dispatchedMs ?? 0));
});

test('ollama: one model loads at a time, whatever the devices', () => {
  const world = worldUnder('ollama', { a: {}, b: {} }, 2);
  const records = [world.request('a'), world.request('b')];
  world.clock.advanceTo(10_000);
  assert.deepEqual(
    records.map((record) => record.dispatchedMs),
    [2_000, 4_000],
  );
});

test('ollama: the victim is the idle one whose name is first, and idle ones leave after five minutes', () => {
  const world = worldUnder('ollama', { a: {}, b: {}, c: {} }, 2);
  world.request('b');
  world.clock.advanceTo(10_000);
  world.request('a');
  world.clock.advanceTo(20_000);
  world.request('c');
  world.clock.advanceTo(30_000);
  assert.deepEqual([world.engineKind('a'), world.engineKind('b')], ['cold', 'awake']);
  // Served until 3 s.
  world.clock.advanceTo(303_000);
  assert.equal(world.engineKind('b'), 'stopping');
});

test('fifo-swap: a resident model`s request waits behind whoever came first', () => {
  const world = worldUnder('fifo-swap', { a: {}, b: {} });
  world.request('a');
  world.clock.advanceTo(10_000);
  const head = world.request('b');
  const behind = world.request('a');
  world.clock.advanceTo(60_000);
  assert.equal(head.dispatchedMs, 12_500);
  assert.equal(behind.dispatchedMs, 13_500 + 2_500);
});

test('ttl: an idle engine stops after five minutes, and earlier only for one that waits', () => {
  const world = worldUnder('ttl', { a: {}, b: {}, c: {} }, 2);
  world.request('a');
  world.clock.advanceTo(10_000);
  world.request('b');
  world.clock.advanceTo(302_999);
  assert.equal(world.engineKind('a'), 'awake');
  world.clock.advanceTo(303_000);
  assert.equal(world.engineKind('a'), 'stopping');
  world.request('c');
  const again = world.request('a');
  world.clock.advanceTo(310_000);
  // Once it is gone it takes the place of `b`, whose time has not passed.
  assert.equal(again.dispatchedMs, 303_000 + 500 + 500 + 2_000);
});

test('ski-rental: an idle engine stays until its rent comes to its reload, whoever waits, and then leaves', () => {
  const world = worldUnder('ski-rental', { a: {}, b: {} });
  world.request('a');
  world.clock.advanceTo(3_500);
  const record = world.request('b');
  world.clock.advanceTo(60_000);
  // A stop that was not measured yet counts as a second: (2 s + 1 s) x 16,000 MiB / 10,000 MiB after the answer at 3 s.
  assert.equal(record.dispatchedMs, 3_000 + 4_800 + 500 + 2_000);
});

test('landlord: the one that is cheapest to bring back for its size goes, however lately it was used', () => {
  const small = { memoryMibPerDevice: 8_000 };
  const costly = { ...small, assumedStartMs: 60_000 };
  const world = worldUnder('landlord', { costly, cheap: small, next: small });
  world.startMsOf = (model) => (model === 'costly' ? 60_000 : 2_000);
  world.request('costly');
  world.clock.advanceTo(100_000);
  world.request('cheap');
  world.clock.advanceTo(110_000);
  assert.deepEqual(awakeModels(world), ['costly', 'cheap']);
  world.request('next');
  world.clock.advanceTo(120_000);
  assert.deepEqual(awakeModels(world), ['costly', 'next']);
});

test('landlord: credits run down, so that a costly one that nobody asks for goes in the end', () => {
  const small = { memoryMibPerDevice: 8_000 };
  const world = worldUnder('landlord', { costly: { ...small, assumedStartMs: 10_000 }, a: small, b: small });
  world.startMsOf = (model) => (model === 'costly' ? 10_000 : 2_000);
  world.request('costly');
  world.clock.advanceTo(20_000);
  askInTurn(world, ['a', 'b'], 30);
  assert.equal(world.count('stop', 'costly'), 1);
});

test('quota: a busy model gives way when its quota has passed, and all take turns', () => {
  const world = worldUnder('quota', { a: {}, b: {}, c: {} });
  for (const model of ['a', 'b', 'c']) askEvery(world, model, 600, 600_000);
  world.clock.advanceTo(700_000);
  const starts = ['a', 'b', 'c'].map((model) => world.count('start', model));
  assert.ok(Math.max(...starts) - Math.min(...starts) <= 1, `${starts}`);
  const waits = [...world.requests.values()].map((record) => (record.dispatchedMs ?? 1e9) - record.arrivedMs);
  // Turns of 20 s, and what runs at their end.
  assert.ok(Math.max(...waits) < 80_000, `the longest wait was ${Math.max(...waits)} ms`);
});
