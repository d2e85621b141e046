import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gpu, type SizerWorld, sizerWorld } from '../../test/fakes/sizer-world.ts';
import { publishedFacts } from '../../test/fixtures/model-configs.ts';
import type { Diagnosis } from '../engines/engine.ts';
import { READ_WAIT_MS } from './model-sizer.ts';
import type { MeasuredUse } from './sizer-ports.ts';

const MIB = 1024 * 1024;
const LLAMA_8B = publishedFacts('llama-3.1-8b');
const LLAMA_70B = publishedFacts('llama-3.1-70b');
const SIZED = { repo: 'acme/m', max_model_len: 8192, kv_reservation_seqs: 4 };
const KV = '--kv-cache-memory-bytes';
const SLEEP = '--enable-sleep-mode';

/** Started, with its devices, and `m` read as Llama 3.1 8B. */
async function ready(model: object = {}, setup: Partial<Parameters<typeof sizerWorld>[0]> = {}) {
  const world = await sizerWorld({ models: { m: { ...SIZED, ...model } }, ...setup });
  world.sizer.start();
  world.sizer.devicesChanged([gpu('a'), gpu('b')]);
  if (world.reading.length > 0) await world.answer('m', LLAMA_8B);
  return world;
}

function use(usedMib: number, changes: Partial<MeasuredUse> = {}): MeasuredUse {
  return {
    launchId: 'l1',
    model: 'm',
    signature: 'signature of m',
    deviceCount: 1,
    usedMib,
    source: 'per_process',
    hostMib: null,
    ...changes,
  };
}

function died(changes: Partial<Diagnosis> = {}): Diagnosis {
  return { cause: 'out_of_memory', text: '', lastLine: '', retryable: true, ...changes };
}

function memory(world: SizerWorld): number | null | undefined {
  return world.sizer.needOf('m')?.memoryMibPerDevice;
}

test('a share is told once its facts are read, and a launch is told the cache that it was reckoned with', async () => {
  const world = await sizerWorld({ models: { m: SIZED } });
  world.sizer.start();
  world.sizer.devicesChanged([gpu('a')]);
  assert.equal(world.sizer.needOf('m'), null);
  assert.equal(world.sizer.report()[0]?.source, 'waiting');
  await world.answer('m', LLAMA_8B);
  assert.equal(world.lastNeed('m')?.memoryMibPerDevice, 22_378);
  assert.deepEqual(world.sizer.launchPlan('m', 1), {
    kvCacheBytes: 4096 * MIB,
    sleepMode: true,
    withoutFlags: new Set(),
  });
  assert.equal(world.sizer.launchPlan('m', 2).kvCacheBytes, null, 'planned for another number of devices');
  assert.equal(world.sizer.launchPlan('m', 1, 20_000).kvCacheBytes, null, 'reserved less than planned');
  assert.equal(world.sizer.report()[0]?.factsOrigin, 'a test');
});

test('facts that are read before the devices are known wait for them', async () => {
  const world = await sizerWorld({ models: { m: SIZED } });
  world.sizer.start();
  await world.answer('m', LLAMA_8B);
  assert.deepEqual(world.needs, []);
  world.sizer.devicesChanged([gpu('a')]);
  assert.equal(world.needs.length, 1);
  world.sizer.devicesChanged([gpu('a')]);
  assert.equal(world.needs.length, 1, 'nothing new');
  world.sizer.devicesChanged([gpu('a', 12_288), gpu('b', 12_288)]);
  assert.equal(world.lastNeed('m')?.deviceCount, 2);
});

test('an unreadable model has a whole device and a line in the log', async () => {
  const world = await sizerWorld({ models: { m: SIZED } });
  world.sizer.start();
  world.sizer.devicesChanged([gpu('a')]);
  await world.answer('m', null);
  assert.equal(memory(world), null);
  assert.match(world.lines[0] ?? '', /size of m cannot be computed: the hub does not answer/);
  assert.equal(world.sizer.report()[0]?.factsOrigin, 'the hub does not answer');
});

test('two are read at a time, and beside them those that somebody asks for', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const world = await sizerWorld({ models: Object.fromEntries(names.map((name) => [name, SIZED])) });
  world.sizer.start();
  assert.deepEqual(world.reading, ['a', 'b']);
  world.sizer.needOf('e');
  assert.deepEqual(world.reading, ['a', 'b', 'e']);
  await world.answer('b', null);
  assert.deepEqual(world.reading, ['a', 'b', 'e', 'c']);
  world.sizer.close();
  await world.answer('c', null);
  assert.deepEqual(world.reading, ['a', 'b', 'e', 'c']);
});

