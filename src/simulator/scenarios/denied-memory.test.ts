import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryReading } from '../../../test/fakes/memory-reading.ts';
import { go, serve, sleeper, worldOf } from '../../../test/fakes/sleeper-world.ts';
import { sleeperUses } from '../../control/sleeper-uses.ts';

test('a sleeper that was believed and freed nothing is found by a later reading, and gives way', () => {
  // Found by seed 26198: the devices could not be read when it fell asleep, and whoever needed its memory waited for ever.
  const world = worldOf([sleeper('a'), sleeper('b')], { budgetsMib: [16_000] });
  serve(world, 'a', 'b');
  const engine = world.state.models.get('a')?.engine;
  assert.ok(engine?.kind === 'asleep');
  const { launchId } = engine.reservation;
  const use = { usedMib: 10_000, source: 'per_process' } as const;
  const reading = { ...memoryReading('gpu-0', 20_000), launches: new Map([[launchId, use]]) };
  // So soon the reading may be older than the sleep.
  assert.deepEqual(sleeperUses(world.state, [reading], new Set(), engine.sinceMs + 1_000), []);
  const [found] = sleeperUses(world.state, [reading], new Set(), world.clock.nowMs());
  assert.deepEqual(found, { launchId, model: 'a', usedMib: 10_000 });
  world.send({ kind: 'measured', launchId, model: 'a', memoryMibPerDevice: 10_000 });
  go(world, 60_000);
  // Awake again it never was: its own memory would be in the way of that.
  assert.equal(world.engineKind('a'), 'cold');
  assert.equal(world.state.overBudget.size, 0);
  serve(world, 'a', 'b');
});
