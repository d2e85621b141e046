/**
 * Published models: parameters as their authors or the hub's own count of the safetensors headers tell them, and KV cache per
 * token by the formula 2 x layers x KV heads x head size x bytes, computed by hand from the model's paper or card.
 * The parameters of text models are exact; towers are computed by a general shape (see config-tower.ts).
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { publishedFacts } from '../../test/fixtures/model-configs.ts';
import { floatBytes } from './element-types.ts';
import { kvNeed } from './kv-cache.ts';
import { parameterCount, stageWeights } from './weights.ts';

interface Row {
  readonly model: string;
  readonly parameters: number;
  /** Of the parameters. */
  readonly tolerancePercent: number;
  readonly kvBytesPerToken: number;
  /** Where it differs: what a token costs once windows are full. */
  readonly growth?: number;
  readonly nativeLength: number | null;
}

const K = 1024;

const ROWS: readonly Row[] = [
  {
    model: 'all-minilm-l6-v2',
    parameters: 22_713_216,
    tolerancePercent: 0.1,
    kvBytesPerToken: 0,
    nativeLength: 512,
  },
  {
    model: 'smollm2-135m',
    parameters: 134_515_008,
    tolerancePercent: 0,
    kvBytesPerToken: 30 * 2 * 3 * 64 * 2,
    nativeLength: 8192,
  },
  {
    model: 'qwen2.5-0.5b',
    parameters: 494_032_768,
    tolerancePercent: 0,
    kvBytesPerToken: 12_288,
    nativeLength: 32_768,
  },
  {
    model: 'llama-3.2-1b',
    parameters: 1_235_814_400,
    tolerancePercent: 0,
    kvBytesPerToken: 32_768,
    nativeLength: 131_072,
  },
  {
    model: 'phi-3-mini-4k',
    parameters: 3_821_079_552,
    tolerancePercent: 0,
    kvBytesPerToken: 393_216,
    growth: 0,
    nativeLength: 4096,
  },
  {
    model: 'phi-3.5-mini',
    parameters: 3_821_079_552,
    tolerancePercent: 0,
    kvBytesPerToken: 393_216,
    nativeLength: 4096,
  },
  {
    model: 'gemma-3-4b',
    parameters: 4_300_079_472,
    tolerancePercent: 1,
    kvBytesPerToken: 34 * 2 * 4 * 256 * 2,
    growth: 5 * 4096,
    nativeLength: 131_072,
  },
  {
    model: 'granite-4.0-h-tiny',
    parameters: 6_939_037_248,
    tolerancePercent: 0,
    kvBytesPerToken: 4 * 2 * 4 * 128 * 2,
    nativeLength: 131_072,
  },
  {
    model: 'mistral-7b-v0.1',
    parameters: 7_241_732_096,
    tolerancePercent: 0,
    kvBytesPerToken: 131_072,
    growth: 0,
    nativeLength: 32_768,
  },
  {
    model: 'mistral-7b-v0.3',
    parameters: 7_248_023_552,
    tolerancePercent: 0,
    kvBytesPerToken: 131_072,
    nativeLength: 32_768,
  },
  {
    model: 'mamba-codestral-7b',
    parameters: 7_285_403_648,
    tolerancePercent: 0,
    kvBytesPerToken: 0,
    nativeLength: null,
  },
  {
    model: 'qwen2.5-7b',
    parameters: 7_615_616_512,
    tolerancePercent: 0,
    kvBytesPerToken: 57_344,
    nativeLength: 32_768,
  },
  {
    model: 'llama-3.1-8b',
    parameters: 8_030_261_248,
    tolerancePercent: 0,
    kvBytesPerToken: 131_072,
    nativeLength: 131_072,
  },
  {
    model: 'nemotron-h-8b',
    parameters: 8_100_852_736,
    tolerancePercent: 0,
    kvBytesPerToken: 4 * 2 * 8 * 128 * 2,
    nativeLength: 8192,
  },
  {
    model: 'qwen3-8b',
    parameters: 8_190_735_360,
    tolerancePercent: 0,
    kvBytesPerToken: 147_456,
    nativeLength: 40_960,
  },
  {
    model: 'qwen2.5-vl-7b',
    parameters: 8_292_166_656,
    tolerancePercent: 1,
    kvBytesPerToken: 57_344,
    nativeLength: 128_000,
  },
  {
    model: 'gemma-2-9b',
    parameters: 9_241_705_984,
    tolerancePercent: 0,
    kvBytesPerToken: 344_064,
    growth: 172_032,
    nativeLength: 8192,
  },
  {
    model: 'llama-3.2-11b-vision',
    parameters: 10_670_220_835,
    tolerancePercent: 2,
    kvBytesPerToken: 32 * 2 * 8 * 128 * 2,
    nativeLength: 131_072,
  },
  {
    model: 'phi-4',
    parameters: 14_659_507_200,
    tolerancePercent: 0,
    kvBytesPerToken: 204_800,
    nativeLength: 16_384,
  },
  {
    model: 'deepseek-v2-lite',
    parameters: 15_706_484_224,
    tolerancePercent: 0,
    kvBytesPerToken: 576 * 2 * 27,
    nativeLength: 163_840,
  },
  {
    model: 'gpt-oss-20b',
    parameters: 20_914_757_184,
    tolerancePercent: 0,
    kvBytesPerToken: 49_152,
    growth: 24_576,
    nativeLength: 131_072,
  },
  {
    model: 'gemma-3-27b',
    parameters: 27_432_406_640,
    tolerancePercent: 1,
    kvBytesPerToken: 507_904,
    growth: 10 * 8192,
    nativeLength: 131_072,
  },
  {
    model: 'qwen3-30b-a3b',
    parameters: 30_532_122_624,
    tolerancePercent: 0,
    kvBytesPerToken: 98_304,
    nativeLength: 40_960,
  },
  {
    model: 'mixtral-8x7b',
    parameters: 46_702_792_704,
    tolerancePercent: 0,
    kvBytesPerToken: 131_072,
    nativeLength: 32_768,
  },
  {
    model: 'jamba-mini',
    parameters: 51_570_323_328,
    tolerancePercent: 0,
    kvBytesPerToken: 4 * 2 * 8 * 128 * 2,
    nativeLength: 262_144,
  },
  {
    model: 'llama-3.1-70b',
    parameters: 70_553_706_496,
    tolerancePercent: 0,
    kvBytesPerToken: 320 * K,
    nativeLength: 131_072,
  },
  {
    model: 'qwen2.5-72b',
    parameters: 72_706_203_648,
    tolerancePercent: 0,
    kvBytesPerToken: 320 * K,
    nativeLength: 32_768,
  },
  {
    model: 'qwen3-next-80b-a3b',
    parameters: 79_674_391_296,
    tolerancePercent: 0,
    kvBytesPerToken: 12 * 2 * 2 * 256 * 2,
    nativeLength: 262_144,
  },
  {
    model: 'glm-4.5-air',
    parameters: 106_852_245_504,
    tolerancePercent: 0.1,
    kvBytesPerToken: 46 * 2 * 8 * 128 * 2,
    nativeLength: 131_072,
  },
  {
    model: 'llama-4-scout',
    parameters: 108_641_793_536,
    tolerancePercent: 1,
    kvBytesPerToken: 192 * K,
    growth: 48 * K,
    nativeLength: 10_485_760,
  },
  {
    model: 'deepseek-v3',
    parameters: 671_026_419_200,
    tolerancePercent: 0,
    kvBytesPerToken: 576 * 2 * 61,
    nativeLength: 163_840,
  },
];

