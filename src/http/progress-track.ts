/**
 * What one waiting request is told of its wait, from one time to the next.
 *
 * 1. The percentage never falls: it is the share of the whole wait that is over, by the best that is known now.
 * 2. The estimate is never embellished. When it moves later although the phase is the same, the report says by how much
 *    the earlier promise was wrong; a new phase makes a new promise.
 * 3. What nobody can tell is null, and said so in words.
 */
import type { TimedEstimate } from './wait-estimates.ts';

/** The wait is over with the first byte and not before. */
const PERCENT_MAX = 99;
/** Smaller shifts of an estimate are no broken promise. */
const SHIFT_MS_MIN = 1_000;

export interface ProgressReport {
  readonly phase: string;
  /** 0 to 99; null: it was never known. */
  readonly percent: number | null;
  readonly readyInS: number | null;
  /** By how many seconds the model will be later than was said in this phase; 0: it will not. */
  readonly laterByS: number;
  readonly basis: 'measured' | 'assumed';
  readonly why: string;
}

export class ProgressTrack {
  readonly #sinceMs: number;
  #percent: number | null = null;
  #phase = '';
  /** Earliest moment that was told in this phase; null: none was. */
  #promisedMs: number | null = null;

  /** `sinceMs`: when the wait began. */
  constructor(sinceMs: number) {
    this.#sinceMs = sinceMs;
  }

  get percent(): number | null {
    return this.#percent;
  }

  report({ phase, readyAtMs, basis, why }: TimedEstimate, nowMs: number): ProgressReport {
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#promisedMs = null;
    }
    if (readyAtMs === null) {
      const text = why.includes('nobody can tell') ? why : `nobody can tell how long: ${why}`;
      return { phase, percent: this.#percent, readyInS: null, laterByS: 0, basis, why: text };
    }
    const restMs = Math.max(0, readyAtMs - nowMs);
    const waitedMs = Math.max(0, nowMs - this.#sinceMs);
    const percent = Math.min(PERCENT_MAX, Math.floor((100 * waitedMs) / Math.max(1, waitedMs + restMs)));
    this.#percent = Math.max(this.#percent ?? 0, percent);
    const shiftMs = this.#promisedMs === null ? 0 : readyAtMs - this.#promisedMs;
    this.#promisedMs = Math.min(this.#promisedMs ?? readyAtMs, readyAtMs);
    const laterByS = shiftMs < SHIFT_MS_MIN ? 0 : tenths(shiftMs);
    return { phase, percent: this.#percent, readyInS: tenths(restMs), laterByS, basis, why };
  }
}

/** Seconds with one decimal. */
function tenths(ms: number): number {
  return Math.round(ms / 100) / 10;
}
