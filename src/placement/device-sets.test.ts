import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEVICE_SETS_MAX, deviceSets } from './device-sets.ts';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

test('while they are few, all sets are looked at', () => {
  const sets = deviceSets(numbers(9), 4, () => 0, []);
  assert.equal(sets.length, 126);
  assert.ok(sets.length <= DEVICE_SETS_MAX);
  assert.equal(new Set(sets.map((set) => set.join())).size, 126);
  assert.deepEqual(
    deviceSets(['a', 'b', 'c'], 2, () => 0, []),
    [
      ['a', 'b'],
      ['a', 'c'],
      ['b', 'c'],
    ],
  );
  assert.deepEqual(
    deviceSets(['a'], 2, () => 0, []),
    [],
  );
});

test('beyond that the cheapest devices, and those that one engine spans', () => {
  const cost = (index: number): number => (index === 9 ? 0 : 10 - index);
  assert.deepEqual(
    deviceSets(numbers(10), 5, cost, [
      [0, 1, 2],
      [0, 1, 2, 3, 4, 5],
    ]),
    [
      [5, 6, 7, 8, 9],
      [0, 1, 2, 8, 9],
      [1, 2, 3, 4, 5],
    ],
  );
  const many = numbers(200).map((index) => [index, index + 1]);
  assert.equal(deviceSets(numbers(300), 3, () => 0, many).length, DEVICE_SETS_MAX);
});

test('one device of very many is still the cheapest of all', () => {
  assert.deepEqual(
    deviceSets(numbers(1_000), 1, (index) => (index === 777 ? 1 : 2), []),
    [[777]],
  );
});
