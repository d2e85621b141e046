/** Who is asked to make room, and when: corners in which somebody waited without an end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import { go, serve, sleeper, worldOf } from '../../test/fakes/sleeper-world.ts';

const START_MS = 30_000;

/** Each device in a pool of its own. */
function pooled(models: readonly ReturnType<typeof testPolicy>[], pools: readonly string[], startMs: number) {
  const setup = testSetup(
    models,
    pools.map(() => 16_000),
  );
  const devices = (setup.devices ?? []).map((device, index) => ({ ...device, pool: pools[index] ?? null }));
  return new SchedulerWorld({ ...setup, devices }, { startMs });
}

function waitedMs(record: { readonly arrivedMs: number; readonly dispatchedMs: number | null }): number {
  return (record.dispatchedMs ?? Number.POSITIVE_INFINITY) - record.arrivedMs;
}

test('an idle engine on several devices goes although there is always a start on one of them', () => {
  for (const count of [2, 3, 4]) {
    const pools = Array.from({ length: count }, (_, index) => `s${index}`);
    const smalls = pools.flatMap((pool) =>
      ['x', 'y', 'q'].map((name) => testPolicy(`${pool}${name}`, { pool, assumedStartMs: START_MS })),
    );
    const wide = { deviceCount: count + 1, memoryMibPerDevice: 4_000, assumedStartMs: START_MS };
    const models = [
      testPolicy('wide', wide),
      testPolicy('next', { pool: 'z', memoryMibPerDevice: 14_000, assumedStartMs: START_MS }),
      ...smalls,
    ];
    const world = pooled(models, ['z', ...pools], START_MS);
    world.request('wide');
    go(world, 40_000);
    world.onEnd = ({ model }) => {
      if (model.startsWith('s'))
        world.clock.setTimer(world.clock.nowMs() + 20_000, () => world.request(model));
    };
    for (const pool of pools) {
      for (const name of ['x', 'y', 'q']) world.request(`${pool}${name}`);
      go(world, 7_000);
    }
    go(world, 200_000);
    const record = world.request('next');
    go(world, 300_000);
    assert.ok(waitedMs(record) < 120_000, `waited ${waitedMs(record)} ms beside ${count}`);
  }
});

test('a drain goes on for whom it was begun, also where somebody else waits for another of its devices', () => {
  const models = [
    testPolicy('wide', { deviceCount: 2, memoryMibPerDevice: 4_000 }),
    testPolicy('busy', { pool: 'z' }),
    testPolicy('later', { pool: 'z' }),
    testPolicy('soon', { pool: 'y', memoryMibPerDevice: 14_000 }),
  ];
  const world = pooled(models, ['z', 'y'], 2_000);
  world.request('wide');
  go(world, 10_000);
  world.serviceMs.set('busy', 100_000);
  world.request('busy');
  go(world, 150_000);
  world.request('busy');
  go(world, 1_000);
  world.request('later');
  go(world, 5_000);
  assert.equal(world.engineKind('busy'), 'draining');
  const record = world.request('soon');
  go(world, 30_000);
  assert.ok(waitedMs(record) < 10_000, `waited ${waitedMs(record)} ms`);
});

test('a cheaper place that may be free a little later is not waited for again and again', () => {
  const startMs: Readonly<Record<string, number>> = { dear: 600_000, cheap: 1_000, next: 30_000 };
  const models = Object.entries(startMs).map(([name, assumedStartMs]) =>
    testPolicy(name, { assumedStartMs, queueSize: 500 }),
  );
  const world = new SchedulerWorld(testSetup(models, [16_000, 16_000]));
  world.startMsOf = (model) => startMs[model] ?? 0;
  world.request('dear');
  go(world, 1_300_000);
  world.onEnd = ({ model }) => {
    if (model === 'cheap') world.request(model);
  };
  for (let count = 0; count < 16; count += 1) world.request('cheap');
  go(world, 60_000);
  const record = world.request('next');
  go(world, 200_000);
  assert.ok(waitedMs(record) < 60_000, `waited ${waitedMs(record)} ms`);
});

test('a start that outlasts what was expected has its idle neighbour neither drained nor counted as gone', () => {
  const small = { memoryMibPerDevice: 6_000, residueMib: 100 };
  const world = worldOf([
    sleeper('a', small),
    sleeper('slow', small),
    sleeper('b', { memoryMibPerDevice: 9_000, residueMib: 100 }),
  ]);
  serve(world, 'a');
  world.hanging.add('slow');
  world.request('slow');
  go(world, 1_000);
  world.request('b');
  go(world, 35_000);
  assert.equal(world.engineKind('a'), 'awake');
  const record = world.request('a');
  go(world, 5_000);
  assert.equal(waitedMs(record), 0);
});

test('a sleeper is started on a free device where its own is taken for much longer and nobody else waits', () => {
  const world = worldOf([sleeper('x'), sleeper('y')], { budgetsMib: [16_000, 16_000] });
  const devices = [...world.state.devices.values()];
  world.send({ kind: 'devices_changed', devices: devices.slice(0, 1) });
  world.serviceMs.set('y', 200_000);
  serve(world, 'x', 'y');
  world.request('y');
  go(world, 5_000);
  world.send({ kind: 'devices_changed', devices });
  const record = world.request('x');
  go(world, 1_000_000);
  assert.ok(waitedMs(record) < 40_000, `waited ${waitedMs(record)} ms`);
});

test('a sleeper that is waited for does not leave for who makes room for it', () => {
  const world = worldOf([sleeper('a'), sleeper('b')], { hostBudgetMib: 24_000 });
  serve(world, 'a', 'b', 'b', 'b', 'b', 'b', 'b');
  assert.equal(world.engineKind('a'), 'asleep');
  const record = world.request('a');
  go(world, 100_000);
  assert.equal(world.count('wake', 'a'), 1);
  assert.ok(waitedMs(record) < 5_000, `waited ${waitedMs(record)} ms`);
});
