/**
 * A lower bound on what any schedule makes requests wait for their model to be ready (Lagrangian: the
 * dual of scheduling models on devices, with each shared limit priced).
 *
 * It holds for every schedule of a world and a trace (open loop, patient clients, no faults) that
 *
 * - serves the requests of one model in the order of their arrival,
 * - dispatches to an engine that is awake and not draining as long as requests wait and slots are free, at once,
 * - gives up no start, sleep or waking that it began, and starts no model before time 0,
 * - (`demand` only) begins to load a model only while a request for it waits.
 *
 * With `holds: false` the first two are not needed. Validity, for prices that are not negative: a real schedule keeps within each
 * limit at every moment, so adding price x (use - limit) lowers its cost or leaves it; the sum then falls apart into models, and the
 * least over each model's own schedules (model-program.ts) is not above what the real schedule has there. Every iteration's
 * value is a bound; the best is kept.
 */

import type { RequestSource } from '../request-source.ts';
import type { World } from '../world.ts';
import { aloneWaitMs } from './alone.ts';
import { at } from './at.ts';
import { type BoundInput, type BoundModel, readBoundInput } from './bound-model.ts';
import { ModelProgram } from './model-program.ts';
import { type PricedGrid, type PricedProblem, type SearchResult, searchPrices } from './price-search.ts';
import { type Limits, modelShares, RESOURCES, type Resource, type TimeGrid } from './prices.ts';
import type { Variant } from './ready-times.ts';
import { ModelRents } from './rents.ts';
import { Usage } from './usage.ts';

/** What makes the bound tighter than memory alone; each may be left out, and the bound stays one. */
export interface Tightenings extends Limits {
  /** A model's first load is a cold start, also where it can sleep. */
  readonly firstCold: boolean;
  /** Started requests hold their engine. */
  readonly holds: boolean;
}

export const ALL_TIGHTENINGS: Tightenings = {
  firstCold: true,
  holds: true,
  packing: true,
  movers: true,
  host: true,
};

export interface BoundOptions {
  readonly world: World;
  /** Open loop; it is read twice. */
  readonly source: RequestSource;
  readonly timeScale: number;
  /** Of the cold starts drawn. */
  readonly seed: number;
  /** Starts of each model in one run: the bound then holds for schedules that start none more often (bound-model.ts). */
  readonly starts?: ReadonlyMap<string, number>;
  /** Mean `not_ready` of a schedule, in seconds: steps never aim above it. */
  readonly targetMeanS?: number;
  /**
   * About how long it may take on one core of 2024. It is turned into a number of steps, so that the same input always gives
   * the same bound.
   */
  readonly budgetMs: number;
  readonly tightenings?: Partial<Tightenings>;
}

/** Means over all requests, in seconds. */
export interface Bound {
  readonly requests: number;
  /** Of `not_ready`, loads only on demand, first starts as drawn for the seed. */
  readonly demand_s: number;
  /** The same where loads may come before anyone asks. */
  readonly clairvoyant_s: number;
  /** As `demand_s`, with every cold start at its minimum. */
  readonly demand_min_start_s: number;
  /** Of the whole wait: each model alone, always awake: waits for slots. */
  readonly alone_s: number;
  /** Of the whole wait: each model alone, started when its first request comes. */
  readonly alone_cold_s: number;
  /** Of `demand_s`: what is left when devices and host have no limits, the first cold starts. */
  readonly first_cold_s: number;
  /** By how many per cent `demand_s` falls, about, with one per cent more of each. Large: this is what binds. */
  readonly elasticity: Readonly<Record<Resource, number>>;
  readonly bucket_s: number;
  readonly iterations: number;
  /** The last steps gained next to nothing. */
  readonly converged: boolean;
  /** Models that no set of devices holds; their requests are not counted. */
  readonly impossible: readonly string[];
}

/** Moments tried in a millisecond. */
const WORK_PER_MS = 1700;
/** Of the budget. */
const DEMAND_SHARE = 0.5;
const CLAIRVOYANT_SHARE = 0.35;
const MIN_START_SHARE = 0.15;
const LEVELS = [1, 4, 16, 64, 128, 256] as const;
/** Buckets are so many times as long as the longest sleep or stop: prices of moves are rounded at their edges. */
const BUCKET_MOVES = 3;
/** Finer ones cost more than they give. */
const BUCKET_LEAST_MS = 5000;
/** Rounding of sums, relative and per request: taken off. */
const ROUNDING = 1e-9;
const ROUNDING_MS = 1e-4;

