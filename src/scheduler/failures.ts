/** What follows when an engine does not start or dies: a pause that grows, and an end of trying. */
import {
  DEATH_WINDOW_MS,
  DEATHS_MAX,
  FETCH_REFUSED_MS,
  START_BACKOFF_MAX_MS,
  START_BACKOFF_MS,
} from '../core/limits.ts';
import type { ColdState, FailedState } from './engine-state.ts';
import type { EngineFailure } from './events.ts';
import { startFailed } from './refusals.ts';
import { refuseQueue } from './requests.ts';
import type { Decision, ModelState } from './state.ts';

/** Whoever waits is refused with the failure. */
export function refuseStart(
  d: Decision,
  model: ModelState,
  failure: EngineFailure,
  next: ColdState | FailedState,
  reason: string,
): void {
  const retryMs = next.kind === 'failed' ? next.untilMs - d.nowMs : next.notBeforeMs - d.nowMs;
  model.wanted = false;
  refuseQueue(d, model, startFailed(model, failure, retryMs), reason);
}

/** A pause before the next try, or `failed` where another one is of no use. */
export function afterFailedStart(
  d: Decision,
  model: ModelState,
  failure: EngineFailure,
): ColdState | FailedState {
  const deaths = countDeath(d, model);
  if (deaths >= DEATHS_MAX || !failure.retryable) return failed(d, failure, deaths);
  return { kind: 'cold', notBeforeMs: d.nowMs + backoffMs(deaths), failure };
}

/** A fetch that fails is no death of an engine: it has a count and a pause of its own. */
export function afterFailedFetch(
  d: Decision,
  model: ModelState,
  failure: EngineFailure,
): ColdState | FailedState {
  model.failedFetches += 1;
  // Somebody may mend it without our knowledge (a token, another fetch), and to look again costs little.
  if (!failure.retryable)
    return { kind: 'failed', failure, deaths: model.failedFetches, untilMs: d.nowMs + FETCH_REFUSED_MS };
  return { kind: 'cold', notBeforeMs: d.nowMs + backoffMs(model.failedFetches), failure };
}

/** The first death while serving is followed by a start at once; its waiting requests keep waiting. */
export function afterDeath(d: Decision, model: ModelState, failure: EngineFailure): ColdState | FailedState {
  const deaths = countDeath(d, model);
  if (deaths >= DEATHS_MAX) return failed(d, failure, deaths);
  return { kind: 'cold', notBeforeMs: deaths > 1 ? d.nowMs + backoffMs(deaths - 1) : 0, failure: null };
}

function failed(d: Decision, failure: EngineFailure, deaths: number): FailedState {
  return { kind: 'failed', failure, deaths, untilMs: d.nowMs + DEATH_WINDOW_MS };
}

function countDeath(d: Decision, model: ModelState): number {
  model.deathsMs = model.deathsMs.filter((atMs) => atMs > d.nowMs - DEATH_WINDOW_MS);
  model.deathsMs.push(d.nowMs);
  return model.deathsMs.length;
}

function backoffMs(deaths: number): number {
  return Math.min(START_BACKOFF_MAX_MS, START_BACKOFF_MS * 2 ** (deaths - 1));
}
