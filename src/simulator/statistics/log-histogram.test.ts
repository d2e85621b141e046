import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrng } from '../../core/prng.ts';
import { LogHistogram } from './log-histogram.ts';

test('without values everything is 0', () => {
  const { count, mean, max } = new LogHistogram();
  assert.deepEqual([count, mean, max, new LogHistogram().percentile(0.99)], [0, 0, 0, 0]);
});

test('mean and max are exact, a single value is all percentiles', () => {
  const histogram = new LogHistogram();
  histogram.add(1234.5);
  assert.deepEqual(
    [0, 0.5, 0.99, 1].map((part) => histogram.percentile(part)),
    Array(4).fill(1234.5),
  );
  histogram.add(0.5);
  assert.deepEqual([histogram.mean, histogram.max], [617.5, 1234.5]);
});

test('zeros count, and percentiles are nearest ranks', () => {
  const histogram = new LogHistogram();
  for (const value of [0, 0, 0, 0, 0, 0, 10, 20, 30, 40]) histogram.add(value);
  assert.equal(histogram.percentile(0.6), 0);
  const found = [0.61, 0.7, 0.8, 0.95, 1].map((part) => histogram.percentile(part));
  for (const [index, expected] of [10, 10, 20, 40, 40].entries())
    assert.ok(Math.abs((found[index] ?? 0) / expected - 1) <= 0.005, `${found}`);
});

test('percentiles are within half a per cent of the true ones, from microseconds to years', () => {
  const prng = createPrng(5);
  const histogram = new LogHistogram();
  const values = Array.from({ length: 20_000 }, () => 10 ** (prng.next() * 13 - 3));
  for (const value of values) histogram.add(value);
  values.sort((a, b) => a - b);
  for (let rank = 1; rank <= values.length; rank += 7) {
    const exact = values[rank - 1] ?? 0;
    const error = Math.abs(histogram.percentile(rank / values.length) / exact - 1);
    assert.ok(error <= 0.00501, `rank ${rank}: ${error}`);
  }
});

test('values beyond all buckets stand in the last one', () => {
  const histogram = new LogHistogram();
  histogram.add(1e15);
  assert.equal(histogram.max, 1e15);
  assert.equal(histogram.percentile(0.5), 1e15);
});
