/** One engine as placement sees it: what it holds, when it may be asked to go, and what that costs. */
import type { LeavingView, ResidentView, WayOut } from '../placement/place.ts';
import { lossShare } from './demand.ts';
import { drainRestMs, expectedDrainMs } from './drain-time.ts';
import type { Reservation } from './engine-state.ts';
import { budgetReadyMs } from './move-budget.ts';
import { quietInMs } from './move-times.ts';
import { isWaitedFor, type ModelState, type SchedulerState } from './state.ts';
import { canSleep, quantumMs, sleepCostMs, startCostMs, stopCostMs, wakeCostMs, yieldsAtMs } from './turn.ts';

/** A busy victim's clients wait while it is away: its queue weighs this many times its absence (scheduling.md section 7, lesson 3). */
const BUSY_VICTIM_WEIGHT = 3;
/** A load that nobody waits for may be given up before this share of its expected time. */
const ABANDON_SHARE = 0.5;

/** What it leaves on its devices once it sleeps. */
export function restOf(
  model: ModelState,
  resident: ResidentView | null,
  leaving: LeavingView | null,
  reservation: Reservation,
): number {
  const { engine } = model;
  if (engine.kind === 'asleep') return engine.leaving === null ? reservation.memoryMibPerDevice : 0;
  if (leaving !== null) return reservation.memoryMibPerDevice - leaving.memoryMib;
  const sleeps = resident?.ways.some(({ how }) => how === 'sleep') === true;
  return sleeps ? Math.min(model.need?.residueMib ?? 0, reservation.memoryMibPerDevice) : 0;
}

/**
 * Null: it cannot be asked to go, or is on its way out already. `staysMs`: it is not asked before, whatever its own turn says
 * (challenge.ts, and neighbours that may not be disturbed).
 */
export function residentView(
  state: SchedulerState,
  model: ModelState,
  reservation: Reservation,
  nowMs: number,
  staysMs: number,
): ResidentView | null {
  const { engine } = model;
  const { memoryMibPerDevice } = reservation;
  const stop = { how: 'stop', freesMib: memoryMibPerDevice, takesMs: stopCostMs(model) } as const;
  switch (engine.kind) {
    case 'awake': {
      const view = residentOf(model, reservation, Math.max(staysMs, yieldsInMs(state, model, nowMs)));
      return { ...view, ways: waysOut(state, model, reservation, nowMs) };
    }
    case 'starting':
    case 'waking':
      return {
        ...residentOf(model, reservation, Math.max(staysMs, yieldsInMs(state, model, nowMs))),
        ways: [{ ...stop, lossMs: 0 }],
      };
    case 'asleep': {
      if (engine.leaving !== null) return null;
      // Somebody waits for it where it is: to stop it would only move the trouble.
      const lossMs = startCostMs(model) * (isWaitedFor(model) ? BUSY_VICTIM_WEIGHT : 1);
      return { ...residentOf(model, reservation, staysMs), ways: [{ ...stop, lossMs }] };
    }
    case 'draining':
    case 'falling_asleep':
    case 'stopping':
    case 'cold':
    case 'fetching':
    case 'failed':
    case 'external':
      return null;
  }
}

/** Sleeping loses what waking costs, stopping what a start costs; both the less, the less it is asked for. */
function waysOut(
  state: SchedulerState,
  model: ModelState,
  reservation: Reservation,
  nowMs: number,
): WayOut[] {
  const queued = (model.queue.size + model.running.size) * BUSY_VICTIM_WEIGHT;
  const share = lossShare(model, nowMs);
  const coldMs = startCostMs(model);
  const stop: WayOut = {
    how: 'stop',
    freesMib: reservation.memoryMibPerDevice,
    takesMs: leaveTakesMs(model, 'stop', nowMs),
    lossMs: share * (coldMs + stopCostMs(model)) + queued * coldMs,
  };
  if (!canSleep(model) || state.hostBudgetMib === null) return [stop];
  const wakeMs = wakeCostMs(model);
  const takesMs = leaveTakesMs(model, 'sleep', nowMs);
  const freesMib = reservation.memoryMibPerDevice - (model.need?.residueMib ?? 0);
  if (freesMib <= 0) return [stop];
  return [
    { how: 'sleep', freesMib, takesMs, lossMs: share * (wakeMs + sleepCostMs(model)) + queued * wakeMs },
    stop,
  ];
}

