import assert from 'node:assert/strict';
import test from 'node:test';
import { checkAgainstBound } from './check-bound.ts';

const BOUND = { requests: 10, demand_s: 4, clairvoyant_s: 2 };

test('a run at its bound or above it passes, one below it is told', () => {
  assert.equal(checkAgainstBound({ notReadyMeanS: 4, requests: 10, loadsAhead: false }, BOUND), null);
  assert.match(
    checkAgainstBound({ notReadyMeanS: 3.9, requests: 10, loadsAhead: false }, BOUND) ?? '',
    /less than the demand bound/,
  );
});

test('a run that loads ahead is held against the clairvoyant bound', () => {
  assert.equal(checkAgainstBound({ notReadyMeanS: 3.9, requests: 10, loadsAhead: true }, BOUND), null);
  assert.match(
    checkAgainstBound({ notReadyMeanS: 1.9, requests: 10, loadsAhead: true }, BOUND) ?? '',
    /less than the clairvoyant bound/,
  );
});

test('runs of other requests cannot be compared', () => {
  assert.match(
    checkAgainstBound({ notReadyMeanS: 9, requests: 9, loadsAhead: false }, BOUND) ?? '',
    /cannot be compared/,
  );
});
