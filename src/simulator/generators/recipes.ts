/** Synthetic workloads by name: those of the literature as their programs draw them, and a grid of our own (docs/simulate.md). */
import type { OptionWords } from '../option-words.ts';
import { type Arrivals, mergedArrivals, renewals } from './arrivals.ts';
import { gammaGap, streamPrng } from './gamma.ts';
import { constantRate, onAndOff, periodicRate, type RateCourse } from './rate-course.ts';

export interface Workload {
  readonly modelCount: number;
  /** Lengths are multiplied by them. */
  readonly promptFactor: number;
  readonly outputFactor: number;
  /** From the beginning, and each time the same. */
  readonly open: () => Arrivals;
}

/** Reads its parameters and leaves `words.end()` to the caller. */
export type Recipe = (words: OptionWords, seed: number) => Workload;

const MS_PER_S = 1000;
const MS_PER_H = 3_600_000;
const MODELS_MAX = 10_000;
/** Streams of random numbers beside those of the models, which count from 0. */
const RANKS_STREAM = 1_000_000;
const SWITCHES_STREAM = 2_000_000;
const SHARED_STREAM = 3_000_000;

/** MuxServe (bench_end_to_end_muxserve.py): `rate` is that of the first model, in requests a second. */
const muxserve: Recipe = (words, seed) => {
  const n = modelCount(words, 19);
  const weights = powerLaw(n, exponent(words, 0.9));
  const top = rate(words, 40);
  const endMs = endOf(words, 1000 / 3600);
  return perModel(n, seed, endMs, 1, (model) => constantRate(((weights[model] ?? 0) * top) / MS_PER_S));
};

/** AlpaServe (equal_model_case.py): `rate` is that of all models together. */
const alpaserve: Recipe = (words, seed) => {
  const n = modelCount(words, 32);
  const weights = shares(powerLaw(n, exponent(words, 0.5)));
  const total = rate(words, 1);
  const cv = variation(words, 4);
  const endMs = endOf(words, 1);
  return perModel(n, seed, endMs, cv, (model) => constantRate(((weights[model] ?? 0) * total) / MS_PER_S));
};

/** Aegaeon (workload.py): `rate` is that of each model; `input` and `output` multiply the lengths. */
const aegaeon: Recipe = (words, seed) => {
  const n = modelCount(words, 40);
  const each = rate(words, 0.1);
  const endMs = endOf(words, 1);
  const factor = (key: string) => words.number(key, { otherwise: 1, above: 0, most: 1000 });
  return {
    ...perModel(n, seed, endMs, 1, () => constantRate(each / MS_PER_S)),
    promptFactor: factor('input'),
    outputFactor: factor('output'),
  };
};

/**
 * Prism (trace.py): gamma gaps for all models together, the model is floor(n * x) with x of density a * x^(a - 1); the share
 * `cycling` of the models is on and off by turns, and off, their requests do not come.
 */
const prism: Recipe = (words, seed) => {
  const n = modelCount(words, 32);
  const a = words.number('a', { otherwise: 0.1, above: 0, most: 100 });
  const total = rate(words, 1);
  const cv = variation(words, 1);
  const cycling = words.number('cycling', { otherwise: 0, least: 0, most: 1 });
  const onMs = meanTime(words, 'on_s', 60);
  const offMs = meanTime(words, 'off_s', 60);
  const endMs = endOf(words, 1);
  return {
    ...plainLengths(n),
    open: () => {
      const prng = streamPrng(seed, SHARED_STREAM);
      const isOn = Array.from({ length: Math.round(cycling * n) }, (_, index) => {
        const switches = onAndOff(constantRate(1), onMs, offMs, streamPrng(seed, SWITCHES_STREAM + index));
        return onAt(switches);
      });
      let atMs = 0;
      return () => {
        for (;;) {
          atMs += (gammaGap(prng, cv) * MS_PER_S) / total;
          if (atMs >= endMs) return null;
          const model = Math.min(n - 1, Math.floor(n * prng.next() ** (1 / a)));
          if (isOn[model]?.(atMs) ?? true) return { atMs, model };
        }
      };
    },
  };
};

