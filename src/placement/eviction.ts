/**
 * On which devices room is had soonest, and then at the least loss.
 *  1. A device has room at the earliest time at which what leaves by then, and all who may be out by then, suffice.
 *     An engine may be out when it yields and its quickest way has passed. Since nobody has to be spared for that, the
 *     devices of a set do not depend on each other here, and a set has room when its last device has.
 *  2. Among the sets with the earliest time, the cheapest victims of all who may be out by then (joint-victims.ts), by
 *     any of their ways, also a slower one: a quick stop never beats a slightly slower but far cheaper sleep.
 *  3. Among equal losses the sooner one, then the first in the order of the devices.
 */
import { DEVICE_SETS_MAX, deviceSets } from './device-sets.ts';
import { JointVictims, type Site, victimsOn } from './joint-victims.ts';
import type { DeviceView, LeavingView, ResidentView } from './place.ts';
import { type ChosenVictim, lossOf } from './victims.ts';

export interface Eviction {
  /** In the order of their group. */
  readonly devices: readonly DeviceView[];
  readonly victims: readonly ChosenVictim[];
  /** When the room is expected by the ways that were chosen; later than possible where a slower way is the cheaper. */
  readonly inMs: number;
}

/**
 * `groups`: devices of which `deviceCount` may be taken together. `missingMib`: what a device lacks at present.
 * `byMs`: when the room has to be there at the latest by the quickest ways: of `soonestRoomMs`, or later; finite.
 */
export function cheapestEviction(
  groups: readonly (readonly DeviceView[])[],
  deviceCount: number,
  missingMib: (device: DeviceView) => number,
  byMs: number,
): CostedEviction | null {
  let best: CostedEviction | null = null;
  for (const group of groups) {
    const sites = group
      .filter((device) => coveredInMs(freeingOf(device), missingMib(device)) <= byMs)
      .map((device) => siteAt(device, missingMib(device), byMs));
    if (deviceCount === 1 && sites.length <= DEVICE_SETS_MAX) {
      for (const site of sites) best = better(best, [site], victimsOn(site), byMs);
      continue;
    }
    const joint = new JointVictims(sites);
    const aloneMs = (site: RoomSite): number => {
      const victims = joint.of([site]);
      return victims === null ? Number.POSITIVE_INFINITY : lossOf(victims);
    };
    for (const set of deviceSets(sites, deviceCount, aloneMs, joint.spanning))
      best = better(best, set, joint.of(set), byMs);
  }
  return best;
}

export interface CostedEviction extends Eviction {
  /** Of the victims together. */
  readonly lossMs: number;
}

/** Of `best` and another set the one that costs less, then the one that is sooner, then `best`. */
function better(
  best: CostedEviction | null,
  set: readonly RoomSite[],
  victims: readonly ChosenVictim[] | null,
  byMs: number,
): CostedEviction | null {
  if (victims === null) return best;
  const lossMs = lossOf(victims);
  if (best !== null && lossMs > best.lossMs) return best;
  const inMs = expectedInMs(set, victims, byMs);
  if (best !== null && lossMs === best.lossMs && inMs >= best.inMs) return best;
  return { devices: set.map((site) => site.device), victims, inMs, lossMs };
}

interface RoomSite extends Site {
  readonly device: DeviceView;
  /** What it lacks while nothing of `leaving` has left. */
  readonly lackMib: number;
  /** What leaves by the moment in question, the soonest first. */
  readonly leaving: readonly LeavingView[];
}

/** When `resident` may be gone at the earliest. */
function outInMs(resident: ResidentView): number {
  return resident.yieldsInMs + Math.min(...resident.ways.map((way) => way.takesMs));
}

/** The earliest time at which some set of devices has room; Infinity: never. Takes what `cheapestEviction` takes. */
export function soonestRoomMs(
  groups: readonly (readonly DeviceView[])[],
  deviceCount: number,
  missingMib: (device: DeviceView) => number,
): number {
  const inMsOf = (device: DeviceView): number => coveredInMs(freeingOf(device), missingMib(device));
  return groups.reduce((least, group) => Math.min(least, leastMs(group, deviceCount, inMsOf)), Infinity);
}

/** The time by which `count` of the devices have room; Infinity: never. */
function leastMs(
  devices: readonly DeviceView[],
  count: number,
  inMsOf: (device: DeviceView) => number,
): number {
  if (count === 1) return devices.reduce((least, device) => Math.min(least, inMsOf(device)), Infinity);
  return devices.map(inMsOf).sort((a, b) => a - b)[count - 1] ?? Infinity;
}

/** All that may come free on a device and when at the earliest, the soonest first. */
export function freeingOf(
  device: Pick<DeviceView, 'leaving' | 'residents' | 'freeing'>,
): readonly LeavingView[] {
  if (device.freeing !== undefined) return device.freeing;
  const parts = device.residents.map((resident) => ({
    memoryMib: Math.max(...resident.ways.map((way) => way.freesMib)),
    inMs: outInMs(resident),
  }));
  return soonestFirst([...device.leaving, ...parts]);
}

function soonestFirst(parts: readonly LeavingView[]): readonly LeavingView[] {
  return parts.toSorted((a, b) => (a.inMs === b.inMs ? 0 : a.inMs < b.inMs ? -1 : 1));
}

/** When the parts that come first have come to `missingMib` in all; Infinity: never. */
function coveredInMs(parts: readonly LeavingView[], missingMib: number): number {
  let leftMib = missingMib;
  if (leftMib <= 0) return 0;
  for (const part of parts) {
    leftMib -= part.memoryMib;
    if (leftMib <= 0) return part.inMs;
  }
  return Number.POSITIVE_INFINITY;
}

function siteAt(device: DeviceView, lackMib: number, atMs: number): RoomSite {
  const leaving = device.leaving.filter((part) => part.inMs <= atMs);
  return {
    device,
    lackMib,
    leaving: soonestFirst(leaving),
    missingMib: leaving.reduce((sum, part) => sum - part.memoryMib, lackMib),
    residents: device.residents.filter((resident) => outInMs(resident) <= atMs),
  };
}

/** The last of the victims to be gone, and of what leaves anyway no more than is counted on, the soonest first. */
function expectedInMs(set: readonly RoomSite[], victims: readonly ChosenVictim[], atMs: number): number {
  const gone = victims.map(({ resident, way }) => resident.yieldsInMs + way.takesMs);
  const left = set.map((site) => {
    const freedMib = victims
      .filter(({ resident }) => site.residents.some((other) => other.model === resident.model))
      .reduce((sum, { way }) => sum + way.freesMib, 0);
    return Math.min(atMs, coveredInMs(site.leaving, site.lackMib - freedMib));
  });
  return Math.max(0, ...gone, ...left);
}
