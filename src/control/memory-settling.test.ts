import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../test/fakes/fake-launch.ts';
import { memoryReading } from '../../test/fakes/memory-reading.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import { SETTLE_LIMIT_MS, type Settling, untilMemorySettled } from './memory-settling.ts';

/** Plays one figure a look, the last one for ever; answers with the outcome and the time it took. */
async function watch(
  figures: readonly (number | null)[],
): Promise<{ outcome: Settling | null; tookMs: number }> {
  const clock = new VirtualClock();
  let look = 0;
  let outcome: Settling | null = null;
  const read = async () => [memoryReading('g', figures[Math.min(look++, figures.length - 1)] ?? null)];
  void untilMemorySettled(read, ['g'], clock).then((result) => {
    outcome = result;
  });
  await settle();
  while (outcome === null && clock.step()) await settle();
  return { outcome, tookMs: clock.nowMs() };
}

test('memory that no longer falls has settled', async () => {
  assert.deepEqual(await watch([9_000, 9_000]), { outcome: 'settled', tookMs: 10 });
  assert.deepEqual(await watch([9_000, 5_000, 1_000, 990]), { outcome: 'settled', tookMs: 110 });
});

test('a device that does not tell is not waited for', async () => {
  assert.deepEqual(await watch([null]), { outcome: 'unknown', tookMs: 0 });
});

test('memory that falls for ever is waited for up to the limit', async () => {
  const falling = Array.from({ length: 1_000 }, (_, index) => 1_000_000 - 100 * index);
  const { outcome, tookMs } = await watch(falling);
  assert.deepEqual([outcome, tookMs], ['falling', SETTLE_LIMIT_MS + 10]);
});
