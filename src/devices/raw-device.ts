/** A device as its source tells it, before budgets and pools of the configuration are applied. */
import type { DeviceId } from '../core/ids.ts';
import type { Device, DeviceCondition } from './device.ts';

export type RawDevice = Omit<Device, 'budgetMib' | 'spareMib' | 'pool'>;

/** Used memory in MiB by device; null: the device is there and does not tell; absent: it is not there. */
export type RawUses = ReadonlyMap<DeviceId, number | null>;

export interface RawInventory {
  readonly devices: readonly RawDevice[];
  readonly conditions: readonly DeviceCondition[];
  /** False: the reading itself failed, and what is missing may be there. */
  readonly complete: boolean;
  readonly uses: RawUses;
}

export interface RawReading {
  readonly uses: RawUses;
  /** Not null: the reading failed as a whole, and `uses` says nothing of what is missing. */
  readonly failure: DeviceCondition | null;
}

export interface ProcessUse {
  readonly pid: number;
  /** Null where the driver lists the process and not its memory. */
  readonly usedMib: number | null;
}

/** Processes by device; null: they cannot be told, for all (`byDevice`) or for one device. */
export interface ProcessReport {
  readonly byDevice: ReadonlyMap<DeviceId, readonly ProcessUse[] | null> | null;
  readonly conditions: readonly DeviceCondition[];
}

export interface StreamSink {
  uses(uses: RawUses): void;
  /** Null: it flows again. */
  trouble(condition: DeviceCondition | null): void;
}

export interface RawSource {
  read(): Promise<RawInventory>;
  /** `signal` calls the reading off, as it does for `processes`: then nobody heeds the answer. */
  memory(devices: readonly RawDevice[], signal?: AbortSignal): Promise<RawReading>;
  processes(devices: readonly RawDevice[], signal?: AbortSignal): Promise<ProcessReport>;
  /** Readings of these devices several times a second until the returned function is called; null: ask for each one. */
  stream(devices: readonly RawDevice[], sink: StreamSink): (() => void) | null;
}
