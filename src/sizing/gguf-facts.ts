/**
 * From the header of a GGUF file to what sizing must know. Keys are `<architecture>.<key>`, as llama.cpp's `gguf-py/constants.py`
 * names them. vLLM keeps GGUF's packed weights packed, embedding table and output head included, so their bytes are the file's.
 */
import { failure, type Result, success } from '../core/result.ts';
import { ConfigKeys, type JsonObject } from './config-keys.ts';
import type {
  AttentionReach,
  FeedForwardFacts,
  LayerFacts,
  MissingFacts,
  ModelFacts,
} from './model-facts.ts';
import { storedWeights, type TensorGroup } from './stored-weights.ts';

/** Architectures whose layers are all attention, or latent attention, each followed by a network or experts. */
const UNDERSTOOD =
  /^(llama|llama4|qwen2|qwen2moe|qwen3|qwen3moe|gemma|gemma2|gemma3|phi2|phi3|mistral3|deepseek2|glm4|glm4moe|gpt-oss|granite|granitemoe|starcoder2|command-r|cohere2|olmo2|exaone|stablelm|internlm2|smollm3|falcon|ernie4_5|ernie4_5-moe|seed_oss)$/;

/** Of every so many layers the last one sees everything, as vLLM's models have it. */
const SLIDING_PERIODS: Readonly<Record<string, number>> = { gemma2: 2, gemma3: 6, 'gpt-oss': 2, cohere2: 4 };

const LAYERS_MAX = 2000;

