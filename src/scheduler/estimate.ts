/**
 * `estimate(model)`: when will it serve, and why not yet. Retry-After, progress frames, status and `explain` all come
 * from here, so that a client is told the same everywhere.
 */
import { assertNever } from '../core/assert.ts';
import type { ModelName } from '../core/ids.ts';
import { placeNow } from './device-view.ts';
import { drainsWithoutLimit } from './drain-time.ts';
import { type FetchingState, reservationOf } from './engine-state.ts';
import { startRestMs } from './move-times.ts';
import { isWaitedFor, type ModelState, type SchedulerState } from './state.ts';
import { bringUpCostMs, sleepCostMs, startCostMs, stopCostMs, wakeCostMs } from './turn.ts';

export interface Estimate {
  /** Milliseconds until a request that arrives now would be dispatched; null: nobody can say. */
  readonly readyInMs: number | null;
  readonly why: string;
  /** `measured`: from costs seen on this machine. `assumed`: defaults or guesses about others' turns take part. */
  readonly basis: 'measured' | 'assumed';
  readonly phase: string;
  /** Share of the present phase that is done, 0..100; null: the engine does not tell. */
  readonly percent: number | null;
}

export function estimate(state: SchedulerState, name: ModelName, nowMs: number): Estimate {
  const model = state.models.get(name);
  if (model === undefined) return answer(null, `there is no model ${name}`, 'assumed', 'unknown');
  const engine = model.engine;
  const basis = model.startMs === null ? 'assumed' : 'measured';
  switch (engine.kind) {
    case 'external':
      return slotEstimate(model, 'it is served elsewhere');
    case 'awake':
      return engine.suspect
        ? answer(null, 'a connection to its engine broke; it is being probed', 'assumed', 'probing')
        : slotEstimate(model, 'it is awake');
    case 'fetching': {
      const elapsedMs = nowMs - engine.sinceMs;
      const why = `its files are being fetched for ${seconds(elapsedMs)} s`;
      const { bytesDone, bytesTotal } = engine;
      const restMs = fetchRestMs(engine, elapsedMs);
      const readyInMs = restMs === null ? null : restMs + startCostMs(model);
      const percent =
        bytesTotal === null || bytesTotal === 0 ? null : Math.floor((100 * bytesDone) / bytesTotal);
      return { ...answer(readyInMs, why, 'assumed', 'fetching'), percent };
    }
    case 'starting': {
      const elapsedMs = nowMs - engine.sinceMs;
      const restMs = startRestMs(state, model, elapsedMs);
      const why = `it has been starting for ${seconds(elapsedMs)} s (${engine.phase})`;
      return { ...answer(restMs, why, basis, engine.phase), percent: engine.percent };
    }
    case 'waking': {
      const elapsedMs = nowMs - engine.sinceMs;
      const restMs = Math.max(0, wakeCostMs(model) - elapsedMs);
      const why = `it has been waking for ${seconds(elapsedMs)} s`;
      return answer(restMs, why, model.wakeMs === null ? 'assumed' : 'measured', 'waking');
    }
    case 'falling_asleep': {
      const restMs = Math.max(0, sleepCostMs(model) - (nowMs - engine.sinceMs));
      const why = `it is falling asleep: ${engine.reason}`;
      return answer(restMs + wakeCostMs(model), why, 'assumed', 'falling asleep');
    }
    case 'asleep': {
      const { leaving, notBeforeMs } = engine;
      if (leaving === null) return placedEstimate(state, model, notBeforeMs, nowMs);
      const readyInMs = stopCostMs(model) + startCostMs(model);
      return answer(readyInMs, `it is to be stopped: ${leaving}`, 'assumed', 'asleep');
    }
    case 'draining':
      return answer(
        null,
        `its devices go to ${engine.beneficiary ?? 'nobody in particular'}: ${engine.reason}`,
        'assumed',
        'draining',
      );
    case 'stopping': {
      const restMs = Math.max(0, stopCostMs(model) - (nowMs - engine.sinceMs));
      return answer(
        restMs + startCostMs(model),
        `it is being stopped: ${engine.reason}`,
        'assumed',
        'stopping',
      );
    }
    case 'failed':
      return answer(
        Math.max(0, engine.untilMs - nowMs) + startCostMs(model),
        engine.failure.text,
        'assumed',
        'failed',
      );
    case 'cold':
      return placedEstimate(state, model, engine.notBeforeMs, nowMs);
    default:
      return assertNever(engine, 'engine state');
  }
}

