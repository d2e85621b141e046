import assert from 'node:assert/strict';
import test from 'node:test';
import { createPrng } from '../../core/prng.ts';
import { packedSizes } from './packing.ts';

test('no set of models that fits weighs more than a device, and none weighs less than its size', () => {
  for (let seed = 0; seed < 60; seed += 1) {
    const prng = createPrng(seed);
    const sizes = Array.from({ length: 1 + prng.integer(5) }, () => 800 + prng.integer(9000));
    const budgets = Array.from({ length: 1 + prng.integer(3) }, () => 9000 + prng.integer(2) * 4000);
    const packed = packedSizes(sizes, budgets);
    assert.ok(packed !== null);
    const largest = Math.max(...budgets);
    for (const [kind, weight] of packed.weights.entries()) assert.ok(weight >= (sizes[kind] ?? 0) / largest);
    for (let round = 0; round < 200; round += 1) {
      let weight = 0;
      for (const budget of budgets) {
        let left = budget;
        for (let tries = 0; tries < 12; tries += 1) {
          const kind = prng.integer(sizes.length);
          if ((sizes[kind] ?? 0) > left) continue;
          left -= sizes[kind] ?? 0;
          weight += packed.weights[kind] ?? 0;
        }
      }
      assert.ok(weight <= packed.capacity + 1e-9, `seed ${seed}: ${weight} of ${packed.capacity}`);
    }
  }
});

test('a model that leaves room for nothing else takes the whole device', () => {
  const packed = packedSizes([22_400, 5400], [23_347, 23_347]);
  assert.ok(Math.abs((packed?.weights[0] ?? 0) - 1) < 1e-9);
  assert.ok(Math.abs((packed?.weights[1] ?? 0) - 0.25) < 1e-9);
  assert.equal(packed?.capacity, 2);
});
