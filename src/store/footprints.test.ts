import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createPrng } from '../core/prng.ts';
import { createFootprintStore, type FootprintStore, type StoredFootprint } from './footprints.ts';
import { openStateDatabase } from './state-database.ts';

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'footprints-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function openStore(
  t: TestContext,
  directory: string,
  onFault: (text: string) => void = assert.fail,
): FootprintStore {
  const opened = openStateDatabase({ directory, access: 'own', onFault });
  assert.ok(opened.ok);
  const store = createFootprintStore(opened.value.database);
  t.after(() => store.close());
  return store;
}

function footprint(changes: Partial<StoredFootprint> = {}): StoredFootprint {
  return {
    model: 'm',
    signature: 's',
    deviceCount: 1,
    usedMib: 17_000.5,
    source: 'per_process',
    kvCacheMib: 4096,
    kvCacheTokens: 131_072,
    weightsMib: 12_000,
    residueMib: null,
    hostAwakeMib: 2_000,
    hostAsleepMib: null,
    measuredAtS: 1_700_000_000,
    ...changes,
  };
}

test('one footprint for each model, signature and number of devices, the last one put', (t) => {
  const directory = place(t);
  const store = openStore(t, directory);
  const kept = [
    footprint({ residueMib: 900, hostAsleepMib: 14_000, source: 'device_difference' }),
    footprint({ deviceCount: 2, measuredAtS: 1_700_000_001 }),
    footprint({ signature: 'other', measuredAtS: 1_700_000_002, kvCacheTokens: null, weightsMib: null }),
    footprint({ model: 'n', source: 'imported', usedMib: 0 }),
  ];
  store.put(footprint({ usedMib: 1 }));
  for (const one of kept) store.put(one);
  assert.deepEqual(store.all(), kept);
  store.close();
  assert.deepEqual(openStore(t, directory).all(), kept);
});

test('of one model the newest 16 are kept', (t) => {
  const store = openStore(t, place(t));
  store.put(footprint({ model: 'other', measuredAtS: 1 }));
  for (let second = 20; second > 0; second -= 1) {
    store.put(footprint({ signature: `s${second}`, measuredAtS: second }));
  }
  const kept = store.all().filter(({ model }) => model === 'm');
  assert.deepEqual(
    kept.map(({ measuredAtS }) => measuredAtS),
    Array.from({ length: 16 }, (_, index) => index + 5),
  );
  assert.equal(store.all().length, 17);
});

test('figures that are none are told and not kept', (t) => {
  const faults: string[] = [];
  const store = openStore(t, place(t), (text) => faults.push(text));
  store.put(footprint());
  for (const usedMib of [Number.NaN, -1, Number.POSITIVE_INFINITY]) store.put(footprint({ usedMib }));
  assert.deepEqual(store.all(), [footprint()]);
  assert.equal(faults.length, 1);
  assert.match(faults.join(), /^the state database could not keep what an engine takes: /);
});

test('flags that were refused are remembered for their executable', (t) => {
  const directory = place(t);
  const store = openStore(t, directory);
  for (const flag of ['--b', '--a', '--b']) store.addRefusedFlag('vllm', flag);
  store.addRefusedFlag('/opt/vllm', '--c');
  store.close();
  const again = openStore(t, directory);
  assert.deepEqual([...again.refusedFlags('vllm')].sort(), ['--a', '--b']);
  assert.deepEqual([...again.refusedFlags('/opt/vllm')], ['--c']);
  assert.deepEqual([...again.refusedFlags('nobody')], []);
});

test('what is known in memory is what the next gateway reads, whatever was put in what order', (t) => {
  const directory = place(t);
  const store = openStore(t, directory);
  const random = createPrng(7);
  for (let round = 0; round < 300; round += 1) {
    store.put(
      footprint({
        model: `m${random.integer(3)}`,
        signature: `s${random.integer(24)}`,
        deviceCount: random.integer(2),
        measuredAtS: random.integer(50),
        usedMib: round,
      }),
    );
  }
  const known = store.all();
  assert.ok(known.length > 40);
  store.close();
  assert.deepEqual(openStore(t, directory).all(), known);
});

test('refused flags are bounded: the oldest go', (t) => {
  const store = openStore(t, place(t));
  for (let count = 0; count < 260; count += 1) store.addRefusedFlag('vllm', `--f${count}`);
  const flags = store.refusedFlags('vllm');
  assert.equal(flags.size, 256);
  assert.ok(!flags.has('--f3') && flags.has('--f4') && flags.has('--f259'));
});

test('nothing throws once the database is closed', (t) => {
  const faults: string[] = [];
  const store = openStore(t, place(t), (text) => faults.push(text));
  store.close();
  store.put(footprint());
  store.addRefusedFlag('vllm', '--a');
  // What is learned is known until the end all the same.
  assert.deepEqual([store.all(), store.refusedFlags('vllm')], [[footprint()], new Set(['--a'])]);
  assert.equal(faults.length, 2);
});
