/** Where a model is expected to have room soonest, in a forecast of the devices. */
import { type DeviceForecast, type Room, roomOn } from './device-forecast.ts';
import type { Reservation } from './engine-state.ts';
import type { ModelState, SchedulerState } from './state.ts';

export interface RoomOn {
  readonly device: DeviceForecast;
  readonly room: Room;
}

export interface Place {
  readonly rooms: readonly RoomOn[];
  /** What it holds on each when it is up. */
  readonly heldMib: number;
  readonly inMs: number;
}

/** The devices on which it has room soonest; null: there are none, or nobody can tell. */
export function soonestPlace(
  state: SchedulerState,
  devices: Iterable<DeviceForecast>,
  model: ModelState,
): Place | null {
  const { engine, need, policy } = model;
  if (need === null) return null;
  const sleeps = sleepsWith(state, model);
  const onlyOn = sleeps?.deviceIds ?? state.plans.get(policy.name)?.deviceIds ?? null;
  const count = onlyOn?.length ?? need.deviceCount;
  const isExclusive = sleeps?.exclusive ?? need.memoryMibPerDevice === null;
  const heldMib = sleeps?.memoryMibPerDevice ?? need.memoryMibPerDevice ?? need.leastMibPerDevice;
  // What it holds asleep is there already.
  const thereMib =
    sleeps === null ? 0 : engine.kind === 'asleep' ? engine.reservation.memoryMibPerDevice : need.residueMib;
  const rooms: RoomOn[] = [];
  for (const device of devices) {
    if (onlyOn !== null ? !onlyOn.includes(device.id) : policy.pool !== null && device.pool !== policy.pool)
      continue;
    if (onlyOn === null && heldMib > device.budgetMib) continue;
    // Nobody stays awake beside a model that has its devices to itself.
    const neededMib = isExclusive ? Math.max(heldMib - thereMib, awakeLeavesMib(device)) : heldMib - thereMib;
    const room = roomOn(device, neededMib, policy.name);
    if (room.inMs < Number.POSITIVE_INFINITY) rooms.push({ device, room });
  }
  rooms.sort((a, b) => a.room.inMs - b.room.inMs);
  const chosen = count === 1 || onlyOn !== null ? rooms.slice(0, count) : firstAlike(rooms, count);
  const last = chosen.at(-1);
  return last === undefined || chosen.length < count
    ? null
    : { rooms: chosen, heldMib, inMs: last.room.inMs };
}

/** What it takes when it wakes, and where, of a model that sleeps or will; null: it has to start. */
export function sleepsWith(state: SchedulerState, { engine }: ModelState): Reservation | null {
  switch (engine.kind) {
    case 'asleep':
      return engine.leaving === null ? engine.awakeReservation : null;
    case 'falling_asleep':
      return engine.retiring === undefined ? engine.reservation : null;
    case 'draining':
      return engine.how === 'sleep' && state.hostBudgetMib !== null ? engine.awake.reservation : null;
    default:
      return null;
  }
}

/** The first `count` of one size: an engine on several devices takes the same share of each. */
function firstAlike(rooms: readonly RoomOn[], count: number): readonly RoomOn[] {
  const bySize = new Map<number, RoomOn[]>();
  for (const room of rooms) {
    const alike = bySize.get(room.device.totalMib) ?? [];
    alike.push(room);
    if (alike.length === count) return alike;
    bySize.set(room.device.totalMib, alike);
  }
  return [];
}

/** What is free on a device when everybody awake has left it. */
function awakeLeavesMib(device: DeviceForecast): number {
  const ofAwake = device.occupants.filter(({ kind }) => kind !== 'asleep');
  return ofAwake.reduce((sum, { freesMib }) => sum + freesMib, device.freeMib);
}
