import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EnginePhase } from '../engine.ts';
import { parseVllmLine } from './phases.ts';

const API = '(APIServer pid=4171) INFO 11-24 08:12:01 ';
const CORE = '(EngineCore pid=4223) INFO 11-24 08:12:09 ';
const WORKER = '(Worker_TP0 pid=4230) INFO 11-24 08:12:11 ';

const LINES: readonly (readonly [line: string, phase: EnginePhase | null, percent: number | null])[] = [
  [`${API}[api_utils.py:233] non-default args: {'model_tag': '/m', 'uds': '/s'}`, 'configuring', null],
  [`${API}[model.py:614] Resolved architecture: LlamaForCausalLM`, 'configuring', null],
  [`${API}[model.py:1684] Using max model len 1024`, 'configuring', null],
  [
    `${CORE}[core.py:134] Initializing a V1 LLM engine (v0.32.0) with config: model='/m'`,
    'configuring',
    null,
  ],
  ['Fetching 4 files:  50%|█████     | 2/4 [00:03<00:03,  1.7s/it]', 'downloading', 50],
  ['model-00001-of-00002.safetensors:   7%|▋ | 335M/4.97G [00:05<01:02, 74MB/s]', 'downloading', 7],
  [
    `${WORKER}[weight_utils.py:527] Time spent downloading weights for acme/m: 12.5 seconds`,
    'downloading',
    100,
  ],
  [`${WORKER}[gpu_model_runner.py:5040] Starting to load model acme/m...`, 'loading', 0],
  ['Loading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]', 'loading', 0],
  ['Loading safetensors checkpoint shards (eager):  75% Completed | 3/4 [00:02<00:00]', 'loading', 75],
  ['(EngineCore pid=9) Loading pt checkpoint shards: 100% Completed | 1/1', 'loading', 100],
  [`${WORKER}[default_loader.py:308] Loading weights took 0.31 seconds`, 'loading', 100],
  [`${WORKER}[gpu_model_runner.py:5128] Model loading took 15.27 GiB memory and 4.1 seconds`, 'loading', 100],
  [`${WORKER}[backends.py:1] Starting torch.compile`, 'compiling', null],
  [`${WORKER}[backends.py:704] Dynamo bytecode transform time: 5.66 s`, 'compiling', null],
  [`${WORKER}[backends.py:275] Compiling a graph for compile range (1, 8192) takes 3.2 s`, 'compiling', null],
  [
    `${WORKER}[backends.py:211] Directly load the compiled graph(s) for compile range (1, 8192)`,
    'compiling',
    null,
  ],
  [`${WORKER}[monitor.py:35] torch.compile took 8.9 s in total`, 'compiling', 100],
  [
    `${WORKER}[monitor.py:35] torch.compile and initial profiling/warmup run together took 9 s`,
    'compiling',
    100,
  ],
  [`${WORKER}[gpu_worker.py:760] Available KV cache memory: -1.25 GiB`, 'profiling', null],
  [
    `${CORE}[kv_cache_utils.py:2328] GPU KV cache size: 39,120 tokens, Maximum concurrency for 1,024 tokens per request: 38.20x`,
    'profiling',
    100,
  ],
  [`${CORE}[kv_cache_utils.py:2328] CPU KV cache size: 39,120 tokens`, 'profiling', 100],
  ['Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  42%|████▏ | 28/67 [00:02]', 'capturing', 42],
  [`${WORKER}[gpu_model_runner.py:5] Graph capturing finished in 12 secs, took 0.62 GiB`, 'capturing', 100],
  [
    `${CORE}[core.py:386] init engine (profile, create kv cache, warmup model) took 21.3 s (compilation: 8.9 s)`,
    'serving',
    null,
  ],
  [`${API}[launcher.py:46] Route: /health, Methods: GET`, null, null],
  [`${API}[api_server.py:4] Supported tasks: ['generate']`, 'serving', null],
  [`${API}[launcher.py:40] Starting vLLM server on unix:/run/e/a.sock`, 'serving', null],
  ['(APIServer pid=4171) INFO:     Application startup complete.', 'serving', 100],
  ['INFO:     Application startup complete.', 'serving', 100],
  ['\u001b[32mINFO\u001b[0m:     Application startup complete.', 'serving', 100],
  ['', null, null],
  ['(APIServer pid=1) INFO: 127.0.0.1 - "POST /v1/x?Starting torch.compile HTTP/1.1" 200 OK', null, null],
  [`${API}[x.py:1] the user said: Application startup complete`, null, null],
];

for (const [line, phase, percent] of LINES) {
  test(`line: ${line.slice(0, 90)}`, () => {
    assert.deepEqual(parseVllmLine(line), phase === null ? null : { phase, percent });
  });
}
