/**
 * Layers that keep a state of fixed size per request instead of a cache that grows. State shapes are those of vLLM's
 * `model_executor/layers/mamba/mamba_utils.py` (MambaStateShapeCalculator); weights those of the layers themselves.
 */
import type { ConfigKeys } from './config-keys.ts';
import { floatType } from './element-types.ts';
import type { StateFacts, StateShape } from './model-facts.ts';

/** The recurrent state's type: a key of the configuration, otherwise that of the weights. */
function stateType(keys: ConfigKeys): StateShape['type'] {
  return floatType(keys.value('mamba_ssm_dtype', 'mamba_ssm_cache_dtype')) ?? 'model';
}

/**
 * Mamba 2 (`mamba_mixer2.py`), with heads in groups.
 *  - convolution state: (I + 2 G N) x (K - 1); recurrent state: heads x head size x N.
 *  - weights: in (I + I + 2 G N + heads), convolution and its bias, three vectors a head, gated norm, out.
 */
export function mamba2Layer(keys: ConfigKeys, hiddenSize: number): StateFacts {
  const heads = keys.number('mamba_num_heads', 'mamba_n_heads', 'num_heads');
  const headSize = headSizeOf(keys, heads, hiddenSize);
  const stateSize = keys.number('ssm_state_size', 'mamba_d_state', 'state_size');
  const groups = keys.number('n_groups', 'mamba_n_groups');
  const kernel = keys.number('conv_kernel', 'mamba_d_conv');
  const inner = heads * headSize;
  const convolved = inner + 2 * groups * stateSize;
  return {
    kind: 'state',
    family: 'mamba2',
    states: [
      { elements: convolved * (kernel - 1), type: 'model' },
      { elements: heads * headSize * stateSize, type: stateType(keys) },
    ],
    weightParameters:
      hiddenSize * (inner + convolved + heads) +
      convolved * (kernel + 1) +
      3 * heads +
      inner +
      inner * hiddenSize,
  };
}

function headSizeOf(keys: ConfigKeys, heads: number, hiddenSize: number): number {
  const told = keys.optionalNumber('mamba_head_dim', 'mamba_d_head') ?? keys.optionalNumber('head_dim');
  if (told !== undefined) return told;
  return (keys.number('expand', 'mamba_expand') * hiddenSize) / heads;
}

/**
 * Mamba 1 (`mamba_mixer.py`).
 *  - convolution state: I x (K - 1); recurrent state: I x N.
 *  - weights: in, convolution and its bias, x, time step and its bias, A, D, out; Jamba adds norms of the three inputs.
 */
export function mamba1Layer(keys: ConfigKeys, hiddenSize: number): StateFacts {
  const stateSize = keys.number('state_size', 'mamba_d_state', 'ssm_state_size');
  const kernel = keys.number('conv_kernel', 'mamba_d_conv');
  const inner =
    keys.optionalNumber('mamba_intermediate_size') ?? keys.number('expand', 'mamba_expand') * hiddenSize;
  const stepRank = keys.optionalNumber('time_step_rank', 'mamba_dt_rank') ?? Math.ceil(hiddenSize / 16);
  const inputs = stepRank + 2 * stateSize;
  return {
    kind: 'state',
    family: 'mamba1',
    states: [
      { elements: inner * (kernel - 1), type: 'model' },
      { elements: inner * stateSize, type: stateType(keys) },
    ],
    weightParameters:
      hiddenSize * 2 * inner +
      inner * (kernel + 1) +
      inner * inputs +
      (stepRank + 1) * inner +
      inner * stateSize +
      inner +
      inputs +
      inner * hiddenSize,
  };
}

/**
 * Gated delta net (Qwen3-Next, Qwen3.5: `gdn_linear_attn.py`).
 *  - convolution state: (2 Dk Hk + Dv Hv) x (K - 1); recurrent state: Hv x Dv x Dk.
 */
export function gatedDeltaNetLayer(keys: ConfigKeys, hiddenSize: number): StateFacts {
  const keyHeads = keys.number('linear_num_key_heads');
  const valueHeads = keys.number('linear_num_value_heads');
  const keySize = keys.number('linear_key_head_dim');
  const valueSize = keys.number('linear_value_head_dim');
  const kernel = keys.number('linear_conv_kernel_dim');
  const values = valueHeads * valueSize;
  const convolved = 2 * keyHeads * keySize + values;
  return {
    kind: 'state',
    family: 'gated_delta_net',
    states: [
      { elements: convolved * (kernel - 1), type: 'model' },
      { elements: valueHeads * valueSize * keySize, type: stateType(keys) },
    ],
    weightParameters:
      hiddenSize * (convolved + values) +
      hiddenSize * 2 * valueHeads +
      convolved * kernel +
      2 * valueHeads +
      valueSize +
      values * hiddenSize,
  };
}

/** Short convolution (LFM2: `short_conv.py`): three projections in one, a convolution of the hidden size, out. */
export function shortConvolutionLayer(keys: ConfigKeys, hiddenSize: number): StateFacts {
  const kernel = keys.number('conv_L_cache');
  return {
    kind: 'state',
    family: 'short_convolution',
    states: [{ elements: hiddenSize * (kernel - 1), type: 'model' }],
    weightParameters: 4 * hiddenSize * hiddenSize + hiddenSize * kernel,
  };
}
