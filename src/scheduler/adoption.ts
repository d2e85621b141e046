/**
 * Engines of an earlier gateway. Those that the configuration still wants as they are serve on, and what was under way goes on;
 * the others are ended, and their memory counts until they are gone.
 */
import { assertNever } from '../core/assert.ts';
import type { ModelName } from '../core/ids.ts';
import { setEngine } from './engine-index.ts';
import {
  type AsleepState,
  awakeState,
  type EngineState,
  type Reservation,
  reservationOf,
} from './engine-state.ts';
import { cancelFetch } from './fetching.ts';
import type { ModelNeed } from './model-need.ts';
import type { AdoptedLaunch, AdoptedStage, ModelPolicy } from './model-policy.ts';
import { beginDrain, noteOverBudget } from './moves.ts';
import { leaveContest } from './rank.ts';
import { pump, wish } from './requests.ts';
import { sleepingState } from './sleeping.ts';
import { addModel, createModelState, type Decision, type ModelState } from './state.ts';

/** Between SIGTERM and SIGKILL of an engine that nobody has a configuration for any more. */
const LEFTOVER_STOP_GRACE_MS = 10_000;

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
  if (launch.stage.kind === 'unusable') {
    endUnwanted(d, launch.model, reservation, `it is an engine of an earlier gateway ${launch.stage.why}`);
    return;
  }
  if (model === undefined || !isWantedAs(d, model, launch)) {
    const reason = 'the configuration has no place for this engine of an earlier gateway';
    endUnwanted(d, launch.model, reservation, reason);
    return;
  }
  cancelFetch(d, model, 'an engine of an earlier gateway serves it');
  model.wanted = false;
  model.adoptedUnsized = model.need === null;
  setEngine(d.state, model, adoptedState(d, model, reservation, launch.stage));
  model.contextLength = contextLength;
  state.launches.set(reservation.launchId, model);
  leaveContest(state, model);
  state.plans.delete(model.policy.name);
  noteOverBudget(d, reservation.deviceIds);
  d.touched.add(model);
  d.review = true;
  pump(d, model);
  wish(d, model);
}

/** What was under way goes on: whoever carries it out has begun it anew where that is needed, and reports as ever. */
function adoptedState(
  d: Decision,
  model: ModelState,
  reservation: Reservation,
  stage: Exclude<AdoptedStage, { kind: 'unusable' }>,
): EngineState {
  const { policy } = model;
  const sleeping = (level: 1 | 2) =>
    sleepingState(d, model, reservation, level, { residueMib: null, hostMib: null });
  const reason = 'an earlier gateway began it';
  const sinceMs = d.nowMs;
  switch (stage.kind) {
    case 'awake':
      return awakeState(reservation, 'cold', d.nowMs);
    case 'starting':
      return {
        kind: 'starting',
        reservation,
        // A clock that was set makes strange ages: nothing is learned from them.
        sinceMs: d.nowMs - Math.min(stage.ageMs, policy.loadTimeoutMs),
        isMeasured: stage.ageMs <= policy.loadTimeoutMs,
        deadlineMs: d.nowMs + policy.loadTimeoutMs,
        phase: 'launching',
        percent: null,
      };
    case 'falling_asleep': {
      const deadlineMs = d.nowMs + policy.sleepTimeoutMs;
      return { kind: 'falling_asleep', reservation, level: stage.level, sinceMs, deadlineMs, reason };
    }
    case 'asleep':
      return sleeping(stage.level);
    case 'waking': {
      const deadlineMs = d.nowMs + policy.wakeTimeoutMs;
      return { kind: 'waking', reservation, asleep: sleeping(stage.level), sinceMs, deadlineMs };
    }
    default:
      return assertNever(stage, 'stage of an adopted engine');
  }
}

function isWantedAs(d: Decision, model: ModelState, launch: AdoptedLaunch): boolean {
  const { kind } = model.engine;
  const isFree = kind === 'cold' || kind === 'fetching' || kind === 'failed';
  if (model.removed || !isFree || d.state.closing === 'stop') return false;
  if (launch.signature !== model.policy.signature) return false;
  // Before the devices are read, whoever reports the adoption has checked them.
  return !d.state.devicesKnown || launch.deviceIds.every((id) => d.state.devices.has(id));
}

/** Its memory is accounted for under a name of its own until it is gone. */
function endUnwanted(d: Decision, name: ModelName, reservation: Reservation, reason: string): void {
  const { state } = d;
  const { launchId } = reservation;
  if (state.closing === 'stop' && state.leaveEngines) {
    d.effects.push({ kind: 'release', model: name, launchId, reason: 'engines are left running' });
    return;
  }
  const leftover = createModelState(leftoverPolicy(`${name} (${launchId})`, reservation), undefined);
  leftover.removed = true;
  leftover.need = leftoverNeed(state.models.get(name)?.need ?? null);
  addModel(state, leftover);
  state.launches.set(launchId, leftover);
  // Stopped as soon as no neighbour is at a delicate point, and not before all have been found.
  setEngine(d.state, leftover, awakeState(reservation, 'cold', d.nowMs));
  noteOverBudget(d, reservation.deviceIds);
  beginDrain(d, leftover, null, reason);
}

/** What an engine that was adopted before its model was sized takes, now that it is known. */
export function adoptedSized(d: Decision, model: ModelState, need: ModelNeed): void {
  if (!model.adoptedUnsized) return;
  model.adoptedUnsized = false;
  const exclusive = need.memoryMibPerDevice === null;
  const renewed = <R extends Reservation>(reservation: R): R => ({ ...reservation, exclusive });
  const { engine } = model;
  switch (engine.kind) {
    case 'starting':
    case 'awake':
    case 'falling_asleep':
    case 'stopping':
      setEngine(d.state, model, { ...engine, reservation: renewed(engine.reservation) });
      break;
    case 'draining':
      setEngine(d.state, model, {
        ...engine,
        awake: { ...engine.awake, reservation: renewed(engine.awake.reservation) },
      });
      break;
    case 'waking': {
      const asleep = sizedSleeper(d, model, engine.asleep, renewed(engine.asleep.awakeReservation));
      setEngine(d.state, model, { ...engine, reservation: renewed(engine.reservation), asleep });
      break;
    }
    case 'asleep':
      setEngine(d.state, model, sizedSleeper(d, model, engine, renewed(engine.awakeReservation)));
      break;
    case 'cold':
    case 'fetching':
    case 'failed':
    case 'external':
      return;
  }
  noteOverBudget(d, reservationOf(model.engine)?.deviceIds ?? []);
}

function sizedSleeper(d: Decision, model: ModelState, before: AsleepState, awake: Reservation): AsleepState {
  const measured = { residueMib: null, hostMib: null };
  const { reservation, hostMib } = sleepingState(d, model, awake, before.level, measured);
  return { ...before, awakeReservation: awake, reservation, hostMib };
}

/** Nobody knows how far it is: it may hold as much of the host as its model does asleep. */
function leftoverNeed(need: ModelNeed | null): ModelNeed | null {
  if (need === null) return null;
  const hostAwakeMib = need.sleepLevel === 0 ? need.hostAwakeMib : need.hostAsleepMib;
  return { ...need, sleepLevel: 0, hostAwakeMib };
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
    fetchTimeoutMs: null,
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
