/** Falling asleep and waking: the moves, and what engines report of them. */
import { assert } from '../core/assert.ts';
import { ABANDONED_LOAD_KEEP_MS } from '../core/limits.ts';
import { hostCreditOf, renewCredit } from './credit.ts';
import { COLD, type Reservation } from './engine-state.ts';
import { availableMib } from './model-policy.ts';
import { moveEnded, payForComing, payForLeaving } from './move-budget.ts';
import { beginDrain, reservedMib, stopEngine, whoWaits } from './moves.ts';
import { granted } from './rank.ts';
import { pump, wish } from './requests.ts';
import type { Decision, ModelState } from './state.ts';
import { learn } from './turn.ts';

/** After its drain: nothing runs on it. */
export function fallAsleep(d: Decision, model: ModelState): void {
  const { engine, need } = model;
  assert(
    engine.kind === 'draining' && need !== null && need.sleepLevel > 0,
    `${model.policy.name} cannot sleep`,
  );
  const level = need.sleepLevel === 2 ? 2 : 1;
  const { reservation } = engine.awake;
  if (engine.beneficiary !== null && engine.inUse)
    payForLeaving(d.state, reservation, engine.beneficiary, d.nowMs);
  model.engine = {
    kind: 'falling_asleep',
    reservation,
    level,
    sinceMs: d.nowMs,
    deadlineMs: d.nowMs + model.policy.sleepTimeoutMs,
    reason: engine.reason,
  };
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
  for (const id of awakeReservation.deviceIds) {
    const device = state.devices.get(id);
    const limitMib = device === undefined ? 0 : availableMib(device);
    assert(reservedMib(d, id) + addedMib <= limitMib, `waking ${model.policy.name} would over-commit ${id}`);
  }
  model.engine = {
    kind: 'waking',
    reservation: awakeReservation,
    asleep: engine,
    sinceMs: d.nowMs,
    deadlineMs: d.nowMs + model.policy.wakeTimeoutMs,
  };
  payForComing(state, awakeReservation, d.nowMs);
  granted(state, model);
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
  const { engine, need } = model;
  if (engine.kind !== 'falling_asleep') return;
  d.touched.add(model);
  d.review = true;
  if (!report.ok) {
    sleepFailed(d, model, `it could not be put to sleep: ${report.detail}`);
    return;
  }
  model.sleepMs = learn(model.sleepMs, d.nowMs - engine.sinceMs);
  moveEnded(d.state, engine.reservation, d.nowMs);
  const hostMib = report.hostMib ?? need?.hostAsleepMib ?? 0;
  const residueMib = Math.min(
    engine.reservation.memoryMibPerDevice,
    report.residueMib ?? need?.residueMib ?? 0,
  );
  model.engine = {
    kind: 'asleep',
    awakeReservation: engine.reservation,
    reservation: { ...engine.reservation, memoryMibPerDevice: residueMib },
    level: engine.level,
    hostMib,
    sinceMs: d.nowMs,
    hostCredit: hostCreditOf(d.state, model, hostMib),
    notBeforeMs: 0,
    leaving: isUnwanted(d, model, engine.reservation) ? 'it is not wanted any more' : null,
  };
  pump(d, model);
  wish(d, model);
}

/** What changed while it moved. */
function isUnwanted(d: Decision, model: ModelState, reservation: Reservation): boolean {
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
  moveEnded(d.state, engine.reservation, d.nowMs);
  model.sleepFaults = 0;
  const unasked = model.queue.size === 0 && !model.policy.alwaysOn;
  model.wanted = false;
  model.engine = {
    kind: 'awake',
    reservation: engine.reservation,
    readyMs: d.nowMs,
    broughtBy: 'wake',
    lastUseMs: d.nowMs,
    keepUntilMs: unasked ? d.nowMs + ABANDONED_LOAD_KEEP_MS : 0,
    suspect: false,
    lostWhileAlone: null,
  };
  renewCredit(d.state, model, engine.reservation);
  if (isUnwanted(d, model, engine.reservation)) {
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
