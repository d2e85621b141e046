/**
 * What becomes of the devices if nobody comes who is not there yet: who holds memory on each, when it is expected to give
 * it away, and how long that takes. `contest-forecast.ts` lets those who wait take their turns in it. All times are from
 * the moment of the forecast on.
 */
import type { DeviceId, ModelName } from '../core/ids.ts';
import { type EngineState, reservationOf } from './engine-state.ts';
import { type Going, goingOf } from './expected-use.ts';
import { roomMib } from './shortage.ts';
import type { ModelState, SchedulerState } from './state.ts';
import { stopCostMs } from './turn.ts';

/** Memory of one model on one device. */
export interface Occupant extends Going {
  readonly model: ModelName;
  readonly freesMib: number;
  /** What stays of it there asleep. */
  readonly leavesMib: number;
}

export interface DeviceForecast {
  readonly id: DeviceId;
  readonly pool: string | null;
  readonly totalMib: number;
  readonly budgetMib: number;
  /** Room for newcomers. */
  freeMib: number;
  /** No move can begin before: others move there. */
  busyMs: number;
  /** Whose move that is; null: none is under way. */
  busyWith: ModelName | null;
  /** In the order in which their memory is expected back. */
  occupants: readonly Occupant[];
}

export interface Room {
  /** When it is expected; Infinity: nobody can tell. */
  readonly inMs: number;
  /** Who has to leave for it. */
  readonly leaving: readonly Occupant[];
}

export function forecastDevices(state: SchedulerState, nowMs: number): Map<DeviceId, DeviceForecast> {
  const devices = new Map<DeviceId, DeviceForecast>();
  const goings = new Map<ModelState, Going>();
  for (const device of state.devices.values()) {
    const { id, pool, totalMib, budgetMib } = device;
    const freeMib = roomMib(state, device, nowMs) - state.engines.reservedMib(id);
    const forecast: DeviceForecast = {
      ...{ id, pool, totalMib, budgetMib, freeMib, busyMs: 0, busyWith: null },
      occupants: [],
    };
    const occupants: Occupant[] = [];
    for (const model of state.engines.holdersOn(id)) {
      const going = goings.get(model) ?? goingOf(state, model, nowMs);
      goings.set(model, going);
      occupants.push(occupantOf(forecast, model, going));
    }
    forecast.occupants = occupants.sort(bySoonest);
    devices.set(id, forecast);
  }
  return devices;
}

function occupantOf(device: DeviceForecast, model: ModelState, going: Going): Occupant {
  const { engine, policy } = model;
  const reservation = reservationOf(engine);
  let heldMib = reservation?.memoryMibPerDevice ?? 0;
  // Who has it to itself holds all that is free there as well.
  if (reservation?.exclusive === true && engine.kind !== 'asleep' && device.freeMib > 0) {
    heldMib += device.freeMib;
    device.freeMib = 0;
  }
  if (going.movesMs > device.busyMs) {
    device.busyMs = going.movesMs;
    device.busyWith = policy.name;
  }
  const leavesMib = going.how === 'sleep' ? Math.min(residueMib(model, engine), heldMib) : 0;
  return { ...going, model: policy.name, freesMib: heldMib - leavesMib, leavesMib };
}

function residueMib({ need }: ModelState, engine: EngineState): number {
  return engine.kind === 'asleep' ? 0 : (need?.residueMib ?? 0);
}

export function bySoonest(a: Going, b: Going): number {
  return goneInMs(a) - goneInMs(b);
}

function goneInMs({ yieldsInMs, drainMs, leaveMs }: Going): number {
  return yieldsInMs + drainMs + leaveMs;
}

/** The soonest room of `neededMib` there for `name`; those leave one after the other who are needed for it. */
export function roomOn(device: DeviceForecast, neededMib: number, name: ModelName): Room {
  let excessMib = device.freeMib - neededMib;
  const leaving: Occupant[] = [];
  for (const occupant of device.occupants) {
    if (excessMib >= 0) break;
    if (occupant.model === name && occupant.kind === 'asleep') continue;
    if (occupant.yieldsInMs === Number.POSITIVE_INFINITY) break;
    leaving.push(occupant);
    excessMib += occupant.freesMib;
  }
  if (excessMib < 0) return { inMs: Number.POSITIVE_INFINITY, leaving: [] };
  // Some that go sooner are not needed beside one that goes later.
  const needed = leaving.filter((occupant) => {
    if (occupant.freesMib > excessMib || occupant.kind === 'leaving') return true;
    excessMib -= occupant.freesMib;
    return false;
  });
  let inMs = device.busyMs;
  for (const occupant of needed)
    inMs =
      occupant.kind === 'leaving'
        ? Math.max(inMs, occupant.leaveMs)
        : Math.max(inMs, occupant.yieldsInMs + occupant.drainMs) + occupant.leaveMs;
  return { inMs, leaving: needed };
}

/** Somebody comes up in this room, moves there until `readyMs`, and is an occupant from then on. */
export function takeRoom(
  state: SchedulerState,
  device: DeviceForecast,
  room: Room,
  newcomer: Occupant,
  readyMs: number,
): void {
  const stay: Occupant[] = [];
  let freeMib = device.freeMib - newcomer.freesMib - newcomer.leavesMib;
  for (const occupant of device.occupants) {
    const isLeaving = room.leaving.includes(occupant);
    if (!isLeaving && occupant.model !== newcomer.model) {
      stay.push(occupant);
      continue;
    }
    freeMib += occupant.freesMib;
    if (occupant.leavesMib > 0) stay.push(sleeping(state, occupant, room.inMs));
  }
  device.freeMib = freeMib;
  device.busyMs = readyMs;
  device.busyWith = newcomer.model;
  stay.push(newcomer);
  device.occupants = stay.sort(bySoonest);
}

/** What it leaves there asleep is an occupant as well. */
function sleeping(state: SchedulerState, { model, leavesMib }: Occupant, fromMs: number): Occupant {
  const known = state.models.get(model);
  return {
    model,
    kind: 'asleep',
    how: 'stop',
    movesMs: 0,
    yieldsInMs: fromMs,
    atLatestMs: fromMs,
    drainMs: 0,
    drainLimitMs: 0,
    leaveMs: known === undefined ? 0 : stopCostMs(known),
    isUnpaid: false,
    freesMib: leavesMib,
    leavesMib: 0,
  };
}
