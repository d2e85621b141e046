/**
 * After an engine's processes are gone its memory may still be on the way back: a driver frees it later. The next engine
 * must not start into a falling figure, so a stop ends only when the device's own reading no longer falls.
 */
import type { Clock } from '../core/clock.ts';
import type { DeviceId } from '../core/ids.ts';
import type { MemoryReading } from '../devices/device.ts';

/** The first pause is short: mostly the memory is back with the process. */
const FIRST_PAUSE_MS = 10;
const PAUSE_MS = 50;
/** A reading that falls by no more than this between two looks has settled. */
const TOLERANCE_MIB = 64;
export const SETTLE_LIMIT_MS = 10_000;

/** `unknown`: the devices do not tell. `falling`: memory was still coming back at the limit. */
export type Settling = 'settled' | 'unknown' | 'falling';

/** Looks at the devices until their use stops falling, at most `SETTLE_LIMIT_MS`. Never throws. */
export async function untilMemorySettled(
  read: () => Promise<readonly MemoryReading[]>,
  deviceIds: readonly DeviceId[],
  clock: Clock,
): Promise<Settling> {
  const deadlineMs = clock.nowMs() + SETTLE_LIMIT_MS;
  let before = await usedMib(read, deviceIds);
  for (let pauseMs = FIRST_PAUSE_MS; before !== null; pauseMs = PAUSE_MS) {
    const atMs = clock.nowMs() + pauseMs;
    await new Promise<void>((resolve) => clock.setTimer(atMs, resolve));
    const now = await usedMib(read, deviceIds);
    if (now === null) return 'unknown';
    if (before.every((mib, index) => mib - (now[index] ?? 0) <= TOLERANCE_MIB)) return 'settled';
    if (clock.nowMs() >= deadlineMs) return 'falling';
    before = now;
  }
  return 'unknown';
}

/** Null when one of the devices does not tell, or the reading fails. */
async function usedMib(
  read: () => Promise<readonly MemoryReading[]>,
  deviceIds: readonly DeviceId[],
): Promise<readonly number[] | null> {
  const readings = await read().catch(() => []);
  const used = deviceIds.map((id) => readings.find((reading) => reading.id === id)?.usedMib ?? null);
  return deviceIds.length > 0 && used.every((mib) => mib !== null) ? used : null;
}
