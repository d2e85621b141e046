import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate, testCosts, testRequest, testWorld } from '../simulation-fixtures.ts';

test('two requests that take longer to their first byte than their turns last do not cut each other for ever', async () => {
  // Found by seed 14060: each was cut at the end of the other's drain, queued again, and cut again.
  const world = testWorld({ palette: [testCosts({ prefillTokensPerS: 1, maxConcurrent: 1 })] });
  const requests = [testRequest(0, 'a'), testRequest(1_000, 'b')];
  const { requests: seen, violations, moves } = await simulate(requests, { world });
  assert.equal(seen.length, 2);
  assert.deepEqual(violations, []);
  // The first one is told that it was cut; with nobody left who waits, the other one has all the time it needs.
  assert.deepEqual(
    seen.map(({ end }) => end),
    ['refused', 'answered'],
  );
  assert.ok(moves.length < 12, `${moves.length} moves`);
});
