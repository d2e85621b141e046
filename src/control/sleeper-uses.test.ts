import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryReading } from '../../test/fakes/memory-reading.ts';
import { adoptAsleep, sleeper, worldOf } from '../../test/fakes/sleeper-world.ts';
import { sleeperUses } from './sleeper-uses.ts';

test('a sleeper that holds more of a device than is reserved is told, but not on host memory', () => {
  const world = worldOf([sleeper('a')]);
  adoptAsleep(world, 'a');
  const launches = new Map([['old-1', { usedMib: 9_000, source: 'per_process' as const }]]);
  const readings = [{ ...memoryReading('gpu-0', 9_000), launches }];
  const told = (shared: readonly string[], nowMs: number) =>
    sleeperUses(world.state, readings, new Set(shared), nowMs).map(({ usedMib }) => usedMib);
  assert.deepEqual(told([], 60_000), [9_000]);
  assert.deepEqual(told(['gpu-0'], 60_000), []);
  assert.deepEqual(told([], 1_000), [], 'the reading may be older than its sleep');
});
