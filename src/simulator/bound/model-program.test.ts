import assert from 'node:assert/strict';
import test from 'node:test';
import { createPrng, type Prng } from '../../core/prng.ts';
import type { BoundModel } from './bound-model.ts';
import { holdClasses, noHolds } from './hold-classes.ts';
import { LineHull } from './line-hull.ts';
import { ModelProgram } from './model-program.ts';
import { naiveCost } from './naive-program.fixture.ts';
import type { ModelShares, TimeGrid } from './prices.ts';
import { readyTimes } from './ready-times.ts';
import { ModelRents } from './rents.ts';
import { Usage } from './usage.ts';

const GRID: TimeGrid = { bucketMs: 10_000, buckets: 12 };

function randomModel(prng: Prng): BoundModel {
  const count = 1 + prng.integer(7);
  const arrivals = Array.from({ length: count }, () => prng.next() * 80_000).sort((a, b) => a - b);
  return {
    name: 'm',
    arrivalsMs: Float64Array.from(arrivals),
    servicesMs: Float64Array.from({ length: count }, () => 100 + prng.next() * 12_000),
    maxConcurrent: 8,
    gpus: 1,
    awakeMib: 1000,
    hostMib: 1000,
    firstColdMs: 2000 + prng.next() * 20_000,
    laterColdMs: 2000 + prng.next() * 10_000,
    stopMs: 500 + prng.next() * 1500,
    sleep: prng.next() < 0.6 ? { fallMs: 100 + prng.next() * 1000, wakeMs: 100 + prng.next() * 3000 } : null,
  };
}

function randomShares(prng: Prng): ModelShares {
  return { memory: prng.next(), packing: prng.next() * 0.5, residue: 0.02, host: prng.next(), movers: 0.5 };
}

/** Some dear, some nothing. */
function randomPrices(prng: Prng): Float64Array {
  return Float64Array.from({ length: 4 * GRID.buckets }, () =>
    prng.next() < 0.2 ? 0 : 10 ** (prng.next() * 2 - 1.5),
  );
}

test('the hull finds what trying every leaving at many more moments finds', () => {
  for (let seed = 0; seed < 400; seed += 1) {
    const prng = createPrng(seed);
    const model = randomModel(prng);
    const shares = randomShares(prng);
    const prices = randomPrices(prng);
    const options = {
      variant: prng.next() < 0.5 ? ('demand' as const) : ('clairvoyant' as const),
      holds: prng.next() < 0.7,
    };
    const classes = options.holds ? holdClasses(model.servicesMs) : noHolds(model.servicesMs);
    const times = [...readyTimes(model, classes, GRID, options.variant).ms];
    for (let extra = 0; extra < 100; extra += 1) times.push(prng.next() * 140_000);
    times.sort((a, b) => a - b);
    const found = new ModelProgram(model, shares, GRID, new ModelRents(GRID), options).solve(prices);
    const naive = naiveCost(model, shares, GRID, options, prices, times);
    assert.ok(Math.abs(found - naive) <= 1e-6 * (1 + Math.abs(naive)), `seed ${seed}: ${found}, ${naive}`);
  }
});

test('without prices a model waits for its first start only', () => {
  const model = randomModel(createPrng(3));
  const shares = randomShares(createPrng(4));
  const options = { variant: 'demand', holds: true } as const;
  const program = new ModelProgram(model, shares, GRID, new ModelRents(GRID), options);
  const readyMs = (model.arrivalsMs[0] ?? 0) + model.firstColdMs;
  const waitMs = model.arrivalsMs.reduce((sum, arrivalMs) => sum + Math.max(0, readyMs - arrivalMs), 0);
  assert.ok(Math.abs(program.solve(new Float64Array(4 * GRID.buckets)) - waitMs) < 1e-3);
});

test('the use that a solution tells is how its cost changes with each price', () => {
  let close = 0;
  let checked = 0;
  for (let seed = 0; seed < 30; seed += 1) {
    const prng = createPrng(seed);
    const model = randomModel(prng);
    const shares = randomShares(prng);
    const prices = randomPrices(prng);
    const variant = seed % 2 === 0 ? ('demand' as const) : ('clairvoyant' as const);
    const program = new ModelProgram(model, shares, GRID, new ModelRents(GRID), { variant, holds: true });
    const cost = program.solve(prices);
    const usage = new Usage(GRID);
    usage.clear();
    for (const residence of program.residences())
      usage.add(residence, shares, program.liesAwake ? prices : null);
    usage.finish();
    for (let index = 0; index < prices.length; index += 1) {
      const step = 1e-6;
      const moved = Float64Array.from(prices);
      moved[index] = (prices[index] ?? 0) + step;
      const slope = (program.solve(moved) - cost) / step;
      const use = (usage.useMs[index] ?? 0) + GRID.bucketMs;
      checked += 1;
      if (Math.abs(slope - use) <= 0.02 * GRID.bucketMs) close += 1;
    }
  }
  // Moves across edges are rounded, and ties have several slopes.
  assert.ok(close > 0.9 * checked, `${close} of ${checked}`);
});

test('a hull answers as all its lines do', () => {
  for (let seed = 0; seed < 50; seed += 1) {
    const prng = createPrng(seed);
    const hull = new LineHull(200);
    const lines: { count: number; intercept: number }[] = [];
    let count = 0;
    let time = 0;
    for (let step = 0; step < 200; step += 1) {
      count += prng.integer(3);
      const intercept = count * time + prng.next() * 100;
      hull.add(count, intercept, step);
      lines.push({ count, intercept });
      time += prng.next();
      const least = Math.min(...lines.map((line) => line.intercept - line.count * time));
      assert.ok(
        Math.abs(hull.least(time) - least) < 1e-9 * (1 + Math.abs(least)),
        `seed ${seed}, step ${step}`,
      );
    }
  }
});
