/** Raw layers become the one frozen ResolvedConfig. Expects layers without faults; knows no input but its arguments. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { isLoopback, plainHost } from './check.ts';
import type { Environment, EnvironmentReading } from './environment.ts';
import type { HostFacts } from './host-facts.ts';
import {
  activityOf,
  devicesOf,
  dockerOf,
  type Layers,
  logOf,
  poolsOf,
  runtimeOf,
  schedulingOf,
  serverOf,
} from './layers.ts';
import { neverFitNotices } from './never-fits.ts';
import { resolveModel } from './resolve-model.ts';
import type {
  ActivityConfig,
  DevicesConfig,
  DockerConfig,
  LegacyLimits,
  Notice,
  ResolvedAlias,
  ResolvedConfig,
  ResolvedModel,
  RuntimeConfig,
  ServerConfig,
} from './resolved-config.ts';
import { runtimeKindNotices } from './runtime-kind.ts';
import { pathBeside } from './secrets.ts';

const KIB = 1024;
const MIB = 1024 * 1024;

interface ResolveInput {
  readonly layers: Layers;
  readonly file: string | null;
  readonly origin: ResolvedConfig['origin'];
  readonly environment: Environment;
  readonly reading: EnvironmentReading;
  readonly runtimeKind: RuntimeConfig['kind'];
  readonly host: HostFacts;
  readonly apiKeys: ReadonlyMap<string, string>;
  readonly notices: readonly Notice[];
}

export function resolveConfig(input: ResolveInput): ResolvedConfig {
  const { layers, file, reading } = input;
  const server = resolveServer(layers, file);
  const models = Object.entries(layers.file.config.models).map(([name, raw]): [string, ResolvedModel] => {
    const apiKey = input.apiKeys.get(name) ?? null;
    return [name, resolveModel(layers, name, raw, { ...reading, apiKey })];
  });
  const devices = resolveDevices(layers);
  const scheduling = schedulingOf(layers);
  return frozen({
    file,
    origin: input.origin,
    server,
    runtime: resolveRuntime(input),
    devices,
    scheduling: {
      placementMode: scheduling.placement_mode,
      switchShare: scheduling.switch_share,
      minResidenceMs: scheduling.min_residence,
      lingerMaxMs: scheduling.linger_max,
      sizing: {
        overheadFactor: scheduling.budget_overhead_factor,
        overheadMib: scheduling.budget_overhead_mib,
        colocateMarginMib: scheduling.colocate_margin_mib,
        colocateMaxShare: scheduling.colocate_max_share,
        colocateWeightOverhead: scheduling.colocate_weight_overhead,
      },
    },
    models: new Map(models),
    aliases: resolveAliases(layers),
    defaultModel: layers.file.config.default_model ?? null,
    legacy: resolveLegacy(layers, reading.legacy),
    log: { level: logOf(layers).level },
    notices: [
      ...reading.notices,
      ...runtimeKindNotices(input),
      ...authNotices(layers, server),
      ...neverFitNotices(
        devices,
        models.map(([, model]) => model),
      ),
      ...input.notices,
    ],
  });
}

function resolveServer(layers: Layers, file: string | null): ServerConfig {
  const server = serverOf(layers);
  const keysFile = server.api_keys_file;
  return {
    host: plainHost(server.host),
    port: server.port,
    socketPath: server.socket === undefined ? null : pathBeside(file, server.socket),
    tls:
      server.tls_cert === undefined || server.tls_key === undefined
        ? null
        : { certFile: pathBeside(file, server.tls_cert), keyFile: pathBeside(file, server.tls_key) },
    trustedHops: server.trusted_hops,
    corsOrigins: server.cors_origins,
    uploadBytesPerSMin: server.upload_rate_min,
    queueTimeoutMaxMs: server.queue_timeout_max,
    bodyLimitBytes: server.body_limit_mib * MIB,
    audioBodyLimitBytes: server.audio_body_limit_mib * MIB,
    bodyMemoryBytes: server.body_memory_mib * MIB,
    bodySpoolBytes: server.body_spool_mib * MIB,
    headerLimitBytes: server.header_limit_kib * KIB,
    headersTimeoutMs: server.headers_timeout,
    requestTimeoutMs: server.request_timeout,
    keepAliveTimeoutMs: server.keep_alive_timeout,
    clientStallTimeoutMs: server.client_stall_timeout,
    connectTimeoutMs: server.connect_timeout,
    engineTimeoutMs: server.engine_timeout,
    shutdownDelayMs: server.shutdown_delay,
    shutdownDrainMs: server.shutdown_drain,
    apiKeysFile: keysFile === undefined ? null : pathBeside(file, keysFile),
    auth: server.auth ?? (keysFile === undefined ? (isLoopback(server.host) ? 'loopback' : 'none') : 'keys'),
  };
}

/** The checks let an open address without a word about authentication pass under the original's environment only. */
function authNotices(layers: Layers, server: ServerConfig): Notice[] {
  if (server.auth !== 'none' || serverOf(layers).auth !== undefined) return [];
  const text =
    `Everybody who reaches ${server.host}:${server.port} may use the models: no API keys are configured. ` +
    'Set server.api_keys_file (--api-keys-file), listen on 127.0.0.1 (--host), or say server.auth: none (--auth none) if that is meant.';
  return [{ level: 'warn', text }];
}

