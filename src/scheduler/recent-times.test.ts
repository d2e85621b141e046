import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentTimes } from './recent-times.ts';

function timesOf(...ms: readonly number[]): RecentTimes {
  const times = new RecentTimes(5);
  for (const each of ms) times.add(each);
  return times;
}

test('median and tail are of the last ones only', () => {
  assert.deepEqual([timesOf().medianMs, timesOf().tailMs], [null, null]);
  const times = timesOf(900, 900, 10, 40, 20, 30, 50);
  assert.deepEqual([times.count, times.medianMs, times.tailMs], [5, 30, 50]);
  times.clear();
  assert.deepEqual([times.count, times.medianMs], [0, null]);
});

test('the rest of what has gone on for a while is that of those that took longer', () => {
  const times = timesOf(10, 20, 30, 40, 100);
  assert.equal(times.restMs(0), 30);
  assert.equal(times.restMs(25), 40 - 25);
  assert.equal(times.restMs(5, 2), 60 - 5);
  // Nothing ever took so long.
  assert.ok(times.restMs(1_000) > 400 && times.restMs(1_000) < 430);
});
