/** Who may stand in whose way. */
import type { DeviceId, ModelName } from '../core/ids.ts';
import type { ModelState, SchedulerState } from '../scheduler/state.ts';
import { devicesOfPool, holders, wholeBudget } from '../sizing/device-fit.ts';
import { awakeItem, devicesOf } from './fit-items.ts';
import type { PackedDevice } from './packing.ts';

export interface Contention {
  /** Devices that it may get; empty: none can hold it. */
  readonly devices: readonly PackedDevice[];
  /** Models that may take a turn while it waits: those that may get one of its devices, and in turn those who may hinder these. */
  readonly others: readonly ModelState[];
  /** It and all of them may get one and the same device, and no other. */
  readonly sharesOneDevice: boolean;
}

/** Of each model that some device can hold. Always-on models hold their room and take no turns. */
export function contentions(state: SchedulerState): ReadonlyMap<ModelName, Contention> {
  const models = [...state.models.values()].filter((model) => awakeItem(model) !== null);
  const possible = new Map(models.map((model) => [model.policy.name, possibleDevices(state, model)]));
  const devicesFor = (model: ModelState) => possible.get(model.policy.name) ?? [];
  const turns = models.filter(({ policy }) => !policy.alwaysOn);
  return new Map(
    models.map((model) => {
      const reached = reachedFrom(model, turns, devicesFor);
      const others = reached.filter((other) => other !== model);
      const devices = devicesFor(model);
      const ids = new Set(reached.flatMap(devicesFor).map(({ id }) => id));
      return [model.policy.name, { devices, others, sharesOneDevice: ids.size === 1 }];
    }),
  );
}

function possibleDevices(state: SchedulerState, model: ModelState): readonly PackedDevice[] {
  const item = awakeItem(model);
  if (item === null) return [];
  const ofPool = devicesOfPool(devicesOf(state), item.pool);
  return holders(ofPool, item.deviceCount, item.memoryMib ?? 1, wholeBudget);
}

function reachedFrom(
  model: ModelState,
  turns: readonly ModelState[],
  devicesFor: (model: ModelState) => readonly PackedDevice[],
): readonly ModelState[] {
  const reached = [model];
  const ids = new Set<DeviceId>();
  for (const next of reached) {
    for (const { id } of devicesFor(next)) ids.add(id);
    for (const other of turns) {
      if (!reached.includes(other) && devicesFor(other).some(({ id }) => ids.has(id))) reached.push(other);
    }
  }
  return reached;
}

/**
 * Has it room whatever the others do? To keep it out they must take so much of so many of its devices that too few are left; here
 * they have not devices enough for that, or not memory enough.
 */
export function alwaysHasRoom(
  model: ModelState,
  devices: readonly PackedDevice[],
  others: readonly ModelState[],
): boolean {
  const item = awakeItem(model);
  if (item === null) return false;
  const { deviceCount, memoryMib } = item;
  // One more device of each size would have to be taken than may be spared.
  const barriers = groupsFor(deviceCount, devices).map((group) =>
    group
      .map(({ budgetMib }) => (memoryMib === null ? 1 : budgetMib - memoryMib + 1))
      .sort((a, b) => a - b)
      .slice(0, Math.max(0, group.length - deviceCount + 1)),
  );
  const barrier = barriers.flat();
  const taken = others.flatMap((other) => awakeItem(other) ?? []);
  if (taken.reduce((sum, other) => sum + other.deviceCount, 0) < barrier.length) return true;
  let takenMib = 0;
  for (const other of taken) takenMib += (other.memoryMib ?? Number.POSITIVE_INFINITY) * other.deviceCount;
  return takenMib < barrier.reduce((sum, mib) => sum + mib, 0);
}

/** An engine on several devices has them of one size. */
function groupsFor(
  deviceCount: number,
  devices: readonly PackedDevice[],
): readonly (readonly PackedDevice[])[] {
  if (deviceCount === 1) return [devices];
  const sizes = [...new Set(devices.map(({ totalMib }) => totalMib))];
  return sizes
    .map((totalMib) => devices.filter((device) => device.totalMib === totalMib))
    .filter((group) => group.length >= deviceCount);
}
