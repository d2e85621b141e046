/** A device as its source tells it, before budgets and pools of the configuration are applied. */
import type { Device, DeviceCondition, MemoryReading } from './device.ts';

export type RawDevice = Omit<Device, 'budgetMib' | 'pool'>;

export interface RawInventory {
  readonly devices: readonly RawDevice[];
  readonly conditions: readonly DeviceCondition[];
  /** False: the reading itself failed, and what is missing may be there. */
  readonly complete: boolean;
}

export interface RawSource {
  read(): Promise<RawInventory>;
  /** One reading for each of `devices`, in their order. */
  memory(devices: readonly RawDevice[]): Promise<readonly MemoryReading[]>;
}
