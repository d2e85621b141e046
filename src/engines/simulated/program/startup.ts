/** A start, in vLLM's phases, order and words. */
import { existsSync } from 'node:fs';
import { SIMULATED_VERSION, scaledMs } from './context.ts';
import type { Faults, StartFailure, StartPhase } from './faults.ts';
import type { SimLog } from './log.ts';
import { type DeviceMemory, gib, type KvCache, outOfMemoryText, StartError, sizeKvCache } from './memory.ts';
import type { SimOptions } from './options.ts';

/** Share of the load time that each phase takes. */
const SHARES: Readonly<Record<StartPhase, number>> = {
  configuring: 0.1,
  loading: 0.45,
  compiling: 0.2,
  profiling: 0.1,
  capturing: 0.15,
};
const SHARDS = 4;
/** A start that is held looks so often whether it may go on. */
const HOLD_LOOK_MS = 10;

/**
 * When the phases so far should have ended, in milliseconds since the process began: lateness of one timer is made up in
 * the next phase, so that the load takes the time that was asked for.
 */
export interface LoadSchedule {
  dueMs: number;
}

export interface Start {
  readonly schedule: LoadSchedule;
  readonly options: SimOptions;
  readonly faults: Faults;
  readonly log: SimLog;
}

/** The API server's part before the engine core exists. */
export async function configure(start: Start): Promise<void> {
  const { log, options, faults } = start;
  log.api('api_utils.py:298', `vLLM API server version ${SIMULATED_VERSION}, serving model ${options.model}`);
  log.api('api_utils.py:233', `non-default args: ${python(options.nonDefault)}`);
  checkToolParser(options, faults);
  await phase(start, 'configuring');
  failConfiguring(faults.failStart, options);
  const length = options.maxModelLen ?? options.sim.modelLength;
  log.api('model.py:557', `Resolved architecture: ${architecture(options)}`);
  if (length > options.sim.modelLength) {
    throw new StartError(
      'pydantic_core._pydantic_core.ValidationError',
      `1 validation error for ModelConfig\n  Value error, User-specified max_model_len (${length}) is greater than the derived max_model_len (max_position_embeddings=${options.sim.modelLength} or model_max_length=None in model's config.json). To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme caution. If the model uses relative position encoding (RoPE), positions exceeding derived_max_model_len lead to nan. If the model uses absolute position encoding, positions exceeding derived_max_model_len will cause a CUDA array out-of-bounds error.`,
      'api',
    );
  }
  log.api('model.py:1661', `Using max model len ${length === -1 ? options.sim.modelLength : length}`);
}

/** The engine core's part. Returns what it measured. */
export async function initialise(
  start: Start,
  memory: DeviceMemory,
): Promise<{ readonly kv: KvCache; readonly maxModelLen: number }> {
  const { log, options, faults } = start;
  const startedMs = performance.now();
  log.core(
    'core.py:134',
    `Initializing a V1 LLM engine (v${SIMULATED_VERSION}) with config: model='${options.model}', tokenizer='${options.tokenizer ?? options.model}', dtype=torch.bfloat16, max_seq_len=${options.maxModelLen ?? options.sim.modelLength}, tensor_parallel_size=${options.tensorParallelSize}, enforce_eager=${options.enforceEager ? 'True' : 'False'}`,
  );
  memory.initialise();
  await load(start, memory);
  if (!options.enforceEager) await compile(start);
  const available = await profileMemory(start, memory);
  const sized = sizeKvCache(options, available);
  if (options.maxModelLen === -1 && sized.maxModelLen < options.sim.modelLength) {
    log.core(
      'kv_cache_utils.py:2460',
      `Auto-fit max_model_len: reduced from ${options.sim.modelLength} to ${sized.maxModelLen} to fit in available GPU memory (${gib(available / MIB)} GiB available for KV cache)`,
    );
  }
  const concurrency = (sized.kv.tokens / sized.maxModelLen).toFixed(2);
  log.core(
    'kv_cache_utils.py:2328',
    `${memory.kind} KV cache size: ${grouped(sized.kv.tokens)} tokens, Maximum concurrency for ${grouped(sized.maxModelLen)} tokens per request: ${concurrency}x`,
  );
  memory.allocateKv(available);
  await capture(start, memory);
  const tookS = (performance.now() - startedMs) / 1000;
  log.core('core.py:386', `init engine (profile, create kv cache, warmup model) took ${tookS.toFixed(2)} s`);
  if (faults.failStart === 'timeout') {
    throw new StartError(
      'TimeoutError',
      'Timed out waiting for engine core processes to start. This is often caused by slow weight loading for large models. Waited 600s (configured by VLLM_ENGINE_READY_TIMEOUT_S). To increase the timeout, set the environment variable: VLLM_ENGINE_READY_TIMEOUT_S=<seconds>',
      'api',
    );
  }
  return sized;
}

const MIB = 1024 * 1024;

