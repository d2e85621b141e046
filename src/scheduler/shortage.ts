/**
 * Devices that have less room than was reckoned: something that nobody accounts for holds their memory. A launch finds
 * out before it begins; until the shortage is looked at again, placement reckons with what is really free.
 */
import type { DeviceId } from '../core/ids.ts';
import { availableMib, type DeviceBudget } from './model-policy.ts';
import type { SchedulerState } from './state.ts';

/** A shortage is believed for so long; then the next launch looks anew. */
const SHORTAGE_MS = 10_000;

export function noteShortage(state: SchedulerState, id: DeviceId, takenMib: number, nowMs: number): void {
  state.shortages.set(id, { takenMib, untilMs: nowMs + SHORTAGE_MS });
}

/** What may be reserved on a device now, shortages included. */
export function roomMib(state: SchedulerState, device: DeviceBudget, nowMs: number): number {
  const shortage = state.shortages.get(device.id);
  if (shortage === undefined || shortage.untilMs <= nowMs) return availableMib(device);
  const leftMib = device.totalMib - device.spareMib - shortage.takenMib;
  return Math.max(0, Math.min(availableMib(device), leftMib));
}

/** When the earliest shortage is to be looked at again; Infinity: there is none. Forgets those that are over. */
export function nextShortageMs(state: SchedulerState, nowMs: number): number {
  let nextMs = Number.POSITIVE_INFINITY;
  for (const [id, { untilMs }] of state.shortages) {
    if (untilMs <= nowMs) state.shortages.delete(id);
    else nextMs = Math.min(nextMs, untilMs);
  }
  return nextMs;
}
