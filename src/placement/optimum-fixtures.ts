/**
 * The best placement by trying everything: all sets of devices, all moments, all combinations of ways out. It shares no
 * code with place.ts and is only fit for small worlds.
 */
import type { DeviceView, PlacementNeed, ResidentView, WayOut } from './place.ts';

export type Optimum =
  | { readonly kind: 'free' | 'blocked' | 'never' }
  /** `atMs`: the earliest time at which any set can have room; `lossMs`: the least loss of all sets at that time. */
  | { readonly kind: 'evict'; readonly atMs: number; readonly lossMs: number };

export function optimum(need: PlacementNeed, devices: readonly DeviceView[]): Optimum {
  const sets = subsets(devices).filter((set) => mayTake(need, set));
  if (sets.length === 0) return { kind: 'never' };
  const lacksNothing = (device: DeviceView): boolean => !device.moving && lackMib(need, device) <= 0;
  if (sets.some((set) => set.every((device) => !device.held && lacksNothing(device)))) {
    return { kind: 'free' };
  }
  const times = devices.flatMap((device) => [
    0,
    ...device.leaving.map((part) => part.inMs),
    ...device.residents.map(keyMs),
  ]);
  for (const atMs of [...new Set(times)].filter(Number.isFinite).sort((a, b) => a - b)) {
    const losses = sets.map((set) => leastLoss(need, set, atMs)).filter((loss) => loss !== null);
    if (losses.length > 0) return { kind: 'evict', atMs, lossMs: Math.min(...losses) };
  }
  return { kind: 'blocked' };
}

export function keyMs(resident: ResidentView): number {
  return Math.min(...resident.ways.map((way) => resident.yieldsInMs + way.takesMs));
}

/** Whether the need may ever be met on exactly these devices, if nothing were on them. */
export function mayTake(need: PlacementNeed, set: readonly DeviceView[]): boolean {
  const large = set.every((device) => device.budgetMib > 0 && wantedMib(need, device) <= device.budgetMib);
  const { onlyOn, pool } = need;
  if (onlyOn !== null) return large && sameIds(set, onlyOn);
  const alike = new Set(set.map((device) => device.totalMib)).size === 1;
  const inPool = set.every((device) => pool === null || device.pool === pool);
  return large && alike && inPool && set.length === need.deviceCount;
}

/** What the device lacks while nothing leaves and nobody goes. */
export function lackMib(need: PlacementNeed, device: DeviceView): number {
  return wantedMib(need, device) + device.reservedMib - device.availableMib;
}

function wantedMib(need: PlacementNeed, device: DeviceView): number {
  return need.memoryMibPerDevice ?? Math.max(device.availableMib, device.budgetMib / 2);
}

function sameIds(set: readonly DeviceView[], ids: readonly string[]): boolean {
  return set.length === ids.length && set.every((device) => ids.includes(device.id));
}

function subsets<T>(items: readonly T[]): readonly (readonly T[])[] {
  const [first, ...rest] = items;
  if (first === undefined) return [[]];
  const without = subsets(rest);
  return [...without, ...without.map((set) => [first, ...set])];
}

function leastLoss(need: PlacementNeed, set: readonly DeviceView[], atMs: number): number | null {
  // Beside a stop that cannot be verified nothing starts.
  const isStuck = ({ leaving }: DeviceView): boolean => leaving.some(({ inMs }) => !Number.isFinite(inMs));
  if (set.some((device) => device.held || isStuck(device))) return null;
  const lacks = new Map<string, number>();
  for (const device of set) {
    const leaving = device.leaving.filter((part) => part.inMs <= atMs);
    lacks.set(device.id, lackMib(need, device) - leaving.reduce((sum, part) => sum + part.memoryMib, 0));
  }
  const residents = new Map<string, ResidentView>();
  for (const device of set) {
    for (const resident of device.residents) {
      if (keyMs(resident) <= atMs) residents.set(resident.model, resident);
    }
  }
  return leastLossOf([...residents.values()], lacks);
}

/** Each resident stays or goes by one of its ways; `lacks` by device. */
function leastLossOf(residents: readonly ResidentView[], lacks: ReadonlyMap<string, number>): number | null {
  const [first, ...rest] = residents;
  if (first === undefined) return [...lacks.values()].every((mib) => mib <= 0) ? 0 : null;
  const losses = [leastLossOf(rest, lacks), ...first.ways.map((way) => withWay(first, way))];
  const possible = losses.filter((loss) => loss !== null);
  return possible.length === 0 ? null : Math.min(...possible);

  function withWay(resident: ResidentView, way: WayOut): number | null {
    const left = new Map(lacks);
    for (const id of resident.deviceIds) {
      const mib = left.get(id);
      if (mib !== undefined) left.set(id, mib - way.freesMib);
    }
    const loss = leastLossOf(rest, left);
    return loss === null ? null : loss + way.lossMs;
  }
}
