/**
 * When engines are expected to give their devices away: their running requests, their queue, their turn. Half of the cases
 * take longer. All times are from `nowMs` on.
 */
import type { IdMap } from '../core/id-map.ts';
import type { DrainingState } from './engine-state.ts';
import { sleepRestMs, startRestMs, stopRestMs, wakeRestMs } from './move-times.ts';
import { yieldsInMs } from './resident-view.ts';
import { isIdle, type ModelState, type RunningRequest, type SchedulerState } from './state.ts';
import { canSleep, quantumMs, sleepCostMs, stopCostMs, switchCostMs, yieldsAtMs } from './turn.ts';

/** How an engine goes from its devices. */
export interface Going {
  /**
   * `idle`: may go at once, or when its linger has passed. `turn`: it serves, or comes up to. `drain`: it was asked to go.
   * `leaving`: its memory is on the way back. `asleep`: what it left there. `ahead`: it waits as well, and ranks before.
   */
  readonly kind: 'idle' | 'turn' | 'drain' | 'leaving' | 'asleep' | 'ahead';
  readonly how: 'sleep' | 'stop';
  /** The rest of a move of its own that is under way. */
  readonly movesMs: number;
  /** When it is expected to be asked; Infinity: nobody can tell, or never. */
  readonly yieldsInMs: number;
  /** When that may be at the latest. */
  readonly atLatestMs: number;
  /** Then its running requests end, */
  readonly drainMs: number;
  /** within this at the most; 0: nothing runs. */
  readonly drainLimitMs: number;
  /** and it sleeps or stops. */
  readonly leaveMs: number;
  /** It would have to go sooner if its devices could pay for the move (move-budget.ts). */
  readonly isUnpaid: boolean;
}

const NEVER = Number.POSITIVE_INFINITY;

export function goingOf(state: SchedulerState, model: ModelState, nowMs: number): Going {
  const { engine } = model;
  const base = { ...wayOut(state, model), movesMs: 0, drainMs: 0, drainLimitMs: 0, isUnpaid: false };
  switch (engine.kind) {
    case 'awake': {
      const atLatestMs = yieldsInMs(state, model, nowMs);
      if (isIdle(model)) return { ...base, kind: 'idle', yieldsInMs: atLatestMs, atLatestMs };
      const turnEndMs = yieldsAtMs(model, engine, state.scheduling, 0) - nowMs;
      const isUnpaid = atLatestMs > Math.max(0, turnEndMs);
      const idleInMs = idleAgainInMs(state, model, nowMs);
      const { drainTimeoutMs } = model.policy;
      // Either it runs out of work before its turn ends, or it drains then.
      const going =
        idleInMs < atLatestMs
          ? { yieldsInMs: idleInMs, drainMs: 0 }
          : { yieldsInMs: atLatestMs, drainMs: Math.min(drainTimeoutMs, runningRestMs(model, nowMs)) };
      return { ...base, ...going, kind: 'turn', atLatestMs, drainLimitMs: drainTimeoutMs, isUnpaid };
    }
    case 'starting':
    case 'waking': {
      const elapsedMs = nowMs - engine.sinceMs;
      const movesMs =
        engine.kind === 'waking' ? wakeRestMs(model, elapsedMs) : startRestMs(state, model, elapsedMs);
      const atLatestMs = yieldsInMs(state, model, nowMs);
      const turnMs = movesMs + turnTakesMs(state, model, nowMs, movesMs);
      return { ...base, kind: 'turn', movesMs, atLatestMs, yieldsInMs: Math.min(atLatestMs, turnMs) };
    }
    case 'draining':
      return { ...base, ...drainOf(state, model, engine, nowMs) };
    case 'falling_asleep': {
      const restMs = sleepRestMs(model, nowMs - engine.sinceMs);
      const going = { kind: 'leaving', how: 'sleep', yieldsInMs: 0, atLatestMs: 0 } as const;
      return { ...base, ...going, movesMs: restMs, leaveMs: restMs };
    }
    case 'stopping': {
      const restMs = stopRestMs(model, nowMs - engine.sinceMs);
      const fromMs = engine.unverified ? NEVER : 0;
      const going = { kind: 'leaving', how: 'stop', yieldsInMs: fromMs, atLatestMs: fromMs } as const;
      return { ...base, ...going, movesMs: engine.unverified ? 0 : restMs, leaveMs: restMs };
    }
    default:
      return {
        ...base,
        ...{ kind: 'asleep', how: 'stop', yieldsInMs: 0, atLatestMs: 0, leaveMs: stopCostMs(model) },
      };
  }
}

