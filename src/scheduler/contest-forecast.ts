/**
 * When models that have no devices are expected to get some: those who rank before one each take the devices on which they
 * have room soonest, come up there, have their turn and leave. On several devices that goes on side by side. Who comes
 * later is not reckoned with, so it is an expectation and no bound (that is in design.md).
 * 1. The work is bounded: of those ahead only the first `AHEAD_MAX` are placed; the others take as long as these on average.
 */
import type { DeviceId, ModelName } from '../core/ids.ts';
import { contestOrder, type RankReason } from './contest-order.ts';
import {
  bySoonest,
  type DeviceForecast,
  forecastDevices,
  type Occupant,
  type Room,
  roomOn,
  takeRoom,
} from './device-forecast.ts';
import type { Reservation } from './engine-state.ts';
import { turnTakesMs, wayOut } from './expected-use.ts';
import { expectedBringUpMs } from './move-times.ts';
import type { ModelState, SchedulerState } from './state.ts';

const AHEAD_MAX = 64;

/** A model that waits as well and goes first. Times from now on. */
export interface TurnAhead {
  readonly model: ModelName;
  /** Why it goes first. */
  readonly why: RankReason;
  readonly deviceIds: readonly DeviceId[];
  readonly roomInMs: number;
  readonly bringUpMs: number;
  readonly turnMs: number;
}

export interface InTheWay extends Occupant {
  readonly deviceIds: readonly DeviceId[];
}

export interface ContestForecast {
  /** When its bringing up is expected to begin; Infinity: nobody can tell. */
  readonly roomInMs: number;
  readonly deviceIds: readonly DeviceId[];
  /** Others move there: no move can begin before. */
  readonly busyMs: number;
  readonly busyWith: ModelName | null;
  /** Those who have to leave these devices first, in the order of their going. */
  readonly inTheWay: readonly InTheWay[];
  /** In their order; `aheadCount` of them are ahead of it, of which at most `AHEAD_MAX` stand here. */
  readonly ahead: readonly TurnAhead[];
  readonly aheadCount: number;
}

/** Of each of the models; together they cost hardly more than one that ranks last. */
export function forecastContest(
  state: SchedulerState,
  targets: readonly ModelState[],
  nowMs: number,
): Map<ModelState, ContestForecast> {
  const devices = forecastDevices(state, nowMs);
  const found = new Map<ModelState, ContestForecast>();
  const left = new Set(targets);
  const ahead: TurnAhead[] = [];
  let aheadCount = 0;
  const look = (model: ModelState): void => {
    left.delete(model);
    const beyond = aheadCount - ahead.length;
    found.set(model, forecastOf(state, devices, model, ahead.slice(), beyond));
  };
  // Who does not contend would go last.
  for (const { model, why } of contestOrder(state, nowMs)) {
    if (left.has(model)) look(model);
    if (left.size === 0) break;
    if (!takesPart(model, nowMs)) continue;
    aheadCount += 1;
    if (ahead.length >= AHEAD_MAX) continue;
    const turn = takeTurn(state, devices, model, why, nowMs);
    if (turn !== null) ahead.push(turn);
    else aheadCount -= 1;
  }
  for (const model of left) look(model);
  return found;
}

/** A pause holds up nobody else. */
function takesPart(model: ModelState, nowMs: number): boolean {
  const { engine } = model;
  const isPaused = (engine.kind === 'cold' || engine.kind === 'asleep') && engine.notBeforeMs > nowMs;
  return !isPaused && model.need !== null && model.neverFits === null;
}

function forecastOf(
  state: SchedulerState,
  devices: ReadonlyMap<DeviceId, DeviceForecast>,
  model: ModelState,
  ahead: readonly TurnAhead[],
  beyond: number,
): ContestForecast {
  const place = soonestPlace(state, devices, model);
  const aheadCount = ahead.length + beyond;
  if (place === null) {
    const none = { deviceIds: [], busyMs: 0, busyWith: null, inTheWay: [] };
    return { roomInMs: Number.POSITIVE_INFINITY, ...none, ahead, aheadCount };
  }
  const lastMs = ahead.reduce((latest, turn) => Math.max(latest, turn.roomInMs), 0);
  const busiest = place.rooms.reduce((a, b) => (b.device.busyMs > a.device.busyMs ? b : a)).device;
  return {
    roomInMs: place.inMs + (lastMs * beyond) / AHEAD_MAX,
    deviceIds: place.rooms.map(({ device }) => device.id),
    busyMs: busiest.busyMs,
    busyWith: busiest.busyWith,
    inTheWay: leavingFrom(place.rooms),
    ahead,
    aheadCount,
  };
}

function takeTurn(
  state: SchedulerState,
  devices: ReadonlyMap<DeviceId, DeviceForecast>,
  model: ModelState,
  why: RankReason,
  nowMs: number,
): TurnAhead | null {
  const place = soonestPlace(state, devices, model);
  if (place === null) return null;
  const { name } = model.policy;
  const bringUpMs = expectedBringUpMs(state, model);
  const readyMs = place.inMs + bringUpMs;
  const turnMs = turnTakesMs(state, model, nowMs, readyMs);
  const { how, leaveMs } = wayOut(state, model);
  const leavesMib = how === 'sleep' ? Math.min(model.need?.residueMib ?? 0, place.heldMib) : 0;
  const occupant: Occupant = {
    ...{ model: name, kind: 'ahead', how, movesMs: 0, leaveMs, isUnpaid: false },
    ...{ yieldsInMs: readyMs + turnMs, atLatestMs: readyMs + turnMs, drainMs: 0, drainLimitMs: 0 },
    ...{ freesMib: place.heldMib - leavesMib, leavesMib },
  };
  for (const { device, room } of place.rooms) takeRoom(state, device, room, occupant, readyMs);
  return {
    ...{ model: name, why },
    ...{ deviceIds: place.rooms.map(({ device }) => device.id), roomInMs: place.inMs, bringUpMs, turnMs },
  };
}

interface RoomOn {
  readonly device: DeviceForecast;
  readonly room: Room;
}

interface Place {
  readonly rooms: readonly RoomOn[];
  /** What it holds on each when it is up. */
  readonly heldMib: number;
  readonly inMs: number;
}

/** The devices on which it has room soonest; null: there are none, or nobody can tell. */
function soonestPlace(
  state: SchedulerState,
  devices: ReadonlyMap<DeviceId, DeviceForecast>,
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
  for (const device of devices.values()) {
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

function leavingFrom(rooms: readonly RoomOn[]): readonly InTheWay[] {
  const found = new Map<ModelName, Occupant & { readonly deviceIds: DeviceId[] }>();
  for (const { device, room } of rooms) {
    for (const occupant of room.leaving) {
      const known = found.get(occupant.model);
      if (known === undefined) found.set(occupant.model, { ...occupant, deviceIds: [device.id] });
      else known.deviceIds.push(device.id);
    }
  }
  return [...found.values()].sort(bySoonest);
}
