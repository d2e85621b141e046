/**
 * The estimate that refusals tell. A flood of requests that are refused asks for the same one again and again, so it is
 * kept for a moment; only decisions keep and use it, so that a record replays.
 */
import type { EngineState } from './engine-state.ts';
import { type Estimate, estimate } from './estimate.ts';
import type { Decision, ModelState } from './state.ts';

/** Beside what estimates miss by, this is nothing. */
const KEPT_MS = 250;

export interface KeptEstimate {
  readonly atMs: number;
  readonly engine: EngineState;
  readonly estimate: Estimate;
}

export function estimateForRefusal({ state, nowMs }: Decision, model: ModelState): Estimate {
  const kept = model.keptEstimate;
  if (kept !== null && kept.engine === model.engine && nowMs - kept.atMs <= KEPT_MS) {
    const { readyInMs } = kept.estimate;
    const restMs = readyInMs === null ? null : Math.max(0, readyInMs - (nowMs - kept.atMs));
    return { ...kept.estimate, readyInMs: restMs };
  }
  const found = estimate(state, model.policy.name, nowMs);
  model.keptEstimate = { atMs: nowMs, engine: model.engine, estimate: found };
  return found;
}
