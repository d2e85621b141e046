/** A reading of a device that tells how much is used and nothing of by whom. */
import type { MemoryReading } from '../../src/devices/device.ts';

export function memoryReading(id: string, usedMib: number | null): MemoryReading {
  return { id, usedMib, foreignMib: null, foreignSource: null, launches: new Map() };
}
