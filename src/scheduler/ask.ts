/**
 * When the victims of a plan are asked to go. Each is asked so long before the room is expected as its drain and its
 * stop are expected to take, so that all are gone at the same time and no device stands idle for the slowest one.
 * Until then they serve on.
 */
import type { Victim } from '../placement/place.ts';
import { leaveTakesMs, yieldsInMs } from './resident-view.ts';
import type { SchedulerState } from './state.ts';

/** Sums of fractions: less than this is now. */
const NOW_MS = 1;

export interface Asking {
  readonly now: readonly Victim[];
  /** When the next one is to be asked; null: all are. */
  readonly nextInMs: number | null;
}

/** `roomInMs`: when the room is expected. */
export function whomToAsk(
  state: SchedulerState,
  victims: readonly Victim[],
  roomInMs: number,
  nowMs: number,
): Asking {
  const now: Victim[] = [];
  let nextInMs: number | null = null;
  for (const victim of victims) {
    const model = state.models.get(victim.model);
    if (model === undefined) continue;
    const mayInMs = yieldsInMs(state, model, nowMs);
    const inMs = Math.max(mayInMs, roomInMs - leaveTakesMs(model, victim.how, nowMs));
    if (mayInMs === 0 && inMs < NOW_MS) now.push(victim);
    else nextInMs = Math.min(nextInMs ?? Number.POSITIVE_INFINITY, Math.max(NOW_MS, inMs));
  }
  return { now, nextInMs };
}