test('whole_card waits a while for facts, then goes on as configured, and hears of them still', async () => {
  const world = await sizerWorld({ models: { m: SIZED }, budget: false });
  world.sizer.start();
  world.sizer.devicesChanged(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((id) => gpu(id)));
  assert.equal(world.sizer.needOf('m'), null);
  while (world.clock.step(READ_WAIT_MS));
  assert.equal(world.sizer.needOf('m')?.deviceCount, 1);
  await world.answer('m', LLAMA_70B);
  assert.equal(world.lastNeed('m')?.deviceCount, 8);
});

test('memory_mib, commands and servers of others wait for nothing', async () => {
  const world = await sizerWorld({
    models: {
      fixed: { repo: 'acme/m', memory_mib: 6000 },
      command: { command: ['serve', '{port}'] },
      url: { url: 'http://127.0.0.1:9' },
    },
  });
  world.sizer.start();
  world.sizer.devicesChanged([gpu('a')]);
  assert.equal(world.sizer.needOf('fixed')?.memoryMibPerDevice, 6000);
  assert.equal(world.sizer.needOf('command')?.memoryMibPerDevice, null);
  assert.equal(world.sizer.needOf('command')?.sleepLevel, 0);
  assert.equal(world.sizer.needOf('url')?.deviceCount, 0);
  assert.deepEqual(world.reading, ['fixed']);
});

test('what was measured is stored, told when it differs, and known at the next start without any facts', async () => {
  const world = await ready();
  world.sizer.launchPlan('m', 1);
  world.sizer.memoryReported('l1', { weightsMib: 15_317 });
  world.sizer.memoryReported('l1', { kvCacheTokens: 32_768 });
  // ceil(20,400 x 1.02) + 1024
  assert.equal(world.sizer.measured(use(20_400, { hostMib: 5000 })), 21_832);
  assert.equal(memory(world), 21_832);
  assert.equal(world.stored.length, 1);
  const { kvCacheMib, weightsMib, hostAwakeMib } = world.stored[0] ?? {};
  assert.deepEqual(
    { kvCacheMib, weightsMib, hostAwakeMib },
    { kvCacheMib: 4096, weightsMib: 15_317, hostAwakeMib: 5000 },
  );
  assert.equal(world.sizer.measured(use(20_440)), null, 'within 64 MiB');
  assert.equal(world.sizer.measured(use(19_000)), null, 'the most counts');
  assert.equal(world.stored.length, 1);
  assert.equal(world.sizer.measured(use(20_900)), 22_342);
  assert.equal(world.stored.length, 2);

  const next = await sizerWorld({ models: { m: SIZED }, stored: world.stored });
  next.sizer.start();
  next.sizer.devicesChanged([gpu('a')]);
  assert.equal(next.sizer.needOf('m')?.memoryMibPerDevice, 22_342);
  assert.equal(next.sizer.launchPlan('m', 1).kvCacheBytes, 4096 * MIB);
});

test('another signature is another launch', async () => {
  const world = await ready();
  assert.equal(world.sizer.measured(use(9000, { signature: 'old' })), null);
  assert.equal(world.stored.length, 0);
  const [stored] = (await measuredOnce()).stored;
  assert.ok(stored !== undefined);
  const next = await ready({}, { stored: [{ ...stored, signature: 'old' }] });
  assert.equal(memory(next), 22_378);
});

async function measuredOnce(): Promise<SizerWorld> {
  const world = await ready();
  world.sizer.launchPlan('m', 1);
  world.sizer.measured(use(20_400));
  return world;
}

test('a model measured alone packs from then on', async () => {
  const world = await sizerWorld({ models: { m: SIZED } });
  world.sizer.start();
  world.sizer.devicesChanged([gpu('a')]);
  await world.answer('m', null);
  assert.equal(world.sizer.launchPlan('m', 1).kvCacheBytes, null);
  world.sizer.memoryReported('l1', { kvCacheMib: 16_000, kvCacheTokens: 160_000 });
  assert.equal(world.sizer.measured(use(21_000)), 22_444, 'what it really holds');
  assert.equal(memory(world), 9467);
  assert.equal(world.sizer.launchPlan('m', 1).kvCacheBytes, 3277 * MIB);
  // Launched anew with that, it says nothing of its cache: what it was told counts.
  world.sizer.measured(use(8277, { launchId: 'l2' }));
  assert.equal(memory(world), 9467);
});

