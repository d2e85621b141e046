/** What `doctor` knows of a machine before it judges. Gathering fills it, judgements read it, tests write it by hand. */

export interface MachineFacts {
  readonly configuration: ConfigurationFacts;
  /** As `24.1.0`. */
  readonly nodeVersion: string;
  readonly platform: string;
  readonly hasProc: boolean;
  readonly runtimeKind: 'process' | 'docker';
  readonly service: ServiceFacts;
  /** Null where engines run as processes. */
  readonly docker: DockerFacts | null;
  /** An NVIDIA device is configured or found. */
  readonly wantsNvidia: boolean;
  /** One for each way in which models run vLLM. */
  readonly vllm: readonly VllmFacts[];
  readonly devices: DeviceFacts;
  /** Largest number of devices that one engine spreads over; 0 where every model is a foreign server. */
  readonly devicesPerEngineMax: number;
  readonly memory: MemoryFacts;
  readonly disks: readonly DiskFacts[];
  readonly hubCache: HubCacheFacts;
  readonly models: readonly ModelFileFacts[];
  readonly hubToken: { readonly isSet: boolean; readonly isOffline: boolean };
  readonly port: PortFacts;
  readonly limits: LimitFacts;
  readonly state: StateFacts;
  readonly clock: ClockFacts;
}

export interface ConfigurationFacts {
  /** Where it comes from, in words. */
  readonly source: string;
  /** Not empty: the rest was judged by an empty configuration. */
  readonly faults: readonly string[];
}

/** Of the gateway that runs on the configured state directory; without one, of this process in its stead. */
export interface ServiceFacts {
  readonly isContainer: boolean;
  /** The unit of systemd that it belongs to; null: none. Properties are null where systemd does not tell. */
  readonly unit: {
    readonly name: string;
    readonly killMode: string | null;
    readonly oomPolicy: string | null;
    readonly delegate: string | null;
  } | null;
  /** Null: the system has none. */
  readonly oomScoreAdj: number | null;
  readonly isOomScoreWritable: boolean;
}

export interface DockerFacts {
  readonly host: string;
  readonly engine:
    | { readonly kind: 'answered'; readonly version: string; readonly hasNvidia: boolean }
    | { readonly kind: 'failed'; readonly text: string };
  readonly pull: 'missing' | 'always' | 'never';
  readonly missingImages: readonly string[];
  /** Name of our own container; null: we run in none that this engine knows. */
  readonly ownContainer: string | null;
  /** What a new container of ours would not find again. */
  readonly unmounted: readonly { readonly use: string; readonly path: string }[];
}

export interface VllmFacts {
  readonly executable: string;
  readonly models: readonly string[];
  readonly version:
    | { readonly kind: 'answered'; readonly text: string }
    | { readonly kind: 'failed'; readonly text: string }
    | { readonly kind: 'missing' }
    | { readonly kind: 'hung'; readonly timeLimitS: number };
  /** Parsers that the configuration names and the installed registry has not; empty where it cannot be read. */
  readonly unknownParsers: readonly { readonly model: string; readonly parser: string }[];
}

export interface DeviceFacts {
  readonly devices: readonly {
    readonly id: string;
    readonly name: string;
    readonly source: string;
    readonly totalMib: number;
    readonly usedMib: number | null;
  }[];
  readonly conditions: readonly string[];
  readonly isComplete: boolean;
  /** Null: no NVIDIA device, or it does not tell. */
  readonly driverVersion: string | null;
  /** Of /dev/shm, over which engines on several devices talk; null where there is none. */
  readonly sharedMemoryMib: number | null;
}

export interface MemoryFacts {
  readonly totalMib: number;
  readonly usedMib: number | null;
  /** A control group allows less than the machine has. */
  readonly isLimited: boolean;
}

export interface DiskFacts {
  /** What lies there, in words. */
  readonly use: string;
  readonly path: string;
  /** Null: it cannot be told. */
  readonly freeMib: number | null;
  readonly totalMib: number | null;
  readonly kind: 'weights' | 'small';
}

export interface HubCacheFacts {
  readonly path: string;
  readonly exists: boolean;
  /** It, or the directory where it would be made. */
  readonly isWritable: boolean;
  /** Null: too large to be counted in time, or not there. */
  readonly sizeMib: number | null;
}

export interface ModelFileFacts {
  readonly model: string;
  readonly repo: string;
  readonly place: 'path' | 'cached' | 'hub' | 'missing_path' | 'unreadable_name';
  /** The model's own environment brings a token. */
  readonly hasToken: boolean;
}

export interface PortFacts {
  readonly host: string;
  readonly port: number;
  /** `free`, or the code of the error, such as EADDRINUSE. */
  readonly outcome: string;
}

export interface LimitFacts {
  /** Null: without limit, or not to be read. */
  readonly openFiles: number | null;
  readonly processes: number | null;
  /** Of the control group. */
  readonly groupProcesses: number | null;
  readonly inotifyWatches: number | null;
  /** Connections that the configured queues and engines can hold at once. */
  readonly connectionsMax: number;
}

export interface StateFacts {
  readonly path: string;
  readonly exists: boolean;
  readonly isWritable: boolean;
  /** Belongs to this user; true where it does not exist. */
  readonly isOurs: boolean;
  /** Process id of a living gateway that owns it. */
  readonly ownerPid: number | null;
  /** Its process id is one of ours to see; false for a gateway in another container. */
  readonly isOwnerHere: boolean;
}

export interface ClockFacts {
  readonly nowMs: number;
  /** When the program was installed here; the clock cannot be before. Null: not to be read. */
  readonly installedMs: number | null;
  /** Null: no time service that we know tells. */
  readonly isSynchronized: boolean | null;
}
