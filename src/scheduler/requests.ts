/**
 * The way of a request through the scheduler: it waits, runs, comes back, ends.
 * Invariant A1: a request is in exactly one queue or one `running` map from `arrived` until its end, and in
 * `state.requests` exactly as long.
 */
import { broken } from '../core/assert.ts';
import type { Refusal } from '../core/errors.ts';
import type { RequestId } from '../core/ids.ts';
import { CUTS_MAX, LONE_DEATHS_MAX, RESENDS_MAX } from '../core/limits.ts';
import { noteArrival } from './demand.ts';
import { reservationOf } from './engine-state.ts';
import type { ReturnCause } from './events.ts';
import { expectedBringUpMs } from './move-times.ts';
import { joinContest, leaveContest } from './rank.ts';
import { estimateForRefusal } from './refusal-estimate.ts';
import {
  diedTwice,
  drainCut,
  engineDied,
  engineFailed,
  engineUnreachable,
  modelRemoved,
  neverFits,
  queueFull,
  queueTimeout,
  SHUTTING_DOWN,
  startFailed,
  waitTooLong,
} from './refusals.ts';
import {
  type Decision,
  isIdle,
  isWaitedFor,
  type ModelState,
  type RunningRequest,
  type SchedulerState,
} from './state.ts';
import { learn, learnGap } from './turn.ts';
import type { QueuedRequest } from './waiting-queue.ts';
import { dismiss } from './withdrawal.ts';

export function arrived(
  d: Decision,
  requestId: RequestId,
  model: ModelState,
  patienceMs: number | null,
  light: boolean,
): void {
  if (d.state.requests.has(requestId)) broken(`request ${requestId} arrived twice`);
  const patience = patienceMs ?? model.policy.queueTimeoutMs;
  const refusal = refusalOnArrival(d, model, patience, light);
  if (refusal !== null) {
    d.effects.push({ kind: 'refuse', requestId, refusal, reason: `refused on arrival: ${refusal.code}` });
    // It comes back when the model may be expected: that must then be true.
    if (refusal.code === 'wait_too_long') {
      model.wanted = true;
      wish(d, model);
    }
    return;
  }
  noteArrival(model.demand, d.nowMs);
  const engine = model.engine;
  // Also while its engine is gone: the clients' pause is the same.
  if (model.lastServedMs !== null && isIdle(model))
    learnGap(model, d.nowMs - model.lastServedMs, d.state.scheduling);
  if (model.lastArrivedMs !== null) model.arrivalGaps.add(d.nowMs - model.lastArrivedMs);
  model.lastArrivedMs = d.nowMs;
  if (engine.kind === 'awake') engine.lastUseMs = d.nowMs;
  const request: QueuedRequest = {
    requestId,
    arrivedMs: d.nowMs,
    deadlineMs: d.nowMs + patience,
    patienceMs: patience,
    light,
    resends: 0,
    cuts: 0,
    loneDeaths: 0,
  };
  d.state.requests.set(requestId, model);
  // The short way: nothing waits and a slot is free.
  if (hasFreeSlot(d.state, model, light)) {
    dispatch(d, model, request);
    return;
  }
  const wasLight = model.queue.isLight;
  model.queue.push(request);
  pump(d, model);
  if (model.queue.size > 0) d.touched.add(model);
  if (!wasPassedOver(model) || model.queue.isLight !== wasLight) wish(d, model);
  lineChanged(d);
}

/**
 * 1. Closing. 2. Taken out. 3. Failed or in backoff after a failed start. 4. Can never fit. 5. Queue full.
 * 6. Expected (by measured costs only) after its patience ends.
 */
function refusalOnArrival(
  d: Decision,
  model: ModelState,
  patienceMs: number,
  light: boolean,
): Refusal | null {
  if (d.state.closing !== 'no') return SHUTTING_DOWN;
  if (model.removed) return modelRemoved(model);
  const standing = standingRefusal(d, model);
  if (standing !== null) return standing;
  if (hasFreeSlot(d.state, model, light)) return null;
  if (model.neverFits !== null && isWithoutEngine(model)) return neverFits(model, model.neverFits);
  const isFull = model.queue.size >= model.policy.queueSize;
  // It asked to be served at once or not at all: nothing is moved for it.
  if (!isFull && patienceMs <= 0) {
    const expected = estimateForRefusal(d, model);
    return queueTimeout(model, 0, expected.why, expected.readyInMs ?? 1_000);
  }
  if (!isFull && soonestMs(d, model) <= patienceMs) return null;
  const expected = estimateForRefusal(d, model);
  if (isFull) return queueFull(model, expected.readyInMs ?? 1_000);
  if (expected.basis === 'measured' && expected.readyInMs !== null && expected.readyInMs > patienceMs) {
    return waitTooLong(model, expected.readyInMs, patienceMs, expected.why);
  }
  return null;
}

