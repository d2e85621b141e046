import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiagnosisCause, ExitStatus, LaunchRemedy } from '../engine.ts';
import { diagnoseVllm } from './diagnosis.ts';

const FAILED: ExitStatus = { code: 1, signal: null };
const CORE = '(EngineCore pid=812) ERROR 11-24 08:12:40 [core.py:1510] ';

/** What stands around every failed start: frames, wrappers, the goodbye of the API server. */
function startFailure(...causes: readonly string[]): readonly string[] {
  return [
    '(APIServer pid=700) INFO 11-24 08:12:01 [model.py:1684] Using max model len 4096',
    'Loading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00,  4.21it/s]',
    `${CORE}EngineCore failed to start.`,
    `${CORE}Traceback (most recent call last):`,
    `${CORE}  File "/v/vllm/v1/engine/core.py", line 1501, in run_engine_core`,
    `${CORE}    engine_core = EngineCoreProc(*args, **kwargs)`,
    `${CORE}                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^`,
    ...causes.map((cause) => CORE + cause),
    '(APIServer pid=700) Traceback (most recent call last):',
    '(APIServer pid=700)   File "/v/bin/vllm", line 8, in <module>',
    '(APIServer pid=700)     sys.exit(main())',
    '(APIServer pid=700) During handling of the above exception, another exception occurred:',
    '(APIServer pid=700) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}',
    '/usr/lib/python3.12/multiprocessing/resource_tracker.py:254: UserWarning: resource_tracker: There appear to be 1 leaked shared_memory objects to clean up at shutdown',
  ];
}

interface Case {
  readonly cause: DiagnosisCause;
  readonly lines: readonly string[];
  readonly text: RegExp;
  readonly retryable: boolean;
  readonly lastLine?: RegExp;
  readonly exit?: ExitStatus;
  /** Absent: none is expected. */
  readonly remedy?: LaunchRemedy;
}

