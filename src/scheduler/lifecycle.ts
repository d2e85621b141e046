/** What engines report: progress, readiness, death, the end of a stop. Reports of other launches than the present one are late and ignored. */

import type { LaunchId, ModelName } from '../core/ids.ts';
import { DEATH_WINDOW_MS, DEATHS_MAX, START_BACKOFF_MAX_MS, START_BACKOFF_MS } from '../core/limits.ts';
import { renewCredit } from './credit.ts';
import {
  awakeState,
  COLD,
  type ColdState,
  type FailedState,
  type Reservation,
  reservationOf,
} from './engine-state.ts';
import type { EngineFailure } from './events.ts';
import type { AdoptedLaunch, ModelPolicy } from './model-policy.ts';
import { moveEnded } from './move-budget.ts';
import { cameUp, noteOverBudget, stopEngine } from './moves.ts';
import { granted } from './rank.ts';
import { engineFailed, SHUTTING_DOWN, startFailed } from './refusals.ts';
import { pump, refuseQueue, wish } from './requests.ts';
import { sleepFailed, sleepingState } from './sleeping.ts';
import { createModelState, type Decision, type ModelState } from './state.ts';
import { learn } from './turn.ts';
import { withdraw } from './withdrawal.ts';

/** Pause before a stop that could not be verified is asked for again. */
const STOP_RETRY_MS = 10_000;
/** Between SIGTERM and SIGKILL of an engine that nobody has a configuration for any more. */
const LEFTOVER_STOP_GRACE_MS = 10_000;

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
  model.startMs = learn(model.startMs, d.nowMs - engine.sinceMs);
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
  } else if (engine.kind === 'starting') {
    const next = afterFailedStart(d, model, failure);
    stopEngine(d, model, 'its start failed', next, 0);
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
    } else if (d.state.closing !== 'no') {
      refuseQueue(d, model, SHUTTING_DOWN, 'the gateway is shutting down and its engine died');
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
  model.engine = engine.next;
  d.review = true;
  wish(d, model);
}

/** An engine of an earlier gateway: it serves on where the configuration wants it as it is, else it is stopped. */
export function engineAdopted(d: Decision, launch: AdoptedLaunch, contextLength: number | null): void {
  const { state } = d;
  const model = state.models.get(launch.model);
  const reservation: Reservation = {
    launchId: launch.launchId,
    deviceIds: launch.deviceIds,
    memoryMibPerDevice: launch.memoryMibPerDevice,
    exclusive: model?.need?.memoryMibPerDevice === null,
    signature: launch.signature,
  };
  if (model === undefined || !isWantedAs(d, model, launch)) {
    endUnwanted(d, launch.model, reservation);
    return;
  }
  // At which level it sleeps nobody can say: the way of waking from level 2 is right for both.
  model.engine =
    launch.asleep === true
      ? sleepingState(d, model, reservation, 2, { residueMib: null, hostMib: null })
      : awakeState(reservation, 'cold', d.nowMs);
  model.contextLength = contextLength;
  state.launches.set(reservation.launchId, model);
  granted(state, model);
  state.plans.delete(model.policy.name);
  renewCredit(state, model, reservation);
  noteOverBudget(d, reservation.deviceIds);
  d.touched.add(model);
  d.review = true;
  pump(d, model);
  wish(d, model);
}

function isWantedAs(d: Decision, model: ModelState, launch: AdoptedLaunch): boolean {
  if (model.removed || model.engine.kind !== 'cold' || d.state.closing === 'stop') return false;
  if (launch.signature !== model.policy.signature) return false;
  // Before the devices are read, whoever reports the adoption has checked them.
  return !d.state.devicesKnown || launch.deviceIds.every((id) => d.state.devices.has(id));
}

/** Its memory is accounted for under a name of its own until it is gone. */
function endUnwanted(d: Decision, name: ModelName, reservation: Reservation): void {
  const { state } = d;
  const { launchId } = reservation;
  if (state.closing === 'stop' && state.leaveEngines) {
    d.effects.push({ kind: 'release', model: name, launchId, reason: 'engines are left running' });
    return;
  }
  const leftover = createModelState(leftoverPolicy(`${name} (${launchId})`, reservation), undefined);
  leftover.removed = true;
  state.models.set(leftover.policy.name, leftover);
  state.launches.set(launchId, leftover);
  leftover.engine = {
    kind: 'starting',
    reservation,
    sinceMs: d.nowMs,
    deadlineMs: d.nowMs,
    phase: 'adopted',
    percent: null,
  };
  noteOverBudget(d, reservation.deviceIds);
  stopEngine(d, leftover, 'the configuration has no place for this engine of an earlier gateway');
}

function leftoverPolicy(name: ModelName, reservation: Reservation): ModelPolicy {
  return {
    name,
    managed: true,
    pool: null,
    need: null,
    alwaysOn: false,
    inactivityTimeoutMs: 0,
    minResidenceMs: 0,
    loadTimeoutMs: 0,
    drainTimeoutMs: 0,
    onDrainTimeout: 'cut',
    queueTimeoutMs: 0,
    maxConcurrent: 0,
    queueSize: 0,
    stopGraceMs: LEFTOVER_STOP_GRACE_MS,
    assumedStartMs: 0,
    sleepTimeoutMs: 0,
    wakeTimeoutMs: 0,
    signature: reservation.signature,
  };
}
