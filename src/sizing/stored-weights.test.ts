import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishedFacts } from '../../test/fixtures/model-configs.ts';
import { groupTensors, storedWeights, type TensorEntry } from './stored-weights.ts';

function tensor(name: string, type: string, elements: number, bytes: number): TensorEntry {
  return { name, type, elements, bytes };
}

function bytesOf(model: string, tensors: TensorEntry[]): { bytes: number; skippedBytes: number } {
  return storedWeights(publishedFacts(model), groupTensors(tensors), 'safetensors');
}

test('plain weights are cast to the type of the model while loading', () => {
  const { bytes } = bytesOf('llama-3.1-8b', [
    tensor('model.layers.0.mlp.up_proj.weight', 'F32', 100, 400),
    tensor('model.norm.weight', 'BF16', 10, 20),
  ]);
  assert.equal(bytes, 220);
});

test('packed weights and their scales stay as they are', () => {
  const { bytes } = bytesOf('qwen2.5-7b-awq', [
    tensor('model.layers.0.mlp.up_proj.qweight', 'I32', 100, 400),
    tensor('model.layers.0.mlp.up_proj.scales', 'F32', 10, 40),
  ]);
  assert.equal(bytes, 440);
});

test('draft layers and a tied head are not loaded', () => {
  const draft = bytesOf('deepseek-v3', [
    tensor('model.layers.60.mlp.gate.weight', 'BF16', 10, 20),
    tensor('model.layers.61.eh_proj.weight', 'BF16', 10, 20),
    tensor('lm_head.weight', 'BF16', 5, 10),
  ]);
  assert.deepEqual({ bytes: draft.bytes, skippedBytes: draft.skippedBytes }, { bytes: 30, skippedBytes: 20 });
  const qwen = bytesOf('qwen3-next-80b-a3b', [tensor('mtp.layers.0.mlp.gate.weight', 'BF16', 10, 20)]);
  assert.equal(qwen.bytes, 0);
  const tied = bytesOf('llama-3.2-1b', [
    tensor('lm_head.weight', 'BF16', 5, 10),
    tensor('model.embed_tokens.weight', 'BF16', 5, 10),
  ]);
  assert.equal(tied.bytes, 10);
});

test('layers of a tower are not taken for layers of the language model', () => {
  const { bytes } = bytesOf('gemma-3-4b', [
    tensor('vision_tower.vision_model.encoder.layers.99.mlp.fc1.weight', 'BF16', 10, 20),
  ]);
  assert.equal(bytes, 20);
});

test('tensors of one kind are summed up', () => {
  const groups = groupTensors(
    Array.from({ length: 1000 }, (_, index) =>
      tensor(`model.layers.3.mlp.experts.${index}.up`, 'BF16', 1, 2),
    ),
  );
  assert.deepEqual(groups, [{ layer: 3, role: 'other', type: 'BF16', elements: 1000, bytes: 2000 }]);
});
