/**
 * When models that have no devices are expected to get some: those who rank before one each take the devices on which they
 * have room soonest, come up there, have their turn and leave. On several devices that goes on side by side. Who comes
 * later is not reckoned with, so it is an expectation and no bound (that is in design.md).
 * 1. The work is bounded: of those ahead only the first `AHEAD_MAX` are placed; the others take as long as these on average.
 */
import type { DeviceId, ModelName } from '../core/ids.ts';
import { contestOrder, type Ranked, type RankReason } from './contest-order.ts';
import {
  bySoonest,
  type DeviceForecast,
  forecastDevices,
  type Occupant,
  takeRoom,
} from './device-forecast.ts';
import { turnTakesMs, wayOut } from './expected-use.ts';
import { type Place, type RoomOn, soonestPlace } from './forecast-place.ts';
import { expectedBringUpMs } from './move-times.ts';
import { indexOf } from './rank.ts';
import type { ModelState, SchedulerState } from './state.ts';

const AHEAD_MAX = 64;
/** Who ranks behind so many is not taken to overtake them. */
const WAITING_MAX = 256;

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
  const forecast = new Forecast(state, nowMs, targets);
  forecast.run();
  return forecast.found;
}

class Forecast {
  readonly found = new Map<ModelState, ContestForecast>();
  readonly #state: SchedulerState;
  readonly #nowMs: number;
  readonly #devices: ReadonlyMap<DeviceId, DeviceForecast>;
  /** Who waits and was not seated yet, in the order of `#orderedMs`. */
  #waiting: readonly Ranked[];
  #orderedMs = 0;
  /** Those who wait, seated or not. */
  readonly #contending: ReadonlySet<ModelState>;
  readonly #left: Set<ModelState>;
  readonly #ahead: TurnAhead[] = [];
  /** Until when each device is set aside for somebody. */
  readonly #heldMs = new Map<DeviceId, number>();

  constructor(state: SchedulerState, nowMs: number, targets: readonly ModelState[]) {
    this.#state = state;
    this.#nowMs = nowMs;
    this.#devices = forecastDevices(state, nowMs);
    this.#left = new Set(targets);
    this.#waiting = this.#whoWaits();
    this.#contending = new Set(this.#waiting.map(({ model }) => model));
  }

  /** The first, and those that are asked about. */
  #whoWaits(): Ranked[] {
    const waiting: Ranked[] = [];
    let count = 0;
    for (const ranked of contestOrder(this.#state, this.#nowMs)) {
      if (!takesPart(ranked.model, this.#nowMs)) continue;
      count += 1;
      if (count <= WAITING_MAX || this.#left.has(ranked.model)) waiting.push(ranked);
      else if (this.#left.size === 1) break;
    }
    return waiting;
  }

  /** As a review does it: the first in the order at that time who has devices that nobody holds is next. */
  run(): void {
    let atMs = 0;
    while (this.#left.size > 0 && this.#ahead.length < AHEAD_MAX) {
      if (this.#seatFirst(atMs)) continue;
      const nextMs = Math.min(...[...this.#heldMs.values()].filter((heldMs) => heldMs > atMs));
      if (nextMs === Number.POSITIVE_INFINITY) break;
      atMs = nextMs;
    }
    for (const model of this.#left) this.#look(model, this.#placeOf(model, null), this.#beyond(model));
  }

  /** False: nobody can be seated on what is left. */
  #seatFirst(atMs: number): boolean {
    const free = [...this.#devices.values()].filter(({ id }) => (this.#heldMs.get(id) ?? 0) <= atMs);
    if (free.length === 0) return false;
    if (atMs > this.#orderedMs) {
      this.#waiting = orderAt(this.#waiting, this.#nowMs + atMs);
      this.#orderedMs = atMs;
    }
    for (const ranked of this.#waiting) {
      const place = this.#placeOf(ranked.model, free);
      if (place === null) continue;
      this.#lookAtOutsiders(ranked, free, atMs);
      if (this.#left.has(ranked.model)) this.#look(ranked.model, place, 0);
      this.#seat(ranked, place);
      return true;
    }
    this.#lookAtOutsiders(null, free, atMs);
    return false;
  }

  /** Who does not contend is looked at when it would be next, if it were asked for now. */
  #lookAtOutsiders(first: Ranked | null, free: readonly DeviceForecast[], atMs: number): void {
    for (const model of this.#left) {
      if (this.#contending.has(model)) continue;
      const isNext =
        first === null ||
        (first.why === 'more_waiting_work' &&
          indexOf(model, this.#nowMs + atMs, atMs) >= indexOf(first.model, this.#nowMs + atMs));
      if (!isNext) continue;
      const place = this.#placeOf(model, free);
      if (place !== null) this.#look(model, place, 0);
    }
  }

  #placeOf(model: ModelState, free: readonly DeviceForecast[] | null): Place | null {
    return soonestPlace(this.#state, free ?? this.#devices.values(), model);
  }

  #look(model: ModelState, place: Place | null, beyond: number): void {
    this.#left.delete(model);
    this.found.set(model, forecastOf(place, this.#ahead.slice(), beyond));
  }

  /** Those ahead of it that were not looked at. */
  #beyond(model: ModelState): number {
    const at = this.#waiting.findIndex((ranked) => ranked.model === model);
    return at < 0 ? this.#waiting.length : at;
  }

  #seat(ranked: Ranked, place: Place): void {
    this.#waiting = this.#waiting.filter((other) => other !== ranked);
    this.#ahead.push(takeTurn(this.#state, place, ranked, this.#nowMs));
    for (const { device } of place.rooms) this.#heldMs.set(device.id, place.inMs);
  }
}

/** Overdue ones and those for whom somebody was asked to leave stay first; of the others, who has most of the waiting work then. */
function orderAt(waiting: readonly Ranked[], atMs: number): readonly Ranked[] {
  const first = waiting.filter(({ why }) => why !== 'more_waiting_work');
  const others = waiting
    .slice(first.length)
    .map((ranked) => ({ ranked, index: indexOf(ranked.model, atMs) }));
  return [...first, ...others.sort((a, b) => b.index - a.index).map(({ ranked }) => ranked)];
}

/** A pause holds up nobody else. */
function takesPart(model: ModelState, nowMs: number): boolean {
  const { engine } = model;
  const isPaused = (engine.kind === 'cold' || engine.kind === 'asleep') && engine.notBeforeMs > nowMs;
  return !isPaused && model.need !== null && model.neverFits === null;
}

function forecastOf(place: Place | null, ahead: readonly TurnAhead[], beyond: number): ContestForecast {
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

function takeTurn(state: SchedulerState, place: Place, { model, why }: Ranked, nowMs: number): TurnAhead {
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
