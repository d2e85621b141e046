/**
 * Which kind each layer of a configuration is: attention (full, sliding, chunked, latent), state, cross-attention; and what
 * follows it: one feed-forward network, experts, or nothing. The conventions are those of transformers'
 * `configuration_<type>.py` files and of vLLM's `model_executor/models/<type>.py`.
 */
import { feedForwardOf } from './config-feed-forward.ts';
import type { ConfigKeys } from './config-keys.ts';
import {
  gatedDeltaNetLayer,
  mamba1Layer,
  mamba2Layer,
  shortConvolutionLayer,
} from './config-state-layers.ts';
import type { AttentionReach, FeedForwardFacts, LayerFacts, MixerFacts } from './model-facts.ts';

/** More layers than any model has: a limit on what a made-up file can cost. */
const LAYERS_MAX = 2000;

const FULL: AttentionReach = { kind: 'full' };

export interface LayerReading {
  readonly keys: ConfigKeys;
  readonly modelType: string;
  readonly hiddenSize: number;
}

/** The kinds that a layer can have; each is one word of a plan. */
type LayerKind =
  | 'full'
  | 'sliding'
  | 'chunked'
  | 'gated_delta_net'
  | 'mamba1'
  | 'mamba2'
  | 'short_convolution'
  | 'cross_attention'
  | 'mlp_only'
  | 'experts_only'
  | 'unknown';

/** Words of `layer_types` in published configurations. */
const LAYER_WORDS: Readonly<Record<string, LayerKind>> = {
  full_attention: 'full',
  attention: 'full',
  sliding_attention: 'sliding',
  chunked_attention: 'chunked',
  linear_attention: 'gated_delta_net',
  mamba: 'mamba2',
  mamba2: 'mamba2',
  conv: 'short_convolution',
};

/** Letters of `hybrid_override_pattern` (Nemotron-H). */
const PATTERN_LETTERS: Readonly<Record<string, LayerKind>> = {
  M: 'mamba2',
  '*': 'full',
  '-': 'mlp_only',
  E: 'experts_only',
};

/** Types whose layers without `layer_types` are pure states. */
const STATE_TYPES: Readonly<Record<string, LayerKind>> = {
  mamba: 'mamba1',
  falcon_mamba: 'mamba1',
  mamba2: 'mamba2',
};

/** Types with several kinds of layers that none of the rules below describes. */
const NOT_UNDERSTOOD = new Set([
  'bailing_moe_linear',
  'deepseek_v4',
  'deepseek_v41',
  'falcon_h1',
  'hunyuan_v1_moe',
  'kimi_linear',
  'minimax',
  'minimax_text_01',
  'plamo2',
  'rwkv',
  'zamba2',
]);

export function layersOf(reading: LayerReading): LayerFacts[] {
  const { keys, modelType } = reading;
  if (NOT_UNDERSTOOD.has(modelType)) {
    keys.lack(`the layers of \`model_type: ${modelType}\` are of kinds that sizing does not know`);
    return [];
  }
  const kinds = layerKinds(reading);
  return kinds.map((kind, index) => layerOf(reading, kind, index, kinds.length));
}

function layerKinds({ keys, modelType }: LayerReading): LayerKind[] {
  const pattern = keys.text('hybrid_override_pattern');
  if (pattern !== undefined)
    return [...pattern.slice(0, LAYERS_MAX)].map((letter) => letterKind(keys, letter));
  const count = keys.number('num_hidden_layers', 'n_layer', 'num_layers');
  if (count > LAYERS_MAX || !Number.isInteger(count)) {
    keys.lack(`\`num_hidden_layers\` is ${count}, beyond the ${LAYERS_MAX} that any model has`);
    return [];
  }
  const words = keys.list('layer_types', 'layers_block_type');
  if (words.length > 0) return words.slice(0, count).map((word) => wordKind(keys, modelType, word));
  const rule = kindRule(keys, modelType);
  return Array.from({ length: count }, (_, index) => rule(index));
}

function letterKind(keys: ConfigKeys, letter: string): LayerKind {
  const kind = PATTERN_LETTERS[letter];
  if (kind === undefined) keys.lack(`\`hybrid_override_pattern\` has the unknown letter \`${letter}\``);
  return kind ?? 'unknown';
}