/** Null: it does not leave. */
export function leavingView(
  state: SchedulerState,
  model: ModelState,
  reservation: Reservation,
  nowMs: number,
): LeavingView | null {
  const { engine } = model;
  const memoryMib = reservation.memoryMibPerDevice;
  switch (engine.kind) {
    case 'stopping': {
      const restMs = Math.max(0, stopCostMs(model) - (nowMs - engine.sinceMs));
      return { memoryMib, inMs: engine.unverified ? Number.POSITIVE_INFINITY : restMs };
    }
    case 'falling_asleep': {
      const restMs = Math.max(0, sleepCostMs(model) - (nowMs - engine.sinceMs));
      return { memoryMib: sleepFreesMib(model, memoryMib), inMs: restMs };
    }
    case 'asleep':
      return engine.leaving === null
        ? null
        : { memoryMib, inMs: quietInMs(state, model, nowMs) + stopCostMs(model) };
    case 'draining': {
      const freesMib =
        engine.how === 'sleep' && state.hostBudgetMib !== null ? sleepFreesMib(model, memoryMib) : memoryMib;
      if (model.running.size === 0) return { memoryMib: freesMib, inMs: quietInMs(state, model, nowMs) };
      const leaveMs = engine.how === 'sleep' ? sleepCostMs(model) : stopCostMs(model);
      return { memoryMib: freesMib, inMs: drainRestMs(model, engine, nowMs) + leaveMs };
    }
    default:
      return null;
  }
}

function residentOf(model: ModelState, { deviceIds }: Reservation, yields: number) {
  return { model: model.policy.name, deviceIds, yieldsInMs: yields };
}

/** When it may be asked to go; of one that comes up: when its turn is expected to end. Infinity: never. */
export function yieldsInMs(state: SchedulerState, model: ModelState, nowMs: number): number {
  const engine = model.engine;
  if (engine.kind === 'asleep') return 0;
  if (engine.kind === 'awake') {
    const paidFromMs = budgetReadyMs(state, engine.reservation.deviceIds, nowMs);
    return Math.max(0, yieldsAtMs(model, engine, state.scheduling, paidFromMs) - nowMs);
  }
  if ((engine.kind !== 'starting' && engine.kind !== 'waking') || model.policy.alwaysOn)
    return Number.POSITIVE_INFINITY;
  if (abandonable(model, nowMs)) return 0;
  const bringUpMs = engine.kind === 'waking' ? wakeCostMs(model) : startCostMs(model);
  const restMs = Math.max(0, bringUpMs - (nowMs - engine.sinceMs));
  return restMs + quantumMs(model, state.scheduling);
}

/** From being asked until its memory is back. */
export function leaveTakesMs(model: ModelState, how: 'sleep' | 'stop', nowMs: number): number {
  const drainMs = model.engine.kind === 'asleep' ? 0 : expectedDrainMs(model, nowMs);
  return drainMs + (how === 'sleep' ? sleepCostMs(model) : stopCostMs(model));
}

function sleepFreesMib(model: ModelState, memoryMib: number): number {
  return Math.max(0, memoryMib - (model.need?.residueMib ?? 0));
}

/** A load whose last waiter left and that is less than half done gives way to a model that somebody waits for. */
export function abandonable(model: ModelState, nowMs: number): boolean {
  const engine = model.engine;
  return (
    engine.kind === 'starting' &&
    model.queue.size === 0 &&
    !model.wanted &&
    !model.policy.alwaysOn &&
    nowMs - engine.sinceMs < ABANDON_SHARE * startCostMs(model)
  );
}
