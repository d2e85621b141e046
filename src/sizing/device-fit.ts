/** Which devices could hold a model, whatever runs on them at present. */

export interface CandidateDevice {
  readonly id: string;
  readonly pool: string | null;
  readonly totalMib: number;
  /** What may be reserved there. */
  readonly budgetMib: number;
}

/** What a device can give to this model; the budget, or less. */
export type Capacity = (device: CandidateDevice) => number;

export const wholeBudget: Capacity = (device) => device.budgetMib;

export function devicesOfPool(
  devices: readonly CandidateDevice[],
  pool: string | null,
): readonly CandidateDevice[] {
  return pool === null ? devices : devices.filter((device) => device.pool === pool);
}

/**
 * The configured size, then every greater power of two for which there are enough devices of one size: an engine takes the
 * same share of each of its devices.
 */
export function tensorParallelChoices(
  devices: readonly CandidateDevice[],
  configured: number,
): readonly number[] {
  const most = Math.max(0, ...sizeGroups(devices).map((group) => group.length));
  const choices = [configured];
  for (let size = 2; size <= most; size *= 2) if (size > configured) choices.push(size);
  return choices;
}

/** Devices among which `deviceCount` of one size can give `needMib` each; empty: there are none. */
export function holders(
  devices: readonly CandidateDevice[],
  deviceCount: number,
  needMib: number,
  capacity: Capacity,
): readonly CandidateDevice[] {
  const isLarge = (device: CandidateDevice) => capacity(device) >= needMib;
  if (deviceCount <= 1) return devices.filter(isLarge);
  return sizeGroups(devices)
    .map((group) => group.filter(isLarge))
    .filter((group) => group.length >= deviceCount)
    .flat();
}

/** The most that `deviceCount` devices of one size can give each; 0: there are not so many. */
export function largestCapacity(
  devices: readonly CandidateDevice[],
  deviceCount: number,
  capacity: Capacity,
): number {
  const groups = deviceCount <= 1 ? [devices] : sizeGroups(devices);
  const largest = groups.map((group) => {
    const sizes = group.map(capacity).sort((a, b) => b - a);
    return sizes[Math.max(1, deviceCount) - 1] ?? 0;
  });
  return Math.max(0, ...largest);
}

function sizeGroups(devices: readonly CandidateDevice[]): readonly (readonly CandidateDevice[])[] {
  const totals = [...new Set(devices.map((device) => device.totalMib))];
  return totals.map((total) => devices.filter((device) => device.totalMib === total));
}

export function onDevices(count: number): string {
  return count === 1 ? 'one device' : `each of ${count} devices of one size`;
}