/**
 * Ours, G(n, a, cv, rate, q, seed): popularity by rank^-a, `rate` of all models together in the long run, each model on for
 * the share q of the time (exponential, `on_s` on average), gamma gaps while on, and ranks drawn anew every `drift_hours`.
 */
const grid: Recipe = (words, seed) => {
  const n = modelCount(words, 32);
  const weights = shares(powerLaw(n, exponent(words, 0.9)));
  const cv = variation(words, 4);
  const total = rate(words, 0.5);
  const q = words.number('q', { otherwise: 0.2, above: 0, most: 1 });
  const onMs = meanTime(words, 'on_s', 300);
  const driftMs = words.number('drift_hours', { otherwise: 2, above: 0 }) * MS_PER_H;
  const endMs = endOf(words, 4);
  const ranksOf = rankings(n, seed);
  return perModel(n, seed, endMs, cv, (model) => {
    const course = periodicRate(
      driftMs,
      (period) => ((weights[ranksOf(period)[model] ?? 0] ?? 0) * total) / q / MS_PER_S,
    );
    if (q === 1) return course;
    return onAndOff(course, onMs, (onMs * (1 - q)) / q, streamPrng(seed, SWITCHES_STREAM + model));
  });
};

export const RECIPES: Readonly<Record<string, Recipe>> = { grid, muxserve, alpaserve, aegaeon, prism };

function perModel(
  n: number,
  seed: number,
  endMs: number,
  cv: number,
  courseOf: (model: number) => RateCourse,
): Workload {
  return {
    ...plainLengths(n),
    open: () =>
      mergedArrivals(
        Array.from({ length: n }, (_, model) =>
          renewals(courseOf(model), cv, streamPrng(seed, model), endMs),
        ),
      ),
  };
}

function plainLengths(modelCount: number) {
  return { modelCount, promptFactor: 1, outputFactor: 1 };
}

/** Whether a course is on at a time; times must not go back. */
function onAt(course: RateCourse): (atMs: number) => boolean {
  let piece = course();
  return (atMs) => {
    while (piece.untilMs <= atMs) piece = course();
    return piece.perMs > 0;
  };
}

/** The rank of each model in each period: a permutation, by Fisher and Yates. The last one is kept. */
function rankings(n: number, seed: number): (period: number) => readonly number[] {
  let keptPeriod = -1;
  let ranks: number[] = [];
  return (period) => {
    if (period === keptPeriod) return ranks;
    const prng = streamPrng(seed, RANKS_STREAM + period);
    ranks = Array.from({ length: n }, (_, index) => index);
    for (let last = n - 1; last > 0; last -= 1) {
      const other = prng.integer(last + 1);
      const moved = ranks[last] ?? 0;
      ranks[last] = ranks[other] ?? 0;
      ranks[other] = moved;
    }
    keptPeriod = period;
    return ranks;
  };
}

function powerLaw(n: number, a: number): readonly number[] {
  return Array.from({ length: n }, (_, index) => (index + 1) ** -a);
}

function shares(weights: readonly number[]): readonly number[] {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

function modelCount(words: OptionWords, otherwise: number): number {
  return words.number('n', { otherwise, least: 1, most: MODELS_MAX, whole: true });
}

function exponent(words: OptionWords, otherwise: number): number {
  return words.number('a', { otherwise, least: 0, most: 10 });
}

function rate(words: OptionWords, otherwise: number): number {
  return words.number('rate', { otherwise, above: 0, most: 10_000 });
}

function variation(words: OptionWords, otherwise: number): number {
  return words.number('cv', { otherwise, least: 0, most: 20 });
}

function meanTime(words: OptionWords, key: string, otherwise: number): number {
  return words.number(key, { otherwise, above: 0 }) * MS_PER_S;
}

function endOf(words: OptionWords, otherwise: number): number {
  return words.number('hours', { otherwise, above: 0, most: 24 * 366 }) * MS_PER_H;
}
