/**
 * The runtime port: WHERE engines run. It starts and ends processes (later containers and pods), keeps their output and
 * finds them again after our own death. It knows nothing of models, HTTP or readiness.
 *
 * Invariants every implementation keeps (conformance.ts):
 *  R1. A launch is recorded durably before anything is started; a record whose engine never came is debris and removed.
 *  R2. An engine's output goes to a file of its own, never to a pipe of ours: it survives our death.
 *  R3. `stop` resolves only when nothing carries the launch id any more and its socket file is gone, or says what is left.
 *  R4. `exited` fires exactly once per handle, also for an engine that was stopped on purpose.
 *  R5. What `note` has resolved is known to the next gateway: a move is noted before it begins, so that it can be finished.
 *  R6. What does not carry our mark (launch id and state directory) is a stranger: never adopted, never ended.
 */
import type { LaunchId, ModelName } from '../core/ids.ts';
import type { DeviceSourceName, ExitStatus, ListenAddress, SleepLevel } from '../engines/engine.ts';

export interface RuntimeCapabilities {
  readonly unixSockets: boolean;
  /** Engines live on when the gateway dies. */
  readonly survivesUs: boolean;
  /** Engines see this host's programs, files and variables; false: they run in an image of their own. */
  readonly sharesHost: boolean;
  /** Nobody but us reaches the address that an engine gets here, so that it may open its development routes (sleep). */
  readonly isPrivate: boolean;
  /** Why `isPrivate` is false, with the remedy, as a sentence; empty where it is true. */
  readonly exposure: string;
}

/** How far an engine was when this was noted; what is under way is finished by the next gateway. */
export type LaunchStage =
  | { readonly kind: 'starting' | 'serving' | 'stopping' }
  | { readonly kind: 'falling_asleep' | 'asleep' | 'waking'; readonly level: SleepLevel };

export interface LaunchSpec {
  readonly launchId: LaunchId;
  readonly model: ModelName;
  readonly argv: readonly string[];
  /** Complete environment; the runtime adds only its launch id variable. */
  readonly environment: Readonly<Record<string, string>>;
  /** Where the engine listens, as it sees it. */
  readonly listen: ListenAddress;
  /** Image for runtimes with images; null: the configured one. */
  readonly image: string | null;
  /** What kind of devices `deviceIds` are; `host`: none that has to be handed over. */
  readonly deviceSource: DeviceSourceName;
  /** Paths of this host that the engine reads, beside the caches that every engine gets. */
  readonly files: readonly string[];
  /** Kept in the record for adoption: devices and memory that the scheduler reserved. */
  readonly deviceIds: readonly string[];
  readonly memoryMibPerDevice: number;
  /** Hash of all that makes a launch of this model what it is; a changed one is not adopted. */
  readonly signature: string;
}

export interface EngineHandle {
  readonly launchId: LaunchId;
  readonly model: ModelName;
  /** Where we reach it. */
  readonly listen: ListenAddress;
  /** `Authorization` that the engine asks of us; a secret, never logged; null: none. */
  readonly authorization: string | null;
  /** Process group leader or container, for people. */
  readonly reference: string;
  /** File of its output; null where the runtime keeps it (`docker logs`). */
  readonly outputFile: string | null;
  readonly startedWallMs: number;
}

export interface LaunchObserver {
  /** A whole line of output (stdout or stderr), without its newline, at most `LOG_LINE_CHARS_MAX` characters. */
  line(text: string): void;
  /** Once. `unknown` exit (both null) for adopted engines. The rest of the output has been delivered before. */
  exited(exit: ExitStatus): void;
}

export type LaunchResult =
  | { readonly kind: 'launched'; readonly handle: EngineHandle }
  | {
      readonly kind: 'failed';
      readonly cause: 'executable_missing' | 'permission' | 'resources' | 'image_missing';
      readonly detail: string;
    };

/** What has to be there before a launch and takes long, such as an image. */
export type Preparation =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly cause: 'image_missing' | 'resources'; readonly detail: string };

export interface PrepareOptions {
  /** Gives it up, unless another one waits for the same. */
  readonly signal: AbortSignal;
  /** `bytesTotal` null: not known yet. */
  readonly onProgress: (bytesDone: number, bytesTotal: number | null) => void;
}

export type StopResult =
  | { readonly kind: 'gone'; readonly tookMs: number; readonly forced: boolean }
  | { readonly kind: 'left'; readonly detail: string };

export interface AdoptedEngine {
  readonly handle: EngineHandle;
  /** Without its environment. */
  readonly spec: LaunchSpec;
  readonly stage: LaunchStage;
}

export interface Runtime {
  readonly kind: string;
  readonly capabilities: RuntimeCapabilities;
  /**
   * A free address of the wanted kind, as the engine will see it; `unix` becomes `tcp` where there are no sockets. TCP ports
   * of this host are on loopback and were free a moment ago.
   */
  address(launchId: LaunchId, kind: 'unix' | 'tcp'): Promise<ListenAddress>;
  /** Gives back an address that no launch will use after all. */
  releaseAddress(launchId: LaunchId): void;
  /**
   * Brings the image of a launch here (null: the configured one), before any device is taken for it. Quick where it is there,
   * and where there are no images. Never rejects.
   */
  prepare(image: string | null, options: PrepareOptions): Promise<Preparation>;
  launch(spec: LaunchSpec, observer: LaunchObserver): Promise<LaunchResult>;
  /** Keeps how far an engine is (R5); of one that is not known any more, nothing. Never rejects: a failing disk costs the note. */
  note(handle: EngineHandle, stage: LaunchStage): Promise<void>;
  /** Noted as `stopping` first. SIGTERM, SIGKILL of the whole group at `graceMs`, then verified gone (R3). Calling it twice joins the first call. */
  stop(handle: EngineHandle, graceMs: number): Promise<StopResult>;
  /** Kills at once (used when the state of an engine is unknown). */
  kill(handle: EngineHandle): Promise<StopResult>;
  /** Engines of an earlier gateway that still run, observed from now on; debris is removed. */
  adopt(observerFor: (engine: AdoptedEngine) => LaunchObserver): Promise<readonly AdoptedEngine[]>;
  /** The launch that a process of this host belongs to; null for a stranger, and where the runtime cannot say. */
  ownerOf(pid: number): LaunchId | null;
  /**
   * Living processes of each launch, for what they use of the host; launches of which it knows none are left out. Cheap:
   * a process that has escaped both its leader's session and its own parents may be missing.
   */
  processes(): Promise<ReadonlyMap<LaunchId, readonly number[]>>;
  /** Stops watching without touching the engines (`--leave-engines`). */
  close(): Promise<void>;
}
