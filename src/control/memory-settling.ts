/**
 * After an engine has gone to sleep, or its processes are gone, its memory may still be on the way back: a driver frees it
 * later. The next engine must not start into a falling figure, so a sleep and a stop end only when the device's own reading
 * no longer falls. What was freed is then the difference of two readings.
 */
import type { Clock } from '../core/clock.ts';
import type { DeviceId, LaunchId } from '../core/ids.ts';
import type { MemoryReading } from '../devices/device.ts';

/** The first pause is short: mostly the memory is back with the process. */
const FIRST_PAUSE_MS = 10;
const PAUSE_MS = 50;
/** A reading that falls by no more than this between two looks has settled. */
const TOLERANCE_MIB = 64;
export const SETTLE_LIMIT_MS = 10_000;

/** `unknown`: the devices do not tell. `falling`: memory was still coming back at the limit. */
export type Settling = 'settled' | 'unknown' | 'falling';

export interface SettledUse {
  readonly settling: Settling;
  /** The last look, at all devices that were read; empty when the reading failed. */
  readonly readings: readonly MemoryReading[];
}

/**
 * Looks at the devices until their use stops falling, at most `SETTLE_LIMIT_MS`. Never throws. `awaitedMib`: use of each
 * device at which everything is back that can come; one look at it is enough.
 */
export async function settledUse(
  read: () => Promise<readonly MemoryReading[]>,
  deviceIds: readonly DeviceId[],
  clock: Clock,
  awaitedMib: ReadonlyMap<DeviceId, number> | null = null,
): Promise<SettledUse> {
  const deadlineMs = clock.nowMs() + SETTLE_LIMIT_MS;
  let readings = await read().catch(() => []);
  let before = usedMib(readings, deviceIds);
  const isBack = (mib: number, index: number): boolean =>
    mib <= (awaitedMib?.get(deviceIds[index] ?? '') ?? Number.NEGATIVE_INFINITY) + TOLERANCE_MIB;
  if (before?.every(isBack) === true) return { settling: 'settled', readings };
  for (let pauseMs = FIRST_PAUSE_MS; before !== null; pauseMs = PAUSE_MS) {
    const atMs = clock.nowMs() + pauseMs;
    await new Promise<void>((resolve) => clock.setTimer(atMs, resolve));
    readings = await read().catch(() => []);
    const now = usedMib(readings, deviceIds);
    if (now === null) break;
    if (before.every((mib, index) => mib - (now[index] ?? 0) <= TOLERANCE_MIB)) {
      return { settling: 'settled', readings };
    }
    if (clock.nowMs() >= deadlineMs) return { settling: 'falling', readings };
    before = now;
  }
  return { settling: 'unknown', readings };
}

/** As `settledUse`, for those who need not know what was freed. */
export async function untilMemorySettled(
  read: () => Promise<readonly MemoryReading[]>,
  deviceIds: readonly DeviceId[],
  clock: Clock,
  awaitedMib: ReadonlyMap<DeviceId, number> | null = null,
): Promise<Settling> {
  return (await settledUse(read, deviceIds, clock, awaitedMib)).settling;
}

/** Use of each of its devices once a launch has left; null where the driver does not name its processes. */
export function useWithout(
  launchId: LaunchId,
  deviceIds: readonly DeviceId[],
  readings: readonly MemoryReading[],
): ReadonlyMap<DeviceId, number> | null {
  const left = new Map<DeviceId, number>();
  for (const deviceId of deviceIds) {
    const reading = readings.find(({ id }) => id === deviceId);
    const usedMib = reading?.usedMib ?? null;
    const ownMib = processUse(reading, launchId);
    if (usedMib === null || ownMib === null) return null;
    left.set(deviceId, usedMib - ownMib);
  }
  return left;
}

/** Null when one of the devices does not tell, or there is none. */
function usedMib(
  readings: readonly MemoryReading[],
  deviceIds: readonly DeviceId[],
): readonly number[] | null {
  const used = deviceIds.map((id) => readings.find((reading) => reading.id === id)?.usedMib ?? null);
  return deviceIds.length > 0 && used.every((mib) => mib !== null) ? used : null;
}

export interface SleepReadings {
  readonly launchId: LaunchId;
  readonly deviceIds: readonly DeviceId[];
  /** Taken when it was awake and nothing moved on its devices any more. */
  readonly before: readonly MemoryReading[];
  /** Taken when memory had settled again (`settledUse`), and before the next move on its devices. */
  readonly after: readonly MemoryReading[];
}

/**
 * MiB that the sleep of a launch freed, on all its devices together: by the launch's own processes where both readings
 * tell them, else by the device, which counts what others took or gave back meanwhile. Null when one device tells neither.
 */
export function sleepFreed({ launchId, deviceIds, before, after }: SleepReadings): number | null {
  let freedMib = 0;
  for (const deviceId of deviceIds) {
    const earlier = before.find(({ id }) => id === deviceId);
    const later = after.find(({ id }) => id === deviceId);
    const own = difference(processUse(earlier, launchId), processUse(later, launchId));
    const freedHereMib = own ?? difference(earlier?.usedMib ?? null, later?.usedMib ?? null);
    if (freedHereMib === null) return null;
    freedMib += freedHereMib;
  }
  return deviceIds.length === 0 ? null : Math.max(0, freedMib);
}

function difference(before: number | null, after: number | null): number | null {
  return before === null || after === null ? null : before - after;
}

/** What a launch's processes use on a device; none of its processes there is 0 where processes are told at all. */
function processUse(reading: MemoryReading | undefined, launchId: LaunchId): number | null {
  const use = reading?.launches.get(launchId);
  if (use?.source === 'per_process') return use.usedMib;
  return reading?.foreignSource === 'per_process' ? 0 : null;
}
