import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishedFacts } from '../../test/fixtures/model-configs.ts';
import { type KvNeed, type KvOptions, kvNeed } from './kv-cache.ts';

function need(model: string, changes: Partial<KvOptions> = {}): KvNeed {
  const facts = publishedFacts(model);
  return kvNeed(facts.layers, {
    tensorParallel: 1,
    dtype: facts.dtype,
    kvType: 'auto',
    maxModelLen: 4096,
    blockSize: null,
    inFlightTokens: 16_384,
    ...changes,
  });
}

test('the tokens that a real vLLM 0.32 logged for 1 GiB of cache', () => {
  // `CPU KV cache size: 46,592 tokens`: whole blocks / blocks a request, times the length.
  const { bytesPerRequest } = need('smollm2-135m', { maxModelLen: 1024 });
  const blocks = Math.floor(2 ** 30 / (bytesPerRequest / 64));
  assert.equal(Math.trunc((blocks / 64) * 1024), 46_592);
});

test('KV heads are divided among ranks and repeated once the ranks are more than the heads', () => {
  assert.equal(need('llama-3.1-70b', { tensorParallel: 4 }).bytesPerToken, 80 * 1024);
  assert.equal(need('llama-3.1-70b', { tensorParallel: 8 }).bytesPerToken, 40 * 1024);
  assert.equal(need('llama-3.1-70b', { tensorParallel: 16 }).bytesPerToken, 40 * 1024);
  assert.equal(need('qwen2.5-7b', { tensorParallel: 7 }).bytesPerToken, 28 * 2 * 128 * 2);
});

test('latent attention keeps its whole cache on every rank', () => {
  assert.equal(need('deepseek-v3', { tensorParallel: 8 }).bytesPerToken, 576 * 2 * 61);
  assert.equal(need('deepseek-v3', { kvType: 'fp8' }).bytesPerToken, 576 * 61);
});

test('types of the cache: one byte for fp8, and eight more a head and token where each has its scales', () => {
  const plain = need('llama-3.1-8b').bytesPerToken;
  assert.equal(need('llama-3.1-8b', { kvType: 'fp8' }).bytesPerToken, plain / 2);
  assert.equal(need('llama-3.1-8b', { kvType: 'int8_per_token_head' }).bytesPerToken, plain / 2 + 32 * 8 * 8);
  assert.equal(need('llama-3.1-8b', { kvType: 'int4_per_token_head' }).bytesPerToken, plain / 4 + 32 * 8 * 8);
});

test('a request takes whole blocks', () => {
  assert.equal(need('llama-3.1-8b', { maxModelLen: 1 }).bytesPerRequest, 16 * 131_072);
  assert.equal(need('llama-3.1-8b', { maxModelLen: 17 }).bytesPerRequest, 32 * 131_072);
  assert.equal(need('deepseek-v3', { maxModelLen: 65 }).bytesPerRequest, 128 * 70_272);
});

test('sliding layers keep their window and what is in flight, and no more', () => {
  const short = need('gpt-oss-20b', { maxModelLen: 131_072, inFlightTokens: 2048 });
  const page = 16 * 2048;
  const window = Math.ceil((127 + 2048) / 16) + 1;
  assert.equal(short.bytesPerRequest, 12 * page * (131_072 / 16 + window));
  assert.equal(short.bytesPerFurtherRequest, 12 * page * (131_072 / 16 + Math.ceil((127 + 16) / 16) + 1));
  // Every layer slides: one group, and a context beyond the window costs nothing.
  const all = need('mistral-7b-v0.1', { maxModelLen: 32_768, inFlightTokens: 2048 });
  assert.equal(all.bytesPerRequest, (Math.ceil((4095 + 2048) / 16) + 1) * 16 * 131_072);
});

test('a window longer than the context is no window', () => {
  assert.equal(need('phi-3.5-mini').growthBytesPerToken, 393_216);
  assert.equal(need('phi-3-mini-4k').growthBytesPerToken, 0);
});

test('groups of layers are of one size, padding layers included', () => {
  // Gemma 3 27B: 10 full layers are a group; 52 sliding ones make six groups of ten, the last padded.
  const { bytesPerRequest } = need('gemma-3-27b', { maxModelLen: 4096 });
  const page = 16 * 8192;
  assert.equal(bytesPerRequest, 10 * page * (4096 / 16 + 6 * (4096 / 16 + 1)));
});

test('chunked layers keep a chunk and what is in flight', () => {
  const { bytesPerRequest } = need('llama-4-scout', { maxModelLen: 131_072, inFlightTokens: 2048 });
  const page = 16 * 4096;
  assert.equal(bytesPerRequest, 12 * page * (131_072 / 16 + 3 * ((8192 + 2048) / 16)));
});

test('hybrids: the attention block grows until it holds a state, and states are padded to its page', () => {
  const { blockTokens, bytesPerRequest, stateBytes } = need('qwen3-next-80b-a3b');
  // Per layer: (3 x 8192 convolved + 32 x 128 x 128 recurrent) x 2 bytes; 2048 bytes of KV a token and layer.
  const state = (3 * 8192 + 32 * 128 * 128) * 2;
  assert.equal(stateBytes, 36 * state);
  assert.equal(blockTokens, 16 * Math.ceil(state / (16 * 2048)));
  const page = blockTokens * 2048;
  assert.ok(page >= state);
  assert.equal(bytesPerRequest, 12 * page * (Math.ceil(4096 / blockTokens) + 3 * 2));
});

test('states are divided among ranks, whatever the length of the context', () => {
  const one = need('mamba-codestral-7b');
  assert.equal(one.stateBytes, 64 * ((8192 + 2 * 8 * 128) * 3 + 128 * 64 * 128) * 2);
  assert.equal(need('mamba-codestral-7b', { tensorParallel: 2 }).stateBytes, one.stateBytes / 2);
  assert.equal(need('mamba-codestral-7b', { maxModelLen: 1_000_000 }).bytesPerRequest, one.bytesPerRequest);
  assert.equal(one.bytesPerRequest, 2 * one.stateBytes);
});
