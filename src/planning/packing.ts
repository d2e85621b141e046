/**
 * Can these models stand on these devices at the same time? Exact: devices that are alike at a step stand for each other, so
 * each kind of choice is looked at once. A search that grows beyond its limit says so.
 */
import type { DeviceId, ModelName } from '../core/ids.ts';
import { wholeBudget } from '../sizing/device-fit.ts';

export interface PackedItem {
  readonly name: ModelName;
  readonly deviceCount: number;
  /** Null: any device. */
  readonly pool: string | null;
  /** On each of its devices; null: the whole budget, which is shared with nobody. */
  readonly memoryMib: number | null;
}

export interface PackedDevice {
  readonly id: DeviceId;
  readonly pool: string | null;
  readonly totalMib: number;
  readonly budgetMib: number;
}

/** `fits`: the devices of each item. `unknown`: not found out within the limit. */
export type Packing =
  | { readonly kind: 'fits'; readonly places: ReadonlyMap<ModelName, readonly DeviceId[]> }
  | { readonly kind: 'full' }
  | { readonly kind: 'unknown' };

/** Choices that one search looks at. */
const STEPS_MAX = 5_000;

export function pack(items: readonly PackedItem[], devices: readonly PackedDevice[]): Packing {
  // What is hardest to place comes first: a dead end is found early.
  const ordered = items.toSorted((a, b) => sizeOf(b) - sizeOf(a));
  const search = new Search(ordered, devices);
  if (search.place(0)) return { kind: 'fits', places: search.places };
  return { kind: search.stepsLeft < 0 ? 'unknown' : 'full' };
}

function sizeOf({ deviceCount, memoryMib }: PackedItem): number {
  return deviceCount * (memoryMib ?? Number.MAX_SAFE_INTEGER);
}

interface Slot {
  readonly device: PackedDevice;
  freeMib: number;
}

class Search {
  readonly places = new Map<ModelName, readonly DeviceId[]>();
  stepsLeft = STEPS_MAX;
  readonly #items: readonly PackedItem[];
  readonly #slots: readonly Slot[];

  constructor(items: readonly PackedItem[], devices: readonly PackedDevice[]) {
    this.#items = items;
    this.#slots = devices.map((device) => ({ device, freeMib: wholeBudget(device) }));
  }

  place(index: number): boolean {
    const item = this.#items[index];
    if (item === undefined) return true;
    for (const set of this.#setsFor(item)) {
      this.stepsLeft -= 1;
      if (this.stepsLeft < 0) return false;
      const before = set.map((slot) => slot.freeMib);
      for (const slot of set) slot.freeMib -= item.memoryMib ?? slot.freeMib;
      this.places.set(
        item.name,
        set.map(({ device }) => device.id),
      );
      if (this.place(index + 1)) return true;
      set.forEach((slot, position) => {
        slot.freeMib = before[position] ?? slot.freeMib;
      });
      this.places.delete(item.name);
    }
    return false;
  }

  /** The fullest devices first, as placement takes them. */
  *#setsFor(item: PackedItem): Generator<readonly Slot[]> {
    const able = this.#slots
      .filter((slot) => hasRoom(item, slot))
      .sort((a, b) => a.freeMib - b.freeMib || a.device.totalMib - b.device.totalMib);
    const kinds = grouped(able, ({ device, freeMib }) =>
      JSON.stringify([device.pool, device.totalMib, device.budgetMib, freeMib]),
    );
    if (item.deviceCount === 1) {
      for (const [first] of kinds) if (first !== undefined) yield [first];
      return;
    }
    // An engine takes the same share of each of its devices, so only devices of one size go together.
    for (const sizes of grouped(kinds, (kind) => String(kind[0]?.device.totalMib)))
      yield* chosenOf(sizes, item.deviceCount);
  }
}

function hasRoom({ pool, memoryMib }: PackedItem, { device, freeMib }: Slot): boolean {
  if (device.budgetMib <= 0 || (pool !== null && device.pool !== pool)) return false;
  return memoryMib === null ? freeMib === device.budgetMib : memoryMib <= freeMib;
}

function grouped<T>(items: readonly T[], keyOf: (item: T) => string): readonly (readonly T[])[] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()];
}

/** Every way to take `count` of the kinds, of each kind its first ones. */
function* chosenOf<T>(kinds: readonly (readonly T[])[], count: number): Generator<readonly T[]> {
  const [kind, ...others] = kinds;
  if (kind === undefined) {
    if (count === 0) yield [];
    return;
  }
  for (let taken = Math.min(count, kind.length); taken >= 0; taken -= 1)
    for (const rest of chosenOf(others, count - taken)) yield [...kind.slice(0, taken), ...rest];
}
