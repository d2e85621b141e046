/** What is remembered of starts, for estimates (move-times.ts). */
import { RecentTimes } from './recent-times.ts';

/** Starts of one model: enough for a median, few enough to follow a change. */
const OF_MODEL = 8;
/** Starts of all models. */
const OF_ALL = 64;
/** How starts spread around what was expected of them, until that was seen here: about as published loads do. */
const ASSUMED_SPREAD: readonly number[] = [0.75, 0.8, 0.87, 0.94, 1, 1.08, 1.2, 1.4, 1.8];

/** Of all models together. */
export interface StartHistory {
  /** Each start by what was expected of it. */
  readonly spread: RecentTimes;
  /** Each start by what its engine is assumed to take. */
  readonly factors: RecentTimes;
}

export function createStartHistory(): StartHistory {
  const spread = new RecentTimes(OF_ALL);
  for (const ratio of ASSUMED_SPREAD) spread.add(ratio);
  return { spread, factors: new RecentTimes(OF_ALL) };
}

/** Of one model; `learnedMs`: what an earlier gateway has learned; null: nothing. */
export function createStartTimes(learnedMs: number | null): RecentTimes {
  const times = new RecentTimes(OF_MODEL);
  if (learnedMs !== null) times.add(learnedMs);
  return times;
}
