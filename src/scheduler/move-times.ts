/**
 * What moves are expected to take, for estimates: half of them take longer. The policy reckons with costs of its own
 * (turn.ts), which follow the mean.
 */
import type { ModelState, SchedulerState } from './state.ts';
import { sleepCostMs, stopCostMs, wakeCostMs } from './turn.ts';

/** A start took so long. Called before it counts for the model's own costs. */
export function noteStart(state: SchedulerState, model: ModelState, tookMs: number): void {
  state.startHistory.spread.add(tookMs / expectedStartMs(state, model));
  state.startHistory.factors.add(tookMs / model.policy.assumedStartMs);
  model.startTimes.add(tookMs);
}

/**
 * The median of its last starts, drawn towards what would be expected of a model that was never started: what is assumed
 * of its engine, by as much as other starts here have missed that.
 */
export function expectedStartMs({ startHistory }: SchedulerState, model: ModelState): number {
  const priorMs = model.policy.assumedStartMs * (startHistory.factors.medianMs ?? 1);
  const { count, medianMs } = model.startTimes;
  if (medianMs === null) return Math.round(priorMs);
  return Math.round(Math.exp((Math.log(priorMs) + count * Math.log(medianMs)) / (1 + count)));
}

/** Of a start that has gone on for so long. */
export function startRestMs(state: SchedulerState, model: ModelState, elapsedMs: number): number {
  return state.startHistory.spread.restMs(elapsedMs, expectedStartMs(state, model));
}

/** The others hardly vary: one that is overdue ends any moment. */
export function wakeRestMs(model: ModelState, elapsedMs: number): number {
  return Math.max(0, wakeCostMs(model) - elapsedMs);
}

export function sleepRestMs(model: ModelState, elapsedMs: number): number {
  return Math.max(0, sleepCostMs(model) - elapsedMs);
}

export function stopRestMs(model: ModelState, elapsedMs: number): number {
  return Math.max(0, stopCostMs(model) - elapsedMs);
}

/** Bringing it up from where it is. */
export function expectedBringUpMs(state: SchedulerState, model: ModelState): number {
  return model.engine.kind === 'asleep' ? wakeCostMs(model) : expectedStartMs(state, model);
}
