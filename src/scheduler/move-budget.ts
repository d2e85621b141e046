/**
 * What moves between busy models may cost: a token bucket per device (design.md, "Swapping"). While such a move takes
 * the device the balance falls by 1 - e per millisecond, else it rises by e, up to 0; a model that is still in use may
 * be asked to give way only while the balance is 0. So in any window T these moves take at most e T and one move.
 * A move: the model in use leaves, and whoever starts next in the room comes up. Rooms of idle models cost nothing.
 */
import { assert } from '../core/assert.ts';
import type { DeviceId, LaunchId, ModelName } from '../core/ids.ts';
import { type DrainingState, isMoving, type Reservation, reservationOf } from './engine-state.ts';
import type { ModelState, SchedulerState } from './state.ts';
import { sleepCostMs, startCostMs, stopCostMs, wakeCostMs } from './turn.ts';

/** Balances are sums of fractions: less than this is nothing. */
const NOTHING_MS = 0.001;
/** While a move goes on, nobody else is asked before this, however short it was expected to be. */
const RECHECK_MS = 1;

export interface MoveBudget {
  /** At most 0: device time that is still to be refilled. */
  balanceMs: number;
  /** The time of `balanceMs`. */
  atMs: number;
  /** Launches whose leaving or coming up is being paid for. */
  readonly paying: Set<LaunchId>;
  /** Room was taken from a model in use: the next start here is the other half of that move. */
  owed: boolean;
  /** For whom it was taken; others that leave for the same one are part of the same move. */
  owedTo: ModelName | null;
}

/** The drained engine begins to leave its devices: paid for if it was still in use and goes for another one's sake. */
export function payForLeaving(state: SchedulerState, engine: DrainingState, nowMs: number): void {
  const { beneficiary, inUse, awake } = engine;
  if (beneficiary === null || !inUse) return;
  for (const id of awake.reservation.deviceIds) {
    const budget = settled(state, id, nowMs);
    budget.paying.add(awake.reservation.launchId);
    budget.owed = true;
    budget.owedTo = beneficiary;
  }
}

/**
 * May the engine leave now that its drain is over? Others may have moved there meanwhile, and have spent what there was
 * when it was asked.
 */
export function mayLeave(state: SchedulerState, engine: DrainingState, nowMs: number): boolean {
  const { beneficiary, inUse, awake } = engine;
  if (beneficiary === null || !inUse) return true;
  return awake.reservation.deviceIds.every((id) => {
    const budget = state.moveBudgets.get(id);
    const isSameMove = budget?.owed === true && budget.owedTo === beneficiary;
    return isSameMove || budgetReadyMs(state, [id], nowMs) <= nowMs;
  });
}

/** A model begins to come up: paid for on those devices that were taken from a model in use. */
export function payForComing(state: SchedulerState, reservation: Reservation, nowMs: number): void {
  for (const id of reservation.deviceIds) {
    if (!state.moveBudgets.get(id)?.owed) continue;
    const budget = settled(state, id, nowMs);
    budget.paying.add(reservation.launchId);
    budget.owed = false;
  }
}

/** The launch no longer moves: it is ready, or gone. */
export function moveEnded(state: SchedulerState, reservation: Reservation, nowMs: number): void {
  for (const id of reservation.deviceIds) {
    if (!state.moveBudgets.get(id)?.paying.has(reservation.launchId)) continue;
    settled(state, id, nowMs).paying.delete(reservation.launchId);
  }
}

/** The launch did not come up after all: the next one on its devices is the other half of the move. */
export function moveNotBegun(state: SchedulerState, reservation: Reservation, nowMs: number): void {
  for (const id of reservation.deviceIds) {
    if (!state.moveBudgets.get(id)?.paying.has(reservation.launchId)) continue;
    const budget = settled(state, id, nowMs);
    budget.paying.delete(reservation.launchId);
    budget.owed = true;
  }
}

/** Before the share changes: what was spent until now was refilled at the old one. */
export function settleBudgets(state: SchedulerState, nowMs: number): void {
  for (const id of state.moveBudgets.keys()) settled(state, id, nowMs);
}

/** When a model in use may be asked to leave these devices: now or earlier, or when their balances are expected back at 0. */
export function budgetReadyMs(
  state: SchedulerState,
  deviceIds: readonly DeviceId[],
  nowMs: number,
  /** Of a start there beforehand, if room was taken for it already. */
  startMs = 0,
): number {
  const share = state.scheduling.switchShare;
  let readyMs = nowMs;
  for (const id of deviceIds) {
    const budget = state.moveBudgets.get(id);
    if (budget === undefined) continue;
    const balanceMs = balanceAt(state, budget, nowMs);
    const restMs = expectedRestMs(state, budget, nowMs);
    const paidMs = restMs + (budget.owed ? startMs : 0);
    const debtMs = paidMs * (1 - share) - balanceMs;
    if (debtMs < NOTHING_MS && budget.paying.size === 0) continue;
    readyMs = Math.max(readyMs, nowMs + paidMs + debtMs / share);
    if (budget.paying.size > 0) readyMs = Math.max(readyMs, nowMs + RECHECK_MS);
  }
  return readyMs;
}

/** How long the moves being paid for are expected to go on. */
function expectedRestMs(state: SchedulerState, budget: MoveBudget, nowMs: number): number {
  let restMs = 0;
  for (const launchId of budget.paying) {
    const model = state.launches.get(launchId);
    if (model !== undefined && isMoving(model.engine) && 'sinceMs' in model.engine)
      restMs = Math.max(restMs, moveCostMs(model) - (nowMs - model.engine.sinceMs));
  }
  return restMs;
}

function moveCostMs(model: ModelState): number {
  switch (model.engine.kind) {
    case 'starting':
      return startCostMs(model);
    case 'waking':
      return wakeCostMs(model);
    case 'falling_asleep':
      return sleepCostMs(model);
    default:
      return stopCostMs(model);
  }
}

function settled(state: SchedulerState, id: DeviceId, nowMs: number): MoveBudget {
  const known = state.moveBudgets.get(id);
  if (known === undefined) {
    const fresh = { balanceMs: 0, atMs: nowMs, paying: new Set<LaunchId>(), owed: false, owedTo: null };
    state.moveBudgets.set(id, fresh);
    return fresh;
  }
  known.balanceMs = balanceAt(state, known, nowMs);
  known.atMs = nowMs;
  return known;
}

/** Only looks: estimates are asked for between events, and must not change how a record replays. */
function balanceAt(state: SchedulerState, budget: MoveBudget, nowMs: number): number {
  const share = state.scheduling.switchShare;
  const slope = budget.paying.size > 0 ? share - 1 : share;
  return Math.min(0, budget.balanceMs + slope * (nowMs - budget.atMs));
}

/** I7: nobody is paid for who does not move on that device, and nothing is saved up. */
export function assertMoveBudgets(state: SchedulerState): void {
  for (const [id, budget] of state.moveBudgets) {
    assert(budget.balanceMs <= 0, `${id} has saved up ${budget.balanceMs} ms of moves`);
    for (const launchId of budget.paying) {
      const engine = state.launches.get(launchId)?.engine;
      assert(
        engine !== undefined &&
          isMoving(engine) &&
          reservationOf(engine)?.launchId === launchId &&
          reservationOf(engine)?.deviceIds.includes(id) === true,
        `${id} pays for ${launchId}, which does not move there`,
      );
    }
  }
}
