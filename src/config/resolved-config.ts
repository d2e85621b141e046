/**
 * What the rest of the gateway sees of the configuration: every default filled, every name resolved, durations in
 * milliseconds, sizes in bytes or MiB as the name says, frozen. Nothing past `resolve` reads YAML or the environment.
 */
import type { DeviceId, ModelName } from '../core/ids.ts';

export interface ResolvedConfig {
  /** The file it came from; null for the demonstration and for ALLOWED_MODELS_JSON. */
  readonly file: string | null;
  /** Where the models come from, for the start-up message. */
  readonly origin: 'file' | 'allowed_models_json' | 'object' | 'demonstration';
  readonly server: ServerConfig;
  readonly runtime: RuntimeConfig;
  readonly devices: DevicesConfig;
  readonly scheduling: SchedulingConfig;
  readonly models: ReadonlyMap<ModelName, ResolvedModel>;
  readonly aliases: readonly ResolvedAlias[];
  /** Model for requests without a `model`; null: such requests are refused. */
  readonly defaultModel: ModelName | null;
  readonly legacy: LegacyLimits;
  readonly log: { readonly level: LogLevel };
  /** Faults that did not stop the start (R2) and warnings, to be logged once the log exists. */
  readonly notices: readonly Notice[];
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface Notice {
  readonly level: 'info' | 'warn' | 'error';
  readonly text: string;
}

export interface ServerConfig {
  readonly host: string;
  readonly port: number;
  /** Unix socket to listen on as well; null: none. */
  readonly socketPath: string | null;
  /** PEM files; null: plain HTTP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** Reverse proxies of ours whose X-Forwarded-* is believed. */
  readonly trustedHops: number;
  readonly corsOrigins: readonly string[];
  /** Least average rate of a body, from 10 s after its head on; 0: none. */
  readonly uploadBytesPerSMin: number;
  /** Upper limit of `X-Queue-Timeout`. */
  readonly queueTimeoutMaxMs: number;
  readonly bodyLimitBytes: number;
  readonly audioBodyLimitBytes: number;
  /** Bound on the sum of all bodies held at once. */
  readonly bodyMemoryBytes: number;
  /** Bound on the sum of all bodies in files. */
  readonly bodySpoolBytes: number;
  readonly headerLimitBytes: number;
  /** Time in which a client must have sent its headers. */
  readonly headersTimeoutMs: number;
  /** Time in which a client must have sent its whole request. */
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** A client that accepts no byte for this long, while data waits for it, is cut. */
  readonly clientStallTimeoutMs: number;
  /** Time to reach an engine. */
  readonly connectTimeoutMs: number;
  /** Longest silence of an engine before its first byte and between bytes (GATEWAY_HTTP_TIMEOUT / GATEWAY_REQUEST_TIMEOUT). */
  readonly engineTimeoutMs: number;
  /** After SIGTERM: how long requests are still accepted while /ready answers 503. */
  readonly shutdownDelayMs: number;
  /** After `shutdownDelayMs`: how long running requests may finish. */
  readonly shutdownDrainMs: number;
  /** File of API keys, one a line; null: no keys. */
  readonly apiKeysFile: string | null;
  /** `none` is needed to listen on a public address without keys; `keys` when there is a file. */
  readonly auth: 'keys' | 'none' | 'loopback';
}

export interface RuntimeConfig {
  readonly kind: 'process' | 'docker';
  /** Launch records, sockets and engine output. */
  readonly stateDirectory: string;
  /** Bytes of one engine's output file before it is started anew. */
  readonly outputLimitBytes: number;
  /** The original's file of measured memory, read once; it need not exist. */
  readonly importFootprintsFile: string | null;
  readonly docker: DockerConfig;
  readonly activity: ActivityConfig;
}

/** How engines run in containers; read where `kind` is `docker`. */
export interface DockerConfig {
  /** `unix:///path` or `tcp://host:port` of the engine API (DOCKER_HOST). */
  readonly host: string;
  /** Image of models that name none (VLLM_IMAGE). */
  readonly image: string;
  readonly pull: 'missing' | 'always' | 'never';
  /** First part of container names (VLLM_CONTAINER_PREFIX). */
  readonly containerPrefix: string;
  /** Network that engines join for what they fetch themselves (DOCKER_NETWORK_NAME); null: Docker's default one. */
  readonly network: string | null;
  /** Port inside of engine containers where they listen on TCP (VLLM_PORT). */
  readonly port: number;
  /** Our own container, where we run in one (GATEWAY_CONTAINER_NAME); null: found by our host name. */
  readonly gatewayContainer: string | null;
  /** How engines are reached: a Unix socket in a shared directory, an internal network of ours, a port on loopback. */
  readonly reach: 'auto' | 'socket' | 'network' | 'port';
  /** Directory of Docker's host, or volume, with the Hugging Face cache (HOST_CACHE_DIR); null: the one that we use. */
  readonly huggingFaceCache: string | null;
  /** Directory of Docker's host, or volume, for compiled graphs and kernels; null: a volume of ours. */
  readonly compileCache: string | null;
  /** Further mounts, as `source:target[:ro]`. */
  readonly volumes: readonly string[];
  /** Size of /dev/shm, which tensor parallel engines need. */
  readonly shmBytes: number;
  /** `uid[:gid]` of engines; null: the image's. */
  readonly user: string | null;
  /** Image that has nvidia-smi (NVIDIA_UTILITY_IMAGE), for a gateway that has none itself; null: none. */
  readonly utilityImage: string | null;
}

/** What is kept of finished requests, for people to look at. */
export interface ActivityConfig {
  readonly enabled: boolean;
  /** The oldest rows beyond these go. */
  readonly rowsMax: number;
  readonly daysMax: number;
}

export interface DevicesConfig {
  readonly source: 'auto' | 'nvidia' | 'amd' | 'simulated' | 'host';
  readonly simulated: readonly { readonly id: DeviceId; readonly memoryMib: number }[];
  /** Upper limit per device id, whatever the device says; `*` for all. */
  readonly memoryLimitMib: ReadonlyMap<string, number>;
  /** Share of each device's memory that may be reserved (GPU_BUDGET_FRACTION). */
  readonly budgetFraction: number;
  readonly pools: ReadonlyMap<string, readonly DeviceId[]>;
  /** Host memory that engines of ours may use, sleeping ones included; null: what the floor leaves. */
  readonly hostMemoryMib: number | null;
  /** Host memory that always stays free. */
  readonly hostMemoryFloorMib: number;
  /** Host memory of a machine with simulated devices. */
  readonly simulatedHostMemoryMib: number;
  readonly nvidiaSmi: readonly string[];
  readonly amdSmi: readonly string[];
}

export interface SchedulingConfig {
  readonly placementMode: 'whole_card' | 'budget';
  /** Share e of device time that switching between busy models may take; the quantum is `switch cost x (1 - e) / e`. */
  readonly switchShare: number;
  readonly minResidenceMs: number;
  readonly lingerMaxMs: number;
  readonly sizing: SizingConfig;
}

/** How needs are reckoned (original.md sections 4 and 5). */
export interface SizingConfig {
  /** budget: need = (weights + KV) x `overheadFactor` + `overheadMib`. */
  readonly overheadFactor: number;
  readonly overheadMib: number;
  /** colocate: need = weights x `colocateWeightOverhead` + KV + `colocateMarginMib`, at most `colocateMaxShare` of the card. */
  readonly colocateMarginMib: number;
  readonly colocateMaxShare: number;
  readonly colocateWeightOverhead: number;
}

/** The original's integers, as they stand after R2, for its start-up lines (R3) and its status keys. */
export interface LegacyLimits {
  readonly maxQueueSize: number;
  readonly maxConcurrent: number;
  readonly maxModelsConcurrent: number;
  readonly httpTimeoutS: number;
}

export type EngineKind = 'vllm' | 'simulated' | 'openai';

export interface ResolvedModel {
  readonly name: ModelName;
  readonly engine: EngineKind;
  /** Hugging Face id, path or GGUF; null for `command` and `url` models without one. */
  readonly repo: string | null;
  /** Image of its engine, where engines run in containers; null: `runtime.docker.image`. */
  readonly image: string | null;
  /** Fetch its files into the Hugging Face cache before the engine starts. */
  readonly fetch: boolean;
  /** Longest fetch, all its files together. */
  readonly downloadTimeoutMs: number;
  /** argv of any OpenAI-compatible server, with `{port}` / `{socket}` / `{name}` placeholders; null: generated by the engine. */
  readonly command: readonly string[] | null;
  readonly url: ExternalServer | null;
  /** The name the server behind knows the model by; equal to `name` unless configured, and then bodies are spliced. */
  readonly servedName: string;
  readonly need: DeviceNeed;
  readonly alwaysOn: boolean;
  /** 0: never stopped for idleness. */
  readonly inactivityTimeoutMs: number;
  readonly minResidenceMs: number;
  readonly loadTimeoutMs: number;
  readonly drainTimeoutMs: number;
  /** At the drain limit: end what still runs, or wait for it. */
  readonly onDrainTimeout: 'cut' | 'wait';
  /** What it may do instead of being stopped: level 1 where host memory allows, never, or level 2. */
  readonly sleep: 'auto' | 'off' | 'level_2';
  /** One token after waking, before clients are let in. */
  readonly warmUp: boolean;
  /** whole_card: may share its card with other small models. */
  readonly colocate: boolean;
  readonly queueTimeoutMs: number;
  /** What streams are told while they wait, where the request does not say (`X-Progress`). */
  readonly progress: 'off' | 'comments' | 'reasoning';
  readonly progressAfterMs: number;
  /** From the last byte of a request to the first of its answer's body. */
  readonly firstByteTimeoutMs: number;
  /** Longest silence within an answer. */
  readonly streamIdleTimeoutMs: number;
  readonly wsIdleTimeoutMs: number;
  readonly responsesStore: boolean;
  readonly backgroundTimeoutMs: number;
  /** LoRA adapters: name to path or Hugging Face id. */
  readonly adapters: Readonly<Record<string, string>>;
  readonly maxConcurrent: number;
  readonly queueSize: number;
  readonly requestDefaults: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string>>;
  readonly vllm: VllmOptions;
}

export interface DeviceNeed {
  /** 0 for `url` models: no device, no turn. */
  readonly deviceCount: number;
  readonly pool: string | null;
  /** Reserved on each device; null: the whole budget of the device (whole_card, and anything nobody sized yet). */
  readonly memoryMibPerDevice: number | null;
}

export interface ExternalServer {
  readonly baseUrl: string;
  /** Authorization for the server; a secret, never logged. */
  readonly apiKey: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly healthPath: string;
}

/** Options that only the vLLM engine (and its simulation) reads. */
export interface VllmOptions {
  readonly gpuMemoryUtilization: number;
  /** 0: the model's own length. */
  readonly maxModelLen: number;
  readonly maxNumSeqs: number;
  readonly kvReservationSeqs: number;
  readonly tensorParallelSize: number;
  readonly quantization: string | null;
  readonly dtype: string | null;
  readonly enforceEager: boolean;
  /** `auto`, `off`, or the name of one of vLLM's parsers. */
  readonly toolParser: string;
  /** As `toolParser`. */
  readonly reasoningParser: string;
  readonly extraArgs: readonly string[];
  /** argv prefix that runs vLLM, `['vllm']` by default. */
  readonly executable: readonly string[];
}

export interface ResolvedAlias {
  /** Exact name or glob (`*`, `?`). */
  readonly pattern: string;
  readonly model: ModelName;
  readonly requestDefaults: Readonly<Record<string, unknown>>;
}
