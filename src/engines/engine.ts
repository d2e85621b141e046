/**
 * The engine port: WHAT runs. An implementation knows one kind of server: how it is started, when it is ready, what its
 * output means and how it sleeps. It starts nothing itself (that is the runtime's work) and shared code never asks which
 * kind it has: it reads `capabilities`.
 */

import type { ResolvedModel } from '../config/resolved-config.ts';
import type { LaunchId } from '../core/ids.ts';

/** 1: the weights are kept in host memory. 2: they are discarded and read again from disk. */
export type SleepLevel = 1 | 2;

export type DeviceSourceName = 'nvidia' | 'amd' | 'simulated' | 'host';

export interface EngineCapabilities {
  /** Can listen on a Unix socket, so that nobody else reaches its open routes. */
  readonly unixSocket: boolean;
  readonly sleepLevels: readonly SleepLevel[];
  /** Devices on which sleeping frees memory; elsewhere an engine is not launched able to sleep. */
  readonly sleepsOn: readonly DeviceSourceName[];
  /** Routes that a sleeping engine answers as well, because they need no device. */
  readonly routesAsleep: readonly string[];
  /** Idle keep-alive that the engine grants; our pool closes before it. */
  readonly keepAliveMs: number;
  /** Start time to reckon with until one was measured. */
  readonly assumedStartMs: number;
  /** What its processes hold on each device outside of the share that they are told to keep to: the driver's context, NCCL. */
  readonly contextMib: number;
  /** Host memory of its processes to reckon with until it was measured. */
  readonly hostMib: number;
}

/** Where a launched engine listens, chosen before the launch. */
export type ListenAddress =
  | { readonly kind: 'unix'; readonly socketPath: string }
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      /** Nobody but the gateway reaches it. */
      readonly isPrivate?: true;
    };

/** May an engine that listens there open its development routes (sleep, and code execution too)? */
export function isPrivateAddress(listen: ListenAddress): boolean {
  return listen.kind === 'unix' || listen.isPrivate === true;
}

/** What a launch reads its model from, once it is fetched. */
export interface LaunchSource {
  /** The model argument: a repository's name, or a path (of this host) where the engine wants a file. */
  readonly model: string;
  /** Repository or path of the tokenizer, where the model's files have none; null: the model's own. */
  readonly tokenizer: string | null;
  /** Everything is in the cache: the engine need not, and does not, ask a hub. */
  readonly isComplete: boolean;
  /** Paths of this host that the model stands in, outside of the Hugging Face cache. */
  readonly files: readonly string[];
}

export interface LaunchContext {
  readonly launchId: LaunchId;
  readonly listen: ListenAddress;
  /** Devices as the engine's tools name them (UUIDs for NVIDIA), in order; empty on host memory. */
  readonly deviceIds: readonly string[];
  readonly deviceSource: DeviceSourceName;
  /** Reserved on each device; the engine is told to keep within it. */
  readonly memoryMibPerDevice: number;
  readonly deviceMemoryMib: number;
  /** KV cache to reserve on each device; null: whatever the utilisation leaves. */
  readonly kvCacheBytes: number | null;
  /** Launch it able to sleep. */
  readonly sleepMode: boolean;
  /** Flags (long names) that this engine has refused before: not to be generated. */
  readonly withoutFlags: ReadonlySet<string>;
  /** Null: as configured, nothing was fetched. */
  readonly source: LaunchSource | null;
  /** The engine sees this host's programs, files and variables; false: those of its image. */
  readonly sharesHost: boolean;
}

/** A command for a runtime. `environment` is complete: nothing of the gateway's own environment is added. */
export interface EngineCommand {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Paths of this host that it reads: local models, templates. */
  readonly files: readonly string[];
}

export type ProbeResult =
  | { readonly kind: 'ready'; readonly contextLength: number | null }
  /** Refused, 5xx, no answer in time: ask again. */
  | { readonly kind: 'not_ready'; readonly detail: string }
  /** Something else answers at this address; the launch cannot succeed there. */
  | { readonly kind: 'stranger'; readonly detail: string };

/** Where a starting engine stands. `percent` is of the phase, null where the engine does not tell. */
export interface PhaseReport {
  readonly phase: EnginePhase;
  readonly percent: number | null;
}

export type EnginePhase =
  | 'launching'
  | 'configuring'
  | 'downloading'
  | 'loading'
  | 'compiling'
  | 'profiling'
  | 'capturing'
  | 'serving';

/** What a starting engine says of its memory, each figure once; of one device. Only the named ones are in a report. */
export interface MemoryReport {
  readonly weightsMib?: number;
  readonly kvCacheMib?: number;
  readonly kvCacheTokens?: number;
  readonly graphsMib?: number;
}

