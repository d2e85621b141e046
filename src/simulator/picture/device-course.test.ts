import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrng } from '../../core/prng.ts';
import { DeviceCourse } from './device-course.ts';
import type { Slice } from './simulation-picture.ts';

test('few changes are kept as they are', () => {
  const course = new DeviceCourse(10);
  course.hold('a', 'moving', 100, 5);
  course.hold('a', 'awake', 100, 20);
  course.hold('b', 'awake', 50, 20);
  course.hold('a', null, 0, 30);
  assert.deepEqual(course.slices(40), [
    { fromMs: 0, toMs: 5, holds: [] },
    { fromMs: 5, toMs: 20, holds: [{ model: 'a', state: 'moving', mib: 100 }] },
    {
      fromMs: 20,
      toMs: 30,
      holds: [
        { model: 'a', state: 'awake', mib: 100 },
        { model: 'b', state: 'awake', mib: 50 },
      ],
    },
    { fromMs: 30, toMs: 40, holds: [{ model: 'b', state: 'awake', mib: 50 }] },
  ]);
});

/** MiB times milliseconds of each state of each model. */
function areas(slices: readonly Slice[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { fromMs, toMs, holds } of slices) {
    for (const { model, state, mib } of holds) {
      const key = `${model} ${state}`;
      sums.set(key, (sums.get(key) ?? 0) + mib * (toMs - fromMs));
    }
  }
  return sums;
}

test('beyond the limit short neighbours are averaged: areas stay, long times stay as they were', () => {
  const exact = new DeviceCourse(1_000_000);
  const coarse = new DeviceCourse(60);
  const prng = createPrng(3);
  let nowMs = 0;
  for (let change = 0; change < 2_000; change += 1) {
    // Every hundredth time is long.
    nowMs += change % 100 === 0 ? 100_000 : 1 + prng.integer(100);
    const model = `m${prng.integer(4)}`;
    const state = (['awake', 'moving', 'asleep', null] as const)[prng.integer(4)] ?? null;
    for (const course of [exact, coarse]) course.hold(model, state, 100 + change, nowMs);
  }
  const slices = coarse.slices(nowMs + 10);
  assert.ok(slices.length <= 121, `${slices.length}`);
  const expected = areas(exact.slices(nowMs + 10));
  for (const [key, area] of areas(slices)) {
    const exactArea = expected.get(key) ?? 0;
    assert.ok(Math.abs(area / exactArea - 1) < 1e-6, key);
  }
  assert.ok(slices.filter(({ fromMs, toMs }) => toMs - fromMs >= 100_000).length >= 19);
  assert.ok(slices.every(({ fromMs }, index) => index === 0 || fromMs === slices[index - 1]?.toMs));
});
