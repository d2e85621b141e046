/**
 * Every variable of the original's environment, and what it does here. None is ignored in silence: one without effect says
 * so in the log and in docs/configuration.md.
 */

type LayerSection = 'server' | 'log' | 'devices' | 'scheduling' | 'defaults' | 'runtime';

export interface EnvironmentVariable {
  readonly name: string;
  readonly effect: string;
  /** The key of the file that it sets. */
  readonly sets?: readonly [section: LayerSection, ...keys: readonly string[]];
  /** Its value is text, also where it looks like a number. */
  readonly isText?: boolean;
  /** Has an effect only where engines run in containers. */
  readonly ofContainers?: boolean;
  /** Accepted without effect; the reason. */
  readonly ignored?: string;
}

function sets(name: string, section: LayerSection, key: string, effect?: string): EnvironmentVariable {
  return { name, sets: [section, key], effect: effect ?? `Sets \`${section}.${key}\`.` };
}

function ofDocker(name: string, key: string): EnvironmentVariable {
  return {
    name,
    sets: ['runtime', 'docker', key],
    isText: true,
    ofContainers: true,
    effect: `Sets \`runtime.docker.${key}\`.`,
  };
}

function ignored(name: string, reason: string): EnvironmentVariable {
  return { name, ignored: reason, effect: `No effect: ${reason}.` };
}

export const ENVIRONMENT_VARIABLES: readonly EnvironmentVariable[] = [
  { name: 'MODELS_CONFIG_FILE', effect: 'The configuration file, where `--config` is not given.' },
  {
    name: 'ALLOWED_MODELS_JSON',
    effect: 'Models as JSON, `{"name": "repo"}`, where there is no configuration file.',
  },
  {
    name: 'GATEWAY_MAX_QUEUE_SIZE',
    effect: 'Integer from 1 to 10000, 200 by default; sets `defaults.queue_size`.',
  },
  {
    name: 'GATEWAY_MAX_CONCURRENT',
    effect: 'Integer from 1 to 1000, 50 by default; sets `defaults.max_concurrent`.',
  },
  {
    name: 'GATEWAY_MAX_MODELS_CONCURRENT',
    effect:
      'Integer from 1 to 20, 3 by default; times GATEWAY_MAX_CONCURRENT it is the size of the connection pool that the start-up lines tell.',
  },
  {
    name: 'GATEWAY_HTTP_TIMEOUT',
    effect: 'Integer from 60 to 3600 seconds, 300 by default; sets `server.engine_timeout`.',
  },
  { name: 'GATEWAY_REQUEST_TIMEOUT', effect: 'The later name of GATEWAY_HTTP_TIMEOUT; wins over it.' },
  sets('GATEWAY_CONNECT_TIMEOUT', 'server', 'connect_timeout'),
  sets('GATEWAY_LOADING_TIMEOUT', 'defaults', 'load_timeout'),
  sets('GATEWAY_MIN_RESIDENT_SECONDS', 'scheduling', 'min_residence'),
  ignored('GATEWAY_REQUEST_STALE_FACTOR', 'requests are counted exactly, so none has to be guessed stale'),
  {
    name: 'GATEWAY_GPU_UUID',
    effect: 'GPUs to use (UUIDs, separated by commas), as the pool `default` where the file has no `pools`.',
  },
  ofDocker('GATEWAY_CONTAINER_NAME', 'gateway_container'),
  ofDocker('DOCKER_NETWORK_NAME', 'network'),
  ofDocker('VLLM_CONTAINER_PREFIX', 'container_prefix'),
  ofDocker('VLLM_IMAGE', 'image'),
  { ...ofDocker('VLLM_PORT', 'port'), isText: false },
  sets('VLLM_GPU_MEMORY_UTILIZATION', 'defaults', 'gpu_memory_utilization'),
  sets('VLLM_MAX_MODEL_LEN_GLOBAL', 'defaults', 'max_model_len'),
  sets('VLLM_MAX_NUM_SEQS', 'defaults', 'max_num_seqs'),
  sets('VLLM_TENSOR_PARALLEL_SIZE', 'defaults', 'tensor_parallel_size'),
  sets('VLLM_INACTIVITY_TIMEOUT', 'defaults', 'inactivity_timeout'),
  sets('VLLM_ENFORCE_EAGER', 'defaults', 'enforce_eager'),
  {
    name: 'VLLM_NO_CUDAGRAPH',
    effect:
      'True: vLLM engines get `--compilation-config {"cudagraph_mode":"NONE"}` unless their `extra_args` choose a compilation.',
  },
  ignored('VLLM_HOST', 'the gateway knows where its engines listen'),
  ignored('VLLM_SWAP_SPACE', 'vLLM has no swap space any more'),
  ignored('VLLM_TEMP_DIR', 'GGUF files are fetched into the Hugging Face cache'),
  sets('PLACEMENT_MODE', 'scheduling', 'placement_mode'),
  sets('GPU_BUDGET_FRACTION', 'devices', 'budget_fraction'),
  sets('BUDGET_OVERHEAD_FACTOR', 'scheduling', 'budget_overhead_factor'),
  sets('BUDGET_OVERHEAD_MIB', 'scheduling', 'budget_overhead_mib'),
  sets('COLOCATE_MARGIN_MIB', 'scheduling', 'colocate_margin_mib'),
  sets('COLOCATE_MAX_SHARE', 'scheduling', 'colocate_max_share'),
  sets('COLOCATE_WEIGHT_OVERHEAD', 'scheduling', 'colocate_weight_overhead'),
  ofDocker('NVIDIA_UTILITY_IMAGE', 'utility_image'),
  ofDocker('HOST_CACHE_DIR', 'hugging_face_cache'),
  {
    name: 'HUGGING_FACE_HUB_TOKEN',
    effect: 'Given to engines as HF_TOKEN, where that is not set itself; never shown.',
  },
  { ...sets('MEMORY_FOOTPRINT_FILE', 'runtime', 'import_footprints_file'), isText: true },
  { name: 'WORKER_LD_LIBRARY_PATH', effect: 'Given to vLLM engines as LD_LIBRARY_PATH.' },
  {
    name: 'DOCKER_HOST',
    sets: ['runtime', 'docker', 'host'],
    isText: true,
    effect: "Sets `runtime.docker.host`, as for Docker's own programs.",
  },
  sets('LOG_LEVEL', 'log', 'level', 'Sets `log.level`; upper case, WARNING and CRITICAL are understood.'),
];