/** One step of going to sleep or waking. */
export type SleepResult =
  | { readonly kind: 'done' }
  /** Its state is unknown now: only a restart helps. */
  | { readonly kind: 'failed'; readonly detail: string };

/** Time limits of one step; `signal` aborts when the launch ends. */
export interface SleepOptions {
  readonly level: SleepLevel;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** How an engine ended, as far as the runtime knows. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: string | null;
  /** The kernel killed it for the host's (or its container's) memory, as the runtime knows. */
  readonly hostMemory?: true;
  /** Why neither code nor signal is known: it was adopted, or its daemon lost it. */
  readonly unknownBecause?: string;
}

export interface Diagnosis {
  /** Stable word for tests, metrics and remedies. */
  readonly cause: DiagnosisCause;
  /** One sentence for the client and the log, with the engine's numbers. */
  readonly text: string;
  /** The last line of output that says something, scrubbed of secrets; empty if there was none. */
  readonly lastLine: string;
  /** False where only a changed configuration can help. */
  readonly retryable: boolean;
  /** What a larger reservation or other flags may mend; absent: nothing. */
  readonly remedy?: LaunchRemedy;
}

/** What the engine's own text says is missing. Only what it names is set. */
export interface LaunchRemedy {
  /** KV cache that one sequence of full length needs, in bytes of one device. */
  readonly neededKvBytes?: number;
  /** It asked for so much more than was free, in MiB of one device. */
  readonly shortMib?: number;
  /** Another program took or gave back memory of its devices meanwhile: nothing of ours was wrong. */
  readonly again?: true;
  /** Flags (long names) that it does not know. */
  readonly refusedFlags?: readonly string[];
}

export type DiagnosisCause =
  | 'out_of_memory'
  | 'host_out_of_memory'
  | 'device_lost'
  | 'image_missing'
  | 'fetch_failed'
  | 'context_too_long'
  | 'gated_repository'
  | 'repository_unreachable'
  | 'model_not_found'
  | 'unknown_architecture'
  | 'unknown_flag'
  | 'port_taken'
  | 'tool_parser_missing'
  | 'executable_missing'
  | 'too_few_devices'
  | 'sleep_unsupported'
  | 'killed'
  | 'timeout'
  | 'stranger_on_port'
  | 'exited_cleanly'
  | 'unknown';

/** Enough of HTTP to talk to an engine's control routes; made by whoever owns the connection. */
export interface EngineHttp {
  request(options: {
    readonly method: 'GET' | 'POST';
    readonly path: string;
    readonly body?: string;
    readonly timeoutMs: number;
    readonly signal?: AbortSignal;
  }): Promise<{ readonly status: number; readonly body: string }>;
}

export interface Engine {
  readonly kind: string;
  readonly capabilities: EngineCapabilities;
  /** Can this model's server listen on a Unix socket (a `command` may only know `{port}`)? */
  listensOn(model: ResolvedModel): 'unix' | 'tcp';
  command(model: ResolvedModel, context: LaunchContext): EngineCommand;
  /** One look: never waits longer than `timeoutMs`, never throws. Identity is checked: the model list must name us. */
  probe(
    http: EngineHttp,
    model: ResolvedModel,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<ProbeResult>;
  /** Pure. Null for a line that says nothing about progress. */
  parseLine(line: string): PhaseReport | null;
  /** Release of the program that a launch of the model would run, without running it; null: unknown. */
  version(model: ResolvedModel): string | null;
  /** Pure. Null for a line that says nothing about memory. */
  parseMemory(line: string): MemoryReport | null;
  /** Puts an engine to sleep in which nothing runs. Never throws; never longer than `timeoutMs` in all. */
  sleep(http: EngineHttp, options: SleepOptions): Promise<SleepResult>;
  /** Wakes it in the order that its level asks for, and makes sure that it is awake. As `sleep`. */
  wake(http: EngineHttp, options: SleepOptions): Promise<SleepResult>;
  /** Null: nobody can say. An engine of an earlier gateway may be asleep and still look healthy. */
  isAsleep(http: EngineHttp, timeoutMs: number): Promise<boolean | null>;
  /** One short answer, so that the first client does not pay for it. As `sleep`. */
  warmUp(http: EngineHttp, model: ResolvedModel, options: Omit<SleepOptions, 'level'>): Promise<SleepResult>;
  /** Pure. What the configuration can do about a refused request, as one sentence; null: nothing. `bodyStart`: of its answer. */
  remedyOf(status: number, bodyStart: string): string | null;
  /** Pure. Reads the exit and the last lines (oldest first). */
  diagnose(exit: ExitStatus, lines: readonly string[]): Diagnosis;
}
