import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishedFacts } from '../../test/fixtures/model-configs.ts';
import { floatBytes } from './element-types.ts';
import type { ModelFacts } from './model-facts.ts';
import { parameterCount, pipelineStages, type StageWeights, stageWeights } from './weights.ts';

function stages(facts: ModelFacts, tensorParallel = 1, pipelineParallel = 1): StageWeights[] {
  return stageWeights(facts, {
    tensorParallel,
    pipelineParallel,
    plainBytes: floatBytes(facts.dtype),
    quantization: facts.quantization,
  });
}

function bytes(facts: ModelFacts, tensorParallel = 1, pipelineParallel = 1): number {
  return Math.max(...stages(facts, tensorParallel, pipelineParallel).map(({ bytesPerRank }) => bytesPerRank));
}

function part(facts: ModelFacts, kind: string, tensorParallel = 1): number {
  return stages(facts, tensorParallel)[0]?.parts.find((one) => one.kind === kind)?.bytesPerRank ?? 0;
}

test('tensor parallelism divides matrices and repeats norms', () => {
  const facts = publishedFacts('llama-3.1-8b');
  const norms = part(facts, 'norms');
  assert.equal(bytes(facts, 2), (bytes(facts) - norms) / 2 + norms);
});

test('keys and values are repeated where ranks are more than KV heads', () => {
  const facts = publishedFacts('qwen2.5-0.5b');
  // 14 heads, 2 of keys and values: seven ranks hold two query heads and one KV head each.
  const head = 64;
  const perLayer = 896 * (2 * 14 * head) + 14 * head + 2 * 2 * head * 897;
  assert.equal(part(facts, 'attention'), 24 * perLayer * 2);
  const perRank = (896 * (2 * 14 * head) + 14 * head) / 7 + 2 * head * 897;
  assert.equal(part(facts, 'attention', 7), 24 * perRank * 2);
});

test('latent down-projections and routers are whole on every rank', () => {
  const facts = publishedFacts('deepseek-v3');
  const down = 61 * 7168 * (512 + 64 + 1536);
  assert.equal(part(facts, 'attention, on every rank', 8), down);
  assert.equal(part(facts, 'routers', 8), 58 * 256 * (7168 + 1) * 2);
});

test('a tower is whole on every rank', () => {
  const facts = publishedFacts('gemma-3-27b');
  assert.equal(part(facts, 'tower', 4), facts.towerParameters * 2);
});

test('pipeline stages: what does not divide goes to the stages before the last', () => {
  assert.deepEqual(pipelineStages(61, 4), [
    [0, 15],
    [15, 30],
    [30, 46],
    [46, 61],
  ]);
  assert.deepEqual(pipelineStages(30, 4), [
    [0, 7],
    [7, 15],
    [15, 23],
    [23, 30],
  ]);
  assert.deepEqual(pipelineStages(32, 1), [[0, 32]]);
});

test('the first stage has the table, the last the head; a tied model has the table in both', () => {
  const untied = stages(publishedFacts('llama-3.1-8b'), 1, 2).map(({ parts }) =>
    parts.map(({ kind }) => kind),
  );
  assert.ok(untied[0]?.includes('embedding') && !untied[0].includes('output head'));
  assert.ok(untied[1]?.includes('output head') && !untied[1].includes('embedding'));
  const tied = stages(publishedFacts('llama-3.2-1b'), 1, 2).map(({ parts }) => parts.map(({ kind }) => kind));
  assert.ok(tied[0]?.includes('embedding') && tied[1]?.includes('embedding'));
});

test('packed weights: experts alone for gpt-oss, attention and experts for an fp8 DeepSeek, never the table', () => {
  const oss = publishedFacts('gpt-oss-20b');
  assert.equal(part(oss, 'embedding'), 201_088 * 2880 * 2);
  assert.ok(part(oss, 'experts') < 0.28 * parameterCount(oss) * 2);
  const deepseek = publishedFacts('deepseek-v3');
  assert.equal(part(deepseek, 'experts'), 58 * 256 * 3 * 7168 * 2048);
  assert.equal(part(deepseek, 'embedding'), 129_280 * 7168 * 2);
});

test('bytes read from files replace the sum and keep the shares', () => {
  const computed = publishedFacts('llama-3.1-8b');
  const stored = { bytes: 2 * bytes(computed), skippedBytes: 0, source: 'safetensors' as const };
  const facts: ModelFacts = { ...computed, stored };
  assert.equal(bytes(facts), stored.bytes);
  assert.equal(part(facts, 'feed-forward'), 2 * part(computed, 'feed-forward'));
  assert.ok(Math.abs(bytes(facts, 2) - 2 * bytes(computed, 2)) < 1);
});

test('another type than the files have is computed', () => {
  const computed = publishedFacts('llama-3.1-8b');
  const facts: ModelFacts = { ...computed, stored: { bytes: 1, skippedBytes: 0, source: 'safetensors' } };
  const [stage] = stageWeights(facts, {
    tensorParallel: 1,
    pipelineParallel: 1,
    plainBytes: 4,
    quantization: null,
  });
  assert.equal(stage?.bytesPerRank, parameterCount(facts) * 4);
});
