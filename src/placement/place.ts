/**
 * Where a model may go: pure, over a view of the devices that the scheduler makes for the occasion.
 *  1. Devices of its pool whose budget could ever hold it; too few of them: never, with the numbers. For a model that
 *     sleeps somewhere, exactly the devices that it sleeps on, whatever their pool and sizes.
 *  2. Enough of them with room now and no move under way: free.
 *  3. Otherwise the set of devices on which room is had soonest, then at the least loss (eviction.ts): evict. Or a later one,
 *     within limits, that spares others more than it costs.
 *  4. No such set at present (devices held for others, always-on engines): blocked.
 */
import { type CostedEviction, cheapestEviction, soonestRoomMs } from './eviction.ts';
import { blockedReason, neverReason } from './reasons.ts';

export interface PlacementNeed {
  readonly deviceCount: number;
  readonly pool: string | null;
  /** Null: the whole budget of each device. */
  readonly memoryMibPerDevice: number | null;
  /** Where it has its devices to itself: less of a device is of no use to it; 0: not known. */
  readonly leastMibPerDevice: number;
  /** It sleeps there and wakes nowhere else; null: anywhere. */
  readonly onlyOn: readonly string[] | null;
  /** Room may come by so much later where that spares others more than it costs; 0: the soonest room is taken. */
  readonly laterMs: number;
}

/** One way in which an engine may give way. */
export interface WayOut {
  readonly how: 'sleep' | 'stop';
  /** On each of its devices. */
  readonly freesMib: number;
  /** Time that it takes: memory that is leaving already comes sooner than that of a new victim. */
  readonly takesMs: number;
  /** What it costs in all, on whatever number of devices. */
  readonly lossMs: number;
}

export interface ResidentView {
  readonly model: string;
  /** All devices that it holds memory on, also those outside of the view. */
  readonly deviceIds: readonly string[];
  /** 0: may go now; later: when its turn ends; Infinity: never. */
  readonly yieldsInMs: number;
  /** At least one, those that free less first (`sleep` before `stop`). */
  readonly ways: readonly WayOut[];
}

export interface Victim {
  readonly model: string;
  readonly how: 'sleep' | 'stop';
}

/** Memory whose engine is on its way out already: nobody needs to ask for it. */
export interface LeavingView {
  readonly memoryMib: number;
  /** When it is expected back; Infinity: its stop could not be verified. */
  readonly inMs: number;
}

export interface DeviceView {
  readonly id: string;
  readonly pool: string | null;
  readonly totalMib: number;
  readonly budgetMib: number;
  /** The part of the budget that foreign programs leave at present. */
  readonly availableMib: number;
  readonly reservedMib: number;
  /** What sleepers leave on it beside a model that has it to itself, those included that may sleep to make room for that one. */
  readonly restMib: number;
  /** Parts of `reservedMib`. */
  readonly leaving: readonly LeavingView[];
  /** An engine starts or stops on it. */
  readonly moving: boolean;
  /** Set aside for another model. */
  readonly held: boolean;
  /** Engines that may be asked to go (not those that leave already). */
  readonly residents: readonly ResidentView[];
  /** `freeingOf` the device, where it was found out before; it is found out where it is asked for. */
  readonly freeing?: readonly LeavingView[];
}

/** There is a place, now or later. */
export type FoundPlace =
  | { readonly kind: 'free'; readonly deviceIds: readonly string[]; readonly memoryMibPerDevice: number }
  | {
      readonly kind: 'evict';
      readonly deviceIds: readonly string[];
      readonly victims: readonly Victim[];
      /** When the last victim may be asked to go. */
      readonly victimsInMs: number;
      /** When the room is expected, the victims' own stops included. */
      readonly inMs: number;
    };

export type Placement =
  | FoundPlace
  | { readonly kind: 'blocked'; readonly why: string }
  | { readonly kind: 'never'; readonly why: string };

/** A whole device of which foreign programs leave less than this share of the budget is not taken for whole. */
const WHOLE_SHARE_MIN = 0.5;
/** Of what others lose so much is worth waiting for: not all of it comes true. */
const LOSS_SHARE = 0.5;
/** Beside a model whose size nobody knows, sleepers leave at most this share of the budget. */
const REST_SHARE_MAX = 0.15;

export function place(need: PlacementNeed, devices: readonly DeviceView[]): Placement {
  const found = findPlace(need, devices);
  if (found !== null) return found;
  const possible = possibleDevices(need, devices);
  const feasible = possible.filter((device) => isFeasible(need, device));
  return groupsOf(need, feasible).length === 0
    ? { kind: 'never', why: neverReason(need, possible) }
    : { kind: 'blocked', why: blockedReason(need, feasible) };
}

/** As `place`, without the reasons: null where it says blocked or never. Devices that are held may be left out. */
export function findPlace(need: PlacementNeed, devices: readonly DeviceView[]): FoundPlace | null {
  const search = new PlaceSearch(need, devices);
  return search.free() ?? search.eviction();
}

/** A search for a place in steps: whoever knows enough need not go on. */
export class PlaceSearch {
  readonly deviceCount: number;
  readonly #need: PlacementNeed;
  readonly #groups: readonly (readonly DeviceView[])[];
  #usable: readonly (readonly DeviceView[])[] | null = null;
  #soonestMs: number | null = null;

  constructor(need: PlacementNeed, devices: readonly DeviceView[]) {
    this.#need = need;
    this.deviceCount = countOf(need);
    const open = those(possibleDevices(need, devices), (device) => !device.held && isFeasible(need, device));
    this.#groups = groupsOf(need, open);
  }

