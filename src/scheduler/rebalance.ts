/**
 * Gives devices to the models that wait for them, in rank order.
 *  1. Free room is used at once.
 *  2. Otherwise the model holds the devices on which room is had soonest, and the engines there that stand in its way
 *     give way as turn.ts says: idle ones are stopped, busy ones drain.
 *  3. What nobody waits for any more goes on as before: its drain is taken back.
 * Invariant B1: a device is held for at most one model.
 */

import type { DeviceId, ModelName } from '../core/ids.ts';
import type { FoundPlace, Victim } from '../placement/place.ts';
import { whomToAsk } from './ask.ts';
import { lossShare } from './demand.ts';
import { DeviceBoard } from './device-board.ts';
import { findAnew, findNow, LATER_MS, searchNow } from './device-view.ts';
import { drainRestMs } from './drain-time.ts';
import { type DrainingState, reservationOf } from './engine-state.ts';
import { goingOf } from './expected-use.ts';
import { beginFetch } from './fetching.ts';
import { shrinkToHost } from './host-memory.ts';
import { budgetReadyMs } from './move-budget.ts';
import { beginDrain, limitMib, reservedMib, resumeFromDrain, startEngine, stopEngine } from './moves.ts';
import { leaveContest, overdue, Ranking } from './rank.ts';
import { neverFits } from './refusals.ts';
import { refuseQueue } from './requests.ts';
import { abandonable } from './resident-view.ts';
import { nextShortageMs } from './shortage.ts';
import { wakeEngine } from './sleeping.ts';
import { type Decision, isIdle, type ModelState, type Plan } from './state.ts';
import {
  canSleep,
  sleepCostMs,
  startCostMs,
  stopCostMs,
  switchCostMs,
  takesLessAnew,
  wakeCostMs,
  yieldsAtMs,
} from './turn.ts';
import { dismiss } from './withdrawal.ts';

export function rebalance(d: Decision): void {
  if (d.state.overBudget.size > 0) shrinkToBudgets(d);
  shrinkToHost(d);
  const before = new Map(d.state.plans);
  // Plans are made anew in rank order, so that a model never waits behind devices set aside for one that ranks after it.
  d.state.plans.clear();
  if (d.state.closing === 'no') seatAll(d, plansByModel(d, before));
  takeBackDrains(d);
}

function plansByModel({ state }: Decision, plans: ReadonlyMap<ModelName, Plan>): Map<ModelState, Plan> {
  const found = new Map<ModelState, Plan>();
  for (const [name, plan] of plans) {
    const model = state.models.get(name);
    if (model !== undefined) found.set(model, plan);
  }
  return found;
}

function seatAll(d: Decision, before: ReadonlyMap<ModelState, Plan>): void {
  const board = boardOf(d);
  const { models: first, againMs } = overdue(d.state, d.nowMs, before);
  const isDue: ReadonlySet<ModelState> = new Set(first);
  const ranking = new Ranking(d.state.contenders, first, d.nowMs, before);
  lookAgainAt(d, againMs);
  while (!board.isAllHeld) {
    const model = ranking.next();
    if (model === null) break;
    // A sleeper may have been dismissed meanwhile.
    if (!d.state.contenders.has(model)) continue;
    const plan = before.get(model) ?? null;
    board.challenge(isDue.has(model) || plan?.hasBegun === true ? null : model);
    seat(d, board, model, plan);
  }
  passOver(d, board, before);
}

/** Timers belong to models, so any of them carries the review's: the one that has waited longest. */
function lookAgainAt(d: Decision, atMs: number): void {
  const [model] = d.state.contenders;
  if (model === undefined || atMs === Number.POSITIVE_INFINITY) return;
  // A due time is passed only after it.
  model.yieldReviewMs = Math.min(model.yieldReviewMs, atMs + 1);
  d.touched.add(model);
}

/** Nothing is left to give. Who rests would stay as it is, but for shortages, which give everybody a timer. */
function passOver(d: Decision, board: DeviceBoard, before: ReadonlyMap<ModelState, Plan>): void {
  const { contenders, plans, restless, shortages } = d.state;
  const stirring = new Set<ModelState>();
  for (const model of shortages.size > 0 ? contenders : restless)
    if (!plans.has(model.policy.name)) stirring.add(model);
  const rest = new Ranking(stirring, [], d.nowMs, before);
  for (let model = rest.next(); model !== null; model = rest.next())
    // A sleeper may have been dismissed meanwhile.
    if (contenders.has(model)) seat(d, board, model, before.get(model) ?? null);
  for (const model of restless) if (isAtRest(model)) restless.delete(model);
}

