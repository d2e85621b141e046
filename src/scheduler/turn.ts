/**
 * When an engine that others wait for has to give way (design.md section 6).
 *  1. An always-on engine: never.
 *  2. Within its minimum residence, or while it keeps room for returning waiters: not yet.
 *  3. Nothing in flight and nothing waiting: when its linger has passed, at the latest at its turn's end.
 *  4. Busy: at its turn's end, and when its devices can pay for another move (move-budget.ts); then it drains.
 */
import type { AwakeState } from './engine-state.ts';
import type { SchedulingPolicy } from './model-policy.ts';
import { isIdle, type ModelState } from './state.ts';

/** Stop cost to reckon with until one was measured. */
const ASSUMED_STOP_MS = 1_000;
/**
 * Linger of a model whose clients' gap nobody knows yet: enough for programs, which ask again at once. People are slower;
 * their gap is known from their second request on.
 */
const UNKNOWN_GAP_LINGER_MS = 250;
/** Clients that answer at once still need a round trip. */
const LINGER_MIN_MS = 100;
/** A learned gap follows new ones by this share. */
const GAP_WEIGHT = 0.3;
const COST_WEIGHT = 0.3;
/** Of a request, until one was served. */
const UNKNOWN_SERVICE_MS = 1_000;
/** After the cut at the end of a drain: how long the front may take to end its requests before the engine goes anyway. */
export const CUT_GRACE_MS = 5_000;

export function startCostMs(model: ModelState): number {
  return model.startMs ?? model.policy.assumedStartMs;
}

export function stopCostMs(model: ModelState): number {
  return model.stopMs ?? ASSUMED_STOP_MS;
}

/** Sleep and wake move the weights between device and host at about this speed (scheduling.md section 4: 61 GB in 2.9 s). */
const ASSUMED_MIB_PER_MS = 20;
const ASSUMED_SLEEP_BASE_MS = 500;

export function sleepCostMs(model: ModelState): number {
  return model.sleepMs ?? ASSUMED_SLEEP_BASE_MS + assumedTransferMs(model);
}

export function wakeCostMs(model: ModelState): number {
  // Level 2 reads the weights from disk again: nearer to a start.
  const fromDisk = model.need?.sleepLevel === 2 ? startCostMs(model) / 2 : 0;
  return model.wakeMs ?? ASSUMED_SLEEP_BASE_MS + Math.max(fromDisk, assumedTransferMs(model));
}

/** What the host takes up is the weights of all devices, rounded up; each device moves its own. */
function assumedTransferMs({ need }: ModelState): number {
  if (need === null) return 0;
  const weightsMib = (need.hostAsleepMib - need.hostAwakeMib) / Math.max(1, need.deviceCount);
  return (weightsMib > 0 ? weightsMib : (need.memoryMibPerDevice ?? 0)) / ASSUMED_MIB_PER_MS;
}

/** Bringing it up from where it is now. */
export function bringUpCostMs(model: ModelState): number {
  return model.engine.kind === 'asleep' ? wakeCostMs(model) : startCostMs(model);
}

/** Faults of its sleep after which a model is stopped instead, until its configuration changes. */
const SLEEP_FAULTS_MAX = 2;

/** May it sleep instead of being stopped, as far as it alone is concerned? */
export function canSleep(model: ModelState): boolean {
  const mayEver = model.need !== null && model.need.sleepLevel > 0 && model.sleepFaults < SLEEP_FAULTS_MAX;
  return mayEver && !takesLessAnew(model);
}

/** So much of what it holds must be saved at the least for a start to be worth it. */
const SAVED_SHARE_MIN = 0.25;

/**
 * It got its devices to itself because nobody knew what it takes, and that is known since. Woken it would take the whole of
 * them each time, and nobody could ever be placed beside it.
 */
