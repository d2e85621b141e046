/** Falling asleep and waking: the moves, and what engines report of them. */
import { assert } from '../core/assert.ts';
import { setEngine } from './engine-index.ts';
import { type AsleepState, COLD, type Reservation } from './engine-state.ts';
import { moveEnded, payForComing, payForLeaving } from './move-budget.ts';
import { assertRoom, beginDrain, cameUp, stopEngine, whoWaits } from './moves.ts';
import { leaveContest } from './rank.ts';
import { pump, wish } from './requests.ts';
import type { Decision, ModelState } from './state.ts';
import { learn } from './turn.ts';
import { dismiss } from './withdrawal.ts';

/** After its drain: nothing runs on it. */
export function fallAsleep(d: Decision, model: ModelState): void {
  const { engine, need } = model;
  assert(
    engine.kind === 'draining' && need !== null && need.sleepLevel > 0,
    `${model.policy.name} cannot sleep`,
  );
  const level = need.sleepLevel === 2 ? 2 : 1;
  const { reservation } = engine.awake;
  payForLeaving(d.state, engine, d.nowMs);
  setEngine(d.state, model, {
    kind: 'falling_asleep',
    reservation,
    level,
    sinceMs: d.nowMs,
    deadlineMs: d.nowMs + model.policy.sleepTimeoutMs,
    reason: engine.reason,
  });
  d.touched.add(model);
  d.review = true;
  d.effects.push({
    kind: 'sleep',
    model: model.policy.name,
    launchId: reservation.launchId,
    level,
    reason: engine.reason,
  });
}

/** Its devices have room: it takes there again what it had. */
export function wakeEngine(d: Decision, model: ModelState): void {
  const { state } = d;
  const { engine } = model;
  assert(engine.kind === 'asleep', `${model.policy.name} does not sleep`);
  const { awakeReservation, reservation, level } = engine;
  const addedMib = awakeReservation.memoryMibPerDevice - reservation.memoryMibPerDevice;
  assertRoom(d, model, awakeReservation.deviceIds, addedMib);
  setEngine(d.state, model, {
    kind: 'waking',
    reservation: awakeReservation,
    asleep: engine,
    sinceMs: d.nowMs,
    deadlineMs: d.nowMs + model.policy.wakeTimeoutMs,
  });
  payForComing(state, awakeReservation, d.nowMs);
  leaveContest(state, model);
  state.plans.delete(model.policy.name);
  d.touched.add(model);
  d.effects.push({
    kind: 'wake',
    model: model.policy.name,
    launchId: reservation.launchId,
    level,
    memoryMibPerDevice: awakeReservation.memoryMibPerDevice,
    reason: `${whoWaits(model)}, and ${awakeReservation.deviceIds.join(', ')} can hold it again`,
  });
}

interface SleepReport {
  readonly ok: boolean;
  readonly residueMib: number | null;
  readonly hostMib: number | null;
  readonly detail: string;
}

/** A sleep that went wrong, or freed nothing, leaves an engine in a state that nobody knows. */
export function sleepAnswered(d: Decision, model: ModelState, report: SleepReport): void {
  const { engine } = model;
  if (engine.kind !== 'falling_asleep') return;
  d.touched.add(model);
  d.review = true;
  if (!report.ok) {
    sleepFailed(d, model, `it could not be put to sleep: ${report.detail}`);
    return;
  }
  model.sleepMs = learn(model.sleepMs, d.nowMs - engine.sinceMs);
  moveEnded(d.state, engine.reservation, d.nowMs);
  const isWanted = engine.retiring === undefined && !isUnwanted(d, model, engine.reservation);
  const asleep = sleepingState(d, model, engine.reservation, engine.level, report);
  setEngine(d.state, model, asleep);
  if (!isWanted) dismiss(d, model, asleep, 'it is not wanted any more');
  pump(d, model);
  wish(d, model);
}

/** An engine that has fallen asleep; what nobody has measured is as it was reckoned. */
export function sleepingState(
  d: Decision,
  model: ModelState,
  awakeReservation: Reservation,
  level: 1 | 2,
  measured: { readonly residueMib: number | null; readonly hostMib: number | null },
): AsleepState {
  const { need } = model;
  const hostMib = measured.hostMib ?? need?.hostAsleepMib ?? 0;
  const residueMib = measured.residueMib ?? need?.residueMib ?? 0;
  const heldMib = Math.min(awakeReservation.memoryMibPerDevice, residueMib);
  return {
    kind: 'asleep',
    awakeReservation,
    reservation: { ...awakeReservation, memoryMibPerDevice: heldMib },
    level,
    hostMib,
    sinceMs: d.nowMs,
    notBeforeMs: 0,
    leaving: null,
    leaveByMs: Number.POSITIVE_INFINITY,
    wasCut: false,
  };
}

/** What changed while it moved. */
export function isUnwanted(d: Decision, model: ModelState, reservation: Reservation): boolean {
  return model.removed || d.state.closing === 'stop' || reservation.signature !== model.policy.signature;
}

export function wakeAnswered(d: Decision, model: ModelState, ok: boolean, detail: string): void {
  const { engine } = model;
  if (engine.kind !== 'waking') return;
  d.touched.add(model);
  d.review = true;
  if (!ok) {
    sleepFailed(d, model, `it did not wake: ${detail}`);
    return;
  }
  model.wakeMs = learn(model.wakeMs, d.nowMs - engine.sinceMs);
  model.sleepFaults = 0;
  cameUp(d, model, engine.reservation, 'wake');
  if (engine.retiring !== undefined || isUnwanted(d, model, engine.reservation)) {
    beginDrain(d, model, null, 'it is not wanted any more');
    return;
  }
  pump(d, model);
}

/** Its requests keep waiting: it starts anew. */
export function sleepFailed(d: Decision, model: ModelState, reason: string): void {
  model.sleepFaults += 1;
  stopEngine(d, model, reason, COLD, 0);
}
