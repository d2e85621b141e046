import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IdMap } from './id-map.ts';

/** Ids that meet in buckets, and ids that follow one another. */
const id = fc.oneof(
  fc.nat(10),
  fc.nat(6).map((n) => n * 64 + 1),
  fc.nat(300),
);
const step = fc.tuple(fc.constantFrom('set', 'set', 'delete'), id, fc.nat());

test('an id map does what a Map does, in the same order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const map = new IdMap<number>();
      const model = new Map<number, number>();
      for (const [what, key, value] of steps) {
        if (what === 'set') {
          map.set(key, value);
          model.set(key, value);
        } else {
          assert.equal(map.delete(key), model.delete(key));
        }
        assert.equal(map.get(key), model.get(key));
        assert.equal(map.has(key), model.has(key));
        assert.equal(map.size, model.size);
      }
      assert.deepEqual([...map], [...model]);
      assert.deepEqual([...map.keys()], [...model.keys()]);
      assert.deepEqual([...map.values()], [...model.values()]);
    }),
  );
});

test('a walk sees what a Map shows when entries come and go meanwhile', () => {
  const change = fc.array(step, { maxLength: 4 });
  fc.assert(
    fc.property(
      fc.uniqueArray(id, { maxLength: 20 }),
      fc.array(change, { maxLength: 20 }),
      (ids, changes) => {
        const walk = (map: IdMap<number> | Map<number, number>): number[] => {
          const seen: number[] = [];
          for (const key of ids) map.set(key, key);
          for (const [key] of map) {
            seen.push(key);
            for (const [what, other, value] of changes[seen.length - 1] ?? []) {
              if (what === 'set') map.set(other, value);
              else map.delete(other);
            }
          }
          return seen;
        };
        assert.deepEqual(walk(new IdMap()), walk(new Map()));
      },
    ),
  );
});

test('more entries than buckets are found, and the table is used again when they are gone', () => {
  const map = new IdMap<string>();
  for (let key = 0; key < 1000; key++) map.set(key, String(key));
  for (let key = 0; key < 1000; key++) assert.equal(map.get(key), String(key));
  for (let key = 0; key < 1000; key++) assert.equal(map.delete(key), true);
  assert.equal(map.size, 0);
  assert.deepEqual([...map], []);
});
