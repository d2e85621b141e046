/**
 * The Landlord rule (Young 2002; GreedyDual-Size): an engine's credit is the cost of bringing it back per MiB that it
 * holds, renewed on use. An eviction raises the line to the credit of what went, which charges all others their rent.
 */
import type { Reservation } from './engine-state.ts';
import type { ModelState, SchedulerState } from './state.ts';
import { switchCostMs } from './turn.ts';

/** Renews the credit: called when an engine becomes ready and when it serves. */
export function renewCredit(state: SchedulerState, model: ModelState, reservation: Reservation): void {
  const heldMib = Math.max(1, reservation.memoryMibPerDevice * reservation.deviceIds.length);
  model.credit = state.creditLine + switchCostMs(model) / heldMib;
}

/** What evicting it would lose, in milliseconds: the rest of its credit for all that it holds. */
export function evictionLossMs(state: SchedulerState, model: ModelState, reservation: Reservation): number {
  const heldMib = Math.max(1, reservation.memoryMibPerDevice * reservation.deviceIds.length);
  return Math.max(0, model.credit - state.creditLine) * heldMib;
}

export function chargeRent(state: SchedulerState, evicted: ModelState): void {
  state.creditLine = Math.max(state.creditLine, evicted.credit);
}