/**
 * No estimate by measured costs alone says longer, because others' turns and what one's own engine still has to do are no
 * measured costs. So most arrivals ask for no forecast. Infinity: not known without the estimate, which is a short one then.
 */
function soonestMs({ state, nowMs }: Decision, model: ModelState): number {
  const { engine } = model;
  if (engine.kind === 'starting' || engine.kind === 'waking') return Number.POSITIVE_INFINITY;
  if (engine.kind !== 'cold' && (engine.kind !== 'asleep' || engine.leaving !== null)) return 0;
  const isMeasured = engine.kind === 'asleep' ? model.wakeMs !== null : model.startTimes.count > 0;
  return isMeasured ? Math.max(0, engine.notBeforeMs - nowMs) + expectedBringUpMs(state, model) : 0;
}

function isWithoutEngine(model: ModelState): boolean {
  const { kind } = model.engine;
  return kind === 'cold' || kind === 'fetching' || kind === 'failed';
}

/** What a failed engine, or one in backoff after a failed start, answers everybody with; null: nothing stands against them. */
function standingRefusal(d: Decision, model: ModelState): Refusal | null {
  const engine = model.engine.kind === 'stopping' ? model.engine.next : model.engine;
  if (engine.kind === 'failed' && d.nowMs < engine.untilMs) {
    const retryMs = engine.untilMs - d.nowMs;
    return engine.failure.retryable
      ? engineFailed(model, engine.failure, engine.deaths, retryMs)
      : startFailed(model, engine.failure, retryMs);
  }
  if (engine.kind === 'cold' && engine.failure !== null && d.nowMs < engine.notBeforeMs) {
    return startFailed(model, engine.failure, engine.notBeforeMs - d.nowMs);
  }
  return null;
}

export function left(d: Decision, requestId: RequestId): void {
  const model = d.state.requests.get(requestId);
  if (model === undefined || model.queue.remove(requestId) === null) return;
  d.state.requests.delete(requestId);
  queueShrank(d, model);
}

export function finished(d: Decision, requestId: RequestId, broken: boolean): void {
  const model = d.state.requests.get(requestId);
  const request = model?.running.get(requestId);
  if (model === undefined || request === undefined) return;
  if (broken) noteLoss(d, model, request);
  endRunning(d, model, request);
  d.state.requests.delete(requestId);
  pump(d, model);
  lineChanged(d);
}

export function returned(d: Decision, requestId: RequestId, cause: ReturnCause, detail: string): void {
  const model = d.state.requests.get(requestId);
  const request = model?.running.get(requestId);
  if (model === undefined || request === undefined) return;
  const wasAlone = cause !== 'cut' && noteLoss(d, model, request);
  endRunning(d, model, request);
  if (cause === 'not_sent' && model.engine.kind === 'asleep' && model.engine.leaving === null)
    dismiss(d, model, model.engine, `it takes no connection asleep: ${detail}`);
  const refusal = refusalOnReturn(d, model, request, cause, detail, wasAlone);
  if (refusal !== null) {
    d.state.requests.delete(requestId);
    d.effects.push({ kind: 'refuse', requestId, refusal, reason: `not sent again: ${refusal.code}` });
  } else {
    model.queue.pushReturned({
      ...request,
      // The time at its engine was no waiting.
      deadlineMs: request.deadlineMs + (d.nowMs - request.dispatchedMs),
      resends: request.resends + (cause === 'connection_lost' ? 1 : 0),
      cuts: request.cuts + (cause === 'cut' ? 1 : 0),
    });
    wish(d, model);
  }
  pump(d, model);
  d.touched.add(model);
  lineChanged(d);
}

/**
 * A request is sent again at most `RESENDS_MAX` times after an engine may have seen it, and `CUTS_MAX` times after a cut; nothing
 * is, while closing.
 */
