import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrng } from '../core/prng.ts';
import type { Effect } from '../scheduler/effects.ts';
import { createScheduler, type Scheduler } from '../scheduler/scheduler.ts';
import type { SimulatedRequest } from './request-source.ts';
import { simulate, testCosts, testRequest, testWorld } from './simulation-fixtures.ts';

test('a cold model makes its first request wait for its start, later ones pass while it has slots', async () => {
  const world = testWorld({ palette: [testCosts({ maxConcurrent: 2 })] });
  const requests = [0, 10_500, 10_600, 20_000].map((atMs) => testRequest(atMs, 'a'));
  const { waitsMs, moveTimes, violations, end } = await simulate(requests, { world });
  // The first one runs until 12,000 and the second until 12,500; the third waits for a slot.
  assert.deepEqual(waitsMs, [10_000, 0, 1_400, 0]);
  assert.deepEqual(moveTimes, [['start', 'a', 0, 10_000]]);
  assert.deepEqual(violations, []);
  assert.equal(end.endMs, 22_000);
});

test('without sleep a swap is a stop and a start', async () => {
  const { waitsMs, moveTimes } = await simulate([testRequest(0, 'a'), testRequest(60_000, 'b')]);
  assert.deepEqual(waitsMs, [10_000, 12_000]);
  assert.deepEqual(moveTimes, [
    ['start', 'a', 0, 10_000],
    ['stop', 'a', 60_000, 62_000],
    ['start', 'b', 62_000, 72_000],
  ]);
});

test('with sleep it is a sleep, and a waking when the model comes back', async () => {
  const world = testWorld({ sleep: true });
  const requests = [testRequest(0, 'a'), testRequest(60_000, 'b'), testRequest(120_000, 'a')];
  const { waitsMs, moveTimes, violations } = await simulate(requests, { world });
  // Beyond the moves: 10 ms until the memory of the sleeper is seen to have settled.
  assert.deepEqual(waitsMs, [10_000, 11_010, 2_510]);
  assert.deepEqual(moveTimes, [
    ['start', 'a', 0, 10_000],
    ['sleep', 'a', 60_000, 61_000],
    ['start', 'b', 61_010, 71_010],
    ['sleep', 'b', 120_000, 121_000],
    ['wake', 'a', 121_010, 122_510],
  ]);
  assert.deepEqual(violations, []);
});

test('a time scale stretches arrivals, and nothing else', async () => {
  const requests = [testRequest(0, 'a'), testRequest(10_500, 'a')];
  const { waitsMs, end } = await simulate(requests, { timeScale: 2 });
  assert.deepEqual(waitsMs, [10_000, 0]);
  assert.equal(end.endMs, 23_000);
});

test('impatient clients leave, whether they wait or run', async () => {
  const requests = [testRequest(0, 'a'), testRequest(9_000, 'a', 1_000)];
  const { requests: seen, arrivedCount, dispatchedCount } = await simulate(requests, { patienceMs: 5_000 });
  assert.deepEqual(
    seen.map(({ end, endMs, waitMs }) => [end, endMs, waitMs]),
    [
      ['left', 5_000, null],
      // It was dispatched in time, so that it waits no more.
      ['answered', 21_000, 1_000],
    ],
  );
  assert.equal(arrivedCount, 2);
  assert.equal(dispatchedCount, 1);
});

test('closed-loop clients ask again after their answers', async () => {
  let rounds = 0;
  const source = {
    models: ['a'],
    open: () => ({
      next: (() => {
        const first: (SimulatedRequest | null)[] = [testRequest(0, 'a')];
        return () => first.shift() ?? null;
      })(),
      ended: (_request: SimulatedRequest, _end: string, atMs: number) => {
        rounds += 1;
        return rounds < 3 ? testRequest(atMs + 500, 'a') : null;
      },
      close: () => {},
    }),
  };
  const { waitsMs, requests } = await simulate([], { source });
  assert.deepEqual(waitsMs, [10_000, 0, 0]);
  assert.deepEqual(
    requests.map(({ arrivedMs }) => arrivedMs),
    [0, 12_500, 15_000],
  );
});

/** Eight models of three sizes on two devices: no quarter of an hour without swaps. */
function crowd(seed: number, count: number): readonly SimulatedRequest[] {
  const prng = createPrng(seed);
  return Array.from({ length: count }, () => ({
    atMs: prng.integer(900_000),
    model: `m${prng.integer(8)}`,
    promptTokens: prng.integer(2_000),
    outputTokens: prng.integer(1_500),
  })).sort((a, b) => a.atMs - b.atMs);
}