function wordKind(keys: ConfigKeys, modelType: string, word: unknown): LayerKind {
  const kind = LAYER_WORDS[String(word)];
  if (kind === undefined) keys.lack(`\`layer_types\` has the unknown word \`${String(word)}\``);
  if (kind === 'mamba2' && modelType === 'jamba') return 'mamba1';
  if (kind === 'gated_delta_net' && modelType === 'granitemoehybrid') return 'mamba2';
  return kind ?? 'unknown';
}

/** Kinds by position, where no list of words tells them. */
function kindRule(keys: ConfigKeys, modelType: string): (index: number) => LayerKind {
  const state = STATE_TYPES[modelType];
  if (state !== undefined) return () => state;
  const attentionPeriod = keys.optionalNumber('attn_layer_period');
  if (attentionPeriod !== undefined) {
    const offset = keys.optionalNumber('attn_layer_offset') ?? 0;
    return (index) => (index % attentionPeriod === offset ? 'full' : 'mamba1');
  }
  const fullInterval = keys.optionalNumber('full_attention_interval');
  if (fullInterval !== undefined)
    return (index) => ((index + 1) % fullInterval === 0 ? 'full' : 'gated_delta_net');
  const attentionLayers = keys.numbers('attn_layer_indices');
  if (attentionLayers.length > 0) return (index) => (attentionLayers.includes(index) ? 'full' : 'mamba2');
  const crossLayers = keys.numbers('cross_attention_layers');
  if (crossLayers.length > 0) return (index) => (crossLayers.includes(index) ? 'cross_attention' : 'full');
  if (keys.optionalNumber('attention_chunk_size') !== undefined) return chunkRule(keys);
  return slidingRule(keys, modelType);
}

/** Llama 4: `no_rope_layers` has a 0 for each layer that sees everything; every fourth by default. */
function chunkRule(keys: ConfigKeys): (index: number) => LayerKind {
  const marks = keys.numbers('no_rope_layers');
  if (marks.length > 0) return (index) => (marks[index] === 0 ? 'full' : 'chunked');
  const step = keys.optionalNumber('no_rope_layer_interval') ?? 4;
  return (index) => ((index + 1) % step === 0 ? 'full' : 'chunked');
}

function slidingRule(keys: ConfigKeys, modelType: string): (index: number) => LayerKind {
  const window = keys.optionalNumber('sliding_window') ?? 0;
  // Qwen 2 and 3 name a window that only `use_sliding_window` switches on.
  if (window === 0 || keys.flag('use_sliding_window') === false) return () => 'full';
  const period =
    keys.optionalNumber('sliding_window_pattern', '_sliding_window_pattern') ??
    (modelType === 'gpt_oss' ? 2 : undefined);
  if (period !== undefined) return (index) => ((index + 1) % period === 0 ? 'full' : 'sliding');
  return () => 'sliding';
}

function layerOf(reading: LayerReading, kind: LayerKind, index: number, count: number): LayerFacts {
  const { hiddenSize, modelType } = reading;
  const mixer = mixerOf(reading, kind, index, count);
  const feedForward = followingOf(reading, kind, index);
  const halves = Number(mixer.kind !== 'none') + Number(feedForward.kind !== 'none');
  // Gemma 2 and 3 have a norm before and after each half of a layer.
  const perHalf = /^gemma[234]/.test(modelType) ? 2 : 1;
  return { mixer, feedForward, normParameters: halves * perHalf * hiddenSize + headNorms(mixer, reading) };
}

/** Norms of queries and keys inside a head. */
function headNorms(mixer: MixerFacts, { modelType, keys }: LayerReading): number {
  const isNormed = /^(qwen3|gemma3)/.test(modelType) || keys.flag('use_qk_norm') === true;
  if (mixer.kind === 'attention' && isNormed) return 2 * mixer.headSizeK;
  if (mixer.kind === 'attention' && modelType === 'gpt_oss') return mixer.heads;
  if (mixer.kind === 'cross_attention') return 2 * mixer.headSize + 2;
  if (mixer.kind === 'latent') return mixer.kvLoraRank + (mixer.queryLoraRank ?? 0);
  return 0;
}

