import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaunchRemedy } from '../engine.ts';
import { diagnoseVllm } from './diagnosis.ts';

const NO_BLOCKS =
  'ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`.';
const OOM = 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate';
const left = (rank: string, gib: string): string =>
  `(Worker_${rank} pid=3) INFO 11-24 08:12:39 [gpu_worker.py:760] Available KV cache memory: ${gib} GiB`;

const CASES: readonly (readonly [
  name: string,
  lines: readonly string[],
  remedy: LaunchRemedy | undefined,
])[] = [
  ['the device that had the least', [left('TP0', '-2.5'), left('TP1', '0.0'), NO_BLOCKS], { shortMib: 2560 }],
  ['nothing left is not enough', [left('TP0', '0.0'), NO_BLOCKS], { shortMib: 1 }],
  ['no figures', [NO_BLOCKS], undefined],
  [
    'more was free than was asked for: memory in pieces',
    [`${OOM} 20.00 MiB. GPU 0 has a total capacity of 23.68 GiB of which 25.38 MiB is free.`],
    { shortMib: 1 },
  ],
  [
    'almost nothing was free',
    [`${OOM} 2.00 MiB. GPU 0 has a total capacity of 23.68 GiB of which 512 bytes is free.`],
    { shortMib: 2 },
  ],
  [
    'flags with values, in both spellings',
    ['vllm: error: unrecognized arguments: --kv_cache_memory_bytes=4 --fly x -y --kv-cache-memory-bytes 5'],
    { refusedFlags: ['--kv-cache-memory-bytes', '--fly'] },
  ],
  ['a word that is no flag', ['vllm: error: unrecognized arguments: fly'], undefined],
  ['a cause that no launch can mend', ["KeyError: 'layers.0.weird'"], undefined],
];

for (const [name, lines, remedy] of CASES) {
  test(`remedy: ${name}`, () => {
    assert.deepEqual(diagnoseVllm({ code: 1, signal: null }, lines).remedy, remedy);
  });
}
