/** What a model waits for on its own account, as steps of an explanation (explanation.ts). */
import type { DeviceId, ModelName } from '../core/ids.ts';
import { runningRestMs } from './expected-use.ts';
import type { Step, StepKind } from './explanation.ts';
import { sleepRestMs, stopRestMs } from './move-times.ts';
import type { ModelState, SchedulerState } from './state.ts';
import { sleepCostMs, stopCostMs } from './turn.ts';

export function pauseSteps(model: ModelState, nowMs: number): readonly Step[] {
  const engine = model.engine.kind === 'stopping' ? model.engine.next : model.engine;
  const { name } = model.policy;
  const untilMs =
    engine.kind === 'failed' ? engine.untilMs : 'notBeforeMs' in engine ? engine.notBeforeMs : 0;
  const pauseMs = untilMs - nowMs;
  if (pauseMs <= 0) return [];
  const failure = engine.kind === 'failed' || engine.kind === 'cold' ? engine.failure : null;
  const detail = failure?.text ?? 'its devices had less room than was reckoned';
  const pause = step('pause', [name], pauseMs);
  return [{ ...pause, atLatestMs: pauseMs, basis: 'measured', detail }];
}

export function ownLeavingSteps(state: SchedulerState, model: ModelState, nowMs: number): readonly Step[] {
  const { engine } = model;
  const { name } = model.policy;
  const leaves = (takesMs: number, detail: string, deviceIds: readonly DeviceId[]): Step => ({
    ...step('own_leaving', [name], takesMs, deviceIds),
    detail,
  });
  switch (engine.kind) {
    case 'draining': {
      const { deviceIds } = engine.awake.reservation;
      const restMs = runningRestMs(model, nowMs);
      const limitMs = engine.deadlineMs - nowMs;
      const isEndless = limitMs === Number.POSITIVE_INFINITY;
      const drain = {
        ...step('own_drain', [name], isEndless ? null : Math.min(restMs, Math.max(0, limitMs)), deviceIds),
        ...{ atLatestMs: isEndless ? null : limitMs, detail: engine.reason },
      };
      const isSleep = engine.how === 'sleep' && state.hostBudgetMib !== null;
      return [drain, leaves(isSleep ? sleepCostMs(model) : stopCostMs(model), engine.reason, deviceIds)];
    }
    case 'falling_asleep':
      return [
        leaves(sleepRestMs(model, nowMs - engine.sinceMs), engine.reason, engine.reservation.deviceIds),
      ];
    case 'stopping':
      return [leaves(stopRestMs(model, nowMs - engine.sinceMs), engine.reason, engine.reservation.deviceIds)];
    case 'asleep':
      return engine.leaving === null
        ? []
        : [leaves(stopCostMs(model), engine.leaving, engine.reservation.deviceIds)];
    default:
      return [];
  }
}

export function slotSteps(model: ModelState): readonly Step[] {
  const { maxConcurrent, name } = model.policy;
  if (model.running.size < maxConcurrent) return [];
  const rounds = (model.queue.size + 1) / maxConcurrent;
  const restMs = model.serviceMs === null ? null : Math.ceil(rounds * model.serviceMs);
  return [{ ...step('slots', [name], restMs), detail: `all ${maxConcurrent} slots are taken` }];
}

export function startBasis(model: ModelState): Step['basis'] {
  return model.startTimes.count === 0 ? 'assumed' : 'measured';
}

export function wakeBasis(model: ModelState): Step['basis'] {
  return model.wakeMs === null ? 'assumed' : 'measured';
}

export function step(
  kind: StepKind,
  models: readonly ModelName[],
  expectedMs: number | null,
  deviceIds: readonly DeviceId[] = [],
): Step {
  return { kind, models, deviceIds, expectedMs, atLatestMs: null, basis: 'assumed', detail: '' };
}
