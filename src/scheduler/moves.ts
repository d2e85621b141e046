/** The moves themselves: each changes an engine's state and says the effect that carries it out. */
import { assert } from '../core/assert.ts';
import { ABANDONED_LOAD_KEEP_MS } from '../core/limits.ts';
import { setEngine } from './engine-index.ts';
import {
  type AsleepState,
  type AwakeState,
  awakeState,
  COLD,
  type ColdState,
  type FailedState,
  type Reservation,
  reservationOf,
} from './engine-state.ts';
import { hostMibOf } from './host-held.ts';
import { availableMib } from './model-policy.ts';
import { moveEnded, payForComing, payForLeaving } from './move-budget.ts';
import { leaveContest } from './rank.ts';
import { drainCut } from './refusals.ts';
import { pump } from './requests.ts';
import type { Decision, ModelState } from './state.ts';
import { CUT_GRACE_MS, canSleep, inUseUntilMs, learn, switchCostMs } from './turn.ts';

/** A drain that is over and waits for its neighbours is looked at again after this at the soonest. */
const EMPTY_DRAIN_MS = 1_000;

/** Of a device that a model has to itself, this much is kept for what sleepers leave there, where that many may sleep. */
const SLEEPERS_SHARE = 0.1;

/**
 * What a model takes that has its devices to itself: no more than its engine's share, and not what others leave there when
 * they sleep: else each waking of one would cost another one its sleep. Never less than it needs.
 */
function claimMib(d: Decision, model: ModelState, deviceIds: readonly string[], roomMib: number): number {
  const { need } = model;
  const devices = deviceIds.map((id) => d.state.devices.get(id)).filter((device) => device !== undefined);
  let residuesMib = 0;
  for (const other of d.state.models.values()) {
    const { pool } = other.policy;
    const meets = pool === null || model.policy.pool === null || pool === model.policy.pool;
    if (other !== model && meets && !other.removed && canSleep(other))
      residuesMib += other.need?.residueMib ?? 0;
  }
  const limitsMib = devices.map((device) => {
    const keptMib = Math.min(residuesMib, SLEEPERS_SHARE * device.budgetMib);
    const shareMib = (need?.wholeShare ?? 1) * device.totalMib + (need?.contextMib ?? 0);
    return Math.min(shareMib, availableMib(device) - keptMib);
  });
  const leastMib = need?.leastMibPerDevice ?? 0;
  return Math.floor(Math.min(roomMib, Math.max(leastMib, Math.min(roomMib, ...limitsMib))));
}

/** Why it is brought up, for reasons. */
export function whoWaits(model: ModelState): string {
  return model.queue.size > 0
    ? `${model.queue.size} request(s) wait for it`
    : 'it is wanted without a request';
}

export function startEngine(
  d: Decision,
  model: ModelState,
  deviceIds: readonly string[],
  roomMib: number,
): void {
  const { state } = d;
  const exclusive = model.need?.memoryMibPerDevice === null;
  const memoryMibPerDevice = exclusive ? claimMib(d, model, deviceIds, roomMib) : roomMib;
  assertRoom(d, model, deviceIds, memoryMibPerDevice);
  const { kind } = model.engine;
  assert(kind === 'cold' || kind === 'failed', `${model.policy.name} is ${kind} and cannot be started`);
  state.launchCount += 1;
  const launchId = `${state.launchPrefix}-${state.launchCount.toString(36)}`;
  const { signature } = model.policy;
  const reservation: Reservation = { launchId, deviceIds, memoryMibPerDevice, exclusive, signature };
  setEngine(state, model, {
    kind: 'starting',
    reservation,
    sinceMs: d.nowMs,
    isMeasured: true,
    deadlineMs: d.nowMs + model.policy.loadTimeoutMs,
    phase: 'launching',
    percent: null,
  });
  state.launches.set(launchId, model);
  payForComing(state, reservation, d.nowMs);
  leaveContest(state, model);
  state.plans.delete(model.policy.name);
  d.touched.add(model);
  d.effects.push({
    kind: 'start',
    model: model.policy.name,
    launchId,
    deviceIds,
    memoryMibPerDevice,
    reason: `${whoWaits(model)}, and ${deviceIds.join(', ')} ${deviceIds.length === 1 ? 'has' : 'have'} room`,
  });
}

/**
 * How long an engine that nobody has asked for by now keeps its room. Somebody was told when to come back to one that is
 * wanted. Those who left another one, or whose gateway died, may come back as well: waiting for them pays as long as it is
 * shorter than the switch that it saves.
 */
function keepMs(model: ModelState): number {
  return model.wanted ? ABANDONED_LOAD_KEEP_MS : Math.min(ABANDONED_LOAD_KEEP_MS, switchCostMs(model));
}

/** The engine is ready, or awake again: its turn begins. What waits for it is for the caller to hand over. */
export function cameUp(
  d: Decision,
  model: ModelState,
  reservation: Reservation,
  broughtBy: AwakeState['broughtBy'],
): void {
  moveEnded(d.state, reservation, d.nowMs);
  model.wokenShare = learn(model.wokenShare, broughtBy === 'wake' ? 1 : 0);
  const unasked = model.queue.size === 0 && !model.policy.alwaysOn;
  const keepUntilMs = unasked ? d.nowMs + keepMs(model) : 0;
  model.wanted = false;
  setEngine(d.state, model, awakeState(reservation, broughtBy, d.nowMs, keepUntilMs));
  d.touched.add(model);
  d.review = true;
}

