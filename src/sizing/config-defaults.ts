/**
 * Keys that published configurations leave out because the class of their `model_type` in Hugging Face's transformers
 * has them as defaults (`models/<type>/configuration_<type>.py`). Only what sizing reads, and only where models in use
 * really leave it out: for everything else a missing key is a fault.
 */
import type { JsonObject } from './config-keys.ts';

const GEMMA_HEADS = { num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256 };

const QWEN2_VISION = {
  depth: 32,
  patch_size: 14,
  in_channels: 3,
  temporal_patch_size: 2,
  spatial_merge_size: 2,
};

const DEFAULTS: Readonly<Record<string, JsonObject>> = {
  bert: { tie_word_embeddings: true },
  cohere: { tie_word_embeddings: true },
  cohere2: { tie_word_embeddings: true, sliding_window: 4096, sliding_window_pattern: 4 },
  clip_vision_model: { intermediate_size: 3072 },
  falcon: { tie_word_embeddings: true },
  gemma: { tie_word_embeddings: true },
  gemma2: { tie_word_embeddings: true, sliding_window: 4096, sliding_window_pattern: 2 },
  gemma3_text: {
    ...GEMMA_HEADS,
    tie_word_embeddings: true,
    vocab_size: 262_208,
    max_position_embeddings: 131_072,
    sliding_window: 4096,
    sliding_window_pattern: 6,
  },
  gpt2: { tie_word_embeddings: true },
  gpt_bigcode: { tie_word_embeddings: true },
  lfm2: { tie_word_embeddings: true },
  llama4_text: { attention_chunk_size: 8192, head_dim: 128, vocab_size: 202_048 },
  mllama_text_model: { vocab_size: 128_256 },
  // vLLM's own default for the type (`models/config.py`, NemotronHForCausalLMConfig).
  nemotron_h: { mamba_ssm_cache_dtype: 'float32' },
  opt: { tie_word_embeddings: true },
  pixtral: { hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 24, patch_size: 16 },
  qwen2_5_vl: { ...QWEN2_VISION, hidden_size: 1280, intermediate_size: 3420 },
  qwen2_vl: { ...QWEN2_VISION, embed_dim: 1280, mlp_ratio: 4 },
  smollm3: { tie_word_embeddings: true },
};

export function configDefaults(modelType: string): JsonObject {
  return DEFAULTS[modelType] ?? {};
}
