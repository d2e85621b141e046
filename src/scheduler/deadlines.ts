/**
 * Exact timers: each model has at most one, armed for the nearest thing that is due. A deadline that moves later leaves
 * the armed timer alone (it fires, finds nothing due and is armed anew), so that a busy model costs no timer per request.
 */
import { setEngine } from './engine-index.ts';
import { type AsleepState, COLD } from './engine-state.ts';
import { fetchDeadlinePassed } from './fetching.ts';
import { engineExited } from './lifecycle.ts';
import { drainDeadlinePassed, leaveDeadlinePassed, stopEngine } from './moves.ts';
import { hasDelicateNeighbour } from './neighbours.ts';
import { expire, wish } from './requests.ts';
import { sleepFailed } from './sleeping.ts';
import { type Decision, isIdle, type ModelState } from './state.ts';
import { dismiss } from './withdrawal.ts';

/** An idle engine beside one that starts is looked at again after this. */
const NEIGHBOUR_RECHECK_MS = 1_000;
const NEVER = Number.POSITIVE_INFINITY;

function nextDeadlineMs(model: ModelState): number {
  const review = model.contendsSinceMs === null ? NEVER : model.reviewAtMs;
  return Math.min(model.queue.nextDeadlineMs(), review, model.yieldReviewMs, engineDeadlineMs(model));
}

function engineDeadlineMs(model: ModelState): number {
  const engine = model.engine;
  switch (engine.kind) {
    case 'cold':
      return model.contendsSinceMs !== null && engine.notBeforeMs > 0 ? engine.notBeforeMs : NEVER;
    case 'asleep':
      return asleepDeadlineMs(model, engine);
    case 'failed':
      return model.policy.alwaysOn ? engine.untilMs : NEVER;
    case 'fetching':
    case 'starting':
    case 'falling_asleep':
    case 'waking':
    case 'draining':
      return engine.deadlineMs;
    case 'stopping':
      return engine.retryAtMs;
    case 'awake':
      return idleDeadlineMs(model);
    case 'external':
      return NEVER;
  }
}

/** A sleeper that nobody has asked for in its inactivity timeout is stopped: its memory is of use to others. */
function asleepDeadlineMs(model: ModelState, engine: AsleepState): number {
  if (engine.leaving !== null) return model.running.size > 0 ? engine.leaveByMs : NEVER;
  if (model.contendsSinceMs !== null) return engine.notBeforeMs > 0 ? engine.notBeforeMs : NEVER;
  const { inactivityTimeoutMs, alwaysOn } = model.policy;
  if (inactivityTimeoutMs === 0 || alwaysOn || !isIdle(model)) return NEVER;
  return Math.max(engine.sinceMs, model.lastServedMs ?? 0) + inactivityTimeoutMs;
}

/** R5: idleness counts from the end of the last request, and never while one runs or waits. */
function idleDeadlineMs(model: ModelState): number {
  const engine = model.engine;
  const { inactivityTimeoutMs, alwaysOn, minResidenceMs } = model.policy;
  if (engine.kind !== 'awake' || inactivityTimeoutMs === 0 || alwaysOn || !isIdle(model)) return NEVER;
  return Math.max(
    engine.lastUseMs + inactivityTimeoutMs,
    engine.keepUntilMs,
    engine.readyMs + minResidenceMs,
  );
}

/** Does whatever of this model is due. */
export function deadlinePassed(d: Decision, model: ModelState): void {
  model.armedMs = NEVER;
  d.touched.add(model);
  expire(d, model);
  const engine = model.engine;
  if (engine.kind === 'cold' && model.contendsSinceMs !== null && engine.notBeforeMs <= d.nowMs) {
    // The pause is over: forget it, so that it arms no timer again.
    setEngine(d.state, model, COLD);
    d.review = true;
  }
  if (engine.kind === 'asleep' && model.contendsSinceMs !== null && engine.notBeforeMs <= d.nowMs) {
    engine.notBeforeMs = 0;
    d.review = true;
  }
  if (model.contendsSinceMs !== null && model.reviewAtMs <= d.nowMs) d.review = true;
  if (model.yieldReviewMs <= d.nowMs) {
    model.yieldReviewMs = NEVER;
    d.review = true;
  }
  if (engineDeadlineMs(model) > d.nowMs) return;
  engineDeadlinePassed(d, model);
}

function engineDeadlinePassed(d: Decision, model: ModelState): void {
  const engine = model.engine;
  switch (engine.kind) {
    case 'starting': {
      const text = `it was not ready within ${model.policy.loadTimeoutMs / 1000} s (phase ${engine.phase})`;
      engineExited(d, model, { cause: 'timeout', text, retryable: true });
      return;
    }
    case 'fetching':
      fetchDeadlinePassed(d, model);
      return;
    case 'draining':
      drainDeadlinePassed(d, model);
      return;
    case 'stopping':
      engine.retryAtMs = NEVER;
      d.effects.push({
        kind: 'stop',
        model: model.policy.name,
        launchId: engine.reservation.launchId,
        graceMs: 0,
        reason: `its stop could not be verified: ${engine.reason}`,
      });
      return;
    case 'awake':
      if (hasDelicateNeighbour(d, model)) {
        engine.keepUntilMs = d.nowMs + NEIGHBOUR_RECHECK_MS;
        return;
      }
      stopEngine(d, model, `it has been idle for ${model.policy.inactivityTimeoutMs / 1000} s`);
      return;
    case 'falling_asleep':
      sleepFailed(d, model, `it was not asleep within ${model.policy.sleepTimeoutMs / 1000} s`);
      return;
    case 'waking':
      sleepFailed(d, model, `it was not awake within ${model.policy.wakeTimeoutMs / 1000} s`);
      return;
    case 'asleep':
      if (engine.leaving !== null) leaveDeadlinePassed(d, model, engine, engine.leaving);
      if (engine.leaving !== null || model.contendsSinceMs !== null) return;
      dismiss(d, model, engine, `it was asked for nothing in ${model.policy.inactivityTimeoutMs / 1000} s`);
      return;
    case 'failed':
      // The pause is over: forget it, so that it arms no timer again.
      setEngine(d.state, model, COLD);
      wish(d, model);
      return;
    case 'cold':
    case 'external':
      return;
  }
}

/** Arms a timer for every touched model whose nearest deadline is earlier than its armed one. */
export function armTimers(d: Decision): void {
  for (const model of d.touched.list) {
    if (d.state.models.get(model.policy.name) !== model) continue;
    const atMs = nextDeadlineMs(model);
    if (atMs >= model.armedMs) continue;
    model.armedMs = atMs;
    d.effects.push({ kind: 'set_timer', key: model.policy.name, atMs });
  }
}
