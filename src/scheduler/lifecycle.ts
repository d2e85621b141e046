/** What engines report: progress, readiness, death, the end of a stop. Reports of other launches than the present one are late and ignored. */

import type { LaunchId } from '../core/ids.ts';
import { setEngine } from './engine-index.ts';
import { COLD, reservationOf } from './engine-state.ts';
import type { EngineFailure } from './events.ts';
import { afterDeath, afterFailedStart, refuseStart } from './failures.ts';
import { moveEnded } from './move-budget.ts';
import { noteStart } from './move-times.ts';
import { cameUp, stopEngine } from './moves.ts';
import { engineFailed, SHUTTING_DOWN } from './refusals.ts';
import { pump, refuseQueue, wish } from './requests.ts';
import { sleepFailed } from './sleeping.ts';
import type { Decision, ModelState } from './state.ts';
import { learn } from './turn.ts';
import { withdraw } from './withdrawal.ts';

/** Pause before a stop that could not be verified is asked for again. */
const STOP_RETRY_MS = 10_000;

/** The model whose present launch this is, or null for a report that comes too late. */
export function ofLaunch(d: Decision, launchId: LaunchId): ModelState | null {
  const model = d.state.launches.get(launchId);
  return model !== undefined && reservationOf(model.engine)?.launchId === launchId ? model : null;
}

export function phaseReported(model: ModelState, phase: string, percent: number | null): void {
  if (model.engine.kind !== 'starting') return;
  const sameBefore = model.engine.phase === phase ? (model.engine.percent ?? 0) : 0;
  model.engine.phase = phase;
  model.engine.percent = percent === null ? null : Math.max(sameBefore, percent);
}

export function becameReady(d: Decision, model: ModelState, contextLength: number | null): void {
  const engine = model.engine;
  if (engine.kind !== 'starting') return;
  if (engine.isMeasured) {
    const tookMs = d.nowMs - engine.sinceMs;
    noteStart(d.state, model, tookMs);
    model.startMs = learn(model.startMs, tookMs);
  }
  model.mends = 0;
  model.contextLength = contextLength ?? model.contextLength;
  cameUp(d, model, engine.reservation, 'cold');
  pump(d, model);
}

/** Starts in a row that may fail and be mended; beyond, a failure counts as one. */
const MENDS_MAX = 4;

/**
 * The process ended, or was found not to answer. `mended`: what was changed so that the next start may succeed; such a
 * failure counts as none.
 */
export function engineExited(
  d: Decision,
  model: ModelState,
  failure: EngineFailure,
  mended: string | null = null,
): void {
  const engine = model.engine;
  if (engine.kind === 'starting' && mended !== null && model.mends < MENDS_MAX) {
    model.mends += 1;
    stopEngine(d, model, `its start failed; ${mended}`, COLD, 0);
  } else if (engine.kind === 'asleep' || engine.kind === 'falling_asleep') {
    withdraw(d, model);
    stopEngine(d, model, `it died asleep: ${failure.text}`, COLD, 0);
  } else if (engine.kind === 'waking') {
    sleepFailed(d, model, `it died while it woke: ${failure.text}`);
  } else if (engine.kind === 'starting' && lacksFiles(model, failure)) {
    model.mends += 1;
    model.fetched = false;
    stopEngine(d, model, `its start failed: ${failure.text}; what is missing is fetched`, COLD, 0);
  } else if (engine.kind === 'starting') {
    const next = afterFailedStart(d, model, failure);
    stopEngine(d, model, 'its start failed', next, 0);
    refuseStart(d, model, failure, next, 'its engine did not start');
  } else if (engine.kind === 'awake' || engine.kind === 'draining') {
    blameLoneRequest(d, model);
    const next = afterDeath(d, model, failure);
    stopEngine(d, model, `it died: ${failure.text}`, next, 0);
    if (next.kind === 'failed') {
      refuseQueue(
        d,
        model,
        engineFailed(model, failure, next.deaths, next.untilMs - d.nowMs),
        'its engine keeps dying',
      );
    } else if (d.state.closing !== 'no') {
      refuseQueue(d, model, SHUTTING_DOWN, 'the gateway is shutting down and its engine died');
    }
  }
}

/** They were there once and have gone: they are fetched again while requests wait. Once, because it may be wrong. */
function lacksFiles(model: ModelState, failure: EngineFailure): boolean {
  return (
    FILE_CAUSES.has(failure.cause) &&
    model.policy.fetchTimeoutMs !== null &&
    model.fetched &&
    model.mends === 0
  );
}

/** Causes of a failed start that say that its files or its image are missing or cannot be had. */
const FILE_CAUSES: ReadonlySet<string> = new Set([
  'repository_unreachable',
  'model_not_found',
  'gated_repository',
  'image_missing',
]);

/**
 * A request that was alone in flight is the likely cause: it is remembered, wherever it is now. Once connections break
 * one after the other, the last of them only looks alone, so the first loss decides.
 */
function blameLoneRequest(d: Decision, model: ModelState): void {
  const engine = model.engine;
  const awake = engine.kind === 'awake' ? engine : engine.kind === 'draining' ? engine.awake : null;
  if (awake === null) return;
  const running = model.running.size === 1 ? model.running.values().next().value?.requestId : null;
  const lone = awake.suspect ? awake.lostWhileAlone : running;
  if (lone === undefined || lone === null) return;
  const request = model.running.get(lone) ?? model.queue.get(lone);
  if (request !== undefined && request !== null) request.loneDeaths += 1;
  d.effects.push({
    kind: 'lone_death',
    requestId: lone,
    model: model.policy.name,
    reason: 'it was alone in flight when the engine died',
  });
}

/** It may hang, and gets nothing until it has shown that it works. Nobody is blamed. */
export function becameMute(d: Decision, model: ModelState): void {
  const engine = model.engine;
  const awake = engine.kind === 'awake' ? engine : engine.kind === 'draining' ? engine.awake : null;
  if (awake === null || awake.suspect) return;
  awake.suspect = true;
  d.effects.push({
    kind: 'probe',
    model: model.policy.name,
    launchId: awake.reservation.launchId,
    reason: 'requests are with it for too long and none of them gets an answer',
  });
}

export function probeAnswered(d: Decision, model: ModelState, healthy: boolean, detail: string): void {
  const engine = model.engine;
  const awake = engine.kind === 'awake' ? engine : engine.kind === 'draining' ? engine.awake : null;
  if (awake === null || !awake.suspect) return;
  if (healthy) {
    awake.suspect = false;
    awake.lostWhileAlone = null;
    pump(d, model);
    return;
  }
  engineExited(d, model, {
    cause: 'unknown',
    text: `it does not answer any more: ${detail}`,
    retryable: true,
  });
}

export function stopAnswered(d: Decision, model: ModelState, verified: boolean): void {
  const engine = model.engine;
  if (engine.kind !== 'stopping') return;
  d.touched.add(model);
  moveEnded(d.state, engine.reservation, d.nowMs);
  if (!verified) {
    engine.retryAtMs = d.nowMs + STOP_RETRY_MS;
    engine.unverified = true;
    // Whoever counts on its memory looks for another way.
    d.review = true;
    return;
  }
  model.stopMs = learn(model.stopMs, d.nowMs - engine.sinceMs);
  d.state.launches.delete(engine.reservation.launchId);
  setEngine(d.state, model, engine.next);
  d.review = true;
  wish(d, model);
}
