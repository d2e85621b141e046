/** Models that have their devices to themselves, beside what sleepers leave there. Devices have 20,000 MiB. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PlacementNeed, place } from './place.ts';
import { device, resident, sleep, stop } from './view-fixtures.ts';

const WHOLE: PlacementNeed = {
  deviceCount: 1,
  pool: null,
  memoryMibPerDevice: null,
  leastMibPerDevice: 0,
  onlyOn: null,
  laterMs: 0,
};
/** Leaves 1,000 MiB when it sleeps. */
const awake = resident('awake', { ways: [sleep(17_000, 10), stop(18_000, 100)] });

test('it gets what sleepers leave it', () => {
  const placement = place(WHOLE, [device('a', { reservedMib: 2_000, restMib: 2_000 })]);
  assert.deepEqual(placement, { kind: 'free', deviceIds: ['a'], memoryMibPerDevice: 18_000 });
});

test('whoever is awake goes, and may sleep', () => {
  const placement = place(WHOLE, [device('a', { reservedMib: 19_000, restMib: 2_000, residents: [awake] })]);
  assert.deepEqual(placement.kind === 'evict' && placement.victims, [{ model: 'awake', how: 'sleep' }]);
});

test('where less than it needs would be left, who is awake is stopped', () => {
  const need = { ...WHOLE, leastMibPerDevice: 19_500 };
  const placement = place(need, [device('a', { reservedMib: 18_000, restMib: 1_000, residents: [awake] })]);
  assert.deepEqual(placement.kind === 'evict' && placement.victims, [{ model: 'awake', how: 'stop' }]);
});

test('a device that can never give what it needs is not taken, and beside an unknown size sleepers leave little', () => {
  assert.equal(place({ ...WHOLE, leastMibPerDevice: 20_001 }, [device('a')]).kind, 'never');
  const many = device('a', { reservedMib: 4_000, restMib: 4_000 });
  assert.equal(place(WHOLE, [many]).kind, 'blocked');
  assert.equal(place({ ...WHOLE, leastMibPerDevice: 15_000 }, [many]).kind, 'free');
});
