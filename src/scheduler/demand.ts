/**
 * How much a model is asked for, and what that makes it worth to be at hand. One who is visited f times an hour makes its
 * requests wait for 1/(2f) and takes f c of the devices' time, c being what a visit costs. The least waiting in all is had at
 * f ~ sqrt(rate / c), where a model causes waiting of ~ sqrt(rate c): so much is saved by keeping it at hand.
 */
import type { ModelState } from './state.ts';

/** Arrivals count for less the longer ago they were: by 1/e after this. Bursts last for minutes, habits for hours. */
const MEMORY_MS = 30 * 60_000;
/** Who is new counts as having been asked once in this time. */
const PRIOR_MS = 60_000;

export interface Demand {
  /** Arrivals, each faded by its age at `atMs`. */
  faded: number;
  atMs: number;
  /** Of the first arrival; null: there was none. */
  sinceMs: number | null;
}

export function createDemand(): Demand {
  return { faded: 0, atMs: 0, sinceMs: null };
}

export function noteArrival(demand: Demand, nowMs: number): void {
  demand.sinceMs ??= nowMs;
  demand.faded = fadedAt(demand, nowMs) + 1;
  demand.atMs = nowMs;
}

function fadedAt({ faded, atMs }: Demand, nowMs: number): number {
  return faded * Math.exp((atMs - nowMs) / MEMORY_MS);
}

/** Arrivals per millisecond, never 0. */
function arrivalRate(demand: Demand, nowMs: number): number {
  const ageMs = demand.sinceMs === null ? 0 : nowMs - demand.sinceMs;
  const seenMs = MEMORY_MS * (1 - Math.exp(-ageMs / MEMORY_MS));
  return (fadedAt(demand, nowMs) + PRIOR_MS / MEMORY_MS) / (seenMs + PRIOR_MS);
}

/** An engine that is away for so long is asked for about once when its model is asked for this often. */
const ABSENCE_MS = 5 * 60_000;

/**
 * The share of what it costs to bring a model back that sending it away is expected to lose: by the root of how often it is asked
 * for, as above, and all of it where that is often.
 */
export function lossShare({ demand }: ModelState, nowMs: number): number {
  const asked = arrivalRate(demand, nowMs) * ABSENCE_MS;
  return Math.sqrt(asked / (1 + asked));
}

/** What it is worth that each of its returns is shorter by `savedMs` on all its devices; only ratios mean something. */
export function worthOfSaving(model: ModelState, savedMs: number, nowMs: number): number {
  const deviceMs = savedMs * Math.max(1, model.need?.deviceCount ?? 1);
  return Math.sqrt(arrivalRate(model.demand, nowMs) * Math.max(0, deviceMs));
}