  /** Room that is there now; null: there is none. */
  free(): Extract<FoundPlace, { kind: 'free' }> | null {
    for (const group of this.#groups) {
      const free = freeIn(this.#need, this.deviceCount, group);
      if (free !== null) return free;
    }
    return null;
  }

  /** No eviction gives room sooner; Infinity: none does. */
  get soonestMs(): number {
    this.#soonestMs ??= soonestRoomMs(this.#usableGroups(), this.deviceCount, this.#missingMib);
    return this.#soonestMs;
  }

  /** Where there is no room now; null: there is none to be had. */
  eviction(): Extract<FoundPlace, { kind: 'evict' }> | null {
    const { soonestMs } = this;
    if (soonestMs === Number.POSITIVE_INFINITY) return null;
    const soonest = this.#cheapestBy(soonestMs);
    if (soonest === null) return null;
    const found = this.#worthWaitingFor(soonest, soonestMs + this.#need.laterMs) ?? soonest;
    return {
      kind: 'evict',
      deviceIds: found.devices.map((device) => device.id),
      victims: found.victims.map(({ resident, way }) => ({ model: resident.model, how: way.how })),
      victimsInMs: Math.max(0, ...found.victims.map(({ resident }) => resident.yieldsInMs)),
      inMs: found.inMs,
    };
  }

  #cheapestBy(atMs: number): CostedEviction | null {
    return cheapestEviction(this.#usableGroups(), this.deviceCount, this.#missingMib, atMs);
  }

  /** Null: nothing by then spares others enough. */
  #worthWaitingFor(soonest: CostedEviction, byMs: number): CostedEviction | null {
    if (this.#need.laterMs === 0 || soonest.lossMs === 0) return null;
    const later = this.#cheapestBy(byMs);
    const isWorth =
      later !== null && later.inMs - soonest.inMs < LOSS_SHARE * (soonest.lossMs - later.lossMs);
    return isWorth ? later : null;
  }

  #usableGroups(): readonly (readonly DeviceView[])[] {
    this.#usable ??= this.#groups.map((group) => those(group, (device) => !isStuck(device)));
    return this.#usable;
  }

  readonly #missingMib = (device: DeviceView): number => memoryOn(this.#need, device) - freeMib(device);
}

/** As `filter`; the list itself where it is all of it. */
function those<T>(list: readonly T[], belongs: (item: T) => boolean): readonly T[] {
  return list.every(belongs) ? list : list.filter(belongs);
}

function countOf(need: PlacementNeed): number {
  return need.onlyOn?.length ?? need.deviceCount;
}

/** Could hold it if nothing else were there. */
function isFeasible(need: PlacementNeed, device: DeviceView): boolean {
  return device.budgetMib > 0 && memoryOn(need, device) <= device.budgetMib;
}

/** For a model that sleeps: the devices that it sleeps on, in its own order. Their pool was right when it started. */
function possibleDevices(need: PlacementNeed, devices: readonly DeviceView[]): readonly DeviceView[] {
  if (need.onlyOn === null) {
    return need.pool === null ? devices : devices.filter((device) => device.pool === need.pool);
  }
  return need.onlyOn
    .map((id) => devices.find((device) => device.id === id))
    .filter((device) => device !== undefined);
}

/**
 * Memory that the need asks of this device: a whole one is as large as foreign programs and sleepers leave it, but no
 * smaller than the model needs. Who is awake cannot stay: then less would be free.
 */
function memoryOn(need: PlacementNeed, device: DeviceView): number {
  if (need.memoryMibPerDevice !== null) return need.memoryMibPerDevice;
  const isKnown = need.leastMibPerDevice > 0;
  const restMib = isKnown ? device.restMib : Math.min(device.restMib, REST_SHARE_MAX * device.budgetMib);
  const leastMib = isKnown ? need.leastMibPerDevice : WHOLE_SHARE_MIN * device.budgetMib;
  return Math.max(device.availableMib - restMib, leastMib);
}

/** An engine on several devices takes the same share of each, so only devices of one size go together. */
function groupsOf(need: PlacementNeed, feasible: readonly DeviceView[]): readonly (readonly DeviceView[])[] {
  const deviceCount = countOf(need);
  if (feasible.length < deviceCount) return [];
  if (deviceCount === 1 || need.onlyOn !== null) return [feasible];
  const sizes = [...new Set(feasible.map((device) => device.totalMib))].sort((a, b) => a - b);
  const groups = sizes.map((totalMib) => feasible.filter((device) => device.totalMib === totalMib));
  return groups.filter((group) => group.length >= deviceCount);
}

/** The fullest devices that still have room: large gaps stay for large models. */
function freeIn(
  need: PlacementNeed,
  deviceCount: number,
  group: readonly DeviceView[],
): Extract<Placement, { kind: 'free' }> | null {
  const isFree = (device: DeviceView): boolean => !device.moving && freeMib(device) >= memoryOn(need, device);
  if (!group.some(isFree)) return null;
  const free = group.filter(isFree);
  if (free.length < deviceCount) return null;
  const chosen =
    need.onlyOn === null
      ? free.sort((a, b) => freeMib(a) - freeMib(b) || compare(a.id, b.id)).slice(0, deviceCount)
      : free;
  return {
    kind: 'free',
    deviceIds: chosen.map((device) => device.id),
    memoryMibPerDevice: Math.min(...chosen.map((device) => memoryOn(need, device))),
  };
}

/** A stop there could not be verified: nothing may start beside it until it is. */
function isStuck(device: DeviceView): boolean {
  return device.leaving.some(({ inMs }) => inMs === Number.POSITIVE_INFINITY);
}

function freeMib(device: DeviceView): number {
  return device.availableMib - device.reservedMib;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
