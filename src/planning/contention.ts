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
 * Has it room whatever the others do? To keep it out they must fill so many of its devices that too few are left, and all that
 * they take together does not suffice for that.
 */
export function alwaysHasRoom(
  model: ModelState,
  devices: readonly PackedDevice[],
  others: readonly ModelState[],
): boolean {
  const item = awakeItem(model);
  if (item === null || item.memoryMib === null) return others.length === 0;
  const { deviceCount, memoryMib } = item;
  let takenMib = 0;
  for (const other of others) {
    const taken = awakeItem(other);
    if (taken === null) continue;
    if (taken.memoryMib === null) return false;
    takenMib += taken.memoryMib * taken.deviceCount;
  }
  const groups =
    deviceCount === 1
      ? [devices]
      : [...new Set(devices.map(({ totalMib }) => totalMib))].map((totalMib) =>
          devices.filter((device) => device.totalMib === totalMib),
        );
  let neededMib = 0;
  for (const group of groups) {
    const filled = group.map(({ budgetMib }) => budgetMib - memoryMib + 1).sort((a, b) => a - b);
    for (const mib of filled.slice(0, Math.max(0, group.length - deviceCount + 1))) neededMib += mib;
  }
  return takenMib < neededMib;
}
