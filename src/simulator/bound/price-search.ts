/**
 * Finds good prices from coarse to fine: first one price for all time, by trying multiples, then four times as many buckets
 * at each level, each beginning with the prices of the level before. On few buckets a step is cheap and its slopes say something;
 * started at nought on many, it takes thousands of steps, because free resources look needed by everybody.
 */

import { ascend } from './ascent.ts';
import { at } from './at.ts';
import type { TimeGrid } from './prices.ts';
import { RESOURCES } from './prices.ts';

export interface PricedProblem {
  readonly grid: TimeGrid;
  /** Moments tried in one evaluation: a measure of its work. */
  readonly work: number;
  /** The bound at these prices; fills in how it changes with each. */
  evaluate(prices: Float64Array, slopes: Float64Array): number;
}

export interface SearchOptions {
  readonly horizonMs: number;
  /** Buckets at each level, ascending, each a multiple of the one before. */
  readonly levels: readonly number[];
  /** Moments to try in all. */
  readonly workMax: number;
  /** What no bound exceeds; null: not known. */
  readonly ceiling: number | null;
  /** Prices of a similar problem to begin with. */
  readonly start: PricedGrid | null;
  readonly problemOf: (grid: TimeGrid) => PricedProblem;
}

export interface PricedGrid {
  readonly grid: TimeGrid;
  readonly prices: Float64Array;
}

export interface SearchResult extends PricedGrid {
  readonly best: number;
  /** The bound where nothing has a price. */
  readonly unpriced: number;
  readonly evaluations: number;
  readonly isConverged: boolean;
}

/** At each level, and at the finest. */
const STEPS_MAX = 80;
const LAST_STEPS_MAX = 400;
/** Of prices for all time: the first multiple tried, in waiting requests, the factor between two, and how many. */
const SCAN_FIRST = 0.004;
const SCAN_FACTOR = 4;
const SCAN_STEPS = 12;
/** Which resources have a price at once, in the order of `RESOURCES`. */
const SCANS: readonly (readonly number[])[] = [
  [1, 0, 1, 1],
  [0, 0, 1, 0],
  [1, 0, 0, 0],
];
const REFINEMENTS = [2, 1.4];
const REFINEMENT_STEPS = 4;

/** Another problem's prices are tried at these multiples. */
const START_SCALES = [1, 0.3, 0.1, 0.03, 0.01, 0.001];

export function searchPrices(options: SearchOptions): SearchResult {
  const { horizonMs, levels, problemOf } = options;
  let found = options.start;
  let evaluations = 0;
  let best = Number.NEGATIVE_INFINITY;
  let unpriced = 0;
  let isConverged = false;
  let workLeft = options.workMax;
  levels.forEach((buckets, level) => {
    const problem = problemOf({ bucketMs: horizonMs / buckets, buckets });
    if (level === 0) {
      const size = RESOURCES.length * buckets;
      unpriced = problem.evaluate(new Float64Array(size), new Float64Array(size));
      if (found === null) {
        const scan = scanPrices(problem);
        found = { grid: problem.grid, prices: scan.prices };
        evaluations += scan.evaluations;
        workLeft -= scan.evaluations * problem.work;
      }
    }
    // The finest level is worth half of what is left, all those before it the other half.
    const isLast = level === levels.length - 1;
    const share = isLast ? 1 : 0.5 / (levels.length - 1 - level);
    const stepsMax = isLast ? LAST_STEPS_MAX : STEPS_MAX;
    const iterationsMax = Math.max(2, Math.min(stepsMax, Math.floor((share * workLeft) / problem.work)));
    let start = found === null ? null : refined(found, problem.grid);
    if (level === 0 && start !== null && options.start !== null) {
      start = scaled(problem, start);
      evaluations += START_SCALES.length;
      workLeft -= START_SCALES.length * problem.work;
    }
    const ascent = ascend(
      { size: RESOURCES.length * buckets, evaluate: problem.evaluate },
      { iterationsMax, ceiling: options.ceiling, start },
    );
    workLeft -= ascent.iterations * problem.work;
    evaluations += ascent.iterations;
    isConverged = ascent.isConverged;
    // Edges round a little, so that a finer level can begin below a coarser one's best.
    if (ascent.best <= best) return;
    best = ascent.best;
    found = { grid: problem.grid, prices: ascent.prices };
  });
  if (found === null) throw new Error('a search has at least one level');
  return { ...found, best, unpriced, evaluations, isConverged };
}

function scanPrices(problem: PricedProblem): { readonly prices: Float64Array; readonly evaluations: number } {
  const slopes = new Float64Array(RESOURCES.length * problem.grid.buckets);
  let evaluations = 0;
  const boundAt = (levels: readonly number[]): number => {
    evaluations += 1;
    return problem.evaluate(uniform(levels, problem.grid), slopes);
  };
  let levels: readonly number[] = RESOURCES.map(() => 0);
  let best = boundAt(levels);
  const improve = (next: readonly number[]): boolean => {
    const value = boundAt(next);
    if (value <= best) return false;
    best = value;
    levels = next;
    return true;
  };
  for (const scan of SCANS) {
    let misses = 0;
    for (let step = 0; step < SCAN_STEPS && misses < 3; step += 1) {
      const price = SCAN_FIRST * SCAN_FACTOR ** step;
      misses = improve(scan.map((share) => share * price)) ? 0 : misses + 1;
    }
  }
  for (const factor of REFINEMENTS) {
    for (let resource = 0; resource < RESOURCES.length; resource += 1) {
      const times = (by: number) => levels.map((level, index) => (index === resource ? level * by : level));
      if ((levels[resource] ?? 0) === 0) continue;
      const by = improve(times(factor)) ? factor : 1 / factor;
      for (let step = 0; step < REFINEMENT_STEPS && improve(times(by)); step += 1);
    }
  }
  return { prices: uniform(levels, problem.grid), evaluations };
}

/** The best of some multiples. */
function scaled(problem: PricedProblem, start: Float64Array): Float64Array {
  const slopes = new Float64Array(start.length);
  let best = start;
  let bestValue = Number.NEGATIVE_INFINITY;
  for (const scale of START_SCALES) {
    const prices = start.map((price) => price * scale);
    const value = problem.evaluate(prices, slopes);
    if (value <= bestValue) continue;
    best = prices;
    bestValue = value;
  }
  return best;
}

function uniform(levels: readonly number[], { buckets }: TimeGrid): Float64Array {
  const prices = new Float64Array(RESOURCES.length * buckets);
  levels.forEach((level, resource) => {
    prices.fill(level, resource * buckets, (resource + 1) * buckets);
  });
  return prices;
}

/** The same prices on another grid, each bucket at what its middle had. */
function refined({ grid, prices }: PricedGrid, to: TimeGrid): Float64Array {
  const result = new Float64Array(RESOURCES.length * to.buckets);
  for (let resource = 0; resource < RESOURCES.length; resource += 1) {
    for (let bucket = 0; bucket < to.buckets; bucket += 1) {
      const from = Math.floor(((bucket + 0.5) * to.bucketMs) / grid.bucketMs);
      if (from >= grid.buckets) continue;
      result[resource * to.buckets + bucket] = at(prices, resource * grid.buckets + from);
    }
  }
  return result;
}
