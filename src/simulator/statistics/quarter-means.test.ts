import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QuarterMeans } from './quarter-means.ts';

test('few values: each quarter exactly, in any order, borders divided', () => {
  const means = new QuarterMeans();
  for (const index of [3, 1, 0, 2]) means.add(index, 10 * index);
  assert.deepEqual(means.means(4), [0, 10, 20, 30]);
  // Of two, each fills two quarters.
  assert.deepEqual(means.means(2), [0, 0, 10, 10]);
});

test('indices without a value do not count', () => {
  const means = new QuarterMeans();
  means.add(0, 5);
  means.add(7, 9);
  assert.deepEqual(means.means(8), [5, 0, 0, 9]);
});

test('many values: means of the quarters, whatever the length', () => {
  for (const length of [513, 5_000, 100_003]) {
    const means = new QuarterMeans();
    for (let index = 0; index < length; index += 1) means.add(index, index / length);
    for (const [quarter, found] of means.means(length).entries())
      assert.ok(Math.abs(found - (quarter + 0.5) / 4) < 0.003, `${length}: ${quarter}: ${found}`);
  }
});
