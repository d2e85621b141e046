/** Random gaps between requests. */
import { createPrng, type Prng } from '../../core/prng.ts';

/** An odd constant (of xxHash32), so that neighbouring seeds and streams share nothing. */
const STREAM_FACTOR = 0x9e3779b1;

/** Numbers of one of many independent streams of a seed. */
export function streamPrng(seed: number, stream: number): Prng {
  return createPrng(createPrng(seed).integer(2 ** 32) ^ Math.imul(stream + 1, STREAM_FACTOR));
}

/** Mean 1. */
export function exponential(prng: Prng): number {
  return -Math.log(1 - prng.next());
}

/** Gamma with mean 1 and this coefficient of variation; 1 is exponential (Poisson arrivals), 0 always 1. */
export function gammaGap(prng: Prng, cv: number): number {
  if (cv === 0) return 1;
  if (cv === 1) return exponential(prng);
  const shape = 1 / (cv * cv);
  return gamma(prng, shape) / shape;
}

/**
 * Gamma with scale 1: Marsaglia and Tsang, "A simple method for generating gamma variables" (2000), and their way for
 * shapes below 1.
 */
function gamma(prng: Prng, shape: number): number {
  if (shape < 1) return gamma(prng, shape + 1) * (1 - prng.next()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(prng);
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    if (Math.log(1 - prng.next()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** Standard normal, by Box and Muller. */
export function normal(prng: Prng): number {
  const radius = Math.sqrt(-2 * Math.log(1 - prng.next()));
  return radius * Math.cos(2 * Math.PI * prng.next());
}
