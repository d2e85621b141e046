import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSetup } from '../../../test/fakes/scheduler-world.ts';
import { serve, sleeper, worldOf } from '../../../test/fakes/sleeper-world.ts';
import { simulate, testCosts, testRequest, testWorld } from '../simulation-fixtures.ts';

test('a sleeper that is being stopped holds its host memory until it is gone', async () => {
  // The host holds one sleeper of 8,000 MiB, and whoever needs its place may be on another device.
  const world = testWorld({
    devices: [0, 1].map((index) => ({ id: `gpu-${index}`, memoryMib: 12_000, budgetFraction: 0.9 })),
    sleep: true,
    hostMemoryMib: 12_000,
    // Each is worth more there than the one before.
    palette: [10_000, 20_000, 30_000, 40_000].map((startMs) =>
      testCosts({ coldStart: { minMs: startMs, medianMs: startMs, p90Ms: startMs } }),
    ),
  });
  const models = ['a', 'b', 'c', 'd', 'a', 'b', 'c', 'd'];
  const requests = models.map((model, index) => testRequest(index * 60_000, model));
  const { violations, moves } = await simulate(requests, { world });
  assert.deepEqual(violations, []);
  assert.ok(moves.filter(({ kind }) => kind === 'sleep').length >= 2);
  assert.ok(moves.some(({ kind }) => kind === 'stop'));
});

test('an engine of an earlier gateway that is to be ended counts in host memory until it is gone', () => {
  // Found by seed 1873: a sleeper was being stopped when its gateway died, and the next one put another to sleep at once.
  const world = worldOf([sleeper('a'), sleeper('b'), sleeper('c', { pool: 'x' })], {
    hostBudgetMib: 25_000,
    budgetsMib: [16_000, 16_000],
    devices: null,
  });
  const launch = { deviceIds: ['gpu-1'], memoryMibPerDevice: 10_000, signature: 'c', model: 'c' };
  const stage = { kind: 'unusable', why: 'that was being stopped' } as const;
  world.send({ kind: 'adopted', launch: { ...launch, launchId: 'old-1', stage }, contextLength: null });
  // It never is, so that nothing here depends on when.
  world.stuckStops.set('c (old-1)', Number.POSITIVE_INFINITY);
  const [first, second] = testSetup([], [16_000, 16_000]).devices ?? [];
  assert.ok(first !== undefined && second !== undefined);
  world.send({ kind: 'devices_changed', devices: [first, { ...second, pool: 'x' }] });
  serve(world, 'a', 'b');
  // It may hold the 15,000 MiB that it has asleep: beside it nobody else can sleep.
  assert.ok(world.state.launches.has('old-1'));
  assert.equal(world.count('sleep'), 0);
  assert.equal(world.engineKind('a'), 'cold');
});
