/**
 * Before a launch or a wake the devices themselves must show the memory free that it needs: it may still be on its way
 * back, or somebody else may have taken it. An engine that starts into too little dies late and tells little.
 */
import type { Clock } from '../core/clock.ts';
import type { DeviceId } from '../core/ids.ts';
import type { MemoryReading } from '../devices/device.ts';

/** A driver that frees late is done long before. */
export const ROOM_LIMIT_MS = 10_000;
const FIRST_PAUSE_MS = 20;
const PAUSE_GROWTH = 1.5;
const PAUSE_MS_MAX = 500;

export interface RoomWant {
  readonly deviceId: DeviceId;
  readonly neededMib: number;
  readonly totalMib: number;
}

export type Room =
  | { readonly kind: 'room' }
  /** As of the last look. */
  | { readonly kind: 'short'; readonly freeMib: ReadonlyMap<DeviceId, number> }
  /** The devices do not tell. */
  | { readonly kind: 'unknown' };

/** Looks until each device has what is wanted of it, at most `limitMs`, and at least once. Never throws. */
export async function untilRoom(
  read: () => Promise<readonly MemoryReading[]>,
  wants: readonly RoomWant[],
  clock: Clock,
  limitMs: number = ROOM_LIMIT_MS,
): Promise<Room> {
  const deadlineMs = clock.nowMs() + limitMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(PAUSE_GROWTH * pauseMs, PAUSE_MS_MAX)) {
    const freeMib = await free(read, wants);
    if (freeMib === null) return { kind: 'unknown' };
    if (wants.every(({ deviceId, neededMib }) => (freeMib.get(deviceId) ?? 0) >= neededMib)) {
      return { kind: 'room' };
    }
    const leftMs = deadlineMs - clock.nowMs();
    if (leftMs <= 0) return { kind: 'short', freeMib };
    const atMs = clock.nowMs() + Math.min(pauseMs, leftMs);
    await new Promise<void>((resolve) => clock.setTimer(atMs, resolve));
  }
}

/** Null when one of the devices does not tell, or the reading fails. */
async function free(
  read: () => Promise<readonly MemoryReading[]>,
  wants: readonly RoomWant[],
): Promise<ReadonlyMap<DeviceId, number> | null> {
  const readings = await read().catch(() => []);
  const freeMib = new Map<DeviceId, number>();
  for (const { deviceId, totalMib } of wants) {
    const usedMib = readings.find(({ id }) => id === deviceId)?.usedMib ?? null;
    if (usedMib === null) return null;
    freeMib.set(deviceId, Math.max(0, totalMib - usedMib));
  }
  return freeMib;
}
