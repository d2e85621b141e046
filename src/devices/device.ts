/** Devices: what memory there is to share. Readers run tools; parsing is pure and lives in `<source>-parse.ts`. */
import type { DeviceId, LaunchId } from '../core/ids.ts';

export interface Device {
  readonly id: DeviceId;
  readonly name: string;
  readonly source: 'nvidia' | 'amd' | 'simulated' | 'host';
  readonly index: number;
  readonly totalMib: number;
  /** Its memory is the host's: who holds memory there holds host memory, and sleeping there frees nothing. */
  readonly unified: boolean;
  /** What may be reserved: fraction and configured limit applied. */
  readonly budgetMib: number;
  /** Kept free of everybody, so also of what other programs leave: total - fraction x total. */
  readonly spareMib: number;
  readonly pool: string | null;
}

/**
 * How a figure of one program was found: the driver names its processes, or the device showed so much more after the
 * launch's move than before (which counts what others took meanwhile as the launch's).
 */
export type UseSource = 'per_process' | 'device_difference';

export interface LaunchUse {
  readonly usedMib: number;
  readonly source: UseSource;
}

export interface MemoryReading {
  readonly id: DeviceId;
  /** Null where the device does not tell. */
  readonly usedMib: number | null;
  /** What programs that are not ours use, the driver's own share included; null where it cannot be told apart. */
  readonly foreignMib: number | null;
  /** How `foreignMib` was found. */
  readonly foreignSource: UseSource | null;
  /** What launches of ours use here, as far as it can be told apart. */
  readonly launches: ReadonlyMap<LaunchId, LaunchUse>;
}

/** The memory of the host, in which sleeping engines keep their weights; of simulated devices a simulated one. */
export interface HostMemory {
  readonly totalMib: number;
  /** In use by anybody, page cache not counted. */
  readonly usedMib: number;
  /**
   * What the processes of launches of ours use of it, as far as the kernel counts it as theirs. Memory that a driver
   * pins for a process (the weights of a sleeping engine) may be missing: what a sleep takes is the larger of this and
   * of the difference of `usedMib` over it.
   */
  readonly launches: ReadonlyMap<LaunchId, number>;
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

/** `moving`: its memory grows or shrinks (start, stop, sleep, wake). `settled`: it serves. `gone`: verified so. */
export type LaunchPhase = 'moving' | 'settled' | 'gone';

export interface DeviceListener {
  /** Called with every reading: often while memory moves, else from time to time. Must be quick and must not throw. */
  memory(readings: readonly MemoryReading[]): void;
  /** The devices or the conditions are not what was told last: one fell off, came back, or its tool hangs. */
  inventory(inventory: DeviceInventory): void;
}

export interface DeviceSource {
  /** What engines on these devices must find in their environment. */
  readonly engineEnvironment: Readonly<Record<string, string>>;
  read(): Promise<DeviceInventory>;
  /** A new reading; callers at the same time share one. */
  memory(): Promise<readonly MemoryReading[]>;
  /** A new reading of the host; null where it cannot be read. Callers at the same time share one. Never rejects. */
  host(): Promise<HostMemory | null>;
  /** Must be told of every launch of ours: readings come often while one moves, and memory is told apart by it. */
  launchMoved(launchId: LaunchId, phase: LaunchPhase, deviceIds: readonly DeviceId[]): void;
  /** Reads by itself from now on, until `close`. */
  follow(listener: DeviceListener): void;
  /** Ends what was started; nothing is told afterwards. */
  close(): void;
}
