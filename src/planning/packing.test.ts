import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type PackedDevice, type PackedItem, pack } from './packing.ts';

function device(id: string, changes: Partial<PackedDevice> = {}): PackedDevice {
  return { id, pool: null, totalMib: 24, budgetMib: 20, ...changes };
}

function item(name: string, memoryMib: number | null, changes: Partial<PackedItem> = {}): PackedItem {
  return { name, deviceCount: 1, pool: null, memoryMib, ...changes };
}

test('whole devices are shared with nobody, several are of one size, pools are kept', () => {
  const two = [device('a'), device('b', { totalMib: 12, budgetMib: 10, pool: 'p' })];
  assert.equal(pack([item('x', null), item('y', 1)], two).kind, 'fits');
  assert.equal(pack([item('x', null), item('y', null), item('z', 1)], two).kind, 'full');
  assert.equal(pack([item('x', 5, { deviceCount: 2 })], two).kind, 'full');
  const inPool = pack([item('x', 5, { pool: 'p' }), item('y', 5, { pool: 'p' })], two);
  assert.deepEqual(inPool.kind === 'fits' ? [...inPool.places.values()] : null, [['b'], ['b']]);
  assert.equal(pack([item('x', 11, { pool: 'p' })], two).kind, 'full');
});

test('what a first fit in order would miss is found', () => {
  // 12 + 8 and 9 + 7 + 4 fill two devices of 20 to the brim.
  const items = [7, 9, 12, 4, 8].map((mib, index) => item(String(index), mib));
  assert.equal(pack(items, [device('a'), device('b')]).kind, 'fits');
});

const arbitraryDevice = fc.record({
  size: fc.constantFrom(10, 20),
  pool: fc.constantFrom('p', null),
});
const arbitraryItem = fc.record({
  deviceCount: fc.constantFrom(1, 1, 2),
  pool: fc.constantFrom('p', null, null),
  memoryMib: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant(null)),
});

test('agrees with trying every place of every model', () => {
  fc.assert(
    fc.property(
      fc.array(arbitraryDevice, { minLength: 1, maxLength: 3 }),
      fc.array(arbitraryItem, { maxLength: 4 }),
      (sizes, plain) => {
        const devices = sizes.map(({ size, pool }, index) =>
          device(`d${index}`, { totalMib: size, budgetMib: size, pool }),
        );
        const items = plain.map((each, index) => ({ ...each, name: `m${index}` }));
        const packing = pack(items, devices);
        assert.equal(packing.kind === 'fits', tryAll(items, devices, new Map()));
        if (packing.kind !== 'fits') return;
        for (const { name, deviceCount } of items)
          assert.equal(new Set(packing.places.get(name)).size, deviceCount);
      },
    ),
    { numRuns: 300 },
  );
});

/** `used` by device: null once it is taken whole. */
function tryAll(
  items: readonly PackedItem[],
  devices: readonly PackedDevice[],
  used: ReadonlyMap<string, number | null>,
): boolean {
  const [first, ...rest] = items;
  if (first === undefined) return true;
  return subsets(devices, first.deviceCount).some((set) => {
    if (new Set(set.map(({ totalMib }) => totalMib)).size > 1) return false;
    const next = new Map(used);
    for (const { id, pool, budgetMib } of set) {
      const before = used.get(id) ?? 0;
      if (used.get(id) === null || (first.pool !== null && pool !== first.pool)) return false;
      if (first.memoryMib === null ? before > 0 : before + first.memoryMib > budgetMib) return false;
      next.set(id, first.memoryMib === null ? null : before + first.memoryMib);
    }
    return tryAll(rest, devices, next);
  });
}

function subsets<T>(items: readonly T[], count: number): readonly (readonly T[])[] {
  if (count === 0) return [[]];
  return items.flatMap((first, index) =>
    subsets(items.slice(index + 1), count - 1).map((rest) => [first, ...rest]),
  );
}
