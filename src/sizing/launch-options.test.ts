import assert from 'node:assert/strict';
import { test } from 'node:test';
import { question } from '../../test/fixtures/launch-questions.ts';
import { contextLength, fitsContextItself, footprintRequest } from './launch-options.ts';

function options(...extraArgs: string[]) {
  return question(null, { extraArgs }).options;
}

test('the context length of extra_args beats the option, in vLLM’s own units', () => {
  assert.equal(contextLength(options()), 8192);
  assert.equal(contextLength(options('--max-model-len', '32k')), 32_000);
  assert.equal(contextLength(options('--max_model_len=32K')), 32_768);
  assert.equal(contextLength(options('--max-model-len', '1.5k', '--max-model-len', '2048')), 2048);
  assert.equal(contextLength(options('--max-model-len', 'auto')), 8192);
  assert.equal(contextLength(question(null, { maxModelLen: 0 }).options), null);
});

test('vLLM may be asked to choose the context itself', () => {
  assert.ok(fitsContextItself(options('--max-model-len', 'auto')));
  assert.ok(fitsContextItself(options('--max-model-len=-1')));
  assert.ok(!fitsContextItself(options('--max-model-len', '4096')));
});

test('types: those that vLLM names, anything else as the weights', () => {
  const request = (dtype: string | null, ...extraArgs: string[]) =>
    footprintRequest({ dtype, quantization: null, extraArgs }, 2, 4096, 3);
  assert.deepEqual(request('half', '--kv-cache-dtype', 'fp8_e5m2'), {
    tensorParallel: 2,
    pipelineParallel: 1,
    maxModelLen: 4096,
    sequences: 3,
    kvType: 'fp8_e5m2',
    dtype: 'float16',
    quantization: null,
  });
  assert.equal(request('auto', '--kv-cache-dtype', 'nvfp4').kvType, 'auto');
  assert.equal(request('auto').dtype, null);
});
