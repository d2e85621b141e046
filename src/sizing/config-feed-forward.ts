/** What follows attention in a layer: one network for every token, or experts of which each token uses a few. */
import type { ConfigKeys } from './config-keys.ts';
import type { ExpertsFacts, FeedForwardFacts } from './model-facts.ts';

interface FeedForwardReading {
  readonly keys: ConfigKeys;
  readonly modelType: string;
  readonly hiddenSize: number;
}

/** Two matrices instead of three: no gate beside the way up. */
const UNGATED =
  /^(bert|bloom|falcon|falcon_mamba|gpt2|gpt_bigcode|gpt_neox|gptj|mpt|nemotron|nemotron_h|nomic_bert|opt|phi|roberta|starcoder2|xlm-roberta)$/;

/** Ungated networks with biases. */
const BIASED = /^(bert|gpt2|gpt_bigcode|gpt_neox|gptj|opt|phi|roberta|starcoder2|xlm-roberta)$/;

/** `always`: the layer consists of experts, whatever the rules for positions say (Nemotron's pattern). */
export function feedForwardOf(reading: FeedForwardReading, index: number, always: boolean): FeedForwardFacts {
  const { keys, modelType, hiddenSize } = reading;
  const experts = expertCount(keys);
  if (experts > 1 && (always || hasExperts(keys, index))) return expertsOf(reading, experts);
  const shared = keys.optionalNumber('shared_intermediate_size');
  return {
    kind: 'dense',
    intermediateSize: denseSize(keys, modelType, shared, hiddenSize, index),
    matrices: matricesOf(modelType),
    bias: BIASED.test(modelType) || keys.flag('mlp_bias') === true,
  };
}

function matricesOf(modelType: string): 2 | 3 {
  return UNGATED.test(modelType) ? 2 : 3;
}

function expertCount(keys: ConfigKeys): number {
  const names = ['num_local_experts', 'num_experts', 'n_routed_experts', 'moe_num_experts'];
  const told = keys.value(...names);
  // Ernie's vision models have one number for each of two kinds, always the same.
  if (Array.isArray(told)) return typeof told[0] === 'number' ? told[0] : 0;
  return keys.optionalNumber(...names) ?? 0;
}

function denseSize(
  keys: ConfigKeys,
  modelType: string,
  shared: number | undefined,
  hiddenSize: number,
  index: number,
): number {
  // Granite's hybrids without experts call their only network the shared one.
  if (modelType === 'granitemoehybrid' && shared !== undefined) return shared;
  if (modelType === 'lfm2') return lfm2Size(keys);
  const each = keys.numbers('intermediate_size');
  if (each.length > 0) return each[index] ?? 0;
  // Llama 4 calls the width of its experts `intermediate_size` and that of its dense layers `…_mlp`.
  const told = keys.optionalNumber(
    'intermediate_size_mlp',
    'intermediate_size',
    'n_inner',
    'ffn_hidden_size',
  );
  if (told !== undefined) return told;
  if (/^(gpt2|gpt_bigcode|gptj|falcon|bloom|mpt)$/.test(modelType)) return 4 * hiddenSize;
  return keys.number('intermediate_size');
}

/** LFM2 shrinks its width to two thirds and rounds it up (`modeling_lfm2.py`, Lfm2MLP). */
function lfm2Size(keys: ConfigKeys): number {
  const told = keys.number('intermediate_size', 'block_ff_dim');
  if (keys.flag('block_auto_adjust_ff_dim') === false) return told;
  const multiple = keys.optionalNumber('block_multiple_of') ?? 256;
  const scaled = Math.floor((2 * told) / 3) * (keys.optionalNumber('block_ffn_dim_multiplier') ?? 1);
  return multiple * Math.ceil(Math.floor(scaled) / multiple);
}

/** Do experts follow in this layer? Each rule is one family's key; a family has only its own. */
function hasExperts(keys: ConfigKeys, index: number): boolean {
  // Llama 4 lists the layers, or names the distance between them.
  const listed = keys.numbers('moe_layers');
  if (listed.length > 0) return listed.includes(index);
  const step = keys.optionalNumber('interleave_moe_layer_step') ?? 1;
  if (step > 1 && (index + 1) % step !== 0) return false;
  // DeepSeek and GLM begin with dense layers.
  if (index < (keys.optionalNumber('first_k_dense_replace') ?? 0)) return false;
  const frequency = keys.optionalNumber('moe_layer_freq') ?? 1;
  if (frequency > 1 && index % frequency !== 0) return false;
  // Qwen.
  if (keys.numbers('mlp_only_layers').includes(index)) return false;
  const sparseStep = keys.optionalNumber('decoder_sparse_step') ?? 1;
  if (sparseStep > 1 && (index + 1) % sparseStep !== 0) return false;
  // Jamba.
  const period = keys.optionalNumber('expert_layer_period');
  if (period !== undefined) return index % period === (keys.optionalNumber('expert_layer_offset') ?? 0);
  // Ernie.
  return index >= (keys.optionalNumber('moe_layer_start_index') ?? 0);
}

function expertsOf({ keys, modelType, hiddenSize }: FeedForwardReading, experts: number): ExpertsFacts {
  const each = keys.numbers('moe_intermediate_size');
  const width =
    each[0] ??
    keys.optionalNumber('moe_intermediate_size', 'expert_ffn_hidden_size') ??
    keys.number('intermediate_size');
  const isGptOss = modelType === 'gpt_oss';
  return {
    kind: 'experts',
    experts,
    intermediateSize: width,
    matrices: matricesOf(modelType),
    bias: isGptOss,
    sharedIntermediateSize: sharedSize(keys, modelType, width),
    sharedGate: /^qwen(2_moe|3_next|3_5_moe)/.test(modelType),
    routerBias: isGptOss || keys.text('topk_method') === 'noaux_tc' || /^glm4/.test(modelType),
    inputSize: keys.optionalNumber('moe_latent_size') ?? hiddenSize,
  };
}

function sharedSize(keys: ConfigKeys, modelType: string, width: number): number {
  const told = keys.optionalNumber(
    'shared_expert_intermediate_size',
    'moe_shared_expert_intermediate_size',
    'shared_intermediate_size',
  );
  if (told !== undefined) return told;
  if (/^llama4/.test(modelType)) return width;
  return (
    (keys.optionalNumber('n_shared_experts', 'moe_num_shared_experts', 'num_shared_experts') ?? 0) * width
  );
}
