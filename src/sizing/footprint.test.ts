import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishedFacts, request } from '../../test/fixtures/model-configs.ts';
import { type Footprint, type FootprintRequest, footprint, sequencesThatFit } from './footprint.ts';
import { nearestFit } from './nearest-fit.ts';

const MIB = 1024 * 1024;

function need(model: string, changes: Partial<FootprintRequest> = {}): Footprint {
  const sized = footprint(publishedFacts(model), request(changes));
  assert.ok(sized.ok, sized.ok ? '' : sized.error);
  return sized.value;
}

function fault(model: string, changes: Partial<FootprintRequest>): string {
  const sized = footprint(publishedFacts(model), request(changes));
  assert.ok(!sized.ok);
  return sized.error;
}

test('(weights + KV cache) x 1.1 + 1024 MiB, as the original reckoned', () => {
  const { totalMib, kvBytes } = need('llama-3.1-8b', { maxModelLen: 8192, sequences: 4 });
  assert.equal(kvBytes, 4 * 8192 * 131_072);
  assert.equal(totalMib, Math.ceil(((16_060_522_496 + kvBytes) * 1.1) / MIB + 1024));
});

test('per device under tensor parallelism; the largest stage under pipeline parallelism', () => {
  const one = need('llama-3.1-70b');
  const four = need('llama-3.1-70b', { tensorParallel: 4 });
  assert.ok(four.totalMib > one.totalMib / 4 && four.totalMib < one.totalMib / 4 + 1024);
  const piped = need('llama-3.1-70b', { pipelineParallel: 4 });
  assert.ok(piped.totalMib > one.totalMib / 4 && piped.totalMib < one.totalMib / 3);
});

test('windows count for each further sequence, what is in flight once', () => {
  const one = need('gpt-oss-20b', { maxModelLen: 131_072 });
  const two = need('gpt-oss-20b', { maxModelLen: 131_072, sequences: 2 });
  assert.ok(two.kvBytes < 2 * one.kvBytes);
  assert.equal(two.kvBytes - one.kvBytes, one.kv.bytesPerFurtherRequest);
});

test('plain weights may be packed while loading; packed files stay as they are', () => {
  const plain = need('llama-3.1-8b').weights.bytesPerRank;
  assert.ok(need('llama-3.1-8b', { quantization: 'fp8' }).weights.bytesPerRank < 0.6 * plain);
  assert.equal(need('llama-3.1-8b', { quantization: 'awq' }).weights.bytesPerRank, plain);
  const packed = need('qwen2.5-7b-awq').weights.bytesPerRank;
  assert.equal(need('qwen2.5-7b-awq', { quantization: 'awq_marlin' }).weights.bytesPerRank, packed);
  assert.equal(need('llama-3.1-8b', { dtype: 'float32' }).weights.bytesPerRank, 2 * plain);
});

test('an embedding model keeps no cache, a state model needs no length', () => {
  assert.equal(need('all-minilm-l6-v2', { sequences: 64 }).kvBytes, 0);
  const mamba = need('mamba-codestral-7b', { maxModelLen: null, sequences: 3 });
  assert.equal(mamba.kvBytes, 3 * mamba.kv.bytesPerRequest);
});

test('what cannot be had is said in words', () => {
  assert.match(fault('qwen2.5-7b', { tensorParallel: 8 }), /28 attention heads.*8 devices/);
  assert.match(fault('smollm2-135m', { pipelineParallel: 31 }), /30 layers.*31/);
  const unknown = footprint(
    publishedFacts('llama-3.1-8b', { max_position_embeddings: null }),
    request({ maxModelLen: null }),
  );
  assert.match(unknown.ok ? '' : unknown.error, /max_model_len/);
});

test('sequences that fit: exactly up to the last one', () => {
  const base = need('llama-3.1-8b', { maxModelLen: 8192 });
  const count = sequencesThatFit(base, 24_000);
  assert.ok(count !== null && count > 0);
  assert.ok(need('llama-3.1-8b', { maxModelLen: 8192, sequences: count }).totalMib <= 24_000);
  assert.ok(need('llama-3.1-8b', { maxModelLen: 8192, sequences: count + 1 }).totalMib > 24_000);
  assert.equal(sequencesThatFit(base, 10_000), 0);
  assert.equal(sequencesThatFit(need('all-minilm-l6-v2'), 10_000), null);
});

function changes(
  model: string,
  deviceMib: number,
  wishes: Partial<FootprintRequest>,
): Map<string, Footprint> {
  const facts = publishedFacts(model);
  const found = nearestFit(facts, need(model, wishes), deviceMib);
  return new Map(found.map((change) => [change.change, change.need]));
}

test('each single change that would make it fit, with its numbers; none wastes what there is', () => {
  const found = changes('llama-3.1-8b', 24_000, { maxModelLen: 32_768, sequences: 4 });
  const fewer = found.get('sequences');
  const shorter = found.get('max_model_len');
  assert.ok(fewer !== undefined && shorter !== undefined && found.has('tensor_parallel'));
  assert.equal(fewer.request.sequences, 1);
  for (const fitting of found.values()) assert.ok(fitting.totalMib <= 24_000);
  const longer = need('llama-3.1-8b', { maxModelLen: shorter.maxModelLen + 256, sequences: 4 });
  assert.ok(longer.totalMib > 24_000);
  assert.ok(!found.has('kv_type'), 'halving the cache is not enough here');
});

test('8-bit cache is proposed where it suffices, and not twice', () => {
  const wishes = { maxModelLen: 32_768, sequences: 2 };
  assert.ok(changes('llama-3.1-8b', 24_000, wishes).has('kv_type'));
  assert.ok(!changes('llama-3.1-8b', 18_000, { ...wishes, kvType: 'fp8' }).has('kv_type'));
});

test('where no single change suffices: a short context for one sequence on the fewest devices', () => {
  const found = changes('llama-3.1-70b', 24_000, { maxModelLen: 131_072, sequences: 16 });
  assert.deepEqual([...found.keys()], ['several']);
  assert.equal(found.get('several')?.request.tensorParallel, 8);
});

test('nothing helps a model whose weights are too large for sixteen devices', () => {
  assert.equal(changes('deepseek-v3', 24_000, {}).size, 0);
});