test('a model that has whole cards keeps them whatever it uses', async () => {
  const world = await ready({}, { budget: false });
  assert.equal(world.sizer.measured(use(21_000)), null);
  assert.equal(memory(world), null);
  const fixed = await ready({ memory_mib: 6000 });
  assert.equal(fixed.sizer.measured(use(5500)), null);
  assert.equal(fixed.sizer.measured(use(6500)), 7654);
  assert.equal(memory(fixed), 6000);
});

test('asleep: what stays on the device and in the host replaces the estimates', async () => {
  const world = await measuredOnce();
  assert.equal(world.sizer.needOf('m')?.residueMib, 1024);
  world.sizer.asleepMeasured({ model: 'm', residueMib: 600, hostMib: 20_000 });
  const { residueMib, hostAsleepMib } = world.lastNeed('m') ?? {};
  assert.deepEqual({ residueMib, hostAsleepMib }, { residueMib: 600, hostAsleepMib: 20_000 });
  assert.equal(world.stored.at(-1)?.residueMib, 600);
});

test('the level of sleep follows the configuration, the engine and the devices', async () => {
  const level = async (model: object, setup: Partial<Parameters<typeof sizerWorld>[0]> = {}) =>
    (await ready(model, setup)).sizer.needOf('m')?.sleepLevel;
  assert.equal(await level({}), 1);
  assert.equal(await level({ sleep: 'level_2' }), 2);
  assert.equal(await level({ sleep: 'off' }), 0);
  assert.equal(await level({}, { sleepsOn: ['amd'] }), 0);
  const world = await ready();
  world.sizer.devicesChanged([gpu('a', 24_576, { unified: true })]);
  assert.equal(world.lastNeed('m')?.sleepLevel, 0);
});

test('flags of ours that an engine refuses are left out from then on, for every model of that program', async () => {
  const world = await sizerWorld({ models: { m: SIZED, n: SIZED } });
  world.sizer.start();
  world.sizer.devicesChanged([gpu('a')]);
  await world.answer('m', LLAMA_8B);
  await world.answer('n', LLAMA_8B);
  const diagnosis = died({ cause: 'unknown_flag', remedy: { refusedFlags: [KV, SLEEP, '--fly'] } });
  assert.match(world.sizer.mend('m', diagnosis) ?? '', /vllm does not take --kv-cache-memory-bytes and --en/);
  assert.equal(world.sizer.mend('m', diagnosis), null, 'a second time there is nothing to leave out');
  for (const model of ['m', 'n']) {
    assert.equal(world.sizer.needOf(model)?.sleepLevel, 0);
    assert.deepEqual(world.sizer.launchPlan(model, 1), {
      kvCacheBytes: null,
      sleepMode: false,
      withoutFlags: new Set([KV, SLEEP]),
    });
  }
  assert.deepEqual(world.refused.get('vllm'), new Set([KV, SLEEP]));
});

test('an engine that cannot sleep here is launched without', async () => {
  const world = await ready();
  assert.ok(world.sizer.mend('m', died({ cause: 'sleep_unsupported' })) !== null);
  assert.equal(world.lastNeed('m')?.sleepLevel, 0);
});

test('a death for want of memory corrects the estimate once, and it is told before the answer', async () => {
  const world = await ready();
  const diagnosis = died({ remedy: { shortMib: 1000 } });
  const told = world.needs.length;
  // One device has 969 MiB left; on two, 5 % of 22,378 MiB are added to each.
  assert.match(
    world.sizer.mend('m', diagnosis) ?? '',
    /from 22378 MiB on one device to 12821 MiB on each of 2 devices/,
  );
  assert.equal(world.needs.length, told + 1);
  assert.equal(world.sizer.report()[0]?.source, 'corrected');
  assert.equal(world.sizer.mend('m', diagnosis), null);
});

test('a cache that is too small for one sequence is enlarged to what the engine named', async () => {
  const world = await ready({ kv_reservation_seqs: 1 });
  assert.equal(memory(world), 18_999);
  const remedy = { neededKvBytes: 1500 * MIB, shortMib: 476 };
  assert.match(world.sizer.mend('m', died({ cause: 'context_too_long', remedy })) ?? '', /1530 MiB of it KV/);
  assert.equal(world.sizer.launchPlan('m', 1).kvCacheBytes, 1530 * MIB);
  // 506 MiB more of cache, x 1.1.
  assert.equal(memory(world), 19_556);
  // ceil(18,000 x 1.02) + 1024, at most what was computed: what was missing is in what was measured.
  world.sizer.measured(use(18_000));
  assert.equal(memory(world), 18_999);
  const next = await ready({ kv_reservation_seqs: 1 }, { stored: world.stored });
  assert.equal(next.sizer.launchPlan('m', 1).kvCacheBytes, 1530 * MIB, 'known at the next start');
});

