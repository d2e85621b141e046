/** Devices: what memory there is to share. Readers run tools; parsing is pure and lives in `<source>-parse.ts`. */
import type { DeviceId } from '../core/ids.ts';

export interface Device {
  readonly id: DeviceId;
  readonly name: string;
  readonly source: 'nvidia' | 'simulated' | 'host';
  readonly index: number;
  readonly totalMib: number;
  /** What may be reserved: fraction and configured limit applied. */
  readonly budgetMib: number;
  readonly pool: string | null;
}

export interface MemoryReading {
  readonly id: DeviceId;
  /** Null where the device does not tell. */
  readonly usedMib: number | null;
}

/** A named condition of the inventory (tool missing, tool hung, device lost, …): shown, never a crash. */
export interface DeviceCondition {
  readonly code: string;
  readonly text: string;
}

export interface DeviceInventory {
  readonly devices: readonly Device[];
  readonly conditions: readonly DeviceCondition[];
  /** False: the reading itself failed (a tool that hangs, a driver that does not answer); it is worth another try. */
  readonly complete: boolean;
}

export interface DeviceSource {
  /** What engines on these devices must find in their environment. */
  readonly engineEnvironment: Readonly<Record<string, string>>;
  read(): Promise<DeviceInventory>;
  memory(): Promise<readonly MemoryReading[]>;
}
