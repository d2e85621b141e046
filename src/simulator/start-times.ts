/** How long a cold start takes: the k-th start of a model takes the same under every policy, so that runs can be compared. */
import { createPrng } from '../core/prng.ts';
import type { StartTimes } from './world.ts';

/** The 90th percentile of the standard normal distribution. */
const NORMAL_P90 = 1.2816;
/** Odd constants (of xxHash32), so that neighbouring seeds, models and starts share nothing. */
const MODEL_FACTOR = 0x9e3779b1;
const START_FACTOR = 0x85ebca77;

/**
 * Milliseconds of start number `startNumber` (from 0) of the model at `modelIndex` of the sorted names: log-normal
 * through median and p90, never below the minimum.
 */
export function coldStartMs(
  { minMs, medianMs, p90Ms }: StartTimes,
  seed: number,
  modelIndex: number,
  startNumber: number,
): number {
  const sigma = Math.log(p90Ms / medianMs) / NORMAL_P90;
  return Math.max(minMs, medianMs * Math.exp(sigma * normal(seed, modelIndex, startNumber)));
}

/** Standard normal, by Box and Muller. */
function normal(seed: number, modelIndex: number, startNumber: number): number {
  const key = Math.imul(modelIndex + 1, MODEL_FACTOR) ^ Math.imul(startNumber + 1, START_FACTOR);
  const prng = createPrng(createPrng(seed).integer(2 ** 32) ^ key);
  const radius = Math.sqrt(-2 * Math.log(1 - prng.next()));
  return radius * Math.cos(2 * Math.PI * prng.next());
}