const CASES: Readonly<Record<string, Case>> = {
  'device full at the start': {
    cause: 'out_of_memory',
    lines: startFailure(
      'ValueError: Free memory on device cuda:0 (3.21/23.68 GiB) on startup is less than desired GPU memory utilization (0.9, 21.31 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.',
    ),
    text: /^out of memory: 21\.31 GiB \(0\.9 of the device\) were wanted, but only 3\.21 of 23\.68 GiB were free on cuda:0/,
    retryable: true,
    remedy: { again: true },
    lastLine: /^ValueError: Free memory on device/,
  },
  'host memory full at the start': {
    cause: 'out_of_memory',
    lines: startFailure(
      'ValueError: Available memory on node 0 (3.1/23.4 GiB) on startup is less than desired CPU memory utilization (0.92, 21.5 GiB).',
    ),
    text: /21\.5 GiB \(0\.92 of the device\) were wanted, but only 3\.1 of 23\.4 GiB/,
    retryable: true,
    remedy: { again: true },
  },
  'host memory full at the cache': {
    cause: 'out_of_memory',
    lines: startFailure(
      'ValueError: Available memory on node 0 (3.0/23.4 GiB) on kv cache allocation is less than requested memory for kv (4.5 GiB). Decrease --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE, or reduce CPU memory used by other processes.',
    ),
    text: /a KV cache of 4\.5 GiB was wanted, but only 3\.0 of 23\.4 GiB were free on node 0/,
    retryable: true,
    remedy: { shortMib: 1536 },
  },
  'an unknown wording of it': {
    cause: 'out_of_memory',
    lines: startFailure(
      'ValueError: Free memory on device 7/9 GiB on startup is less than desired GPU memory utilization 0.9',
    ),
    text: /^out of memory: Free memory on device 7\/9 GiB/,
    retryable: true,
    remedy: { again: true },
  },
  'no room for a cache': {
    cause: 'out_of_memory',
    lines: [
      '(Worker pid=3) INFO 11-24 08:12:39 [gpu_worker.py:760] Available KV cache memory: -1.25 GiB',
      ...startFailure(
        'ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`.',
      ),
    ],
    text: /no room for the KV cache \(-1\.25 GiB\)/,
    retryable: false,
    remedy: { shortMib: 1280 },
  },
  'context beyond the cache, with what would fit': {
    cause: 'context_too_long',
    lines: startFailure(
      "ValueError: To serve at least one request with the model's max seq len (131072), (16.00 GiB KV cache is needed, which is larger than the available KV cache memory (4.12 GiB). Based on the available memory, the estimated maximum model length is 33744. Try increasing `gpu_memory_utilization` or decreasing `max_model_len`.",
    ),
    text: /131072 tokens needs 16\.00 GiB of KV cache, but only 4\.12 GiB are left; a max_model_len of 33744 would fit/,
    retryable: false,
    remedy: { neededKvBytes: Math.ceil(16.005 * 1024 ** 3), shortMib: Math.ceil(11.89 * 1024) },
  },
  'context beyond the cache, without it': {
    cause: 'context_too_long',
    lines: startFailure(
      "ValueError: To serve at least one request with the model's max seq len (131072), (16.00 GiB KV cache is needed, which is larger than the available KV cache memory (4.12 GiB). ",
    ),
    text: /only 4\.12 GiB are left$/,
    retryable: false,
    remedy: { neededKvBytes: Math.ceil(16.005 * 1024 ** 3), shortMib: Math.ceil(11.89 * 1024) },
  },
  'auto-fit impossible': {
    cause: 'out_of_memory',
    lines: startFailure('ValueError: Cannot auto-fit max_model_len: not enough GPU memory available'),
    text: /Cannot auto-fit/,
    retryable: false,
  },
  'context beyond the model': {
    cause: 'context_too_long',
    lines: [
      '(APIServer pid=7) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig',
      "(APIServer pid=7)   Value error, User-specified max_model_len (99999) is greater than the derived max_model_len (max_position_embeddings=2048 or model_max_length=None in model's config.json). [type=value_error]",
    ],
    text: /^max_model_len 99999 is beyond the model's own context of 2048 tokens$/,
    retryable: false,
  },
  'CUDA out of memory': {
    cause: 'out_of_memory',
    lines: startFailure(
      'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.68 GiB of which 1.31 GiB is free. Including non-PyTorch memory, this process has 22.3 GiB memory in use.',
    ),
    text: /^out of memory: 2\.00 GiB could not be allocated, 1\.31 GiB of 23\.68 GiB were free$/,
    retryable: true,
    remedy: { shortMib: 707 },
  },
  'CUDA out of memory while warming up': {
    cause: 'out_of_memory',
    lines: startFailure(
      'RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests.',
    ),
    text: /warming up sampler/,
    retryable: true,
  },
  'the memory moved while profiling': {
    cause: 'out_of_memory',
    lines: startFailure(
      'AssertionError: Error in memory profiling. Initial free memory 20.1 GiB, current free memory 21.0 GiB. This happens when other processes sharing the same container release GPU memory while vLLM is profiling during initialization.',
    ),
    text: /changed while vLLM was measuring/,
    retryable: true,
    remedy: { again: true },
  },
  'too few GPUs': {
    cause: 'too_few_devices',
    lines: startFailure(
      'ValueError: World size (4) is larger than the number of available GPUs (2) in this node.',
    ),
    text: /^the model is spread over 4 devices, more than the 2 that are available$/,
    retryable: false,
  },
  'unknown architecture in vLLM': {
    cause: 'unknown_architecture',
    lines: startFailure(
      "ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: dict_keys(['AquilaModel'])",
    ),
    text: /does not support the architecture \['FooForCausalLM'\]$/,
    retryable: false,
  },
  'architecture that was dropped': {
    cause: 'unknown_architecture',
    lines: startFailure(
      'ValueError: Model architecture FooModel was supported in vLLM until v0.10.2, and is not supported anymore.',
    ),
    text: /no longer supports the architecture FooModel \(it did until v0\.10\.2/,
    retryable: false,
  },
  'architecture that cannot be inspected': {
    cause: 'unknown_architecture',
    lines: startFailure(
      "ValueError: Model architectures ['FooModel'] failed to be inspected. Please check the logs.",
    ),
    text: /\['FooModel'\]/,
    retryable: false,
  },
  'unknown architecture in Transformers': {
    cause: 'unknown_architecture',
    lines: startFailure(
      'ValueError: The checkpoint you are trying to load has model type `foo9` but Transformers does not recognize this architecture.',
    ),
    text: /does not know the architecture foo9/,
    retryable: false,
  },
  'gated repository, rewrapped': {
    cause: 'gated_repository',
    lines: [
      '(APIServer pid=7) OSError: You are trying to access a gated repo.',
      '(APIServer pid=7) Make sure to have access to it.',
      '(APIServer pid=7) The above exception was the direct cause of the following exception:',
      "(APIServer pid=7) ValueError: Invalid repository ID or local directory specified: 'acme/secret'.",
    ],
    text: /gated or private/,
    retryable: false,
  },
  'hub out of reach': {
    cause: 'repository_unreachable',
    lines: startFailure(
      "OSError: We couldn't connect to the hub to load the files, and couldn't find them in the cached files.",
    ),
    text: /cannot be reached/,
    retryable: true,
  },
  'no such model': {
    cause: 'model_not_found',
    lines: [
      'OSError: acme/nothing is not a local folder and is not a valid model identifier listed on the hub',
    ],
    text: /^the model acme\/nothing does not exist on the hub$/,
    retryable: false,
  },
  'no such directory': {
    cause: 'model_not_found',
    lines: ["ValueError: Invalid repository ID or local directory specified: '/models/x'."],
    text: /^\/models\/x is neither a repository nor a directory/,
    retryable: false,
  },
  'a directory without weights': {
    cause: 'model_not_found',
    lines: startFailure('RuntimeError: Cannot find any model weights with `/models/empty`'),
    text: /^\/models\/empty holds no weights/,
    retryable: false,
  },
  'port taken': {
    cause: 'port_taken',
    lines: ['(APIServer pid=7) OSError: [Errno 98] Address already in use'],
    text: /taken by another process/,
    retryable: true,
  },
  'no sleep here': {
    cause: 'sleep_unsupported',
    lines: [
      '(APIServer pid=7)   Value error, Sleep mode is not supported on current platform. [type=value_error]',
    ],
    text: /remove --enable-sleep-mode/,
    retryable: false,
    remedy: { refusedFlags: ['--enable-sleep-mode'] },
  },
  'unknown flag': {
    cause: 'unknown_flag',
    lines: [
      'usage: vllm serve [model_tag] [options]',
      'vllm serve: error: unrecognized arguments: --fly --high',
    ],
    exit: { code: 2, signal: null },
    text: /^this vLLM does not know the arguments --fly --high$/,
    retryable: false,
    remedy: { refusedFlags: ['--fly', '--high'] },
  },
  'flag with a bad value': {
    cause: 'unknown_flag',
    lines: ["vllm serve: error: argument --dtype: invalid choice: 'int3' (choose from 'auto', 'half')"],
    exit: { code: 2, signal: null },
    text: /argument --dtype: invalid choice: 'int3'/,
    retryable: false,
  },
  'tool parser unknown': {
    cause: 'tool_parser_missing',
    lines: ['(APIServer pid=7) KeyError: "invalid tool call parser: hermez (chose from { hermes,mistral })"'],
    text: /parser `hermez` does not exist/,
    retryable: false,
  },
  'tool parser missing': {
    cause: 'tool_parser_missing',
    lines: ['(APIServer pid=7) TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser'],
    text: /set --tool-call-parser in extra_args/,
    retryable: false,
  },
  'engine processes too slow': {
    cause: 'timeout',
    lines: [
      '(APIServer pid=7) TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight loading',
    ],
    text: /raise `load_timeout`/,
    retryable: true,
  },
  'a Python without vLLM': {
    cause: 'executable_missing',
    lines: ['importlib.metadata.PackageNotFoundError: No package metadata was found for vllm'],
    text: /has no vllm$/,
    retryable: false,
  },
  'a shell that found no command': {
    cause: 'executable_missing',
    lines: ['env: ‘vllm’: No such file or directory'],
    exit: { code: 127, signal: null },
    text: /could not be executed \(code 127\): env: ‘vllm’/,
    retryable: false,
  },
  'killed from outside': {
    cause: 'killed',
    lines: ['Loading safetensors checkpoint shards:  50% Completed | 1/2'],
    exit: { code: null, signal: 'SIGKILL' },
    text: /^killed by SIGKILL \(by hand, or by the kernel when host memory ran out\)$/,
    retryable: true,
    lastLine: /^$/,
  },
  'exit 0 after the engine core died': {
    cause: 'exited_cleanly',
    lines: [
      '(APIServer pid=7) INFO:     Application startup complete.',
      '(APIServer pid=7) ERROR 11-24 08:30:00 [async_llm.py:1] EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.',
      '(APIServer pid=7) INFO:     Shutting down',
    ],
    exit: { code: 0, signal: null },
    text: /^exited with code 0 without being asked to: EngineDeadError/,
    retryable: true,
  },
  'a request’s failure is not taken for the engine’s': {
    cause: 'unknown',
    lines: [
      '(APIServer pid=7) INFO:     Application startup complete.',
      "(APIServer pid=7) ERROR ValueError: Invalid repository ID or local directory specified: 'adapter'",
      '(APIServer pid=7) RuntimeError: something broke later',
    ],
    text: /^exited with code 1: RuntimeError: something broke later$/,
    retryable: true,
  },
  'out of memory while serving': {
    cause: 'out_of_memory',
    lines: [
      '(APIServer pid=7) INFO:     Application startup complete.',
      `${CORE}torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.`,
    ],
    exit: { code: 0, signal: null },
    text: /20\.00 MiB could not be allocated$/,
    retryable: true,
    remedy: { shortMib: 20 },
  },
  'unknown failure: the exception, not what stands around it': {
    cause: 'unknown',
    lines: startFailure("KeyError: 'layers.0.weird'"),
    text: /^exited with code 1: KeyError: 'layers\.0\.weird'$/,
    retryable: true,
    lastLine: /^KeyError: 'layers/,
  },
  'only a wrapper': {
    cause: 'unknown',
    lines: ['RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}'],
    text: /Engine core initialization failed/,
    retryable: true,
  },
  'no output at all': {
    cause: 'unknown',
    lines: [],
    text: /^exited with code 1$/,
    retryable: true,
    lastLine: /^$/,
  },
  'adopted engine, exit unknown': {
    cause: 'unknown',
    lines: [],
    exit: { code: null, signal: null },
    text: /^ended in an unknown way$/,
    retryable: true,
  },
  'adopted engine, and it is said why': {
    cause: 'unknown',
    lines: ['(APIServer pid=7) INFO:     Application startup complete.', '(APIServer pid=7) INFO:     bye'],
    exit: { code: null, signal: null, unknownBecause: 'it was started by an earlier gateway' },
    text: /^ended, and its exit code is not known because it was started by an earlier gateway: bye$/,
    retryable: true,
  },
  'secrets stay here': {
    cause: 'unknown',
    lines: [
      "RuntimeError: login with hf_AbCdEf123456 failed, Authorization: Bearer abc.def-123, --api-key hunter22 {'api_key': ['a', 'b']} at http://me:pw@proxy/",
    ],
    text: /login with hf_\*\*\* failed, Authorization: Bearer \*\*\*, --api-key \*\*\* \{'api_key': \*\*\*\} at http:\/\/\*\*\*@proxy\/$/,
    retryable: true,
  },
};

for (const [name, expected] of Object.entries(CASES)) {
  test(`diagnosis: ${name}`, () => {
    const found = diagnoseVllm(expected.exit ?? FAILED, expected.lines);
    assert.equal(found.cause, expected.cause, JSON.stringify(found));
    assert.match(found.text, expected.text);
    assert.equal(found.retryable, expected.retryable);
    assert.deepEqual(found.remedy, expected.remedy);
    if (expected.lastLine !== undefined) assert.match(found.lastLine, expected.lastLine);
    assert.ok(!found.text.endsWith('.'), 'the catalogue brings the full stop');
  });
}

test('a very long line is cut', () => {
  const found = diagnoseVllm(FAILED, [`RuntimeError: ${'x'.repeat(4000)}`]);
  assert.ok(found.lastLine.length <= 400);
  assert.ok(found.lastLine.endsWith('…'));
});