/** One for all reviews of a decision. */
function boardOf(d: Decision): DeviceBoard {
  if (d.board === null) d.board = new DeviceBoard(d.state, d.nowMs, null);
  else d.board.renew();
  return d.board;
}

/** It was passed over, and would be again: `seat` would leave it as it is, there being no device. */
export function isAtRest(model: ModelState): boolean {
  const mayFetch = model.policy.fetchTimeoutMs !== null && !model.fetched;
  const { blocked, neverFits: why, reviewAtMs } = model;
  return blocked && why === null && reviewAtMs === Number.POSITIVE_INFINITY && !mayFetch;
}

function seat(d: Decision, board: DeviceBoard, model: ModelState, before: Plan | null): void {
  model.reviewAtMs = Number.POSITIVE_INFINITY;
  d.touched.add(model);
  d.state.restless.add(model);
  if (model.neverFits !== null) {
    leaveContest(d.state, model);
    refuseQueue(d, model, neverFits(model, model.neverFits), 'it can never fit');
    // A sleeper for whom nobody waits any more is worth less.
    board.forget();
    return;
  }
  // A pause after a failure holds no devices.
  model.blocked = true;
  const { engine } = model;
  if ((engine.kind === 'cold' || engine.kind === 'asleep') && engine.notBeforeMs > d.nowMs) return;
  // Not before it is known which engines of an earlier gateway serve: one of them may be this model's.
  const mayFetch = d.state.devicesKnown && engine.kind !== 'asleep';
  if (mayFetch && model.policy.fetchTimeoutMs !== null && !model.fetched) {
    beginFetch(d, model);
    return;
  }
  model.reviewAtMs = nextShortageMs(d.state, d.nowMs);
  const place = choose(board, model, before, d.nowMs);
  // Nobody is evicted for requests that need no device, and no sleeper stopped that answers them.
  const isLight = model.queue.isLight && !model.wanted && !model.policy.alwaysOn;
  if (engine.kind === 'asleep' && !isLight && mustStartElsewhere(d, board, model, place)) {
    dismiss(d, model, engine, 'its own devices cannot be had, and it can be started elsewhere');
    return;
  }
  if (place === null) return;
  if (place.kind === 'free') {
    if (engine.kind === 'asleep') wakeEngine(d, model);
    else startEngine(d, model, place.deviceIds, place.memoryMibPerDevice);
    return;
  }
  if (isLight) return;
  model.blocked = false;
  d.state.plans.set(model.policy.name, {
    model: model.policy.name,
    deviceIds: place.deviceIds,
    sinceMs: before?.sinceMs ?? d.nowMs,
    startsMs: d.nowMs + place.inMs,
    hasBegun: askVictims(d, place.victims, place.inMs, model) || before?.hasBegun === true,
  });
  board.hold(place.deviceIds);
}

/** A new choice must give room this much sooner than the devices held before: else every hiccup would move the plan. */
const NEW_CHOICE_GAIN_MS = 1_000;

/**
 * Room anywhere beats the devices it held; those beat a new choice unless that is clearly sooner. A plan that has not begun for
 * as long as a cheaper place is waited for takes the soonest one.
 */
function choose(
  board: DeviceBoard,
  model: ModelState,
  before: Plan | null,
  nowMs: number,
): FoundPlace | null {
  const isLate = before !== null && !before.hasBegun && nowMs - before.sinceMs > LATER_MS;
  const laterMs = isLate ? 0 : LATER_MS;
  // Who sleeps has no choice, and whoever holds nothing has nothing to compare with.
  if (before === null || model.engine.kind === 'asleep') return findNow(board, model, null, laterMs);
  const anywhere = searchNow(board, model, laterMs);
  const free = anywhere?.free() ?? null;
  if (anywhere === null || free !== null) return free;
  // Held for another size.
  if (isLate || before.deviceIds.length !== anywhere.deviceCount) return anywhere.eviction();
  const asBefore = findNow(board, model, before.deviceIds);
  // Mostly this is known before it is known who would have to leave elsewhere.
  const { soonestMs } = anywhere;
  if (soonestMs === Number.POSITIVE_INFINITY || asBefore?.kind !== 'evict') return anywhere.eviction();
  if (asBefore.inMs <= soonestMs + NEW_CHOICE_GAIN_MS) return asBefore;
  const elsewhere = anywhere.eviction();
  return elsewhere !== null && asBefore.inMs > elsewhere.inMs + NEW_CHOICE_GAIN_MS ? elsewhere : asBefore;
}

