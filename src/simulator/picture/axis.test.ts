import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countTicks, timeTicks, timeUnit } from './axis.ts';

const H = 3_600_000;

test('time has round steps and readable units', () => {
  const labels = (endMs: number) => timeTicks(endMs).map(({ label }) => label);
  assert.deepEqual(labels(9_000).slice(0, 3), ['0:00', '0:01', '0:02']);
  assert.deepEqual(labels(H).slice(0, 3), ['0:00', '5:00', '10:00']);
  assert.deepEqual(labels(2.5 * H).slice(0, 4), ['0:00', '0:15', '0:30', '0:45']);
  assert.deepEqual(labels(12 * H).slice(-2), ['11:00', '12:00']);
  assert.deepEqual(labels(10 * 24 * H).slice(0, 3), ['0 d', '1 d', '2 d']);
  assert.deepEqual([H, 2 * H, 100 * 24 * H].map(timeUnit), ['min:s', 'h:min', 'days']);
  for (const endMs of [1, 1_000, H / 3, H, 5 * H, 30 * H, 400 * 24 * H])
    assert.ok(timeTicks(endMs).length <= 15, `${endMs}`);
});

test('counts reach the most there is', () => {
  assert.deepEqual(
    countTicks(0.3).map(({ value }) => value),
    [0, 1],
  );
  assert.deepEqual(
    countTicks(580).map(({ label }) => label),
    ['0', '200', '400', '600'],
  );
  assert.deepEqual(
    countTicks(25_000).map(({ label }) => label),
    ['0', '10k', '20k', '30k'],
  );
});
