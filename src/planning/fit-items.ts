/** Models as items to pack: what each takes awake, and what it leaves on its devices asleep. */
import type { SchedulerSetup } from '../scheduler/model-policy.ts';
import type { ModelState, SchedulerState } from '../scheduler/state.ts';
import type { PackedDevice, PackedItem } from './packing.ts';

/** Devices known, needs as far as they are known. */
export interface PlannedSetup extends SchedulerSetup {
  readonly devices: NonNullable<SchedulerSetup['devices']>;
}

export function devicesOf(state: SchedulerState): readonly PackedDevice[] {
  return [...state.devices.values()];
}

/** Null: it takes no device, its need is not known, or no device can hold it. */
export function awakeItem(model: ModelState): PackedItem | null {
  const { policy, need, neverFits } = model;
  if (!policy.managed || need === null || neverFits !== null) return null;
  return {
    name: policy.name,
    deviceCount: need.deviceCount,
    pool: policy.pool,
    memoryMib: need.memoryMibPerDevice,
  };
}

/** Where its residue lies while it sleeps. */
export function asleepItem(model: ModelState): PackedItem | null {
  const item = awakeItem(model);
  return item === null ? null : { ...item, memoryMib: model.need?.residueMib ?? 0 };
}
