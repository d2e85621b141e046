import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DenseList } from './dense-list.ts';

test('a dense list holds what a set would hold, whatever is added and removed', () => {
  const items = Array.from({ length: 8 }, (_, name) => ({ name, listIndex: -1 }));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(7))), (steps) => {
      const list = new DenseList<(typeof items)[number]>();
      for (const item of items) item.listIndex = -1;
      const expected = new Set<number>();
      for (const [isAdd, name] of steps) {
        const item = items[name];
        if (item === undefined) continue;
        if (!isAdd) list.remove(item);
        else if (!expected.has(name)) list.add(item);
        if (isAdd) expected.add(name);
        else expected.delete(name);
        assert.equal(list.size, expected.size);
        assert.deepEqual(new Set(list.items.map((held) => held.name)), expected);
      }
    }),
  );
});

test('an item of another list is not removed', () => {
  const one = new DenseList<{ listIndex: number }>();
  const other = new DenseList<{ listIndex: number }>();
  const item = { listIndex: -1 };
  one.add(item);
  other.remove(item);
  assert.equal(one.size, 1);
});
