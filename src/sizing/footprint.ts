/**
 * What a model needs on each of its devices, by the rule of the gateway that this one replaces:
 * `(weights + KV cache for max_model_len x sequences) x BUDGET_OVERHEAD_FACTOR + BUDGET_OVERHEAD_MIB`. The factor stands for
 * activations and fragments, the fixed part for the CUDA context, NCCL and captured graphs, which vLLM profiles itself
 * (`v1/worker/gpu_worker.py`, determine_available_memory). Under pipeline parallelism the largest stage counts.
 */
import { assert } from '../core/assert.ts';
import { failure, type Result, success } from '../core/result.ts';
import { onlineQuantization } from './config-quantization.ts';
import { floatBytes } from './element-types.ts';
import { type KvNeed, type KvType, kvNeed } from './kv-cache.ts';
import type { FloatType, ModelFacts, Quantization } from './model-facts.ts';
import { type StageWeights, stageWeights } from './weights.ts';

/** What is added to weights and cache: `(weights + KV cache) x factor + mib`. */
export interface Overhead {
  readonly factor: number;
  readonly mib: number;
}

/** BUDGET_OVERHEAD_FACTOR and BUDGET_OVERHEAD_MIB where nobody configured others. */
export const USUAL_OVERHEAD: Overhead = { factor: 1.1, mib: 1024 };

const MIB = 1024 * 1024;

/** vLLM's `--max-num-batched-tokens` as an API server on most cards, and the batches that it keeps in flight. */
const BATCHED_TOKENS = 8192;
const CONCURRENT_BATCHES = 2;

export interface FootprintRequest {
  readonly tensorParallel: number;
  readonly pipelineParallel: number;
  /** Null: the model's own. */
  readonly maxModelLen: number | null;
  /** Sequences of `maxModelLen` tokens whose cache is reserved (`kv_reservation_seqs`). */
  readonly sequences: number;
  readonly kvType: KvType;
  /** Null: the model's own. */
  readonly dtype: FloatType | null;
  /** `--quantization` for a model whose files are not packed; null: as the files are. */
  readonly quantization: string | null;
}

export interface Footprint {
  readonly request: FootprintRequest;
  readonly overhead: Overhead;
  readonly maxModelLen: number;
  /** The stage that needs most, counted from 0. */
  readonly stage: number;
  readonly weights: StageWeights;
  readonly kv: KvNeed;
  /** On one device, for all sequences. */
  readonly kvBytes: number;
  readonly overheadBytes: number;
  /** On one device, rounded up. */
  readonly totalMib: number;
}

/** The error says in words which of the wishes cannot be had. */
export function footprint(
  facts: ModelFacts,
  request: FootprintRequest,
  overhead: Overhead = USUAL_OVERHEAD,
): Result<Footprint, string> {
  const fault = parallelFault(facts, request);
  if (fault !== null) return failure(fault);
  const maxModelLen = request.maxModelLen ?? facts.nativeMaxModelLen;
  if (maxModelLen === null) {
    if (facts.layers.some(({ mixer }) => mixer.kind === 'attention' || mixer.kind === 'latent'))
      return failure(
        'the configuration does not tell how long a context the model takes: give `max_model_len`',
      );
    return success(largestStage(facts, request, overhead, 1));
  }
  return success(largestStage(facts, request, overhead, maxModelLen));
}

function largestStage(
  facts: ModelFacts,
  request: FootprintRequest,
  overhead: Overhead,
  maxModelLen: number,
): Footprint {
  const dtype = request.dtype ?? facts.dtype;
  const stages = stageWeights(facts, {
    tensorParallel: request.tensorParallel,
    pipelineParallel: request.pipelineParallel,
    plainBytes: floatBytes(dtype),
    quantization: quantizationFor(facts, request.quantization),
  });
  const inFlightTokens = BATCHED_TOKENS * (request.pipelineParallel - 1 + CONCURRENT_BATCHES);
  const footprints = stages.map((weights, stage): Footprint => {
    const kv = kvNeed(facts.keepsCache ? facts.layers.slice(weights.firstLayer, weights.endLayer) : [], {
      tensorParallel: request.tensorParallel,
      dtype,
      kvType: request.kvType,
      maxModelLen,
      blockSize: null,
      inFlightTokens,
    });
    const kvBytes = kv.bytesPerRequest + (request.sequences - 1) * kv.bytesPerFurtherRequest;
    const needed = weights.bytesPerRank + kvBytes;
    const overheadBytes = needed * (overhead.factor - 1) + overhead.mib * MIB;
    const totalMib = Math.ceil((needed + overheadBytes) / MIB);
    return { request, overhead, maxModelLen, stage, weights, kv, kvBytes, overheadBytes, totalMib };
  });
  const [largest] = footprints.sort((a, b) => b.totalMib - a.totalMib);
  assert(largest !== undefined, 'a model has a stage');
  return largest;
}

function quantizationFor(facts: ModelFacts, asked: string | null): Quantization | null {
  // What is packed in the files stays so; the flag only names it.
  if (facts.quantization !== null || asked === null) return facts.quantization;
  return onlineQuantization(asked);
}

/** vLLM divides heads evenly over the ranks (`config/model.py`, verify_with_parallel_config). */
function parallelFault(
  facts: ModelFacts,
  { tensorParallel, pipelineParallel }: FootprintRequest,
): string | null {
  for (const { mixer } of facts.layers) {
    if (mixer.kind !== 'attention' && mixer.kind !== 'latent') continue;
    if (mixer.heads % tensorParallel !== 0)
      return `${mixer.heads} attention heads cannot be divided evenly among ${tensorParallel} devices`;
    if (mixer.kind === 'attention' && !sharesEvenly(mixer.kvHeads, tensorParallel))
      return `${mixer.kvHeads} key-value heads cannot be divided evenly among ${tensorParallel} devices`;
  }
  if (pipelineParallel > Math.max(1, facts.layers.length))
    return `${facts.layers.length} layers cannot be divided into ${pipelineParallel} pipeline stages`;
  return null;
}

/** Each rank has whole key-value heads, or each head is on a whole number of ranks (`models/llama.py`, LlamaAttention). */
function sharesEvenly(kvHeads: number, ranks: number): boolean {
  return kvHeads === 0 || (kvHeads >= ranks ? kvHeads % ranks === 0 : ranks % kvHeads === 0);
}

/** Sequences that fit on devices with `deviceMib` each; null: any number (models without a cache). */
export function sequencesThatFit(need: Footprint, deviceMib: number): number | null {
  const { bytesPerRequest, bytesPerFurtherRequest } = need.kv;
  const left =
    ((deviceMib - need.overhead.mib) * MIB) / need.overhead.factor -
    need.weights.bytesPerRank -
    bytesPerRequest;
  if (left < 0) return 0;
  return bytesPerFurtherRequest === 0 ? null : 1 + Math.floor(left / bytesPerFurtherRequest);
}
