/**
 * Raises a bound by its prices: subgradient steps (Polyak) towards a target a little above the best so far, bent by
 * the step before (Camerini, Fratta, Maffioli 1975) so that they do not swing to and fro. Whatever comes out is a bound: each value
 * was computed for prices that are not negative; steps only decide how good it is.
 */
import { at } from './at.ts';

export interface AscentProblem {
  readonly size: number;
  /** The bound at these prices; fills in how it changes with each. */
  evaluate(prices: Float64Array, slopes: Float64Array): number;
}

export interface AscentOptions {
  readonly iterationsMax: number;
  /** What no bound exceeds (a simulated schedule's cost); null: not known. */
  readonly ceiling: number | null;
  readonly start: Float64Array | null;
}

export interface Ascent {
  readonly best: number;
  readonly prices: Float64Array;
  readonly iterations: number;
  /** The last quarter of its steps gained less than `SETTLED` of it. */
  readonly isConverged: boolean;
}

const BENDING = 1.5;
const SETTLED = 0.01;
/** The target is this share of the bound above it at first. */
const REACH_FIRST = 0.1;
const REACH_LEAST = 1e-5;
/** After so many steps without a gain, or so far below the best (in reaches), back to the best with half the reach. */
const FRUITLESS_MAX = 10;
const FALL_MAX = 2;
/** What counts as a gain, in reaches. */
const GAIN = 0.05;

export function ascend(problem: AscentProblem, { iterationsMax, ceiling, start }: AscentOptions): Ascent {
  const { size } = problem;
  const prices = start === null ? new Float64Array(size) : Float64Array.from(start);
  const slopes = new Float64Array(size);
  const direction = new Float64Array(size);
  const bestPrices = Float64Array.from(prices);
  const trail: number[] = [];
  let best = Number.NEGATIVE_INFINITY;
  let level = Number.NEGATIVE_INFINITY;
  let reach = 0;
  let fruitless = 0;
  let iterations = 0;
  while (iterations < iterationsMax) {
    let value = problem.evaluate(prices, slopes);
    iterations += 1;
    if (iterations === 1) reach = REACH_FIRST * Math.abs(value);
    if (value > best) {
      best = value;
      bestPrices.set(prices);
    }
    trail.push(best);
    if (best > level + GAIN * reach) {
      if (fruitless < FRUITLESS_MAX / 3) reach *= 1.5;
      level = best;
      fruitless = 0;
    } else {
      fruitless += 1;
      if (fruitless > FRUITLESS_MAX || value < best - FALL_MAX * reach) {
        reach /= 2;
        level = best;
        fruitless = 0;
        prices.set(bestPrices);
        direction.fill(0);
        value = problem.evaluate(prices, slopes);
        iterations += 1;
      }
    }
    if (reach <= REACH_LEAST * Math.abs(best)) break;
    const target = Math.min(best + reach, ceiling ?? Number.POSITIVE_INFINITY);
    if (!step(prices, slopes, direction, target - Math.max(value, best - FALL_MAX * reach))) break;
  }
  const before = trail[Math.floor(trail.length * 0.75)] ?? best;
  return { best, prices: bestPrices, iterations, isConverged: best - before <= SETTLED * Math.abs(best) };
}

/** False: there is nowhere to go. */
function step(prices: Float64Array, slopes: Float64Array, direction: Float64Array, gain: number): boolean {
  let product = 0;
  let square = 0;
  for (let index = 0; index < prices.length; index += 1) {
    // A price of nought cannot fall.
    if (at(prices, index) <= 0 && at(slopes, index) < 0) slopes[index] = 0;
    if (at(prices, index) <= 0 && at(direction, index) < 0) direction[index] = 0;
    product += at(slopes, index) * at(direction, index);
    square += at(direction, index) ** 2;
  }
  const bend = product < 0 && square > 0 ? (-BENDING * product) / square : 0;
  let length = 0;
  for (let index = 0; index < prices.length; index += 1) {
    direction[index] = at(slopes, index) + bend * at(direction, index);
    length += at(direction, index) ** 2;
  }
  if (length === 0 || gain <= 0) return false;
  for (let index = 0; index < prices.length; index += 1)
    prices[index] = Math.max(0, at(prices, index) + (gain / length) * at(direction, index));
  return true;
}