/** Nemotron-H's layers and pure Mamba's are halves: a mixer or a feed-forward network, never both. */
function followingOf(reading: LayerReading, kind: LayerKind, index: number): FeedForwardFacts {
  const { keys, modelType } = reading;
  const isHalf = keys.text('hybrid_override_pattern') !== undefined || STATE_TYPES[modelType] !== undefined;
  if (isHalf && kind !== 'mlp_only' && kind !== 'experts_only') return { kind: 'none' };
  return feedForwardOf(reading, index, kind === 'experts_only');
}

function mixerOf(reading: LayerReading, kind: LayerKind, index: number, count: number): MixerFacts {
  const { keys, hiddenSize } = reading;
  switch (kind) {
    case 'full':
      return attentionOf(reading, FULL, index, count);
    case 'sliding':
      return attentionOf(
        reading,
        { kind: 'sliding', windowTokens: keys.number('sliding_window') },
        index,
        count,
      );
    case 'chunked':
      return attentionOf(
        reading,
        { kind: 'chunked', chunkTokens: keys.number('attention_chunk_size') },
        index,
        count,
      );
    case 'gated_delta_net':
      return gatedDeltaNetLayer(keys, hiddenSize);
    case 'mamba1':
      return mamba1Layer(keys, hiddenSize);
    case 'mamba2':
      return mamba2Layer(keys, hiddenSize);
    case 'short_convolution':
      return shortConvolutionLayer(keys, hiddenSize);
    case 'cross_attention': {
      const heads = keys.number('num_attention_heads');
      return {
        kind: 'cross_attention',
        heads,
        kvHeads: keys.number('num_key_value_heads'),
        headSize: hiddenSize / heads,
      };
    }
    case 'mlp_only':
    case 'experts_only':
    case 'unknown':
      return { kind: 'none' };
  }
}

function attentionOf(reading: LayerReading, reach: AttentionReach, index: number, count: number): MixerFacts {
  const { keys, modelType, hiddenSize } = reading;
  const heads = keys.number('num_attention_heads', 'n_head', 'num_heads');
  if (keys.optionalNumber('kv_lora_rank') !== undefined) return latentOf(keys, heads);
  const headSize = keys.optionalNumber('head_dim', 'attention_head_dim') ?? hiddenSize / heads;
  const isMultiQuery = keys.flag('multi_query') === true;
  const kvHeads =
    keys.optionalNumber('num_key_value_heads', 'num_kv_heads', 'n_head_kv', 'multi_query_group_num') ??
    (isMultiQuery ? 1 : heads);
  return {
    kind: 'attention',
    reach,
    heads,
    kvHeads,
    headSizeK: headSize,
    headSizeV: keys.optionalNumber('v_head_dim') ?? headSize,
    bias: biasOf(keys, modelType),
    gated: /^qwen3_(next|5)/.test(modelType) || keys.flag('attn_output_gate') === true,
    sharesCache: index >= count - (keys.optionalNumber('num_kv_shared_layers') ?? 0),
  };
}

function biasOf(keys: ConfigKeys, modelType: string): 'none' | 'qkv' | 'all' {
  if (/^(bert|roberta|xlm-roberta|gpt2|opt|gpt_bigcode|phi|starcoder2)$/.test(modelType)) return 'all';
  if (/^qwen2/.test(modelType)) return 'qkv';
  if (keys.flag('attention_bias') === true) return /^glm4/.test(modelType) ? 'qkv' : 'all';
  return keys.flag('qkv_bias') === true || keys.flag('add_qkv_bias') === true ? 'qkv' : 'none';
}

function latentOf(keys: ConfigKeys, heads: number): MixerFacts {
  const indexSize = keys.optionalNumber('index_head_dim');
  return {
    kind: 'latent',
    heads,
    kvLoraRank: keys.number('kv_lora_rank'),
    queryLoraRank: keys.optionalNumber('q_lora_rank') ?? null,
    ropeHeadSize: keys.number('qk_rope_head_dim'),
    nopeHeadSize: keys.number('qk_nope_head_dim'),
    headSizeV: keys.number('v_head_dim'),
    indexer: indexSize === undefined ? null : { heads: keys.number('index_n_heads'), headSize: indexSize },
  };
}
