/**
 * How weights are packed. Bits of a quantised weight include its scales and zero points: a method with groups of g weights
 * adds (scale bits + zero point bits) / g. Sources: vLLM's `model_executor/layers/quantization/<method>.py`.
 */
import { ConfigKeys, isObject, type JsonObject } from './config-keys.ts';
import type { Quantization } from './model-facts.ts';

const SCALE_BITS = 16;
/** NVFP4: an 8-bit scale for 16 weights; MXFP4: an 8-bit exponent for 32; NF4: a 32-bit maximum for 64. */
const NVFP4_BITS = 4 + 8 / 16;
const MXFP4_BITS = 4 + 8 / 32;
const NF4_BITS = 4 + 32 / 64;

/**
 * The packing that `quantization_config` (or `compression_config`) tells; null where weights are plain. One that is not known
 * is noted in `faults` and taken for 8 bits, which matters only for the shares of the parts once files told the sum.
 */
export function quantizationOf(config: JsonObject, faults: string[]): Quantization | null {
  const text = isObject(config['text_config']) ? config['text_config'] : {};
  const told =
    config['quantization_config'] ??
    config['compression_config'] ??
    text['quantization_config'] ??
    text['compression_config'];
  if (!isObject(told)) return null;
  const keys = new ConfigKeys([told], 'quantization_config.', faults);
  const method = (keys.text('quant_method') ?? producerOf(told) ?? '').toLowerCase().replaceAll('_', '-');
  const bits = bitsOf(method, keys);
  if (bits === undefined) {
    keys.lack(`\`quantization_config\` is of a kind that sizing does not know: \`${method || 'unnamed'}\``);
    return { method, bitsPerWeight: 8, attention: true, embeddings: false };
  }
  return { method, bitsPerWeight: bits, attention: coversAttention(keys, method), embeddings: false };
}

/** What vLLM's `--quantization` makes of a model whose files are not quantised, or null: it changes nothing there. */
export function onlineQuantization(method: string): Quantization | null {
  switch (method) {
    case 'fp8':
    case 'fp8_per_tensor':
    case 'fp8_per_block':
      return { method, bitsPerWeight: 8, attention: true, embeddings: false };
    case 'bitsandbytes':
      return { method, bitsPerWeight: NF4_BITS, attention: true, embeddings: false };
    default:
      return null;
  }
}

function producerOf(told: JsonObject): string | undefined {
  const producer = told['producer'];
  return isObject(producer) && producer['name'] === 'modelopt' ? 'modelopt' : undefined;
}

function bitsOf(method: string, keys: ConfigKeys): number | undefined {
  switch (method) {
    case 'awq':
    case 'awq-marlin':
    case 'gptq':
    case 'gptq-marlin':
    case 'auto-round':
    case 'auto-gptq':
      return grouped(keys.number('bits', 'w_bit'), keys.optionalNumber('group_size', 'q_group_size'));
    case 'fp8':
    case 'fbgemm-fp8':
    case 'experts-int8':
      return 8;
    case 'mxfp4':
    case 'gpt-oss-mxfp4':
      return MXFP4_BITS;
    case 'modelopt':
    case 'modelopt-fp4':
      return modeloptBits(keys);
    case 'compressed-tensors':
      return compressedTensorsBits(keys);
    case 'bitsandbytes':
      return keys.flag('load_in_8bit') === true ? 8 : NF4_BITS;
    default:
      return undefined;
  }
}

/** A scale and a packed zero point a group; one group a row (size -1) costs next to nothing. */
function grouped(bits: number, size: number | undefined): number {
  return size === undefined || size <= 0 ? bits : bits + (SCALE_BITS + bits) / size;
}

function modeloptBits(keys: ConfigKeys): number | undefined {
  const inner = keys.object('quantization');
  const algorithm = String(keys.value('quant_algo') ?? inner?.['quant_algo'] ?? '').toUpperCase();
  if (algorithm.startsWith('FP8')) return 8;
  if (algorithm.includes('NVFP4')) return NVFP4_BITS;
  return undefined;
}

/** The first group's weights speak for all: mixed groups are rare, and headers give the exact bytes. */
function compressedTensorsBits(keys: ConfigKeys): number | undefined {
  const groups = keys.object('config_groups');
  const first = groups === undefined ? undefined : Object.values(groups)[0];
  const weights = isObject(first) ? first['weights'] : undefined;
  if (!isObject(weights)) return undefined;
  const bits = weights['num_bits'];
  if (typeof bits !== 'number') return undefined;
  if (bits === 4 && weights['type'] === 'float') {
    return weights['group_size'] === 32 ? MXFP4_BITS : NVFP4_BITS;
  }
  const size = weights['group_size'];
  return bits >= 8 ? bits : grouped(bits, typeof size === 'number' ? size : undefined);
}

/** Lists of modules that stay as they were name attention where it is not quantised. */
function coversAttention(keys: ConfigKeys, method: string): boolean {
  const kept = [
    ...keys.list('modules_to_not_convert'),
    ...keys.list('ignore'),
    ...keys.list('exclude_modules'),
  ];
  const isNamed = kept.some((name) => typeof name === 'string' && /self_attn(\b|\.|\*|$)/.test(name));
  return !isNamed && !method.endsWith('mxfp4');
}