/** `metadata`: the header's keys with plain values; bigints as numbers. */
export function factsFromGguf(
  metadata: JsonObject,
  groups: readonly TensorGroup[],
): Result<ModelFacts, MissingFacts> {
  const missing: string[] = [];
  const top = new ConfigKeys([metadata], '', missing);
  const architecture = top.text('general.architecture') ?? '';
  if (architecture === '') return failure({ missing: ['`general.architecture` is missing'] });
  if (!UNDERSTOOD.test(architecture))
    return failure({
      missing: [`the layers of GGUF architecture \`${architecture}\` are of kinds that sizing does not know`],
    });
  const prefix = `${architecture}.`;
  const own: JsonObject = Object.fromEntries(
    Object.entries(metadata).flatMap(([key, value]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
    ),
  );
  const keys = new ConfigKeys([own], prefix, missing);
  const hiddenSize = keys.number('embedding_length');
  const hasHead = groups.some(({ role }) => role === 'head');
  const facts: ModelFacts = {
    architecture,
    modelType: architecture,
    keepsCache: true,
    hiddenSize,
    layers: ggufLayers(keys, architecture, hiddenSize),
    vocabularySize: keys.optionalNumber('vocab_size') ?? vocabularyOf(top),
    tiedEmbeddings: !hasHead,
    extraEmbeddingParameters: hiddenSize,
    dtype: 'bfloat16',
    quantization: { method: 'gguf', bitsPerWeight: bitsPerWeight(groups), attention: true, embeddings: true },
    towerParameters: 0,
    nativeMaxModelLen: keys.optionalNumber('context_length') ?? null,
    stored: null,
    assumptions: [],
  };
  if (missing.length > 0) return failure({ missing });
  return success({ ...facts, stored: storedWeights(facts, groups, 'gguf') });
}

function vocabularyOf(top: ConfigKeys): number {
  const tokens = top.list('tokenizer.ggml.tokens').length;
  if (tokens > 0) return tokens;
  // Readers leave the words out and give their number in their stead.
  return top.number('tokenizer.ggml.tokens');
}

function bitsPerWeight(groups: readonly TensorGroup[]): number {
  const bytes = groups.reduce((sum, group) => sum + group.bytes, 0);
  const elements = groups.reduce((sum, group) => sum + group.elements, 0);
  return elements === 0 ? 16 : (8 * bytes) / elements;
}

function ggufLayers(keys: ConfigKeys, architecture: string, hiddenSize: number): LayerFacts[] {
  const drafts = keys.optionalNumber('nextn_predict_layers') ?? 0;
  const count = keys.number('block_count') - drafts;
  if (!Number.isInteger(count) || count > LAYERS_MAX || count < 1) {
    keys.lack(`\`block_count\` is ${count}`);
    return [];
  }
  return Array.from({ length: count }, (_, index): LayerFacts => {
    const feedForward = ggufFeedForward(keys, index, hiddenSize);
    return {
      mixer: ggufMixer(keys, architecture, index, hiddenSize),
      feedForward,
      normParameters: 2 * hiddenSize,
    };
  });
}

/** A key whose value is one number for all layers or a list with one for each. */
function perLayer(keys: ConfigKeys, name: string, index: number): number | undefined {
  const each = keys.numbers(name);
  return each.length > 0 ? each[index] : keys.optionalNumber(name);
}

function ggufMixer(
  keys: ConfigKeys,
  architecture: string,
  index: number,
  hiddenSize: number,
): LayerFacts['mixer'] {
  const heads = perLayer(keys, 'attention.head_count', index) ?? keys.number('attention.head_count');
  const latentRank = keys.optionalNumber('attention.kv_lora_rank');
  if (latentRank !== undefined) return ggufLatent(keys, heads, latentRank);
  const headSize = keys.optionalNumber('attention.key_length') ?? hiddenSize / heads;
  return {
    kind: 'attention',
    reach: ggufReach(keys, architecture, index),
    heads,
    kvHeads: perLayer(keys, 'attention.head_count_kv', index) ?? heads,
    headSizeK: headSize,
    headSizeV: keys.optionalNumber('attention.value_length') ?? headSize,
    bias: 'none',
    gated: false,
    sharesCache: false,
  };
}

/** DeepSeek's keys give the lengths of keys and values as they are before compression, where `_mla` ones stand beside. */
function ggufLatent(keys: ConfigKeys, heads: number, kvLoraRank: number): LayerFacts['mixer'] {
  const ropeHeadSize = keys.number('rope.dimension_count');
  const keySize = keys.optionalNumber('attention.key_length_mla') ?? keys.number('attention.key_length');
  return {
    kind: 'latent',
    heads,
    kvLoraRank,
    queryLoraRank: keys.optionalNumber('attention.q_lora_rank') ?? null,
    ropeHeadSize,
    nopeHeadSize: keySize - ropeHeadSize,
    headSizeV: keys.optionalNumber('attention.value_length_mla') ?? keys.number('attention.value_length'),
    indexer: null,
  };
}

function ggufReach(keys: ConfigKeys, architecture: string, index: number): AttentionReach {
  const chunkTokens = keys.optionalNumber('attention.chunk_size') ?? 0;
  if (chunkTokens > 0 && (index + 1) % 4 !== 0) return { kind: 'chunked', chunkTokens };
  const windowTokens = keys.optionalNumber('attention.sliding_window') ?? 0;
  if (windowTokens === 0) return { kind: 'full' };
  const period = SLIDING_PERIODS[architecture];
  return period !== undefined && (index + 1) % period === 0
    ? { kind: 'full' }
    : { kind: 'sliding', windowTokens };
}

function ggufFeedForward(keys: ConfigKeys, index: number, hiddenSize: number): FeedForwardFacts {
  const experts = keys.optionalNumber('expert_count') ?? 0;
  const width = perLayer(keys, 'feed_forward_length', index) ?? 0;
  if (experts <= 1 || index < (keys.optionalNumber('leading_dense_block_count') ?? 0)) {
    return {
      kind: 'dense',
      intermediateSize: width || keys.number('feed_forward_length'),
      matrices: 3,
      bias: false,
    };
  }
  const expertWidth = keys.optionalNumber('expert_feed_forward_length') ?? width;
  const shared = keys.optionalNumber('expert_shared_feed_forward_length');
  return {
    kind: 'experts',
    experts,
    intermediateSize: expertWidth,
    matrices: 3,
    bias: false,
    sharedIntermediateSize: shared ?? (keys.optionalNumber('expert_shared_count') ?? 0) * expertWidth,
    sharedGate: false,
    routerBias: false,
    inputSize: hiddenSize,
  };
}
