/** One model: its layered raw keys become the frozen shape that the rest of the gateway reads. */
import { type Layers, modelOf, poolsOf, schedulingOf, serverOf } from './layers.ts';
import type {
  DeviceNeed,
  EngineKind,
  ExternalServer,
  ResolvedModel,
  VllmOptions,
} from './resolved-config.ts';
import { type RawModel, urlBuiltIn } from './schema-model.ts';

/** What the environment and the secrets add to a model. */
interface ModelExtras {
  readonly engineEnvironment: Readonly<Record<string, string>>;
  readonly noCudagraph: boolean;
  readonly apiKey: string | null;
}

export function resolveModel(
  layers: Layers,
  name: string,
  own: RawModel,
  extras: ModelExtras,
): ResolvedModel {
  const model = modelOf(layers, own);
  const engine = engineOf(own, model.engine);
  // Nobody knows whether and how another server sleeps.
  const isOurs = own.command === undefined && own.url === undefined;
  const engineTimeoutMs = serverOf(layers).engine_timeout;
  const ofVllm = engine === 'vllm' ? extras.engineEnvironment : {};
  return {
    name,
    engine,
    repo: own.repo ?? (engine === 'simulated' ? name : null),
    image: model.image ?? null,
    fetch: isOurs && own.repo !== undefined && (engine === 'simulated' ? (own.fetch ?? false) : model.fetch),
    downloadTimeoutMs: model.download_timeout,
    command: own.command ?? null,
    url: own.url === undefined ? null : resolveUrl(own.url, extras.apiKey),
    servedName: own.served_name ?? name,
    need: resolveNeed(layers, own),
    alwaysOn: model.always_on && own.url === undefined,
    inactivityTimeoutMs: model.inactivity_timeout,
    minResidenceMs: model.min_residence ?? schedulingOf(layers).min_residence,
    loadTimeoutMs: model.load_timeout,
    drainTimeoutMs: model.drain_timeout,
    onDrainTimeout: model.on_drain_timeout,
    sleep: isOurs ? model.sleep : 'off',
    warmUp: isOurs && model.warm_up,
    colocate: model.colocate && own.url === undefined,
    queueTimeoutMs: model.queue_timeout,
    progress: model.progress,
    progressAfterMs: model.progress_after,
    firstByteTimeoutMs: model.first_byte_timeout ?? engineTimeoutMs,
    streamIdleTimeoutMs: model.stream_idle_timeout ?? engineTimeoutMs,
    wsIdleTimeoutMs: model.ws_idle_timeout,
    responsesStore: model.responses_store,
    backgroundTimeoutMs: model.background_timeout,
    adapters: own.adapters ?? {},
    maxConcurrent: model.max_concurrent,
    queueSize: model.queue_size,
    requestDefaults: model.request_defaults,
    environment: { ...ofVllm, ...layers.file.config.defaults?.environment, ...own.environment },
    vllm: resolveVllm(layers, own, engine, extras.noCudagraph),
  };
}

/** `command` and `url` decide unless the model itself names an engine: a `defaults.engine` is meant for the others. */
export function engineOf(own: RawModel, layered: EngineKind | undefined): EngineKind {
  if (own.engine !== undefined) return own.engine;
  if (own.command !== undefined || own.url !== undefined) return 'openai';
  return layered === undefined || layered === 'openai' ? 'vllm' : layered;
}

function resolveNeed(layers: Layers, own: RawModel): DeviceNeed {
  if (own.url !== undefined) return { deviceCount: 0, pool: null, memoryMibPerDevice: null };
  const model = modelOf(layers, own);
  const [onlyPool = null] = poolsOf(layers).keys();
  return {
    deviceCount: model.tensor_parallel_size,
    pool: model.pool ?? onlyPool,
    memoryMibPerDevice: model.memory_mib ?? null,
  };
}

function resolveUrl(url: NonNullable<RawModel['url']>, apiKey: string | null): ExternalServer {
  const { base, headers = {}, health = urlBuiltIn().health } = typeof url === 'string' ? { base: url } : url;
  const lowered = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
  // Request paths bring `/v1` themselves, but people paste addresses that end with it.
  const baseUrl = base.replace(/\/+$/, '').replace(/\/v1$/, '');
  return { baseUrl, apiKey, headers: Object.fromEntries(lowered), healthPath: health };
}

const COMPILATION_FLAG = /^(--compilation[-_]config|-cc|-O.*)(=|$)/;

function resolveVllm(layers: Layers, own: RawModel, engine: EngineKind, noCudagraph: boolean): VllmOptions {
  const model = modelOf(layers, own);
  const choosesCompilation = model.extra_args.some((word) => COMPILATION_FLAG.test(word));
  const withoutGraphs = noCudagraph && engine === 'vllm' && own.command === undefined && !choosesCompilation;
  const graphArgs = withoutGraphs ? ['--compilation-config', '{"cudagraph_mode":"NONE"}'] : [];
  return {
    gpuMemoryUtilization: model.gpu_memory_utilization,
    maxModelLen: model.max_model_len,
    maxNumSeqs: model.max_num_seqs,
    kvReservationSeqs: model.kv_reservation_seqs ?? model.max_num_seqs,
    tensorParallelSize: model.tensor_parallel_size,
    quantization: model.quantization ?? null,
    dtype: model.dtype ?? null,
    enforceEager: model.enforce_eager,
    toolParser: model.tool_parser,
    reasoningParser: model.reasoning_parser,
    extraArgs: [...graphArgs, ...model.extra_args],
    executable: model.vllm_executable ?? [engine === 'simulated' ? 'vllm-sim' : 'vllm'],
  };
}
