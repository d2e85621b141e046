/**
 * What sizing must know of a model, whatever file it was read from. Plain data: one entry a layer, because layers of one
 * model differ in kind (sliding window beside full attention, state beside attention, dense beside experts).
 */

/** As vLLM's `--dtype` and config.json's `dtype` name them. */
export type FloatType = 'float32' | 'float16' | 'bfloat16';

export interface ModelFacts {
  /** First of config.json's `architectures`, or GGUF's `general.architecture`. */
  readonly architecture: string;
  readonly modelType: string;
  /** Encoders (BERT and its kin) attend to the whole input at once and keep no KV cache. */
  readonly keepsCache: boolean;
  readonly hiddenSize: number;
  readonly layers: readonly LayerFacts[];
  readonly vocabularySize: number;
  /** The output head is the embedding table. Models without a head (embedding models) count as tied. */
  readonly tiedEmbeddings: boolean;
  /** Parameters beside the table of words: positions, token types, their norm, a pooler. */
  readonly extraEmbeddingParameters: number;
  /** Type of the weights in memory under `--dtype auto`: float32 checkpoints are loaded with 16 bits. */
  readonly dtype: FloatType;
  readonly quantization: Quantization | null;
  /** Vision and audio towers with their projectors. */
  readonly towerParameters: number;
  /** Longest context that vLLM takes by itself, rope scaling included; null where the configuration does not tell. */
  readonly nativeMaxModelLen: number | null;
  /** Real weights, where files were read; otherwise weights are computed from the shapes above. */
  readonly stored: StoredWeights | null;
  /** Things that were taken for granted, in words, to be shown beside the result. */
  readonly assumptions: readonly string[];
}

export interface LayerFacts {
  readonly mixer: MixerFacts;
  readonly feedForward: FeedForwardFacts;
  /** Norms and other small vectors of the layer. */
  readonly normParameters: number;
}

export type MixerFacts = AttentionFacts | LatentAttentionFacts | StateFacts | CrossAttentionFacts | NoMixer;

export interface AttentionFacts {
  readonly kind: 'attention';
  /** How far back a token sees, and so how much cache a request keeps. */
  readonly reach: AttentionReach;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSizeK: number;
  readonly headSizeV: number;
  readonly bias: 'none' | 'qkv' | 'all';
  /** The query projection is twice as wide, its second half a gate (Qwen3-Next). */
  readonly gated: boolean;
  /** Reads the cache of an earlier layer and has none of its own (Gemma 3n). */
  readonly sharesCache: boolean;
}

export type AttentionReach =
  | { readonly kind: 'full' }
  | { readonly kind: 'sliding'; readonly windowTokens: number }
  | { readonly kind: 'chunked'; readonly chunkTokens: number };

/** Multi-head latent attention (DeepSeek): one latent vector a token, the same on every rank. */
export interface LatentAttentionFacts {
  readonly kind: 'latent';
  readonly heads: number;
  readonly kvLoraRank: number;
  /** Null: queries are projected directly. */
  readonly queryLoraRank: number | null;
  readonly ropeHeadSize: number;
  readonly nopeHeadSize: number;
  readonly headSizeV: number;
  /** Sparse attention's indexer (DeepSeek V3.2) with a small cache of its own. */
  readonly indexer: { readonly heads: number; readonly headSize: number } | null;
}

/** Layers with a state of fixed size per request: Mamba, gated delta net, short convolution. */
export interface StateFacts {
  readonly kind: 'state';
  readonly family: 'mamba1' | 'mamba2' | 'gated_delta_net' | 'short_convolution';
  /** State of one request on a rank, by tensor parallelism's share: whole elements and their type. */
  readonly states: readonly StateShape[];
  readonly weightParameters: number;
}

export interface StateShape {
  /** Elements of the whole model's layer; divided by the tensor parallel size. */
  readonly elements: number;
  /** `model`: the type of the weights. */
  readonly type: FloatType | 'model';
}

/** Reads the vision tower's output (Llama 3.2 Vision). */
export interface CrossAttentionFacts {
  readonly kind: 'cross_attention';
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

export interface NoMixer {
  readonly kind: 'none';
}

export type FeedForwardFacts =
  | {
      readonly kind: 'dense';
      readonly intermediateSize: number;
      readonly matrices: 2 | 3;
      readonly bias: boolean;
    }
  | ExpertsFacts
  | { readonly kind: 'none' };

export interface ExpertsFacts {
  readonly kind: 'experts';
  readonly experts: number;
  readonly intermediateSize: number;
  readonly matrices: 2 | 3;
  readonly bias: boolean;
  /** Width of what every token passes beside its experts; 0: nothing. */
  readonly sharedIntermediateSize: number;
  /** A gate of one column scales the shared part (Qwen). */
  readonly sharedGate: boolean;
  /** The router adds a bias to each expert's score. */
  readonly routerBias: boolean;
  /** Width of what experts read where it is not the hidden size (Nemotron 3's latent experts). */
  readonly inputSize: number;
}

export interface Quantization {
  /** As config.json or the command line names it: awq, gptq, fp8, modelopt_fp4, mxfp4, bitsandbytes, gguf, … */
  readonly method: string;
  /** Of a quantised weight, its scales and zero points included. */
  readonly bitsPerWeight: number;
  /** Attention projections are quantised too; gpt-oss quantises only its experts. */
  readonly attention: boolean;
  /** Embedding table and output head are quantised too (GGUF). */
  readonly embeddings: boolean;
}

export interface StoredWeights {
  /** Bytes that vLLM keeps in memory, all ranks together. */
  readonly bytes: number;
  /** Bytes in files that it does not load: draft layers, an output head that is tied. */
  readonly skippedBytes: number;
  readonly source: 'safetensors' | 'gguf';
}

/** A model that cannot be sized, and exactly why. */
export interface MissingFacts {
  /** Keys that are absent or wrong, and features that are not understood, each in words. */
  readonly missing: readonly string[];
}

export function missingFactsText(fault: MissingFacts): string {
  return `its size cannot be computed: ${fault.missing.join('; ')}`;
}
