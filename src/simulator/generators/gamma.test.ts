import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gammaGap, normal, streamPrng } from './gamma.ts';

const DRAWS = 200_000;

function moments(draw: () => number): { readonly mean: number; readonly cv: number } {
  let sum = 0;
  let squares = 0;
  for (let index = 0; index < DRAWS; index += 1) {
    const value = draw();
    sum += value;
    squares += value * value;
  }
  const mean = sum / DRAWS;
  return { mean, cv: Math.sqrt(squares / DRAWS - mean * mean) / mean };
}

test('gaps have mean 1 and the coefficient of variation that was asked for', () => {
  for (const cv of [0.5, 1, 2, 4, 8]) {
    const prng = streamPrng(7, 3);
    const found = moments(() => gammaGap(prng, cv));
    const tolerance = 0.012 * Math.max(1, cv);
    assert.ok(Math.abs(found.mean - 1) < tolerance, `cv ${cv}: mean ${found.mean}`);
    assert.ok(Math.abs(found.cv / cv - 1) < tolerance, `cv ${cv}: ${found.cv}`);
  }
  assert.equal(gammaGap(streamPrng(1, 1), 0), 1);
});

test('normal draws have mean 0 and deviation 1', () => {
  const prng = streamPrng(1, 0);
  const { mean, cv } = moments(() => 10 + normal(prng));
  assert.ok(Math.abs(mean - 10) < 0.01 && Math.abs(cv * 10 - 1) < 0.01, `${mean} ${cv}`);
});

test('streams of one seed differ, and so do seeds of one stream', () => {
  const firsts = [0, 1, 2].flatMap((seed) => [0, 1, 2].map((stream) => streamPrng(seed, stream).next()));
  assert.equal(new Set(firsts).size, firsts.length);
});