async function load(start: Start, memory: DeviceMemory): Promise<void> {
  const { log, options, faults } = start;
  const seconds = options.sim.loadS * SHARES.loading * options.sim.timeScale;
  log.core('model_runner.py:5040', `Starting to load model ${options.model}...`);
  if (faults.oomAtStart) {
    const detail = { index: 0, totalMib: 24_000, freeMib: 512 };
    throw new StartError('torch.OutOfMemoryError', outOfMemoryText(2048, detail));
  }
  act(start, 'loading');
  await stayIf(start, 'loading');
  // The memory is taken when the loading begins: two engines that load at once meet each other's weights, as they would.
  const weightsMib = memory.loadWeights();
  for (let shard = 0; shard <= SHARDS; shard++) {
    const percent = Math.round((shard / SHARDS) * 100);
    const speed = shard === 0 ? '?it/s' : `${(SHARDS / Math.max(seconds, 0.001)).toFixed(2)}it/s`;
    log.bare(
      `Loading safetensors checkpoint shards: ${String(percent).padStart(3)}% Completed | ${shard}/${SHARDS} [00:00<00:00, ${speed}]`,
    );
    if (shard < SHARDS) await pauseFor(start, (seconds * 1000) / SHARDS);
  }
  log.core('default_loader.py:367', `Loading weights took ${seconds.toFixed(2)} seconds`);
  log.core(
    'model_runner.py:5106',
    `Model loading took ${gib(weightsMib)} GiB memory and ${seconds.toFixed(6)} seconds`,
  );
}

async function compile(start: Start): Promise<void> {
  const { log, options } = start;
  const seconds = options.sim.loadS * SHARES.compiling * options.sim.timeScale;
  log.core('backends.py:1083', 'Starting torch.compile');
  await phase(start, 'compiling');
  log.core('backends.py:1090', `Dynamo bytecode transform time: ${(seconds / 3).toFixed(2)} s`);
  log.core(
    'backends.py:391',
    `Compiling a graph for compile range (1, 2048) takes ${(seconds / 2).toFixed(2)} s`,
  );
  log.core('monitor.py:53', `torch.compile took ${seconds.toFixed(2)} s in total`);
}

async function profileMemory(start: Start, memory: DeviceMemory): Promise<number> {
  const { log, options } = start;
  const seconds = options.sim.loadS * SHARES.profiling * options.sim.timeScale;
  await phase(start, 'profiling');
  const available = memory.profile();
  if (!options.enforceEager) {
    log.core('monitor.py:81', `Initial profiling/warmup run took ${seconds.toFixed(2)} s`);
  }
  if (memory.kind === 'GPU' && options.kvCacheMemoryBytes !== null) {
    log.core(
      'gpu_worker.py:669',
      `Initial free memory ${gib(memory.freeAtStartMib())} GiB, reserved ${gib(available / MIB)} GiB memory for KV Cache as specified by kv_cache_memory_bytes config and skipped memory profiling. This does not respect the gpu_memory_utilization config. Only use kv_cache_memory_bytes config when you want manual control of KV cache memory size. If OOM'ed, check the difference of initial free memory between the current run and the previous run where kv_cache_memory_bytes is suggested and update it correspondingly.`,
    );
    return available;
  }
  log.core('gpu_worker.py:760', `Available KV cache memory: ${gib(available / MIB)} GiB`);
  return available;
}

async function capture(start: Start, memory: DeviceMemory): Promise<void> {
  const { log, options } = start;
  const restMib = memory.allocateRest();
  if (options.enforceEager) return;
  const seconds = options.sim.loadS * SHARES.capturing * options.sim.timeScale;
  for (const percent of [0, 100]) {
    log.bare(
      `Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): ${String(percent).padStart(3)}%|${percent === 0 ? '          ' : '██████████'}| ${(percent * 35) / 100}/35 [00:00<00:00]`,
    );
    if (percent === 0) await phase(start, 'capturing');
  }
  log.core(
    'model_runner.py:6122',
    `Graph capturing finished in ${Math.max(1, Math.round(seconds))} secs, took ${restMib === null ? '0.10' : gib(restMib)} GiB`,
  );
}

/** Waits for a phase's share of the load time, with its faults. */
async function phase(start: Start, name: StartPhase): Promise<void> {
  act(start, name);
  await stayIf(start, name);
  await pauseFor(start, scaledMs(start.options, start.options.sim.loadS * SHARES[name]));
}

function act(start: Start, name: StartPhase): void {
  if (start.faults.crashAt !== name) return;
  throw new StartError(
    'RuntimeError',
    `simulated crash in phase ${name}`,
    name === 'configuring' ? 'api' : 'core',
  );
}

/** Never returns, or not before a file exists, when the fault says so; the timers keep the process alive. */
async function stayIf({ faults }: Start, name: StartPhase): Promise<void> {
  const { hangAt, holdAt } = faults;
  if (hangAt === name) return new Promise(() => setInterval(() => {}, 1 << 30));
  while (holdAt?.phase === name && !existsSync(holdAt.file)) {
    await new Promise((resolve) => setTimeout(resolve, HOLD_LOOK_MS));
  }
}

