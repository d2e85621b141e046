/**
 * From a config.json to what sizing must know.
 *  1. The language model's keys are looked for in `text_config` (or its older names), then at the top.
 *  2. Keys that the file leaves out have the defaults of their kind (config-defaults.ts), no others.
 *  3. Whatever is missing or not understood is collected and told at once; nothing is guessed in silence.
 */
import { failure, type Result, success } from '../core/result.ts';
import { configDefaults } from './config-defaults.ts';
import { ConfigKeys, isObject, type JsonObject } from './config-keys.ts';
import { layersOf } from './config-layers.ts';
import { quantizationOf } from './config-quantization.ts';
import { towerParameters } from './config-tower.ts';
import { floatType } from './element-types.ts';
import type { FloatType, MissingFacts, ModelFacts } from './model-facts.ts';
import { storedWeights, type TensorGroup } from './stored-weights.ts';

const TEXT_KEYS = ['text_config', 'llm_config', 'language_config', 'thinker_config'];

const ENCODER_TYPES = /^(bert|roberta|xlm-roberta|modernbert|nomic_bert|new|camembert|mpnet|distilbert)$/;

/** Encoders that have no learned positions. */
const ROTARY_ENCODERS = /^(modernbert|nomic_bert|new)$/;

/** Families of llama's shape that need no rule of their own; others of its shape are read so too, and said to be. */
const LLAMA_SHAPED =
  /^(llama|mistral|ministral|mixtral|qwen2|qwen3|qwen2_moe|qwen3_moe|phi3|gemma|granite|olmo2|smollm3|internlm2|internlm3|exaone4|stablelm|cohere|starcoder2|seed_oss|apertus)/;

const KNOWN =
  /^(qwen|gemma|phi|gpt_oss|llama|mllama|deepseek|kimi|glm|nemotron|jamba|granite|bamba|mamba|falcon|lfm2|cohere|ernie|gpt2|gpt_bigcode|gpt_neox|gptj|opt|bloom|minicpm)/;

/**
 * `json`: the parsed config.json. `tensors`: what the headers of the files say, where they were read; then the bytes of
 * weights are exact, and a packing that is not known is no hindrance.
 */
export function factsFromConfig(
  json: unknown,
  tensors: readonly TensorGroup[] | null = null,
): Result<ModelFacts, MissingFacts> {
  if (!isObject(json)) return failure({ missing: ['config.json is not a JSON object'] });
  const missing: string[] = [];
  const assumptions: string[] = [];
  const { text, where } = textConfig(json);
  const modelType = String(text['model_type'] ?? json['model_type'] ?? '');
  if (modelType === '') missing.push('`model_type` is missing');
  const keys = new ConfigKeys([text, json, configDefaults(modelType)], where, missing);
  const hiddenSize = keys.number('hidden_size', 'n_embd', 'd_model');
  const layers = layersOf({ keys, modelType, hiddenSize });
  const isEncoder = ENCODER_TYPES.test(modelType);
  if (!isEncoder && !LLAMA_SHAPED.test(modelType) && !KNOWN.test(modelType))
    assumptions.push(
      `\`model_type: ${modelType}\` is not known here and is read as a model of llama's shape`,
    );
  const quantization = quantizationOf(json, tensors === null ? missing : assumptions);
  const facts: ModelFacts = {
    architecture: architectureOf(json, text),
    modelType,
    keepsCache: !isEncoder,
    hiddenSize,
    layers,
    vocabularySize: keys.number('vocab_size', 'padded_vocab_size'),
    tiedEmbeddings: isEncoder || isHeadless(json) || isTied(json, text, modelType),
    extraEmbeddingParameters: extraEmbeddings(keys, modelType, hiddenSize, isEncoder),
    dtype: loadedType(json, text),
    quantization,
    towerParameters: towerParameters(json, hiddenSize, assumptions),
    nativeMaxModelLen: nativeMaxModelLen(keys, modelType),
    stored: null,
    assumptions,
  };
  if (missing.length > 0) return failure({ missing });
  return success(
    tensors === null ? facts : { ...facts, stored: storedWeights(facts, tensors, 'safetensors') },
  );
}

function textConfig(json: JsonObject): { readonly text: JsonObject; readonly where: string } {
  for (const name of TEXT_KEYS) {
    const found = json[name];
    if (!isObject(found)) continue;
    // Omni models wrap the wrapper.
    const inner = textConfig(found);
    return { text: inner.text, where: `${name}.${inner.where}` };
  }
  return { text: json, where: '' };
}

function architectureOf(json: JsonObject, text: JsonObject): string {
  for (const told of [json['architectures'], text['architectures']]) {
    if (Array.isArray(told) && typeof told[0] === 'string') return told[0];
  }
  return 'unknown';
}

/** Embedding models are saved without an output head: `…Model` instead of `…ForCausalLM`. */
function isHeadless(json: JsonObject): boolean {
  return /Model$|ForSequenceClassification$/.test(architectureOf(json, json));
}

function isTied(json: JsonObject, text: JsonObject, modelType: string): boolean {
  for (const told of [text['tie_word_embeddings'], json['tie_word_embeddings']]) {
    if (typeof told === 'boolean') return told;
  }
  return configDefaults(modelType)['tie_word_embeddings'] === true;
}

function extraEmbeddings(
  keys: ConfigKeys,
  modelType: string,
  hiddenSize: number,
  isEncoder: boolean,
): number {
  const finalNorm = hiddenSize;
  if (isEncoder) {
    const positions = ROTARY_ENCODERS.test(modelType) ? 0 : keys.number('max_position_embeddings');
    const types = keys.optionalNumber('type_vocab_size') ?? 0;
    // Norm weights are counted once a layer half; a BERT's have biases too, and it ends in a pooler.
    return (positions + types + 2) * hiddenSize + hiddenSize * (hiddenSize + 1);
  }
  if (/^(gpt2|opt|gpt_bigcode)$/.test(modelType))
    return keys.number('max_position_embeddings', 'n_positions') * hiddenSize + 2 * finalNorm;
  return finalNorm;
}

/**
 * Type in memory under `--dtype auto` (`config/model.py`, `_get_and_verify_dtype`): the configuration's, except that
 * float32 is loaded with 16 bits, and float32 is what a configuration without a word means.
 */
function loadedType(json: JsonObject, text: JsonObject): FloatType {
  const told = [json['dtype'], json['torch_dtype'], text['dtype'], text['torch_dtype']].map(floatType);
  const type = told.find((one) => one !== undefined) ?? 'float32';
  return type === 'float32' ? 'bfloat16' : type;
}

/**
 * `config/model.py`, `_get_and_verify_max_len`: the longest length that a key tells, times the factor of rope scaling
 * where the kind of scaling does not include it already; LongRoPE falls back to the original length.
 */
function nativeMaxModelLen(keys: ConfigKeys, modelType: string): number | null {
  const told = keys.optionalNumber(
    'max_position_embeddings',
    'n_positions',
    'seq_length',
    'max_seq_len',
    'max_sequence_length',
    'model_max_length',
  );
  if (told === undefined) return null;
  const rope = keys.object('rope_scaling') ?? keys.object('rope_parameters');
  const kind = rope?.['rope_type'] ?? rope?.['type'];
  if (kind === 'longrope' || kind === 'su')
    return keys.optionalNumber('original_max_position_embeddings') ?? told;
  const factor = rope?.['factor'];
  const isScaled = kind === 'linear' || kind === 'dynamic' || kind === 'ntk';
  if (isScaled && typeof factor === 'number' && !modelType.startsWith('gemma3'))
    return Math.floor(told * factor);
  return told;
}