/** @throws what the source throws */
export function computeBound(options: BoundOptions): Bound {
  const { world, source, timeScale, seed, starts, budgetMs } = options;
  const tightenings = { ...ALL_TIGHTENINGS, ...options.tightenings };
  const input = prepared(
    readBoundInput(world, source, timeScale, { seed, counts: starts ?? null }),
    tightenings,
  );
  const least = prepared(readBoundInput(world, source, timeScale, null), tightenings);
  const { models } = input;
  const requests = models.reduce((sum, { arrivalsMs }) => sum + arrivalsMs.length, 0);
  const meanS = (ms: number): number => (requests === 0 ? 0 : ms / requests / 1000);
  const ceiling = options.targetMeanS === undefined ? null : options.targetMeanS * requests * 1000;
  const horizonMs = horizonOf(world, models);
  const movesMs = models.map(({ stopMs, sleep }) => Math.max(stopMs, sleep?.fallMs ?? 0));
  const bucketLeastMs = Math.max(BUCKET_LEAST_MS, BUCKET_MOVES * Math.max(...movesMs));
  const search = (of: BoundInput, variant: Variant, share: number, start: PricedGrid | null): SearchResult =>
    searchPrices({
      horizonMs,
      levels: levelsOf(horizonMs, bucketLeastMs, start),
      workMax: budgetMs * share * WORK_PER_MS,
      ceiling,
      start,
      problemOf: (grid) => pricedProblem(world, of.models, grid, variant, tightenings),
    });
  const demand = search(input, 'demand', DEMAND_SHARE, null);
  const clairvoyant = search(input, 'clairvoyant', CLAIRVOYANT_SHARE, demand);
  const minStart = search(least, 'demand', MIN_START_SHARE, demand);
  const boundS = ({ best }: SearchResult): number => Math.max(0, meanS(best - ROUNDING * Math.abs(best)));
  const alone = (readyMs: (model: BoundModel) => number): number =>
    meanS(models.reduce((sum, model) => sum + aloneWaitMs(model, readyMs(model)), 0));
  return {
    requests,
    // Loading on demand is one way of knowing the future, and drawn starts are not below their minimum: those bounds hold here too.
    demand_s: Math.max(boundS(demand), boundS(clairvoyant), boundS(minStart)),
    clairvoyant_s: boundS(clairvoyant),
    demand_min_start_s: boundS(minStart),
    alone_s: alone(() => 0),
    alone_cold_s: alone((model) => at(model.arrivalsMs, 0) + model.firstColdMs),
    first_cold_s: meanS(demand.unpriced),
    elasticity: elasticities(demand),
    bucket_s: demand.grid.bucketMs / 1000,
    iterations: demand.evaluations + clairvoyant.evaluations + minStart.evaluations,
    converged: demand.isConverged && clairvoyant.isConverged && minStart.isConverged,
    impossible: input.impossible,
  };
}

/** The bound's value at given prices, and its slopes: one problem for all models. */
export function pricedProblem(
  world: World,
  models: readonly BoundModel[],
  grid: TimeGrid,
  variant: Variant,
  tightenings: Tightenings,
): PricedProblem {
  const shares = modelShares(world, models, tightenings);
  const rents = new ModelRents(grid);
  const usage = new Usage(grid);
  const programs = shares.flatMap((share, index) => {
    const model = models[index];
    const options = { variant, holds: tightenings.holds };
    return model === undefined ? [] : [new ModelProgram(model, share, grid, rents, options)];
  });
  const requests = models.reduce((sum, { arrivalsMs }) => sum + arrivalsMs.length, 0);
  return {
    grid,
    work: programs.reduce((sum, program) => sum + program.work, 0),
    evaluate: (prices, slopes) => {
      usage.clear();
      let value = -ROUNDING_MS * requests;
      for (const program of programs) {
        value += program.solve(prices);
        const lying = program.liesAwake ? prices : null;
        for (const residence of program.residences()) usage.add(residence, program.shares, lying);
      }
      usage.finish();
      slopes.set(usage.useMs);
      for (const price of prices) value -= price * grid.bucketMs;
      return value;
    },
  };
}

function prepared({ models, impossible }: BoundInput, { firstCold }: Tightenings): BoundInput {
  if (firstCold) return { models, impossible };
  const free = models.map((model) =>
    model.sleep === null ? model : { ...model, firstColdMs: Math.min(model.firstColdMs, model.sleep.wakeMs) },
  );
  return { models: free, impossible };
}

/** Prices are nought beyond it, so it has to reach as far as an overload lasts: about until each model has been started once more. */
function horizonOf({ devices }: World, models: readonly BoundModel[]): number {
  let lastMs = 0;
  let startsMs = 0;
  for (const { arrivalsMs, firstColdMs, gpus } of models) {
    lastMs = Math.max(lastMs, at(arrivalsMs, arrivalsMs.length - 1));
    startsMs += (gpus * firstColdMs) / devices.length;
  }
  // A whole number of milliseconds in each bucket of the finest level.
  const finest = Math.max(...LEVELS);
  return finest * Math.ceil((1.1 * lastMs + 1.5 * startsMs + 1) / finest);
}

function levelsOf(horizonMs: number, bucketLeastMs: number, start: PricedGrid | null): readonly number[] {
  const levels = LEVELS.filter((buckets) => buckets === 1 || horizonMs / buckets >= bucketLeastMs);
  // With prices to begin with, the coarse levels have nothing to say.
  return start === null ? levels : levels.slice(-2);
}

function elasticities({ best, prices, grid }: SearchResult): Readonly<Record<Resource, number>> {
  const rents = RESOURCES.map((_, index) => {
    const own = prices.subarray(index * grid.buckets, (index + 1) * grid.buckets);
    return own.reduce((sum, price) => sum + price * grid.bucketMs, 0);
  });
  const of = (index: number): number => (best > 0 ? (rents[index] ?? 0) / best : 0);
  return { memory: of(0), packing: of(1), movers: of(2), host: of(3) };
}