/** Answers whether somebody was asked now. */
function askVictims(
  d: Decision,
  victims: readonly Victim[],
  roomInMs: number,
  beneficiary: ModelState,
): boolean {
  const asking = whomToAsk(d.state, victims, roomInMs, d.nowMs);
  for (const victim of asking.now) giveWay(d, victim, beneficiary);
  if (asking.nextInMs !== null)
    beneficiary.reviewAtMs = Math.min(beneficiary.reviewAtMs, d.nowMs + asking.nextInMs);
  return asking.now.length > 0;
}

/** A start elsewhere takes more of the devices than a waking does, and ends a sleeper: it must be sooner by this factor. */
const ELSEWHERE_FACTOR = 2;

/**
 * A sleeper whose own devices can not be had goes where nobody who works has to give way, and to free ones also where that is
 * much sooner and nobody else wants them. Otherwise it waits for its own, however long they are taken.
 */
function mustStartElsewhere(
  d: Decision,
  board: DeviceBoard,
  model: ModelState,
  waking: FoundPlace | null,
): boolean {
  // Its own pause or a shortage there is over soon, and devices that are held for somebody come back after its turn.
  const isShort = model.reviewAtMs < Number.POSITIVE_INFINITY;
  if (waking?.kind === 'free' || (waking === null && (isShort || isHeldFromIt(board, model)))) return false;
  if (waking !== null && d.state.contenders.size > 1) return false;
  const anew = findAnew(board, model);
  if (anew === null) return false;
  if (waking === null) return anew.kind === 'free' || anew.victimsInMs === 0;
  const startMs = ELSEWHERE_FACTOR * (stopCostMs(model) + startCostMs(model));
  return anew.kind === 'free' && startMs < expectedInMs(d, waking) + wakeCostMs(model);
}

/** When its victims are expected to be gone: mostly before their turns end, which is what placement counts with. */
function expectedInMs({ state, nowMs }: Decision, place: Extract<FoundPlace, { kind: 'evict' }>): number {
  let inMs = 0;
  for (const { model: name } of place.victims) {
    const victim = state.models.get(name);
    if (victim === undefined) continue;
    const { movesMs, yieldsInMs, drainMs, leaveMs } = goingOf(state, victim, nowMs);
    inMs = Math.max(inMs, movesMs + yieldsInMs + drainMs + leaveMs);
  }
  // Nobody has to be asked any more.
  return place.victims.length === 0 ? place.inMs : Math.min(place.inMs, inMs);
}

function isHeldFromIt(board: DeviceBoard, model: ModelState): boolean {
  return reservationOf(model.engine)?.deviceIds.some((id) => board.isHeld(id)) === true;
}

function giveWay(d: Decision, { model: name, how }: Victim, beneficiary: ModelState): void {
  const victim = d.state.models.get(name);
  if (victim === undefined) return;
  const engine = victim.engine;
  if (engine.kind === 'starting' && abandonable(victim, d.nowMs)) {
    stopEngine(d, victim, `nobody waits for it any more and ${beneficiary.policy.name} needs its devices`);
  } else if (engine.kind === 'awake') {
    const why = isIdle(victim) ? 'it is idle' : 'its turn has ended';
    const instead = how === 'stop' ? whyStopped(d, victim) : '';
    beginDrain(
      d,
      victim,
      beneficiary.policy.name,
      `${why} and ${beneficiary.policy.name} waits for its devices${instead}`,
      how,
    );
  } else if (engine.kind === 'asleep' && engine.leaving === null) {
    dismiss(d, victim, engine, `${beneficiary.policy.name} needs what it still holds on its devices`);
  }
}

/** It could sleep, and is stopped all the same; empty: it could not. */
function whyStopped({ state }: Decision, victim: ModelState): string {
  if (victim.need?.sleepLevel !== 0 && takesLessAnew(victim))
    return '; started anew it takes no more than it needs';
  if (!canSleep(victim)) return '';
  if (state.hostBudgetMib === null) return '; how much host memory there is to sleep in is not known';
  const wakeMs = sleepCostMs(victim) + wakeCostMs(victim);
  if (startCostMs(victim) + stopCostMs(victim) <= wakeMs)
    return '; a start costs it no more than sleep and waking would';
  return '; what it would leave there asleep is needed as well';
}

