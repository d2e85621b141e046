import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseVllmMemory } from './memory-lines.ts';

const GPU = '(EngineCore pid=812) INFO 11-24 08:12:40 [gpu_worker.py:760] ';
const RANK = '(Worker_TP0 pid=9) INFO 11-24 08:12:40 [gpu_worker.py:760] ';
const OLD = 'INFO 04-11 09:34:18 [gpu_worker.py:227] ';

for (const [line, expected] of [
  [`${GPU}Model loading took 14.25 GiB memory and 3.219841 seconds`, { weightsMib: 14_592 }],
  [`${RANK}Model loading took 7.5 GiB memory and 3.2 seconds`, { weightsMib: 7680 }],
  [`${OLD}Model loading took 0.98 GB and 1.2 seconds`, { weightsMib: 1004 }],
  [`${GPU}Available KV cache memory: 4.12 GiB`, { kvCacheMib: 4219 }],
  [`${RANK}Available KV cache memory: -1.25 GiB`, { kvCacheMib: -1280 }],
  [
    `${GPU}Initial free memory 23.1 GiB, reserved 4.0 GiB memory for KV Cache as specified by kv_cache_memory_bytes config and skipped memory profiling.`,
    { kvCacheMib: 4096 },
  ],
  [`${GPU}Explicitly set (1.0/17.59) GiB for KV cache on node 0.`, { kvCacheMib: 1024 }],
  [
    `${GPU}GPU KV cache size: 1,048,576 tokens, Maximum concurrency for 2,048 tokens per request: 512.00x`,
    { kvCacheTokens: 1_048_576 },
  ],
  [`${OLD}GPU KV cache size: 512 tokens`, { kvCacheTokens: 512 }],
  [`${RANK}Graph capturing finished in 12 secs, took 0.52 GiB`, { graphsMib: 532 }],
  [`${OLD}Graph capturing finished in 1 secs, took -0.01 GiB`, { graphsMib: 0 }],
  [`${GPU}Loading weights took 3.2 seconds`, null],
  [`${GPU}the user said: Available KV cache memory: 4.12 GiB`, null],
  ['', null],
] as const) {
  test(`memory: ${line.slice(0, 90)}`, () => assert.deepEqual(parseVllmMemory(line), expected));
}
