import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POISON_FINGERPRINTS_MAX, POISON_REFUSAL_MS } from '../core/limits.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import { PoisonList } from './poison-list.ts';

const body = (text: string): Uint8Array => new TextEncoder().encode(text);

test('one death is bad luck, two are refused, for ten minutes', () => {
  const clock = new VirtualClock();
  const list = new PoisonList(clock);
  list.blame('a', body('x'));
  assert.equal(list.refusedDeaths('a', body('x')), 0);
  list.blame('a', body('x'));
  assert.equal(list.refusedDeaths('a', body('x')), 2);
  assert.equal(list.refusedDeaths('a', body('y')), 0);
  assert.equal(list.refusedDeaths('b', body('x')), 0);
  clock.advanceTo(POISON_REFUSAL_MS);
  assert.equal(list.refusedDeaths('a', body('x')), 0);
});

test('the list is bounded, and forgets the oldest first', () => {
  const list = new PoisonList(new VirtualClock());
  for (let index = 0; index < 2; index += 1) list.blame('a', body('first'));
  for (let index = 0; index < POISON_FINGERPRINTS_MAX; index += 1) list.blame('a', body(`${index}`));
  assert.equal(list.refusedDeaths('a', body('first')), 0);
});
