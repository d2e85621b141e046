/** What engines report: progress, readiness, death, the end of a stop. Reports of other launches than the present one are late and ignored. */

import type { LaunchId } from '../core/ids.ts';
import {
  ABANDONED_LOAD_KEEP_MS,
  DEATH_WINDOW_MS,
  DEATHS_MAX,
  START_BACKOFF_MAX_MS,
  START_BACKOFF_MS,
} from '../core/limits.ts';
import { renewCredit } from './credit.ts';
import { type ColdState, type FailedState, reservationOf } from './engine-state.ts';
import type { EngineFailure } from './events.ts';
import type { AdoptedLaunch } from './model-policy.ts';
import { stopEngine } from './moves.ts';
import { engineFailed, startFailed } from './refusals.ts';
import { pump, refuseQueue, wish } from './requests.ts';
import type { Decision, ModelState } from './state.ts';
import { learn } from './turn.ts';

/** Pause before a stop that could not be verified is asked for again. */
const STOP_RETRY_MS = 10_000;

/** The model whose present launch this is, or null. */
export function ofLaunch(d: Decision, name: string, launchId: LaunchId): ModelState | null {
  const model = d.state.models.get(name);
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
  model.startMs = learn(model.startMs, d.nowMs - engine.sinceMs);
  const unasked = model.queue.size === 0 && !model.policy.alwaysOn;
  model.contextLength = contextLength ?? model.contextLength;
  model.wanted = false;
  model.engine = {
    kind: 'awake',
    reservation: engine.reservation,
    readyMs: d.nowMs,
    lastUseMs: d.nowMs,
    keepUntilMs: unasked ? d.nowMs + ABANDONED_LOAD_KEEP_MS : 0,
    suspect: false,
    lostWhileAlone: null,
  };
  renewCredit(d.state, model, engine.reservation);
  d.touched.add(model);
  d.review = true;
  pump(d, model);
}

/** The process ended, or was found not to answer. */
export function engineExited(d: Decision, model: ModelState, failure: EngineFailure): void {
  const engine = model.engine;
  if (engine.kind === 'starting') {
    const next = afterFailedStart(d, model, failure);
    stopEngine(d, model, `its start failed: ${failure.text}`, next, 0);
    const retryMs = next.kind === 'failed' ? next.untilMs - d.nowMs : next.notBeforeMs - d.nowMs;
    model.wanted = false;
    refuseQueue(d, model, startFailed(model, failure, retryMs), 'its engine did not start');
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
    }
  }
}

function afterFailedStart(d: Decision, model: ModelState, failure: EngineFailure): ColdState | FailedState {
  const deaths = countDeath(d, model);
  if (deaths >= DEATHS_MAX || !failure.retryable) return failed(d, failure, deaths);
  return { kind: 'cold', notBeforeMs: d.nowMs + backoffMs(deaths), failure };
}

/** The first death while serving is followed by a start at once; its waiting requests keep waiting. */
function afterDeath(d: Decision, model: ModelState, failure: EngineFailure): ColdState | FailedState {
  const deaths = countDeath(d, model);
  if (deaths >= DEATHS_MAX) return failed(d, failure, deaths);
  return { kind: 'cold', notBeforeMs: deaths > 1 ? d.nowMs + backoffMs(deaths - 1) : 0, failure: null };
}

function failed(d: Decision, failure: EngineFailure, deaths: number): FailedState {
  return { kind: 'failed', failure, deaths, untilMs: d.nowMs + DEATH_WINDOW_MS };
}

function countDeath(d: Decision, model: ModelState): number {
  model.deathsMs = model.deathsMs.filter((atMs) => atMs > d.nowMs - DEATH_WINDOW_MS);
  model.deathsMs.push(d.nowMs);
  return model.deathsMs.length;
}

function backoffMs(deaths: number): number {
  return Math.min(START_BACKOFF_MAX_MS, START_BACKOFF_MS * 2 ** (deaths - 1));
}

/** A request that was alone in flight is the likely cause: it is remembered, wherever it is now. */
function blameLoneRequest(d: Decision, model: ModelState): void {
  const engine = model.engine;
  const awake = engine.kind === 'awake' ? engine : engine.kind === 'draining' ? engine.awake : null;
  const lone =
    model.running.size === 1 ? model.running.values().next().value?.requestId : awake?.lostWhileAlone;
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
  if (!verified) {
    engine.retryAtMs = d.nowMs + STOP_RETRY_MS;
    return;
  }
  model.stopMs = learn(model.stopMs, d.nowMs - engine.sinceMs);
  model.engine = engine.next;
  d.review = true;
  wish(d, model);
}

export function engineAdopted(d: Decision, launch: AdoptedLaunch, contextLength: number | null): void {
  const model = d.state.models.get(launch.model);
  // Before the devices are read, whoever reports the adoption has checked them.
  const devicesKnown = !d.state.devicesKnown || launch.deviceIds.every((id) => d.state.devices.has(id));
  const { launchId } = launch;
  if (
    model === undefined ||
    model.engine.kind !== 'cold' ||
    launch.signature !== model.policy.signature ||
    !devicesKnown
  ) {
    const reason = 'the configuration has no place for this engine of an earlier gateway';
    d.effects.push({ kind: 'stop', model: launch.model, launchId, graceMs: 0, reason });
    return;
  }
  model.engine = {
    kind: 'awake',
    reservation: {
      launchId,
      deviceIds: launch.deviceIds,
      memoryMibPerDevice: launch.memoryMibPerDevice,
      signature: launch.signature,
    },
    readyMs: d.nowMs,
    lastUseMs: d.nowMs,
    keepUntilMs: 0,
    suspect: false,
    lostWhileAlone: null,
  };
  model.contextLength = contextLength;
  d.state.plans.delete(model.policy.name);
  model.lastGrantRound = Math.max(model.lastGrantRound, d.state.round);
  renewCredit(d.state, model, model.engine.reservation);
  d.state.contenders.delete(model);
  model.round = null;
  d.touched.add(model);
  d.review = true;
  pump(d, model);
}
