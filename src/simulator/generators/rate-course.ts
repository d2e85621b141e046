/** How the rate of a model's requests goes over time: pieces in each of which it is constant. */
import type { Prng } from '../../core/prng.ts';
import { exponential } from './gamma.ts';

export interface RatePiece {
  /** The piece begins where the one before ends. */
  readonly untilMs: number;
  readonly perMs: number;
}

/** The next piece. */
export type RateCourse = () => RatePiece;

export function constantRate(perMs: number): RateCourse {
  return () => ({ untilMs: Number.POSITIVE_INFINITY, perMs });
}

/** Another rate in each period; `perMsOf` tells that of a period, counted from 0. */
export function periodicRate(periodMs: number, perMsOf: (period: number) => number): RateCourse {
  let period = -1;
  return () => {
    period += 1;
    return { untilMs: (period + 1) * periodMs, perMs: perMsOf(period) };
  };
}

/** Exponential times on and off; off, the rate is 0. It begins as if it had gone on for ever. */
export function onAndOff(course: RateCourse, onMeanMs: number, offMeanMs: number, prng: Prng): RateCourse {
  let isOn = prng.next() * (onMeanMs + offMeanMs) < onMeanMs;
  let turnsMs = exponential(prng) * (isOn ? onMeanMs : offMeanMs);
  let inner = course();
  let atMs = 0;
  return () => {
    while (inner.untilMs <= atMs) inner = course();
    while (turnsMs <= atMs) {
      isOn = !isOn;
      turnsMs += exponential(prng) * (isOn ? onMeanMs : offMeanMs);
    }
    atMs = Math.min(inner.untilMs, turnsMs);
    return { untilMs: atMs, perMs: isOn ? inner.perMs : 0 };
  };
}