function resolveRuntime({ layers, file, environment, runtimeKind }: ResolveInput): RuntimeConfig {
  const runtime = runtimeOf(layers);
  const stateDirectory = runtime.state_directory;
  return {
    kind: runtimeKind,
    stateDirectory:
      stateDirectory === undefined ? defaultStateDirectory(environment) : pathBeside(file, stateDirectory),
    outputLimitBytes: runtime.output_limit_mib * MIB,
    importFootprintsFile: resolveImport(layers, file),
    docker: resolveDocker(layers),
    activity: resolveActivity(layers),
  };
}

function resolveDocker(layers: Layers): DockerConfig {
  const docker = dockerOf(layers);
  return {
    host: docker.host,
    image: docker.image,
    pull: docker.pull,
    containerPrefix: docker.container_prefix,
    network: docker.network ?? null,
    port: docker.port,
    gatewayContainer: docker.gateway_container ?? null,
    reach: docker.reach,
    huggingFaceCache: docker.hugging_face_cache ?? null,
    compileCache: docker.compile_cache ?? null,
    volumes: docker.volumes,
    shmBytes: docker.shm_size_mib * MIB,
    user: docker.user ?? null,
    utilityImage: docker.utility_image ?? docker.image,
  };
}

function resolveActivity(layers: Layers): ActivityConfig {
  const { enabled, rows_max: rowsMax, days_max: daysMax } = activityOf(layers);
  return { enabled, rowsMax, daysMax };
}

/** A path in the environment knows no configuration file, so it is relative to the working directory. */
function resolveImport(layers: Layers, file: string | null): string | null {
  const path = runtimeOf(layers).import_footprints_file;
  if (path === undefined) return null;
  const inFile = layers.file.config.runtime?.import_footprints_file !== undefined;
  return inFile ? pathBeside(file, path) : resolve(path);
}

function resolveDevices(layers: Layers): DevicesConfig {
  const devices = devicesOf(layers);
  const limit = devices.memory_limit_mib ?? {};
  return {
    source: devices.source === 'auto' && devices.simulated.length > 0 ? 'simulated' : devices.source,
    simulated: devices.simulated.map((device) => ({ id: device.id, memoryMib: device.memory_mib })),
    memoryLimitMib: new Map(typeof limit === 'number' ? [['*', limit]] : Object.entries(limit)),
    budgetFraction: devices.budget_fraction,
    pools: poolsOf(layers),
    hostMemoryMib: devices.host_memory_mib ?? null,
    hostMemoryFloorMib: devices.host_memory_floor_mib,
    simulatedHostMemoryMib: devices.simulated_host_memory_mib,
    nvidiaSmi: devices.nvidia_smi,
    amdSmi: devices.amd_smi,
  };
}

function resolveAliases(layers: Layers): ResolvedAlias[] {
  const aliases = Object.entries(layers.file.config.aliases ?? {}).map(([pattern, target]): ResolvedAlias => {
    if (typeof target === 'string') return { pattern, model: target, requestDefaults: {} };
    return { pattern, model: target.model, requestDefaults: target.request_defaults ?? {} };
  });
  const isPattern = (alias: ResolvedAlias) => /[*?]/.test(alias.pattern);
  return [...aliases.filter((alias) => !isPattern(alias)), ...aliases.filter(isPattern)];
}

/** What the file says for every model is what the original's start-up lines would tell. */
function resolveLegacy(layers: Layers, legacy: LegacyLimits): LegacyLimits {
  const { max_concurrent, queue_size } = layers.file.config.defaults ?? {};
  return {
    maxQueueSize: queue_size ?? legacy.maxQueueSize,
    maxConcurrent: max_concurrent ?? legacy.maxConcurrent,
    maxModelsConcurrent: legacy.maxModelsConcurrent,
    httpTimeoutS: serverOf(layers).engine_timeout / 1000,
  };
}

/** Where launch records and readings of models lie when nothing else is configured. */
export function defaultStateDirectory(environment: Environment): string {
  const home = environment.HOME ?? homedir();
  const state = environment.XDG_STATE_HOME ?? '';
  return join(state.startsWith('/') ? state : join(home, '.local', 'state'), 'vllm-gateway');
}

function frozen<T>(value: T): T {
  if (value === null || typeof value !== 'object' || Object.isFrozen(value)) return value;
  for (const inner of value instanceof Map ? value.values() : Object.values(value)) frozen(inner);
  return Object.freeze(value);
}
