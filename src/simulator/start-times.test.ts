import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coldStartMs } from './start-times.ts';

const TIMES = { minMs: 25_000, medianMs: 35_000, p90Ms: 56_000 };

function drawn(seed: number, modelIndex: number, count: number): number[] {
  return Array.from({ length: count }, (_, start) => coldStartMs(TIMES, seed, modelIndex, start));
}

test('the k-th start of a model always takes the same, another one does not', () => {
  assert.deepEqual(drawn(1, 3, 5), drawn(1, 3, 5));
  const seen = [drawn(1, 3, 5), drawn(2, 3, 5), drawn(1, 4, 5)].flat();
  const above = seen.filter((ms) => ms > TIMES.minMs);
  assert.equal(new Set(above).size, above.length);
});

test('starts have the median and the 90th percentile that the world gives, and none is below the minimum', () => {
  const sorted = Array.from({ length: 20 }, (_, model) => drawn(7, model, 500))
    .flat()
    .sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? 0;
  assert.ok(Math.abs(at(0.5) / TIMES.medianMs - 1) < 0.03, `median ${at(0.5)}`);
  assert.ok(Math.abs(at(0.9) / TIMES.p90Ms - 1) < 0.03, `p90 ${at(0.9)}`);
  assert.equal(sorted[0], TIMES.minMs);
});

test('a world without a spread has one start time', () => {
  const times = { minMs: 10_000, medianMs: 10_000, p90Ms: 10_000 };
  assert.equal(coldStartMs(times, 5, 0, 0), 10_000);
});
