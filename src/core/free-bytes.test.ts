import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freeBytes } from './free-bytes.ts';

test('large bytes that are alone in their memory are freed', () => {
  const bytes = Buffer.allocUnsafeSlow(1_000_000);
  freeBytes(bytes);
  assert.equal(bytes.length, 0);
});

test('what shares its memory stays, and so does what is small', () => {
  const whole = Buffer.alloc(100_000, 'x');
  freeBytes(whole.subarray(0, 50_000));
  assert.equal(whole.length, 100_000);
  const small = Buffer.allocUnsafeSlow(100);
  freeBytes(small);
  assert.equal(small.length, 100);
});
