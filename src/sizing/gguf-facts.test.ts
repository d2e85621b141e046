import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request } from '../../test/fixtures/model-configs.ts';
import type { JsonObject } from './config-keys.ts';
import { footprint } from './footprint.ts';
import { factsFromGguf } from './gguf-facts.ts';
import type { TensorGroup } from './stored-weights.ts';

/** Llama 3.1 8B in Q4_K_M, as its header has it. */
const LLAMA: JsonObject = {
  'general.architecture': 'llama',
  'llama.block_count': 32,
  'llama.context_length': 131_072,
  'llama.embedding_length': 4096,
  'llama.feed_forward_length': 14_336,
  'llama.attention.head_count': 32,
  'llama.attention.head_count_kv': 8,
  'llama.vocab_size': 128_256,
};

const GROUPS: readonly TensorGroup[] = [
  { layer: 0, role: 'other', type: '12', elements: 7_504_924_672, bytes: 4_481_679_360 },
  { layer: null, role: 'head', type: '14', elements: 525_336_576, bytes: 430_940_160 },
];

function facts(metadata: JsonObject, groups = GROUPS) {
  const read = factsFromGguf(metadata, groups);
  assert.ok(read.ok, read.ok ? '' : read.error.missing.join());
  return read.value;
}

test('weights are those of the file, KV cache that of the shapes', () => {
  const sized = footprint(facts(LLAMA), request({ maxModelLen: 8192 }));
  assert.ok(sized.ok);
  assert.equal(Math.round(sized.value.weights.bytesPerRank), 4_481_679_360 + 430_940_160);
  assert.equal(sized.value.kv.bytesPerToken, 131_072);
});

test('without a head of its own the table is the head', () => {
  assert.equal(facts(LLAMA).tiedEmbeddings, false);
  assert.equal(facts(LLAMA, GROUPS.slice(0, 1)).tiedEmbeddings, true);
});

test('experts, windows, latent attention and values for each layer', () => {
  const gemma = facts({
    'general.architecture': 'gemma3',
    'gemma3.block_count': 12,
    'gemma3.embedding_length': 2560,
    'gemma3.feed_forward_length': 10_240,
    'gemma3.attention.head_count': 8,
    'gemma3.attention.head_count_kv': 4,
    'gemma3.attention.key_length': 256,
    'gemma3.attention.value_length': 256,
    'gemma3.attention.sliding_window': 1024,
    'gemma3.vocab_size': 262_144,
  });
  const reaches = gemma.layers.map(({ mixer }) =>
    mixer.kind === 'attention' ? mixer.reach.kind : mixer.kind,
  );
  assert.deepEqual(reaches.filter((reach) => reach === 'full').length, 2);
  const deepseek = facts({
    'general.architecture': 'deepseek2',
    'deepseek2.block_count': 27,
    'deepseek2.embedding_length': 2048,
    'deepseek2.feed_forward_length': 10_944,
    'deepseek2.leading_dense_block_count': 1,
    'deepseek2.expert_count': 64,
    'deepseek2.expert_feed_forward_length': 1408,
    'deepseek2.expert_shared_count': 2,
    'deepseek2.attention.head_count': 16,
    'deepseek2.attention.kv_lora_rank': 512,
    'deepseek2.attention.key_length': 192,
    'deepseek2.attention.value_length': 128,
    'deepseek2.rope.dimension_count': 64,
    'deepseek2.vocab_size': 102_400,
  });
  const [first, second] = deepseek.layers;
  assert.equal(first?.feedForward.kind, 'dense');
  assert.equal(second?.feedForward.kind === 'experts' && second.feedForward.sharedIntermediateSize, 2816);
  assert.equal(first?.mixer.kind === 'latent' && first.mixer.kvLoraRank + first.mixer.ropeHeadSize, 576);
  const uneven = facts({ ...LLAMA, 'llama.block_count': 2, 'llama.attention.head_count_kv': [8, 4] });
  assert.deepEqual(
    uneven.layers.map(({ mixer }) => mixer.kind === 'attention' && mixer.kvHeads),
    [8, 4],
  );
});

test('what is missing is told by its key', () => {
  const read = factsFromGguf({ 'general.architecture': 'llama', 'llama.block_count': 2 }, GROUPS);
  assert.ok(!read.ok);
  assert.ok(read.error.missing.some((text) => text.includes('llama.embedding_length')));
  const unknown = factsFromGguf({ 'general.architecture': 'rwkv7' }, GROUPS);
  assert.match(unknown.ok ? '' : (unknown.error.missing[0] ?? ''), /rwkv7/);
});