function pauseFor(start: Start, ms: number): Promise<void> {
  start.schedule.dueMs += ms;
  const restMs = start.schedule.dueMs - performance.now();
  return restMs <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, restMs));
}

function checkToolParser(options: SimOptions, faults: Faults): void {
  const known = [
    'hermes',
    'llama3_json',
    'mistral',
    'qwen3_coder',
    'qwen3_xml',
    'pythonic',
    'granite',
    'openai',
  ];
  if (options.autoToolChoice && options.toolCallParser === null) {
    throw new StartError('TypeError', 'Error: --enable-auto-tool-choice requires --tool-call-parser', 'api');
  }
  const missing = options.autoToolChoice && !known.includes(options.toolCallParser ?? '');
  if (!missing && faults.failStart !== 'tool-parser') return;
  throw new StartError(
    'KeyError',
    `'invalid tool call parser: ${options.toolCallParser ?? 'None'} (chose from { ${known.join(',')} })'`,
    'api',
  );
}

function failConfiguring(kind: StartFailure | null, options: SimOptions): void {
  const { model } = options;
  switch (kind) {
    case 'gated':
      throw new StartError(
        'OSError',
        `You are trying to access a gated repo.\nMake sure to have access to it at https://huggingface.co/${model}.\n401 Client Error. (Request ID: Root=1-simulated)\n\nCannot access gated repo for url https://huggingface.co/${model}/resolve/main/config.json.\nAccess to model ${model} is restricted. You must have access to it and be authenticated to access it. Please log in.`,
        'api',
      );
    case 'offline':
      throw new StartError(
        'OSError',
        `We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.\nCheck your internet connection or see how to run the library in offline mode at 'https://huggingface.co/docs/transformers/installation#offline-mode'.`,
        'api',
      );
    case 'uncached':
      // Whoever may ask a hub gets what is missing.
      if (!options.environment.isOffline) return;
      throw new StartError(
        'huggingface_hub.errors.LocalEntryNotFoundError',
        "Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and outgoing traffic has been disabled. To enable repo look-ups and downloads online, pass 'local_files_only=False' as input.",
        'api',
      );
    case 'repository':
      throw new StartError(
        'ValueError',
        `Invalid repository ID or local directory specified: '${model}'.\nPlease verify the following requirements:\n1. Provide a valid Hugging Face repository ID.\n2. Specify a local directory that contains a recognized configuration file.`,
        'api',
      );
    case 'architecture':
      throw new StartError(
        'pydantic_core._pydantic_core.ValidationError',
        `1 validation error for ModelConfig\n  Value error, Model architectures ['SimulatedForCausalLM'] are not supported for now. Supported architectures: dict_keys(['LlamaForCausalLM'])`,
        'api',
      );
    case 'context':
      throw new StartError(
        'pydantic_core._pydantic_core.ValidationError',
        `1 validation error for ModelConfig\n  Value error, User-specified max_model_len (${options.maxModelLen ?? 0}) is greater than the derived max_model_len (max_position_embeddings=2048 or model_max_length=None in model's config.json). To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1.`,
        'api',
      );
    default:
  }
}

/** What a failed start leaves on stderr: the root cause first, then the wrapper that hides it. */
export function reportStartError(log: SimLog, error: StartError): void {
  const cause = `${error.exception}: ${error.message}`;
  const lines = [
    'Traceback (most recent call last):',
    '  File "/vllm/v1/engine/core.py", line 1488, in run_engine_core',
  ];
  if (error.where === 'api') {
    log.apiTraceback([...lines, ...cause.split('\n')]);
    return;
  }
  log.core('core.py:1510', 'EngineCore failed to start.', 'ERROR');
  for (const line of [...lines, ...cause.split('\n')]) log.core('core.py:1510', line, 'ERROR');
  log.coreTraceback(['Process EngineCore:', ...lines, ...cause.split('\n')]);
  log.apiTraceback([
    'Traceback (most recent call last):',
    '  File "/vllm/v1/engine/utils.py", line 1432, in wait_for_engine_startup',
    'RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}',
  ]);
}

function architecture(options: SimOptions): string {
  if (options.sim.task === 'transcription') return 'WhisperForConditionalGeneration';
  return options.sim.task === 'generate' ? 'LlamaForCausalLM' : 'BertModel';
}

/** Python's way of showing a plain value. */
function python(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (value === null || value === undefined) return 'None';
  if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`;
  if (typeof value === 'object') {
    return `{${Object.entries(value)
      .map(([key, part]) => `'${key}': ${python(part)}`)
      .join(', ')}}`;
  }
  return String(value);
}

/** Thousands separated by commas; `toLocaleString` would load the whole of ICU for it. */
function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}
