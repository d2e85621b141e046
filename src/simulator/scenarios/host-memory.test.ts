import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate, testCosts, testRequest, testWorld } from '../simulation-fixtures.ts';

test('a sleeper that is being stopped holds its host memory until it is gone', async () => {
  // The host holds one sleeper of 8,000 MiB, and whoever needs its place may be on another device.
  const world = testWorld({
    devices: [0, 1].map((index) => ({ id: `gpu-${index}`, memoryMib: 12_000, budgetFraction: 0.9 })),
    sleep: true,
    hostMemoryMib: 12_000,
    // Each is worth more there than the one before.
    palette: [10_000, 20_000, 30_000, 40_000].map((startMs) =>
      testCosts({ coldStart: { minMs: startMs, medianMs: startMs, p90Ms: startMs } }),
    ),
  });
  const models = ['a', 'b', 'c', 'd', 'a', 'b', 'c', 'd'];
  const requests = models.map((model, index) => testRequest(index * 60_000, model));
  const { violations, moves } = await simulate(requests, { world });
  assert.deepEqual(violations, []);
  assert.ok(moves.filter(({ kind }) => kind === 'sleep').length >= 2);
  assert.ok(moves.some(({ kind }) => kind === 'stop'));
});