/** Where a budget shrank, or foreign programs grew, below what is reserved, idle engines give way, the cheapest loss first. */
export function shrinkToBudgets(d: Decision): void {
  const { state } = d;
  for (const id of [...state.overBudget]) {
    const allowedMib = limitMib(d, id);
    if (reservedMib(d, id) <= allowedMib) {
      state.overBudget.delete(id);
      continue;
    }
    let excessMib = reservedMib(d, id) - allowedMib;
    const residents = [...state.engines.holdersOn(id)];
    for (const model of residents) if (model.engine.kind !== 'awake') excessMib -= leavingMib(model);
    const idle: ModelState[] = [];
    for (const model of residents) {
      if (model.engine.kind !== 'awake' || !isIdle(model)) continue;
      const yieldsMs = yieldsAtMs(model, model.engine, state.scheduling, 0);
      if (yieldsMs <= d.nowMs) idle.push(model);
      else {
        model.yieldReviewMs = yieldsMs;
        d.touched.add(model);
      }
    }
    const lossMs = (model: ModelState): number => lossShare(model, d.nowMs) * switchCostMs(model);
    idle.sort((a, b) => lossMs(a) - lossMs(b));
    for (const model of idle) {
      if (excessMib <= 0) break;
      excessMib -= reservationOf(model.engine)?.memoryMibPerDevice ?? 0;
      const how = canSleep(model) ? 'sleep' : 'stop';
      beginDrain(d, model, null, `only ${allowedMib} MiB of ${id} may be reserved now`, how);
    }
    for (const model of residents) {
      const { engine } = model;
      if (excessMib <= 0) break;
      if (engine.kind !== 'asleep' || engine.leaving !== null) continue;
      excessMib -= engine.reservation.memoryMibPerDevice;
      dismiss(d, model, engine, `only ${allowedMib} MiB of ${id} may be reserved now`);
    }
  }
}

function leavingMib(model: ModelState): number {
  const { kind } = model.engine;
  const leaving = kind === 'draining' || kind === 'stopping' || kind === 'falling_asleep';
  return leaving ? (reservationOf(model.engine)?.memoryMibPerDevice ?? 0) : 0;
}

/** A device that is empty for less than this before its reservation begins is not worth a change of mind. */
const EARLY_MS = 10_000;

/** A drain goes on for whoever its devices are set aside for now; for nobody, it is taken back. */
function takeBackDrains(d: Decision): void {
  const { engines } = d.state;
  let model = engines.nextLeaving(0);
  for (; model !== null; model = engines.nextLeaving(model.order)) {
    const engine = model.engine;
    if (engine.kind !== 'draining' || engine.beneficiary === null) continue;
    if (engine.wasCut && model.running.size > 0) continue;
    const claim = claimOn(d, engine.awake.reservation.deviceIds, engine.beneficiary);
    if (claim === undefined) resumeFromDrain(d, model);
    else if (claim.model !== engine.beneficiary && !mayPassOn(d, model, engine, claim)) {
      resumeFromDrain(d, model);
      d.review = true;
    } else engine.beneficiary = claim.model;
  }
}

/** For whom the devices are cleared: still for whom they were, where its plan has one of them, else the first plan with one. */
function claimOn({ state }: Decision, deviceIds: readonly DeviceId[], was: ModelName): Plan | undefined {
  const hasOne = (plan: Plan): boolean => plan.deviceIds.some((id) => deviceIds.includes(id));
  const own = state.plans.get(was);
  if (own !== undefined && hasOne(own)) return own;
  for (const plan of state.plans.values()) if (hasOne(plan)) return plan;
  return undefined;
}

/**
 * A drain begun for one model goes on for another unless that one needs the room much later (it serves on until then),
 * or the move that was paid for has taken place without it (this would be another one).
 */
function mayPassOn(d: Decision, model: ModelState, engine: DrainingState, claim: Plan): boolean {
  const goneMs = d.nowMs + drainRestMs(model, engine, d.nowMs);
  if (claim.startsMs > goneMs + EARLY_MS) return false;
  return !engine.inUse || budgetReadyMs(d.state, engine.awake.reservation.deviceIds, d.nowMs) <= d.nowMs;
}