for (const row of ROWS) {
  test(`${row.model}: ${(row.parameters / 1e9).toFixed(2)} billion parameters, ${row.kvBytesPerToken} bytes of KV a token`, () => {
    const facts = publishedFacts(row.model);
    const parameters = parameterCount(facts);
    const percent = (100 * Math.abs(parameters - row.parameters)) / row.parameters;
    assert.ok(percent <= row.tolerancePercent, `${parameters} instead of ${row.parameters}`);
    const kv = kvNeed(facts.keepsCache ? facts.layers : [], {
      tensorParallel: 1,
      dtype: facts.dtype,
      kvType: 'auto',
      maxModelLen: row.nativeLength ?? 4096,
      blockSize: null,
      inFlightTokens: 16_384,
    });
    assert.equal(kv.bytesPerToken, row.kvBytesPerToken);
    assert.equal(kv.growthBytesPerToken, row.growth ?? row.kvBytesPerToken);
    assert.equal(facts.nativeMaxModelLen, row.nativeLength);
    assert.deepEqual(facts.assumptions, []);
  });
}

/** Sums of the safetensors files (`metadata.total_size` of their index). */
const FILES: readonly (readonly [model: string, bytes: number, tolerancePercent: number])[] = [
  ['llama-3.1-8b', 16_060_522_496, 0],
  ['qwen2.5-7b', 15_231_233_024, 0],
  ['qwen2.5-7b-awq', 5_570_000_000, 1],
  ['gpt-oss-20b', 13_761_264_768, 1],
  ['mixtral-8x7b', 93_405_585_408, 0],
];

for (const [model, bytes, tolerancePercent] of FILES) {
  test(`${model}: weights of ${(bytes / 1e9).toFixed(2)} GB`, () => {
    const facts = publishedFacts(model);
    const [stage] = stageWeights(facts, {
      tensorParallel: 1,
      pipelineParallel: 1,
      plainBytes: floatBytes(facts.dtype),
      quantization: facts.quantization,
    });
    const computed = stage?.bytesPerRank ?? 0;
    assert.ok(
      (100 * Math.abs(computed - bytes)) / bytes <= tolerancePercent,
      `${computed} instead of ${bytes}`,
    );
  });
}

test('every fixture is a row of a table', () => {
  const names = readdirSync(new URL('../../test/fixtures/model-configs', import.meta.url)).map((file) =>
    file.replace(/\.json$/, ''),
  );
  const rows = new Set([...ROWS.map(({ model }) => model), ...FILES.map(([model]) => model)]);
  assert.deepEqual(
    names.filter((name) => !rows.has(name)),
    [],
  );
  assert.ok(ROWS.length >= 15);
});
