import assert from 'node:assert/strict';
import test from 'node:test';
import { aloneWaitMs } from './alone.ts';
import type { BoundModel } from './bound-model.ts';

function model(
  arrivalsMs: readonly number[],
  servicesMs: readonly number[],
  maxConcurrent: number,
): BoundModel {
  return {
    name: 'm',
    arrivalsMs: Float64Array.from(arrivalsMs),
    servicesMs: Float64Array.from(servicesMs),
    maxConcurrent,
    gpus: 1,
    awakeMib: 1,
    hostMib: 1,
    firstColdMs: 5,
    laterColdMs: 5,
    stopMs: 1,
    sleep: null,
  };
}

test('with a slot for everybody nobody waits', () => {
  assert.equal(aloneWaitMs(model([0, 0, 1], [10, 10, 10], 3), 0), 0);
});

test('whoever finds all slots taken waits for the first one that is free', () => {
  // Slots are free at 3 and 10; the third waits 2, the fourth (at 2, service from 10 or 3 + 4) waits 5.
  assert.equal(aloneWaitMs(model([0, 0, 1, 2], [10, 3, 4, 1], 2), 0), 2 + 5);
});

test('nobody is served before the engine is ready', () => {
  assert.equal(aloneWaitMs(model([0, 2], [1, 1], 8), 5), 5 + 3);
});
