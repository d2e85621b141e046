import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoredFootprint } from '../store/footprints.ts';
import { learnedFrom, mergedReport, type SeenLaunch, withUse, worthStoring } from './learned-footprint.ts';

const LAUNCH: SeenLaunch = {
  model: 'm',
  signature: 's',
  deviceCount: 1,
  use: { mib: 10_000, source: 'per_process' },
  hostMib: 4000,
  report: {},
  toldKvMib: 4096,
};

const STORED: StoredFootprint = {
  model: 'm',
  signature: 's',
  deviceCount: 1,
  usedMib: 9000,
  source: 'per_process',
  kvCacheMib: 4096,
  kvCacheTokens: 1000,
  weightsMib: 3000,
  residueMib: 700,
  hostAwakeMib: 3900,
  hostAsleepMib: 9000,
  measuredAtS: 1,
};

function learned(launch: Partial<SeenLaunch>, stored: StoredFootprint | null = STORED): StoredFootprint {
  const found = learnedFrom({ ...LAUNCH, ...launch }, stored, 2);
  assert.ok(found !== null);
  return found;
}

test('the most that was seen counts, of this launch and of earlier ones', () => {
  assert.equal(learned({}).usedMib, 10_000);
  assert.equal(learned({ use: { mib: 8000, source: 'per_process' } }).usedMib, 9000);
  assert.equal(learned({}, null).usedMib, 10_000);
  assert.equal(learnedFrom({ ...LAUNCH, use: null }, STORED, 2), null);
});

test('launches with other caches are compared by what they use beside the cache', () => {
  const small = learned({ toldKvMib: 1024, use: { mib: 5000, source: 'per_process' } });
  assert.deepEqual([small.usedMib, small.kvCacheMib, small.kvCacheTokens], [9000 - 4096 + 1024, 1024, null]);
  const unknown = learned({ toldKvMib: null, use: { mib: 5000, source: 'per_process' } });
  assert.deepEqual([unknown.usedMib, unknown.kvCacheMib], [5000, null]);
});

test('the engine’s own word on its cache beats what it was told; an adopted launch has the stored one', () => {
  assert.equal(learned({ report: { kvCacheMib: 4000 } }).kvCacheMib, 4000);
  assert.equal(learned({ toldKvMib: undefined }).kvCacheMib, 4096);
  assert.equal(learned({ toldKvMib: undefined }, null).kvCacheMib, null);
  assert.equal(learned({ report: { kvCacheMib: -1280 } }).kvCacheMib, null);
  assert.equal(learned({ report: { kvCacheMib: 10_001 } }).kvCacheMib, null);
});

test('the driver’s figure of a process replaces one by difference or imported, however much larger that was', () => {
  for (const source of ['device_difference', 'imported'] as const) {
    const better = learned({}, { ...STORED, source, usedMib: 15_000 });
    assert.deepEqual([better.usedMib, better.source], [10_000, 'per_process']);
  }
  const worse = learned({ use: { mib: 8000, source: 'device_difference' } });
  assert.deepEqual([worse.usedMib, worse.source], [9000, 'per_process']);
  const seen = withUse(
    { ...LAUNCH, use: { mib: 12_000, source: 'device_difference' } },
    9000,
    'per_process',
    3000,
  );
  assert.deepEqual([seen.use, seen.hostMib], [{ mib: 9000, source: 'per_process' }, 4000]);
  assert.deepEqual(withUse(seen, 20_000, 'device_difference', null).use, seen.use);
});

test('what is not measured anew is kept: weights, residue, host asleep', () => {
  const { weightsMib, residueMib, hostAwakeMib, hostAsleepMib, measuredAtS } = learned({ hostMib: null });
  assert.deepEqual(
    [weightsMib, residueMib, hostAwakeMib, hostAsleepMib, measuredAtS],
    [3000, 700, 3900, 9000, 2],
  );
});

test('of several workers’ reports the largest figures count', () => {
  const report = mergedReport({ weightsMib: 7000, kvCacheMib: 2000 }, { weightsMib: 7100, kvCacheTokens: 9 });
  assert.deepEqual(report, { weightsMib: 7100, kvCacheMib: 2000, kvCacheTokens: 9 });
});

test('stored are changes of more than 64 MiB, and figures that were not known', () => {
  assert.ok(!worthStoring(STORED, { ...STORED, usedMib: 9064, measuredAtS: 9 }));
  assert.ok(worthStoring(STORED, { ...STORED, usedMib: 9065 }));
  assert.ok(worthStoring({ ...STORED, weightsMib: null }, STORED));
  assert.ok(worthStoring({ ...STORED, kvCacheTokens: null }, STORED));
  assert.ok(worthStoring(null, STORED));
});
