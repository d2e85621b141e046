/**
 * What moves are expected to take, for estimates: half of them take longer. The policy reckons with costs of its own
 * (turn.ts), which follow the mean.
 */
import { reservationOf } from './engine-state.ts';
import type { ModelState, SchedulerState } from './state.ts';
import { sleepCostMs, startCostMs, stopCostMs, wakeCostMs } from './turn.ts';

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

/**
 * Until nobody beside it on its devices starts or wakes any more: before, it may not leave (engine-state.ts, `isDelicate`), and
 * is not asked to, so that it can serve meanwhile.
 */
export function quietInMs(state: SchedulerState, model: ModelState, nowMs: number): number {
  let inMs = 0;
  for (const id of reservationOf(model.engine)?.deviceIds ?? []) {
    for (const other of state.engines.holdersOn(id)) {
      const { engine } = other;
      if (other === model || (engine.kind !== 'starting' && engine.kind !== 'waking')) continue;
      inMs = Math.max(inMs, bringUpRestMs(state, other, nowMs - engine.sinceMs));
    }
  }
  return inMs;
}

/** At least the rest of the mean; of a start that has outlasted that, what such ones go on to take. */
function bringUpRestMs(state: SchedulerState, model: ModelState, elapsedMs: number): number {
  if (model.engine.kind === 'waking') return wakeRestMs(model, elapsedMs);
  return Math.max(startCostMs(model) - elapsedMs, startRestMs(state, model, elapsedMs));
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
