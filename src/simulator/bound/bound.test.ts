import assert from 'node:assert/strict';
import test from 'node:test';
import { createPrng, type Prng } from '../../core/prng.ts';
import type { RequestSource, SimulatedRequest } from '../request-source.ts';
import { assignCosts, type ModelCosts, type World } from '../world.ts';
import { ALL_TIGHTENINGS, pricedProblem, type Tightenings } from './bound.ts';
import { type BoundInput, readBoundInput } from './bound-model.ts';
import { leastWaitSlots, SLOT_MS } from './exhaustive-schedules.fixture.ts';
import { searchPrices } from './price-search.ts';
import type { Variant } from './ready-times.ts';

const CASES = 320;

interface Tiny {
  readonly world: World;
  readonly requests: readonly SimulatedRequest[];
}

function sourceOf(requests: readonly SimulatedRequest[]): RequestSource {
  return {
    models: [...new Set(requests.map(({ model }) => model))],
    open: () => {
      let next = 0;
      return { next: () => requests[next++] ?? null, close: () => {} };
    },
  };
}

function tiny(prng: Prng): Tiny {
  const pick = (...values: readonly number[]): number => values[prng.integer(values.length)] ?? 0;
  const palette = Array.from({ length: 2 }, (): ModelCosts => {
    const coldMs = pick(1, 2, 3, 4) * SLOT_MS;
    return {
      weightsMib: pick(4000, 6000, 9000),
      kvMib: 0,
      overheadMib: 0,
      gpus: 1,
      coldStart: { minMs: coldMs, medianMs: coldMs, p90Ms: coldMs },
      sleepMs: SLOT_MS,
      wakeMs: SLOT_MS,
      stopMs: pick(1, 2) * SLOT_MS,
      prefillTokensPerS: 1000,
      decodeTokensPerS: 1000,
      maxConcurrent: pick(1, 2, 8),
    };
  });
  const world: World = {
    name: 'tiny',
    devices: [{ id: 'gpu-0', memoryMib: pick(10_000, 10_000, 14_000), budgetFraction: 1 }],
    hostMemoryMib: pick(0, 6000, 20_000),
    sleep: prng.next() < 0.7,
    palette,
  };
  const requests: SimulatedRequest[] = [];
  const rate = pick(0.15, 0.3);
  for (let slot = 0; slot < 9; slot += 1) {
    for (const model of ['a', 'b']) {
      if (prng.next() >= rate) continue;
      const outputTokens = pick(1, 1, 2, 4) * SLOT_MS;
      requests.push({ atMs: slot * SLOT_MS, model, promptTokens: 0, outputTokens });
    }
  }
  return { world, requests };
}

function bestBound(
  world: World,
  { models }: BoundInput,
  variant: Variant,
  tightenings: Tightenings = ALL_TIGHTENINGS,
): number {
  return searchPrices({
    horizonMs: 32_000,
    levels: [1, 8, 32],
    workMax: 400_000,
    ceiling: null,
    start: null,
    problemOf: (grid) => pricedProblem(world, models, grid, variant, tightenings),
  }).best;
}

interface Compared {
  readonly variant: Variant;
  readonly seed: number;
  readonly ratio: number;
}

function compare(change: (input: BoundInput) => BoundInput, cases: number): readonly Compared[] {
  const compared: Compared[] = [];
  for (let seed = 0; seed < cases; seed += 1) {
    const { world, requests } = tiny(createPrng(seed));
    if (requests.length === 0) continue;
    const source = sourceOf(requests);
    const input = change(readBoundInput(world, source, 1, { seed, counts: null }));
    const costs = assignCosts(world, source.models);
    for (const variant of ['demand', 'clairvoyant'] as const) {
      const least = leastWaitSlots(world, costs, requests, variant === 'demand') * SLOT_MS;
      assert.ok(Number.isFinite(least), `seed ${seed}: the exhaustive search came to its end`);
      const bound = bestBound(world, input, variant);
      if (least > 0) compared.push({ variant, seed, ratio: bound / least });
      else assert.ok(bound <= 1, `seed ${seed}, ${variant}: ${bound} where nothing must wait`);
    }
  }
  return compared;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

test('the bound never exceeds the best of all schedules of tiny worlds', (context) => {
  const compared = compare((input) => input, CASES);
  for (const { variant, seed, ratio } of compared)
    assert.ok(ratio <= 1 + 1e-9, `seed ${seed}, ${variant}: ${ratio} of the least`);
  for (const variant of ['demand', 'clairvoyant'] as const) {
    const ratios = compared.filter((one) => one.variant === variant).map(({ ratio }) => ratio);
    context.diagnostic(
      `${variant}: ${ratios.length} cases, bound / least: median ${median(ratios).toFixed(3)}`,
    );
    assert.ok(median(ratios) > 0.7, `${variant}: it is worth something`);
  }
});

test('a bound whose loads take longer than they do is caught', () => {
  const slower = ({ models, impossible }: BoundInput): BoundInput => ({
    impossible,
    models: models.map((model) => ({ ...model, firstColdMs: model.firstColdMs + SLOT_MS })),
  });
  assert.ok(compare(slower, 20).some(({ ratio }) => ratio > 1));
});

test('a price with the wrong sign is no bound, and is caught', () => {
  let caught = 0;
  for (let seed = 0; seed < 40; seed += 1) {
    const { world, requests } = tiny(createPrng(seed));
    if (requests.length === 0) continue;
    const source = sourceOf(requests);
    const { models } = readBoundInput(world, source, 1, { seed, counts: null });
    const least = leastWaitSlots(world, assignCosts(world, source.models), requests, true) * SLOT_MS;
    const problem = pricedProblem(world, models, { bucketMs: 8000, buckets: 4 }, 'demand', ALL_TIGHTENINGS);
    const prices = new Float64Array(16).fill(-0.5);
    if (problem.evaluate(prices, new Float64Array(16)) > least) caught += 1;
  }
  assert.ok(caught > 0);
});

test('more memory never raises the bound', () => {
  for (let seed = 100; seed < 130; seed += 1) {
    const { world, requests } = tiny(createPrng(seed));
    if (requests.length === 0) continue;
    const boundWith = (memoryMib: number): number => {
      const larger = { ...world, devices: world.devices.map((device) => ({ ...device, memoryMib })) };
      const input = readBoundInput(larger, sourceOf(requests), 1, { seed, counts: null });
      return bestBound(larger, input, 'demand');
    };
    const [small, large, huge] = [10_000, 16_000, 40_000].map(boundWith);
    const slack = 0.02 * (small ?? 0) + 1;
    assert.ok((large ?? 0) <= (small ?? 0) + slack, `seed ${seed}: ${large} with more, ${small} with less`);
    assert.ok((huge ?? 0) <= (large ?? 0) + slack, `seed ${seed}: ${huge} with more, ${large} with less`);
  }
});

test('each tightening only adds', () => {
  for (let seed = 200; seed < 220; seed += 1) {
    const { world, requests } = tiny(createPrng(seed));
    if (requests.length === 0) continue;
    const input = readBoundInput(world, sourceOf(requests), 1, { seed, counts: null });
    const all = bestBound(world, input, 'demand');
    for (const name of ['holds', 'packing', 'movers', 'host'] as const) {
      const less = bestBound(world, input, 'demand', { ...ALL_TIGHTENINGS, [name]: false });
      assert.ok(less <= all * 1.03 + 1, `seed ${seed}: ${less} without ${name}, ${all} with it`);
    }
  }
});
