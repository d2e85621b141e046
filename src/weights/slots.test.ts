import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Slots } from './slots.ts';

const LIMITS = { filesAtOnceMax: 4, filesOfRepositoryMax: 2, filesBesideMax: 2 };

/** What has begun, in order; each ends when it is told to. */
function site(limits = LIMITS) {
  const slots = new Slots(limits);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const { signal } = new AbortController();
  return {
    begun,
    start: (name: string, own: AbortSignal = signal) =>
      slots.run(name.slice(0, 1), own, () => {
        begun.push(name);
        return new Promise<void>((resolve) => ends.set(name, resolve));
      }),
    async end(name: string) {
      ends.get(name)?.();
      await turn();
    },
  };
}

test('so many of one repository and in all; small repositories wait for no large ones', async () => {
  const { begun, start, end } = site();
  const running = ['a1', 'a2', 'a3', 'b1', 'b2', 'b3', 'c1', 'c2', 'd1', 'e1', 'a4'].map((name) =>
    start(name),
  );
  assert.deepEqual(begun, ['a1', 'a2', 'b1', 'b2', 'c1', 'd1'], 'two beside the four, and no more');
  await end('a1');
  assert.deepEqual(begun.slice(6), ['e1'], 'whoever has nothing comes first');
  await end('b1');
  assert.deepEqual(begun.slice(7), [], 'five are still under way where four are allowed');
  await end('a2');
  assert.deepEqual(begun.slice(7), ['a3'], 'nothing of it was under way any more');
  await end('d1');
  await end('e1');
  assert.deepEqual(begun.slice(8), ['b3'], 'of those with as many, who has waited longest');
  for (const name of ['b2', 'c1', 'a3', 'b3', 'c2', 'a4']) await end(name);
  await Promise.all(running);
  assert.equal(begun.length, 11);
});

test('whoever is ended while it waits leaves at once, and takes no place later', async () => {
  const { begun, start, end } = site({ ...LIMITS, filesOfRepositoryMax: 1 });
  const first = start('a1');
  const ended = new AbortController();
  const second = start('a2', ended.signal);
  const third = start('a3');
  ended.abort();
  await assert.rejects(second, { name: 'AbortError' });
  await assert.rejects(start('a4', ended.signal), { name: 'AbortError' });
  await end('a1');
  assert.deepEqual(begun, ['a1', 'a3']);
  await end('a3');
  await Promise.all([first, third]);
});
