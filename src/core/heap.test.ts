import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Heap } from './heap.ts';

test('items come out in their order, whether they were there from the beginning or came later', () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), fc.array(fc.integer()), (there, later) => {
      const heap = new Heap([...there], (a: number, b: number) => a < b);
      for (const item of later) heap.push(item);
      const all = [...there, ...later].sort((a, b) => a - b);
      assert.equal(heap.size, all.length);
      assert.deepEqual(
        [...heap].sort((a, b) => a - b),
        all,
      );
      assert.equal(heap.peek(), all[0] ?? null);
      const out = all.map(() => heap.pop());
      assert.deepEqual(out, all);
      assert.equal(heap.pop(), null);
    }),
  );
});