const CROWDED = testWorld({
  devices: [0, 1].map((index) => ({ id: `gpu-${index}`, memoryMib: 24_000, budgetFraction: 0.9 })),
  hostMemoryMib: 30_000,
  sleep: true,
  palette: [
    testCosts({ coldStart: { minMs: 6_000, medianMs: 9_000, p90Ms: 15_000 } }),
    testCosts({ weightsMib: 3_000, maxConcurrent: 2 }),
    testCosts({ gpus: 2, coldStart: { minMs: 20_000, medianMs: 25_000, p90Ms: 40_000 } }),
  ],
});

test('one seed gives one run, another seed another one', async () => {
  const run = async (seed: number) => {
    const { requests, moveTimes, end } = await simulate(crowd(1, 400), { world: CROWDED, seed });
    return { requests, moveTimes, endMs: end.endMs, decisions: end.decisions };
  };
  const first = await run(1);
  assert.deepEqual(await run(1), first);
  assert.notDeepEqual((await run(2)).requests, first.requests);
});

test('every request ends exactly once, with and without patience', async () => {
  for (const patienceMs of [null, 20_000]) {
    const { requests, arrivedCount, dispatchedCount } = await simulate(crowd(2, 500), {
      world: CROWDED,
      patienceMs,
    });
    assert.equal(arrivedCount, 500);
    assert.deepEqual(
      requests.map(({ id }) => id).sort((a, b) => a - b),
      Array.from({ length: 500 }, (_, index) => index + 1),
    );
    assert.equal(requests.filter(({ waitMs }) => waitMs !== null).length, dispatchedCount);
    assert.ok(requests.some(({ end }) => end === 'answered'));
    assert.equal(
      requests.some(({ end }) => end === 'left'),
      patienceMs !== null,
    );
  }
});

/** The production scheduler, whose effects are changed on their way. */
function corrupted(change: (effects: Effect[]) => Effect[]): Scheduler {
  const scheduler = createScheduler();
  return {
    begin: scheduler.begin,
    decide: (state, event, nowMs) => change(scheduler.decide(state, event, nowMs)),
  };
}

async function violationsOf(scheduler: Scheduler, requests: readonly SimulatedRequest[]) {
  const world = testWorld({
    devices: [{ id: 'gpu-0', memoryMib: 22_000, budgetFraction: 0.9 }],
    palette: [testCosts({ maxConcurrent: 1 })],
  });
  return (await simulate(requests, { world, scheduler })).violations;
}

test('the machine tells of a dispatch that comes twice', async () => {
  const twice = corrupted((effects) =>
    effects.flatMap((effect): Effect[] => (effect.kind === 'dispatch' ? [effect, effect] : [effect])),
  );
  const violations = (await violationsOf(twice, [testRequest(0, 'a')])).join('\n');
  assert.match(violations, /request 1 of a was dispatched while it was running/);
});

test('the machine tells of a start beside a start', async () => {
  const requests = [testRequest(0, 'a'), testRequest(1_000, 'b')];
  const beside = corrupted((effects) =>
    effects.flatMap((effect): Effect[] =>
      effect.kind === 'start' ? [effect, { ...effect, launchId: `${effect.launchId}-again` }] : [effect],
    ),
  );
  assert.deepEqual(await violationsOf(createScheduler(), requests), []);
  const violations = await violationsOf(beside, requests);
  assert.match(violations.join('\n'), /the start of a began on gpu-0 beside the start of a/);
});

test('the machine tells of more memory than there is, and of more than may be reserved', async () => {
  const thrice = corrupted((effects) =>
    effects.flatMap((effect): Effect[] =>
      effect.kind === 'start'
        ? ['', '-2', '-3'].map((end) => ({
            ...effect,
            launchId: `${effect.launchId}${end}`,
            // What is said to be reserved does not matter to the machine.
            memoryMibPerDevice: 1,
          }))
        : [effect],
    ),
  );
  const violations = (await violationsOf(thrice, [testRequest(0, 'a')])).join('\n');
  assert.match(violations, /gpu-0 holds 20000 MiB of a budget of 19800 MiB/);
  assert.match(violations, /gpu-0 holds 30000 of 22000 MiB/);
});

test('a run in which nothing goes on any more ends, and tells so', async () => {
  const requests = [testRequest(0, 'a'), testRequest(30_000, 'b')];
  const kept = corrupted((effects) => effects.filter(({ kind }) => kind !== 'stop'));
  const [first] = await violationsOf(kept, requests);
  assert.equal(first, 'nothing goes on any more, and 1 requests have not ended');
});