/** At the speed so far, of which files that were there already are a part: a guess from below. Null: nothing is known yet. */
function fetchRestMs({ bytesDone, bytesTotal }: FetchingState, elapsedMs: number): number | null {
  if (bytesTotal === null || bytesDone === 0) return null;
  return (elapsedMs * (bytesTotal - bytesDone)) / bytesDone;
}

/** It has no engine, or one that sleeps. */
function placedEstimate(
  state: SchedulerState,
  model: ModelState,
  notBeforeMs: number,
  nowMs: number,
): Estimate {
  const pauseMs = Math.max(0, notBeforeMs - nowMs);
  const isAsleep = model.engine.kind === 'asleep';
  const basis = (isAsleep ? model.wakeMs : model.startMs) === null ? 'assumed' : 'measured';
  const bringUpMs = bringUpCostMs(model);
  const pause = pauseMs > 0 ? `after a pause of ${seconds(pauseMs)} s ` : '';
  const what = `${pause}${isAsleep ? 'it has to wake' : 'it has to start'}`;
  // Nobody waits for a model that nobody has asked for.
  const isAwaited = isWaitedFor(model) || model.round !== null;
  const phase = isAwaited ? 'waiting' : isAsleep ? 'asleep' : 'cold';
  const placement = placeNow(state, model, nowMs, state.plans.get(model.policy.name)?.deviceIds);
  switch (placement.kind) {
    case 'never':
      return answer(null, placement.why, 'measured', 'cold');
    case 'blocked':
      return answer(null, placement.why, 'assumed', phase);
    case 'free':
      return answer(pauseMs + bringUpMs, what, basis, isAsleep ? 'asleep' : 'cold');
    case 'evict': {
      const endless = [...state.models.values()].find(
        (other) =>
          drainsWithoutLimit(other) &&
          reservationOf(other.engine)?.deviceIds.some((id) => placement.deviceIds.includes(id)),
      );
      if (endless !== undefined) {
        const who = endless.policy.name;
        return answer(
          null,
          `nobody can tell: ${who} keeps its devices until its running requests end, without a limit (on_drain_timeout: wait)`,
          'assumed',
          phase,
        );
      }
      const turn =
        placement.victimsInMs > 0 ? `, whose turn ends in ${seconds(placement.victimsInMs)} s` : '';
      const names = placement.victims.map((victim) => victim.model).join(', ');
      const whom = placement.victims.length > 0 ? ` after ${names}${turn}` : '';
      // Others may be ahead, and running requests may take their drain: an honest guess, no more.
      return answer(pauseMs + placement.inMs + bringUpMs, `${what}${whom}`, 'assumed', phase);
    }
    default:
      return assertNever(placement, 'placement');
  }
}

function slotEstimate(model: ModelState, why: string): Estimate {
  if (model.running.size < model.policy.maxConcurrent) return answer(0, why, 'measured', 'awake');
  const rounds = (model.queue.size + 1) / model.policy.maxConcurrent;
  const readyInMs = model.serviceMs === null ? null : Math.ceil(rounds * model.serviceMs);
  return answer(readyInMs, `${why}, with all ${model.policy.maxConcurrent} slots taken`, 'assumed', 'awake');
}

function answer(
  readyInMs: number | null,
  why: string,
  basis: 'measured' | 'assumed',
  phase: string,
): Estimate {
  return { readyInMs, why, basis, phase, percent: null };
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
