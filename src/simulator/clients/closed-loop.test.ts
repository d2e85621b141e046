import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SimulatedRequest } from '../request-source.ts';
import { closedLoop } from './closed-loop.ts';

const noLengths = () => ({ promptTokens: 7, outputTokens: 9 });

test('a client asks again when it has thought about its answer', () => {
  const source = closedLoop(
    'model=a,clients=2,think_s=3,think=fixed,prompt=100,output=20,hours=0.01',
    1,
    noLengths,
  );
  assert.deepEqual(source.models, ['a']);
  const stream = source.open();
  const first = stream.next();
  const second = stream.next();
  assert.equal(stream.next(), null);
  assert.ok(first !== null && second !== null && first.atMs <= second.atMs && second.atMs < 3_000);
  assert.deepEqual(stream.ended?.(first, 'answered', 10_000), {
    atMs: 13_000,
    model: 'a',
    promptTokens: 100,
    outputTokens: 20,
  });
  // Its end was told.
  assert.equal(stream.ended?.(first, 'answered', 10_000), null);
  // Refused, it comes back a second later; after its hours it does not.
  const again = stream.ended?.(second, 'refused', 20_000);
  assert.equal(again?.atMs, 24_000);
  assert.equal(stream.ended?.(again ?? second, 'answered', 33_000), null);
});

test('groups, several models, limits and drawn lengths', () => {
  const text = 'model=a+b,requests=3,think_s=0,output=5;model=c,clients=2,think_s=2';
  const source = closedLoop(text, 1, noLengths);
  assert.deepEqual(source.models, ['a', 'b', 'c']);
  const stream = source.open();
  const first = [stream.next(), stream.next(), stream.next()].filter((request) => request !== null);
  let own: SimulatedRequest | null | undefined = first.find(({ model }) => model !== 'c');
  let count = 0;
  for (; own; count += 1) {
    assert.deepEqual([own.promptTokens, own.outputTokens], [7, 5]);
    own = stream.ended?.(own, 'answered', 0);
  }
  assert.equal(count, 3);
  const other = first.filter(({ model }) => model === 'c');
  assert.equal(other.length, 2);
  const thoughts = Array.from({ length: 3_000 }, () => 0).reduce((sum) => {
    const request = other.pop() ?? null;
    const next = request === null ? null : stream.ended?.(request, 'answered', 0);
    if (next) other.push(next);
    return sum + (next?.atMs ?? 0);
  }, 0);
  assert.ok(Math.abs(thoughts / 3_000 - 2_000) < 150, `${thoughts / 3_000}`);
});

test('what is wrong is named', () => {
  const cases: readonly (readonly [text: string, expected: RegExp])[] = [
    ['clients=3', /--closed: model: is missing\. Add model=NAME/],
    ['model=a,think=slow', /think: is "slow"\. Give exponential or fixed/],
    ['model=a,think_ms=3', /think_ms: is not known\. Did you mean think_s/],
  ];
  for (const [text, expected] of cases) assert.throws(() => closedLoop(text, 1, noLengths), expected);
});