function refusalOnReturn(
  d: Decision,
  model: ModelState,
  request: RunningRequest,
  cause: ReturnCause,
  detail: string,
  wasAlone: boolean,
): Refusal | null {
  if (d.state.closing === 'stop') return SHUTTING_DOWN;
  if (d.state.closing === 'drain' && model.engine.kind !== 'awake' && model.policy.managed)
    return SHUTTING_DOWN;
  if (model.removed) return modelRemoved(model);
  if (cause === 'not_sent' && !model.policy.managed) return engineUnreachable(model, detail);
  if (cause === 'cut' && request.cuts >= CUTS_MAX) return drainCut(model);
  if (cause !== 'connection_lost') return standingRefusal(d, model);
  if (wasAlone && request.loneDeaths >= LONE_DEATHS_MAX - 1) {
    d.effects.push({
      kind: 'lone_death',
      requestId: request.requestId,
      model: model.policy.name,
      reason: 'alone in flight when its connection broke, after an engine had died of it before',
    });
    // Blamed here and now: the death that follows is the same one.
    const engine = model.engine;
    if (engine.kind === 'awake') engine.lostWhileAlone = null;
    else if (engine.kind === 'draining') engine.awake.lostWhileAlone = null;
    return diedTwice(model, detail);
  }
  if (request.resends < RESENDS_MAX) return standingRefusal(d, model);
  return model.policy.managed ? engineDied(model, detail) : engineUnreachable(model, detail);
}

/**
 * Broken connections say that the engine may be dead: it gets no more until a probe has answered. Answers whether this
 * request was alone in flight; of several that break one after the other, none was.
 */
function noteLoss(d: Decision, model: ModelState, request: RunningRequest): boolean {
  const engine = model.engine;
  const awake = engine.kind === 'awake' ? engine : engine.kind === 'draining' ? engine.awake : null;
  if (awake === null || awake.suspect) return false;
  const wasAlone = model.running.size === 1;
  if (wasAlone) awake.lostWhileAlone = request.requestId;
  awake.suspect = true;
  d.effects.push({
    kind: 'probe',
    model: model.policy.name,
    launchId: awake.reservation.launchId,
    reason: 'a connection to it broke',
  });
  return wasAlone;
}

function endRunning(d: Decision, model: ModelState, request: RunningRequest): void {
  model.running.delete(request.requestId);
  model.lastServedMs = d.nowMs;
  const engine = model.engine;
  if (engine.kind === 'awake') engine.lastUseMs = d.nowMs;
  model.serviceMs = learn(model.serviceMs, d.nowMs - request.dispatchedMs);
  model.serviceTimes.add(d.nowMs - request.dispatchedMs);
  // Only the last one changes what the engine may be asked next.
  if (model.running.size > 0) return;
  d.touched.add(model);
  const leaves = engine.kind === 'draining' || (engine.kind === 'asleep' && engine.leaving !== null);
  if (d.state.contenders.size > 0 || d.state.overBudget.size > 0 || leaves) d.review = true;
}

/** The policy's word on who of those may go to their engines whose engines could take them. */
export function mayPass(state: SchedulerState, model: ModelState): boolean {
  return state.policy.mayPass?.(state, model) !== false;
}

/** Where the policy has a word on it, other models' requests may pass now. */
function lineChanged(d: Decision): void {
  if (d.state.policy.mayPass !== undefined) d.review = true;
}

function hasFreeSlot(state: SchedulerState, model: ModelState, light: boolean): boolean {
  const engine = model.engine;
  // A sleeping engine answers what needs no device; everybody else waits for its waking.
  if (engine.kind === 'asleep')
    return light && engine.leaving === null && model.running.size < model.policy.maxConcurrent;
  const open =
    engine.kind === 'external' || (engine.kind === 'awake' && !engine.suspect && mayPass(state, model));
  return open && model.queue.size === 0 && model.running.size < model.policy.maxConcurrent;
}

/** Hands waiting requests to an awake engine while it has slots; to a sleeping one, if none of them needs a device. */
export function pump(d: Decision, model: ModelState): void {
  if (model.queue.size === 0) return;
  const engine = model.engine;
  const open =
    engine.kind === 'external' ||
    (engine.kind === 'awake' && !engine.suspect) ||
    (engine.kind === 'asleep' && engine.leaving === null && model.queue.isLight);
  if (!open) return;
  const { size } = model.queue;
  while (model.running.size < model.policy.maxConcurrent) {
    if (engine.kind === 'awake' && !mayPass(d.state, model)) break;
    const request = model.queue.shift();
    if (request === null) break;
    dispatch(d, model, request);
  }
  if (model.queue.size < size) lineChanged(d);
  leaveIfUnneeded(d, model);
}

