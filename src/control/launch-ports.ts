/** What one launch touches, what it is told, and what it answers. */
import type { Clock } from '../core/clock.ts';
import type { ModelName } from '../core/ids.ts';
import type { Device, HostMemory, MemoryReading } from '../devices/device.ts';
import type { Diagnosis, Engine, EngineHttp, LaunchSource, MemoryReport } from '../engines/engine.ts';
import type { Endpoint, EndpointOptions } from '../proxy/endpoint-types.ts';
import type { EngineHandle, Runtime } from '../runtimes/runtime.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';

/** Our pool closes idle connections at this share of the time after which the engine may. */
const KEEP_ALIVE_SHARE = 0.8;

export interface LaunchPorts {
  readonly clock: Clock;
  readonly runtime: Runtime;
  readonly engine: Engine;
  readonly openHttp: (handle: Pick<EngineHandle, 'listen' | 'authorization'>) => EngineHttp;
  readonly openEndpoint: (model: ModelName, options: EndpointOptions) => Endpoint;
  /** What the devices say is used at present. */
  readonly readMemory: () => Promise<readonly MemoryReading[]>;
  /** What its processes and everybody else use of the host. */
  readonly readHost: () => Promise<HostMemory | null>;
  /** Told what the engine says of its memory while it starts. */
  readonly memoryReported: (report: MemoryReport) => void;
  /** After a failed start: what was changed so that the next one may succeed, in words; null: nothing. */
  readonly mend: (diagnosis: Diagnosis) => string | null;
  /** Added to every engine's environment: what its devices ask for. */
  readonly deviceEnvironment: Readonly<Record<string, string>>;
  readonly connectTimeoutMs: number;
  readonly send: (event: SchedulerEvent) => void;
  readonly log: (level: 'info' | 'warn' | 'error', text: string, fields: Record<string, unknown>) => void;
}

/** How long a connection of our pool may be idle. */
export function poolIdleMs(engine: Engine): number {
  return engine.capabilities.keepAliveMs * KEEP_ALIVE_SHARE;
}

/** What a launch is told beyond its effect. */
export interface LaunchOrder {
  readonly devices: readonly Device[];
  readonly signature: string;
  readonly kvCacheBytes: number | null;
  readonly sleepMode: boolean;
  readonly withoutFlags: ReadonlySet<string>;
  /** What was fetched for it; null: it starts as configured. */
  readonly source: LaunchSource | null;
}