/** Stops an engine in whatever state it holds memory; its memory stays reserved until the stop is verified. */
export function stopEngine(
  d: Decision,
  model: ModelState,
  reason: string,
  next: ColdState | FailedState = COLD,
  graceMs: number = model.policy.stopGraceMs,
): void {
  const reservation = reservationOf(model.engine);
  assert(
    reservation !== null && model.engine.kind !== 'stopping',
    `${model.policy.name} has nothing to stop`,
  );
  if (model.engine.kind === 'draining') payForLeaving(d.state, model.engine, d.nowMs);
  setEngine(d.state, model, {
    kind: 'stopping',
    reservation,
    hostMib: hostMibOf(model),
    sinceMs: d.nowMs,
    retryAtMs: Number.POSITIVE_INFINITY,
    unverified: false,
    next,
    reason,
  });
  d.touched.add(model);
  d.review = true;
  d.effects.push({ kind: 'stop', model: model.policy.name, launchId: reservation.launchId, graceMs, reason });
}

/** No new dispatch; what runs may finish until the drain limit. */
export function beginDrain(
  d: Decision,
  model: ModelState,
  beneficiary: string | null,
  reason: string,
  how: 'sleep' | 'stop' = 'stop',
): void {
  assert(model.engine.kind === 'awake', `${model.policy.name} is not awake`);
  setEngine(d.state, model, {
    kind: 'draining',
    awake: model.engine,
    sinceMs: d.nowMs,
    deadlineMs: d.nowMs + model.policy.drainTimeoutMs,
    inUse: d.nowMs < inUseUntilMs(model, model.engine, d.state.scheduling),
    beneficiary,
    reason,
    how,
    wasCut: false,
  });
  d.touched.add(model);
  d.review = true;
  // With nothing to wait for, the move itself says why.
  if (model.running.size > 0)
    tellDrain(d, model, `${reason}; ${model.running.size} request(s) may end first`);
}

function tellDrain(d: Decision, model: ModelState, reason: string): void {
  const launchId = reservationOf(model.engine)?.launchId;
  if (launchId !== undefined) d.effects.push({ kind: 'drain', model: model.policy.name, launchId, reason });
}

export function resumeFromDrain(d: Decision, model: ModelState): void {
  assert(model.engine.kind === 'draining', `${model.policy.name} does not drain`);
  setEngine(d.state, model, model.engine.awake);
  d.touched.add(model);
  pump(d, model);
}

export function drainDeadlinePassed(d: Decision, model: ModelState): void {
  const engine = model.engine;
  if (engine.kind !== 'draining') return;
  d.touched.add(model);
  if (model.running.size === 0) {
    engine.deadlineMs = d.nowMs + Math.max(EMPTY_DRAIN_MS, model.policy.drainTimeoutMs);
    return;
  }
  if (model.policy.onDrainTimeout === 'wait') {
    const reason = `${engine.reason}; its drain limit has passed and its requests may take as long as they like`;
    setEngine(d.state, model, { ...engine, deadlineMs: Number.POSITIVE_INFINITY, reason });
    tellDrain(d, model, reason);
    return;
  }
  if (engine.wasCut) {
    stopEngine(d, model, 'its requests did not end after the cut', COLD, 0);
    return;
  }
  engine.wasCut = true;
  engine.deadlineMs = d.nowMs + CUT_GRACE_MS;
  tellDrain(d, model, `its drain limit has passed, and ${model.running.size} request(s) are cut`);
  cutRunning(d, model, engine.reason);
}

/** A sleeper that is to go still answers requests that need no device: they have as long as those of a drain. */
export function leaveDeadlinePassed(
  d: Decision,
  model: ModelState,
  engine: AsleepState,
  reason: string,
): void {
  if (model.running.size === 0) return;
  if (engine.wasCut) {
    stopEngine(d, model, 'its requests did not end after the cut', COLD, 0);
    return;
  }
  engine.wasCut = true;
  engine.leaveByMs = d.nowMs + CUT_GRACE_MS;
  cutRunning(d, model, reason);
}

function cutRunning(d: Decision, model: ModelState, reason: string): void {
  for (const requestId of model.running.keys()) {
    d.effects.push({
      kind: 'cut',
      requestId,
      refusal: drainCut(model),
      reason: `the drain limit has passed: ${reason}`,
    });
  }
  d.touched.add(model);
}

/** Notes devices on which more is reserved than their budget allows: nothing starts there, and idle engines give way. */
export function noteOverBudget(d: Decision, deviceIds: Iterable<string>): void {
  for (const id of deviceIds) {
    if (d.state.devicesKnown && reservedMib(d, id) > limitMib(d, id)) d.state.overBudget.add(id);
  }
}

export function reservedMib(d: Decision, deviceId: string): number {
  return d.state.engines.reservedMib(deviceId);
}

/** What may be reserved on a device at present; nothing on one that is gone. */
export function limitMib(d: Decision, deviceId: string): number {
  const device = d.state.devices.get(deviceId);
  return device === undefined ? 0 : availableMib(device);
}

/** Memory is reserved before a move that takes some, and never beyond what there is. */
export function assertRoom(
  d: Decision,
  model: ModelState,
  deviceIds: readonly string[],
  addedMib: number,
): void {
  for (const id of deviceIds) {
    const fits = reservedMib(d, id) + addedMib <= limitMib(d, id);
    assert(fits, `bringing up ${model.policy.name} would over-commit ${id}`);
  }
}
