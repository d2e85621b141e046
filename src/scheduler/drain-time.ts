/** How long drains are expected to take. */
import type { DrainingState } from './engine-state.ts';
import { isIdle, type ModelState } from './state.ts';

/** Of a drain that would begin now: the tail of its requests' times, at most the limit. */
export function expectedDrainMs(model: ModelState, nowMs: number): number {
  if (isIdle(model)) return 0;
  return Math.min(model.policy.drainTimeoutMs, serviceTailMs(model, nowMs));
}

/**
 * The rest of a drain under way. One that has outlasted its expectation is taken to go on for as long again: so others
 * who were to leave at the same time are asked now, and room elsewhere is looked at.
 */
export function drainRestMs(model: ModelState, engine: DrainingState, nowMs: number): number {
  if (model.running.size === 0) return 0;
  const elapsedMs = nowMs - engine.sinceMs;
  const expectedMs = Math.min(model.policy.drainTimeoutMs, serviceTailMs(model, engine.sinceMs));
  const restMs = elapsedMs < expectedMs ? expectedMs - elapsedMs : elapsedMs - expectedMs;
  return Math.min(restMs, Math.max(0, engine.deadlineMs - nowMs));
}

/** While none of its requests has ended, the oldest is taken to go on for as long as it has. */
function serviceTailMs(model: ModelState, nowMs: number): number {
  const oldest = model.running.first();
  return model.serviceTimes.tailMs ?? (oldest === undefined ? 0 : Math.max(0, nowMs - oldest.dispatchedMs));
}

/** Its drain limit has passed and it waits for its requests however long they take (`on_drain_timeout: wait`). */
export function drainsWithoutLimit(model: ModelState): boolean {
  return model.engine.kind === 'draining' && model.engine.deadlineMs === Number.POSITIVE_INFINITY;
}
