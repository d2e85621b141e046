import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestOf } from './nearest.ts';

const KNOWN = ['repo', 'max_num_seqs', 'max_model_len', 'gpu_memory_utilization', 'url'];

const CASES: readonly (readonly [word: string, nearest: string | null])[] = [
  ['repoo', 'repo'],
  ['Repo', 'repo'],
  ['max_num_seq', 'max_num_seqs'],
  ['max_modellen', 'max_model_len'],
  ['max-model-len', 'max_model_len'],
  ['gpu_mem_util', 'gpu_memory_utilization'],
  ['xyz', null],
  ['temperature', null],
  ['', null],
  ['r'.repeat(1000), null],
];

test('the nearest known word is proposed, and none that is far', () => {
  for (const [word, nearest] of CASES) assert.equal(nearestOf(word, KNOWN), nearest, word);
  assert.equal(nearestOf('repo', []), null);
});