export function takesLessAnew({ engine, need }: ModelState): boolean {
  if (engine.kind !== 'awake' && engine.kind !== 'draining') return false;
  const { exclusive, memoryMibPerDevice } = (engine.kind === 'awake' ? engine : engine.awake).reservation;
  const anewMib = need?.memoryMibPerDevice ?? null;
  return exclusive && anewMib !== null && anewMib <= (1 - SAVED_SHARE_MIN) * memoryMibPerDevice;
}

/** Taking the model off its devices and bringing it back. */
export function switchCostMs(model: ModelState): number {
  const coldMs = startCostMs(model) + stopCostMs(model);
  if (!canSleep(model)) return coldMs;
  return coldMs + model.wokenShare * (sleepCostMs(model) + wakeCostMs(model) - coldMs);
}

export function quantumMs(model: ModelState, scheduling: SchedulingPolicy): number {
  const share = scheduling.switchShare;
  return Math.max((switchCostMs(model) * (1 - share)) / share, model.policy.minResidenceMs);
}

/** The longest that its turn may keep others waiting: its moves, its quantum, its drain and the end of what is cut. */
export function longestTurnMs(model: ModelState, scheduling: SchedulingPolicy): number {
  return switchCostMs(model) + quantumMs(model, scheduling) + model.policy.drainTimeoutMs + CUT_GRACE_MS;
}

/** Until what waits for it and runs would have been served. */
export function backlogMs(model: ModelState): number {
  const requests = model.queue.size + model.running.size;
  return (model.serviceMs ?? UNKNOWN_SERVICE_MS) * Math.max(1, requests / model.policy.maxConcurrent);
}

function turnEndMs(model: ModelState, awake: AwakeState, scheduling: SchedulingPolicy): number {
  return awake.readyMs + quantumMs(model, scheduling);
}

/**
 * How long an engine without work waits for its clients' next request while others wait for its devices. Closed-loop
 * clients empty the queue after each answer; without a linger two of them would swap models for every request. Waiting
 * pays as long as it is shorter than the switch that it saves (ski rental), so that is the cap.
 */
function lingerMs(model: ModelState, scheduling: SchedulingPolicy): number {
  const cap = Math.min(switchCostMs(model), scheduling.lingerMaxMs);
  if (model.gapMs === null) return Math.min(cap, UNKNOWN_GAP_LINGER_MS);
  // Clients that take longer than the cap would not be met by lingering: it would only cost the others.
  return model.gapMs > cap ? 0 : Math.min(cap, Math.max(LINGER_MIN_MS, 2 * model.gapMs));
}

/** Until when the engine counts as in use: taking its devices before is paid for (move-budget.ts). */
export function inUseUntilMs(model: ModelState, awake: AwakeState, scheduling: SchedulingPolicy): number {
  return isIdle(model) ? awake.lastUseMs + lingerMs(model, scheduling) : Number.POSITIVE_INFINITY;
}

/** The moment from which others may take the devices; Infinity: never. `paidFromMs`: when the devices can pay for it. */
export function yieldsAtMs(
  model: ModelState,
  awake: AwakeState,
  scheduling: SchedulingPolicy,
  paidFromMs: number,
): number {
  if (model.policy.alwaysOn && !model.removed) return Number.POSITIVE_INFINITY;
  const floor = Math.max(awake.readyMs + model.policy.minResidenceMs, awake.keepUntilMs);
  const end = Math.max(turnEndMs(model, awake, scheduling), paidFromMs);
  return Math.max(floor, Math.min(end, inUseUntilMs(model, awake, scheduling)));
}

export function learn(old: number | null, measured: number): number {
  return old === null ? measured : old + COST_WEIGHT * (measured - old);
}

/** A request arrived at an engine without work `gapMs` after its last one ended. */
export function learnGap(model: ModelState, gapMs: number, scheduling: SchedulingPolicy): void {
  // One long pause must not hide for long that the clients usually come back at once.
  const clipped = Math.min(gapMs, 2 * Math.min(switchCostMs(model), scheduling.lingerMaxMs));
  model.gapMs = model.gapMs === null ? clipped : model.gapMs + GAP_WEIGHT * (clipped - model.gapMs);
}
