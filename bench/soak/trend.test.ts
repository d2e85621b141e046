import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lineThrough, lowest } from './trend.ts';

test('a line through points on a line is that line', () => {
  const points = [0, 1, 2, 5].map((x) => ({ x, y: 3 + 2 * x }));
  const line = lineThrough(points);
  assert.ok(Math.abs((line?.slope ?? 0) - 2) < 1e-9 && Math.abs((line?.at0 ?? 0) - 3) < 1e-9);
  assert.equal(lineThrough(points.slice(0, 1)), null);
});

test('the lowest of each group is where a saw-tooth stands after its collections', () => {
  const points = [5, 1, 7, 6, 2, 9, 8].map((y, x) => ({ x, y }));
  assert.deepEqual(
    lowest(points, 3).map(({ y }) => y),
    [1, 2],
  );
});
