/** What the parts of one running simulated engine share. */
import type { WebSocket } from 'ws';
import type { EngineCore } from './engine-core.ts';
import type { Faults } from './faults.ts';
import type { Generation } from './generation.ts';
import type { SimLog } from './log.ts';
import type { DeviceMemory, KvCache } from './memory.ts';
import type { SimMetrics } from './metrics.ts';
import type { SimOptions } from './options.ts';
import type { RequestLog } from './request-log.ts';
import type { SleepState } from './sleep.ts';
import type { Vocabulary } from './text.ts';

export const SIMULATED_VERSION = '0.32.0';

export interface SimContext {
  readonly options: SimOptions;
  readonly faults: Faults;
  readonly log: SimLog;
  readonly core: EngineCore;
  readonly memory: DeviceMemory;
  readonly kv: KvCache;
  readonly maxModelLen: number;
  readonly generation: Generation;
  readonly sleep: SleepState;
  readonly metrics: SimMetrics;
  readonly requestLog: RequestLog;
  readonly vocabulary: Vocabulary;
  /** Adapters by name; runtime loading adds to it. */
  readonly loras: Map<string, string>;
  /** Open ones, which are told when the server ends. */
  readonly webSockets: Set<WebSocket>;
  readonly startedWallS: number;
  readonly life: SimLife;
}

/** The few facts of the process that change. */
export interface SimLife {
  /** The engine core is gone: nothing is generated any more. */
  dead: boolean;
  /** Draining after SIGTERM: what still arrives ends at once with `abort`. */
  draining: boolean;
  /** Until this time (performance.now) /health answers 503. */
  healthyFromMs: number;
  /** Ends the server as vLLM's watchdog does when the engine core died. */
  engineDied(): void;
}

/** A simulated duration. */
export function scaledMs(options: SimOptions, seconds: number): number {
  return seconds * 1000 * options.sim.timeScale;
}