test('nothing is mended where nothing can be: configured memory, whole cards, other causes, no figures', async () => {
  const remedy = { shortMib: 500 };
  assert.equal((await ready({ memory_mib: 6000 })).sizer.mend('m', died({ remedy })), null);
  const world = await ready();
  assert.equal(world.sizer.mend('m', died()), null);
  assert.equal(world.sizer.mend('m', died({ cause: 'killed', remedy })), null);
  const whole = await sizerWorld({ models: { m: SIZED } });
  whole.sizer.start();
  whole.sizer.devicesChanged([gpu('a')]);
  await whole.answer('m', null);
  assert.equal(whole.sizer.mend('m', died({ remedy })), null);
});

test('whole_card: a death for want of memory takes one device more where there is one', async () => {
  const world = await ready({}, { budget: false });
  assert.equal(memory(world), null);
  assert.match(
    world.sizer.mend('m', died({ remedy: { shortMib: 6000 } })) ?? '',
    /from the whole of one device to the whole of each of 2/,
  );
  assert.equal(world.lastNeed('m')?.deviceCount, 2);
});

test('a correction that nothing could hold is not made: it may have been somebody else’s memory', async () => {
  const world = await sizerWorld({ models: { m: SIZED } });
  world.sizer.start();
  world.sizer.devicesChanged([gpu('a')]);
  await world.answer('m', LLAMA_8B);
  assert.equal(world.sizer.mend('m', died({ remedy: { shortMib: 5000 } })), null);
  assert.equal(memory(world), 22_378);
  assert.equal(world.needs.length, 1);
  // 5 % more are too much as well, but what was missing is there.
  assert.ok(world.sizer.mend('m', died({ remedy: { shortMib: 20 } })) !== null);
  assert.equal(memory(world), 22_398);
});

test('what fits on no device is told and logged with its numbers', async () => {
  const world = await sizerWorld({ models: { m: SIZED } });
  world.sizer.start();
  world.sizer.devicesChanged([gpu('a', 12_288)]);
  await world.answer('m', LLAMA_8B);
  assert.match(world.lastNeed('m')?.neverFits ?? '', /needs 22378 MiB on one device/);
  assert.match(world.lines.at(-1) ?? '', /m fits on no device/);
  assert.match(world.sizer.report()[0]?.neverFits ?? '', /tensor_parallel_size: 4/);
});

test('what a running engine is reserved never exceeds its device for the sake of the margin', async () => {
  const world = await sizerWorld({ models: { m: SIZED } });
  world.sizer.start();
  world.sizer.devicesChanged([gpu('a'), gpu('c', 12_288)]);
  await world.answer('m', null);
  assert.equal(world.sizer.measured(use(11_600)), 11_673);
  assert.equal(world.sizer.measured(use(23_300)), 23_347);
  assert.equal(world.sizer.measured(use(24_000)), 24_000);
});

test('a start that another program disturbed is tried again, and nothing is corrected', async () => {
  const world = await ready();
  const before = memory(world);
  const disturbed = died({ cause: 'out_of_memory', remedy: { again: true } });
  assert.match(world.sizer.mend('m', disturbed) ?? '', /tried again/);
  assert.equal(memory(world), before);
});

test('a hub that did not answer is asked again after a while', async () => {
  const world = await sizerWorld({ models: { m: SIZED } });
  world.sizer.start();
  world.sizer.devicesChanged([gpu('a')]);
  await world.answer('m', null);
  assert.equal(memory(world), null, 'whole devices meanwhile');
  world.clock.advanceTo(5 * 60_000);
  assert.deepEqual(world.reading, ['m', 'm']);
  await world.answer('m', LLAMA_8B);
  assert.equal(memory(world), 22_378);
  assert.equal(world.lines.length, 1, 'told once');
});

test('an engine that others could reach as well is not launched able to sleep', async () => {
  for (const isReachedPrivately of [true, false]) {
    const models = { a: { repo: 'a/a', memory_mib: 4000, max_model_len: 1024 } };
    const { sizer, lastNeed } = await sizerWorld({ models, isReachedPrivately });
    sizer.start();
    sizer.devicesChanged([gpu('g')]);
    assert.equal(lastNeed('a')?.sleepLevel, isReachedPrivately ? 1 : 0);
    assert.equal(sizer.launchPlan('a', 1).sleepMode, isReachedPrivately);
    sizer.close();
  }
});
