import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate, testCosts, testRequest, testWorld } from '../simulation-fixtures.ts';
import { EstimateErrors } from './estimate-errors.ts';

/** Two models that take turns on one device, each asked for when the other has long been idle. */
function turns(count: number) {
  return Array.from({ length: count }, (_, index) =>
    testRequest(index * 60_000, index % 2 === 0 ? 'a' : 'b'),
  );
}

test('where nothing happens by chance, what was learned once is expected exactly', async () => {
  const errors = new EstimateErrors();
  await simulate(turns(40), { world: testWorld({ sleep: true }), observers: [errors] });
  const { wake, start } = errors.figures;
  assert.deepEqual([wake.count, start.count, wake.unknown], [38, 2, 0]);
  assert.ok((wake.median ?? 1) < 0.02, `wakes miss by ${wake.median}`);
  assert.equal(wake.contended.count, 38);
});

test('starts that vary miss by about what they vary', async () => {
  const errors = new EstimateErrors();
  const costs = testCosts({ coldStart: { minMs: 5_000, medianMs: 20_000, p90Ms: 40_000 } });
  await simulate(turns(200), { world: testWorld({ palette: [costs] }), observers: [errors] });
  const { start, wake } = errors.figures;
  assert.deepEqual([start.count, wake.count], [200, 0]);
  const { median } = start;
  assert.ok(median !== null && median > 0.15 && median < 0.5, `starts miss by ${median}`);
});