function drainOf(state: SchedulerState, model: ModelState, engine: DrainingState, nowMs: number) {
  const how = engine.how === 'sleep' && state.hostBudgetMib !== null ? 'sleep' : 'stop';
  const limitMs = Math.max(0, engine.deadlineMs - nowMs);
  const fromMs = limitMs === NEVER ? NEVER : 0;
  return {
    kind: 'drain',
    how,
    yieldsInMs: fromMs,
    atLatestMs: fromMs,
    drainMs: Math.min(limitMs, runningRestMs(model, nowMs)),
    drainLimitMs: limitMs,
    leaveMs: how === 'sleep' ? sleepCostMs(model) : stopCostMs(model),
  } as const;
}

/** How it is expected to go when it is asked. */
export function wayOut(state: SchedulerState, model: ModelState): Pick<Going, 'how' | 'leaveMs'> {
  return canSleep(model) && state.hostBudgetMib !== null
    ? { how: 'sleep', leaveMs: sleepCostMs(model) }
    : { how: 'stop', leaveMs: stopCostMs(model) };
}

/** The turn of an engine that is up in `readyMs` from now: until it may be asked to go. */
export function turnTakesMs(
  state: SchedulerState,
  model: ModelState,
  nowMs: number,
  readyMs: number,
): number {
  const turnMs = quantumMs(model, state.scheduling);
  if (comeBackInTime(state, model)) return turnMs;
  const { queue } = model;
  // Others come meanwhile, as often as so far.
  const waitedMs = queue.size === 0 ? 0 : (2 * queue.waitedSumMs(nowMs)) / queue.size;
  const more = waitedMs > 0 ? ((queue.size - 1) * readyMs) / waitedMs : 0;
  return Math.min(turnMs, queueTakesMs(model, Math.max(1, queue.size + more)));
}

/** When an awake engine with work is expected to have none, and its linger to have passed. */
function idleAgainInMs(state: SchedulerState, model: ModelState, nowMs: number): number {
  // Of requests that nobody has seen the end of nothing is known but that they run.
  if (model.serviceTimes.count === 0 || comeBackInTime(state, model)) return NEVER;
  return runningRestMs(model, nowMs) + queueTakesMs(model, model.queue.size) + moreComeMs(model);
}

/** Beyond this it is as good as never without work. */
const LOAD_MAX = 8;

/**
 * For how long others keep coming before the last one has ended: the busy period of requests that come at random, as often
 * as the last ones did, and do not slow each other (M/G/infinity: (e^load - 1) times the gap between two).
 */
function moreComeMs({ arrivalGaps, serviceTimes }: ModelState): number {
  const gapMs = arrivalGaps.meanMs;
  if (gapMs === null) return 0;
  const load = (serviceTimes.meanMs ?? 0) / Math.max(1, gapMs);
  return Math.expm1(Math.min(load, LOAD_MAX)) * gapMs;
}

/** Its clients come back before the engine is taken from them, as far as their learned gap tells. */
function comeBackInTime(state: SchedulerState, model: ModelState): boolean {
  const cap = Math.min(switchCostMs(model), state.scheduling.lingerMaxMs);
  return model.gapMs !== null && model.gapMs <= cap;
}

/** Running requests looked at one by one; of more, the oldest. */
const RUNNING_MAX = 16;
/** Halvings of an interval until it is short beside what is measured. */
const HALVINGS = 14;

/**
 * Until all requests that run have ended, none following: the median of the longest of them, by the times of the last
 * requests there and by how long each has run.
 */
export function runningRestMs({ running, serviceTimes }: ModelState, nowMs: number): number {
  if (running.size === 0) return 0;
  const elapsed = oldest(running, nowMs);
  let low = 0;
  let high = Math.max(1, 2 * (serviceTimes.tailMs ?? 0), ...elapsed.map((ms) => 2 * ms));
  for (let step = 0; step < HALVINGS; step += 1) {
    const middle = (low + high) / 2;
    const ended = elapsed.reduce((share, ms) => share * serviceTimes.endedShare(ms, middle), 1);
    if (ended < 0.5) low = middle;
    else high = middle;
  }
  return high;
}

function oldest(running: IdMap<RunningRequest>, nowMs: number): readonly number[] {
  const elapsed: number[] = [];
  for (const { dispatchedMs } of running.values()) {
    elapsed.push(Math.max(0, nowMs - dispatchedMs));
    if (elapsed.length >= RUNNING_MAX) break;
  }
  return elapsed;
}

/** Until so many requests that are dispatched from now on have ended, all slots being free. */
function queueTakesMs({ policy, serviceMs, serviceTimes }: ModelState, waiting: number): number {
  if (waiting === 0) return 0;
  const rounds = Math.ceil(waiting / policy.maxConcurrent);
  const oneMs = serviceTimes.medianMs ?? serviceMs ?? 0;
  return (rounds - 1) * oneMs + (serviceTimes.tailMs ?? oneMs);
}
