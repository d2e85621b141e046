import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishedConfig, publishedFacts } from '../../test/fixtures/model-configs.ts';
import { factsFromConfig } from './config-facts.ts';
import { isObject, type JsonObject } from './config-keys.ts';

function missing(config: unknown): readonly string[] {
  const facts = factsFromConfig(config);
  assert.ok(!facts.ok, 'it is understood');
  return facts.error.missing;
}

function without(config: JsonObject, ...names: string[]): JsonObject {
  return Object.fromEntries(Object.entries(config).filter(([name]) => !names.includes(name)));
}

/** How often each kind of layer occurs. */
function kinds(model: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { mixer, feedForward } of publishedFacts(model).layers) {
    const word = mixer.kind === 'attention' ? mixer.reach.kind : mixer.kind;
    for (const kind of [word, feedForward.kind]) counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

test('everything that is missing is told at once, by its key', () => {
  assert.deepEqual(
    missing(without(publishedConfig('llama-3.1-8b'), 'hidden_size', 'num_attention_heads', 'vocab_size')),
    [
      '`hidden_size` is missing or no positive number',
      '`num_attention_heads` is missing or no positive number',
      '`vocab_size` is missing or no positive number',
    ],
  );
});

test('a missing key of a language model inside another is told with its place', () => {
  const config = publishedConfig('llama-4-scout');
  const text = config['text_config'];
  assert.ok(isObject(text));
  assert.deepEqual(missing({ ...config, text_config: without(text, 'num_hidden_layers') }), [
    '`text_config.num_hidden_layers` is missing or no positive number',
  ]);
});

test('what is no model, or a model of unknown layers, is refused with the reason', () => {
  assert.deepEqual(missing([]), ['config.json is not a JSON object']);
  assert.deepEqual(missing(null), ['config.json is not a JSON object']);
  assert.match(missing({ ...publishedConfig('llama-3.1-8b'), model_type: 'zamba2' })[0] ?? '', /zamba2/);
  assert.match(
    missing({ ...publishedConfig('llama-3.1-8b'), layer_types: ['retention'] })[0] ?? '',
    /retention/,
  );
  assert.match(
    missing({ ...publishedConfig('nemotron-h-8b'), hybrid_override_pattern: 'MX' })[0] ?? '',
    /`X`/,
  );
  assert.match(
    missing({ ...publishedConfig('llama-3.1-8b'), num_hidden_layers: 1e9 })[0] ?? '',
    /1000000000/,
  );
  assert.match(
    missing({ ...publishedConfig('llama-3.1-8b'), quantization_config: { quant_method: 'newest' } })[0] ?? '',
    /newest/,
  );
});

test('an unknown type of llama’s shape is read, and said to be taken for that', () => {
  const facts = publishedFacts('llama-3.1-8b', { model_type: 'brandnew' });
  assert.match(facts.assumptions[0] ?? '', /brandnew.*llama/);
});

test('kinds of layers by each family’s own rule', () => {
  assert.deepEqual(kinds('gemma-2-9b'), { sliding: 21, full: 21, dense: 42 });
  assert.deepEqual(kinds('gemma-3-27b'), { sliding: 52, full: 10, dense: 62 });
  assert.deepEqual(kinds('gpt-oss-20b'), { sliding: 12, full: 12, experts: 24 });
  assert.deepEqual(kinds('llama-4-scout'), { chunked: 36, full: 12, experts: 48 });
  assert.deepEqual(kinds('qwen3-next-80b-a3b'), { state: 36, full: 12, experts: 48 });
  assert.deepEqual(kinds('jamba-mini'), { state: 28, full: 4, dense: 16, experts: 16 });
  assert.deepEqual(kinds('granite-4.0-h-tiny'), { state: 36, full: 4, experts: 40 });
  assert.deepEqual(kinds('nemotron-h-8b'), { state: 24, full: 4, none: 52, dense: 24 });
  assert.deepEqual(kinds('deepseek-v3'), { latent: 61, dense: 3, experts: 58 });
  assert.deepEqual(kinds('llama-3.2-11b-vision'), { full: 32, cross_attention: 8, dense: 40 });
  assert.deepEqual(kinds('qwen2.5-7b'), { full: 28, dense: 28 });
});

test('the native length: rope scaling where it is not in the key already, LongRoPE’s original', () => {
  const length = (rope_scaling: unknown) =>
    publishedFacts('llama-3.1-8b', { rope_scaling }).nativeMaxModelLen;
  assert.equal(length({ type: 'linear', factor: 2 }), 262_144);
  assert.equal(length({ rope_type: 'dynamic', factor: 4 }), 524_288);
  assert.equal(length({ rope_type: 'yarn', factor: 4 }), 131_072);
  assert.equal(length({ rope_type: 'llama3', factor: 8 }), 131_072);
  assert.equal(length(null), 131_072);
});

test('types: 16 bits for float32 and for a configuration without a word', () => {
  assert.equal(publishedFacts('llama-3.1-8b', { torch_dtype: 'float32' }).dtype, 'bfloat16');
  assert.equal(publishedFacts('llama-3.1-8b', { torch_dtype: 'float16' }).dtype, 'float16');
  assert.equal(publishedFacts('llama-3.1-8b', { torch_dtype: null, dtype: 'half' }).dtype, 'float16');
  assert.equal(publishedFacts('all-minilm-l6-v2').dtype, 'bfloat16');
});

test('packings by what vLLM calls them', () => {
  const packing = (quantization_config: JsonObject) =>
    publishedFacts('llama-3.1-8b', { quantization_config }).quantization;
  assert.equal(packing({ quant_method: 'awq', bits: 4, group_size: 128 })?.bitsPerWeight, 4 + 20 / 128);
  assert.equal(packing({ quant_method: 'gptq', bits: 8, group_size: -1 })?.bitsPerWeight, 8);
  assert.equal(packing({ quant_method: 'fp8' })?.bitsPerWeight, 8);
  assert.equal(packing({ quant_method: 'bitsandbytes', load_in_4bit: true })?.bitsPerWeight, 4.5);
  assert.equal(packing({ quant_method: 'bitsandbytes', load_in_8bit: true })?.bitsPerWeight, 8);
  assert.equal(packing({ quant_method: 'modelopt', quant_algo: 'NVFP4' })?.bitsPerWeight, 4.5);
  assert.equal(
    packing({ producer: { name: 'modelopt' }, quantization: { quant_algo: 'FP8' } })?.bitsPerWeight,
    8,
  );
  const compressed = (weights: JsonObject, ignore: string[] = []) =>
    packing({ quant_method: 'compressed-tensors', config_groups: { group_0: { weights } }, ignore });
  assert.equal(compressed({ num_bits: 8, type: 'float' })?.bitsPerWeight, 8);
  assert.equal(compressed({ num_bits: 4, type: 'int', group_size: 128 })?.bitsPerWeight, 4 + 20 / 128);
  assert.equal(compressed({ num_bits: 4, type: 'float', group_size: 16 })?.bitsPerWeight, 4.5);
  assert.equal(compressed({ num_bits: 8, type: 'float' }, ['re:.*self_attn.*'])?.attention, false);
  assert.equal(publishedFacts('gpt-oss-20b').quantization?.attention, false);
});

test('a packing that is not known is no hindrance once the files’ headers were read', () => {
  const config = { ...publishedConfig('llama-3.2-1b'), quantization_config: { quant_method: 'newest' } };
  const facts = factsFromConfig(config, [{ layer: 0, role: 'other', type: 'U8', elements: 10, bytes: 10 }]);
  assert.ok(facts.ok);
  assert.equal(facts.value.stored?.bytes, 10);
  assert.match(facts.value.assumptions[0] ?? '', /newest/);
});

test('random JSON never throws', () => {
  const values = [null, 0, -1, 1e300, '', 'x', [], [null], {}, true, Number.NaN];
  const config = publishedConfig('qwen3-next-80b-a3b');
  for (const name of Object.keys(config)) {
    for (const value of values) factsFromConfig({ ...config, [name]: value });
  }
  assert.ok(factsFromConfig(config).ok);
});