/** Nobody waits for it any more: it contends for nothing. */
export function leaveIfUnneeded(d: Decision, model: ModelState): void {
  if (isWaitedFor(model) || model.policy.alwaysOn || model.contendsSinceMs === null) return;
  leaveContest(d.state, model);
  d.review = true;
}

function dispatch(d: Decision, model: ModelState, request: QueuedRequest): void {
  const { engine } = model;
  const awake = engine.kind === 'awake' ? engine : null;
  const { name, maxConcurrent } = model.policy;
  if (model.running.size >= maxConcurrent) broken(`${name} has no free slot`);
  const answers = awake !== null || engine.kind === 'external' || (engine.kind === 'asleep' && request.light);
  if (!answers) broken(`${name} is ${engine.kind} and would swallow the request`);
  model.running.set(request.requestId, { ...request, dispatchedMs: d.nowMs });
  if (awake !== null) {
    awake.lastUseMs = d.nowMs;
    // Whoever the room was kept for has come.
    awake.keepUntilMs = 0;
  }
  d.effects.push({
    kind: 'dispatch',
    requestId: request.requestId,
    model: model.policy.name,
    launchId: reservationOf(engine)?.launchId ?? null,
    waitedMs: d.nowMs - request.arrivedMs,
    load: awake !== null && awake.readyMs > request.arrivedMs ? awake.broughtBy : 'hot',
    queueDepth: model.queue.size,
    reason:
      engine.kind === 'asleep'
        ? 'its engine sleeps, and the request needs no device'
        : 'its engine is awake and has a free slot',
  });
}

/** Waiting requests whose patience has ended. */
export function expire(d: Decision, model: ModelState): void {
  for (;;) {
    const request = model.queue.takeExpired(d.nowMs);
    if (request === null) break;
    d.state.requests.delete(request.requestId);
    const expected = estimateForRefusal(d, model);
    const refusal = queueTimeout(model, request.patienceMs, expected.why, expected.readyInMs ?? 1_000);
    d.effects.push({
      kind: 'refuse',
      requestId: request.requestId,
      refusal,
      reason: 'its patience has ended',
    });
  }
  queueShrank(d, model);
}

/** Refuses everything that waits for the model. */
export function refuseQueue(d: Decision, model: ModelState, refusal: Refusal, reason: string): void {
  for (;;) {
    const request = model.queue.shift();
    if (request === null) break;
    d.state.requests.delete(request.requestId);
    d.effects.push({ kind: 'refuse', requestId: request.requestId, refusal, reason });
  }
  queueShrank(d, model);
}

function queueShrank(d: Decision, model: ModelState): void {
  d.touched.add(model);
  pump(d, model);
  lineChanged(d);
  // A load that nobody waits for may give way to one that somebody does.
  if (model.engine.kind === 'starting') d.review = true;
  leaveIfUnneeded(d, model);
}

/**
 * The last review had nothing for it: no device was left that it could have, with all those set aside who ranked before it.
 * One more request then asks for no review, because all that a review looks at is as it was, but for two things:
 *  1. Its waiting work, which may let it rank before one whose devices are set aside but for whom nobody was asked to leave
 *     yet. Nothing is done for such a one before its time to ask (`reviewAtMs`), and the review of that moment ranks anew.
 *  2. The time, for which those whose devices are set aside have a timer; who has none waits for an event.
 */
function wasPassedOver(model: ModelState): boolean {
  return model.contendsSinceMs !== null && model.blocked;
}

/** The model has work and no engine: it contends for devices. */
export function wish(d: Decision, model: ModelState): void {
  if (d.state.closing !== 'no' || model.removed) return;
  const engine = model.engine;
  const wants = model.queue.size > 0 || model.wanted || (model.policy.alwaysOn && model.policy.managed);
  const without =
    engine.kind === 'cold' ||
    (engine.kind === 'asleep' && engine.leaving === null) ||
    (engine.kind === 'failed' && d.nowMs >= engine.untilMs);
  // While it drains or stops it joins when it is gone: it begins to wait then.
  if (!wants || !without) return;
  joinContest(d.state, model, d.nowMs);
  // With devices set aside already, one more request changes nothing.
  if (!d.state.plans.has(model.policy.name)) d.review = true;
}
