/**
 * Bytes of weights on one rank under tensor and pipeline parallelism.
 *
 * Every part is `parameters x bytes of one parameter`; what differs is how it is split over the TP ranks
 * (vLLM: `model_executor/layers/linear.py`, `vocab_parallel_embedding.py`, `fused_moe/layer.py`):
 *  - column and row parallel matrices: 1 / TP each;
 *  - keys and values: by whole heads, `max(1, kvHeads / TP)` each, so they are repeated once TP exceeds the heads;
 *  - latent down-projections, indexers, routers, norms, towers: whole on each rank.
 * PP splits the layers in order (`distributed/utils.py`, get_pp_indices); the first stage adds the embedding table, the last
 * one the output head, and both the table where they are the same.
 *
 * Where real files were read, their bytes replace the computed sum and each part keeps its computed share.
 */
import { floatBytes } from './element-types.ts';
import type {
  AttentionFacts,
  FeedForwardFacts,
  LatentAttentionFacts,
  LayerFacts,
  MixerFacts,
  ModelFacts,
  Quantization,
} from './model-facts.ts';

export type WeightKind =
  | 'embedding'
  | 'output head'
  | 'attention'
  | 'attention, on every rank'
  | 'feed-forward'
  | 'experts'
  | 'routers'
  | 'state layers'
  | 'norms'
  | 'tower';

export interface WeightPart {
  readonly kind: WeightKind;
  readonly parameters: number;
  /** On one rank of the stage. */
  readonly bytesPerRank: number;
}

export interface StageWeights {
  readonly firstLayer: number;
  readonly endLayer: number;
  readonly parts: readonly WeightPart[];
  readonly bytesPerRank: number;
}

/** A piece of a layer: all its parameters, and those of them that one rank holds. */
interface Piece {
  readonly kind: WeightKind;
  readonly parameters: number;
  readonly perRank: number;
}

export interface WeightOptions {
  readonly tensorParallel: number;
  readonly pipelineParallel: number;
  /** Bytes of one plain parameter, where `--dtype` overrides the model's. */
  readonly plainBytes: number;
  readonly quantization: Quantization | null;
}

/** Parameters of the whole model, draft layers excluded. */
export function parameterCount(facts: ModelFacts): number {
  const pieces = [
    ...facts.layers.flatMap((layer) => layerPieces(facts, layer, 1)),
    ...edgePieces(facts, 1, 'both'),
  ];
  return pieces.reduce((sum, { parameters }) => sum + parameters, 0);
}

/** One entry a pipeline stage. */
export function stageWeights(facts: ModelFacts, options: WeightOptions): StageWeights[] {
  const scale = storedScale(facts, options);
  return pipelineStages(facts.layers.length, options.pipelineParallel).map(
    ([firstLayer, endLayer], stage) => {
      const edge = edgeOf(stage, options.pipelineParallel);
      const pieces = [
        ...facts.layers
          .slice(firstLayer, endLayer)
          .flatMap((layer) => layerPieces(facts, layer, options.tensorParallel)),
        ...edgePieces(facts, options.tensorParallel, edge),
      ];
      const parts = summed(pieces, options, scale);
      return {
        firstLayer,
        endLayer,
        parts,
        bytesPerRank: parts.reduce((sum, part) => sum + part.bytesPerRank, 0),
      };
    },
  );
}

/** Layers of each stage; what does not divide goes to the stages before the last (`get_pp_indices`). */
export function pipelineStages(layers: number, stages: number): [first: number, end: number][] {
  const even = Math.floor(layers / stages);
  const left = layers % stages;
  let first = 0;
  return Array.from({ length: stages }, (_, stage) => {
    // The last stage has the output head, so the rest goes to its predecessors, nearest first.
    const isLonger = stage < stages - 1 && stage >= stages - 1 - left;
    const end = stage === stages - 1 ? layers : first + even + Number(isLonger);
    const range: [number, number] = [first, end];
    first = end;
    return range;
  });
}

type Edge = 'both' | 'first' | 'last' | 'middle';

function edgeOf(stage: number, stages: number): Edge {
  if (stages === 1) return 'both';
  if (stage === 0) return 'first';
  return stage === stages - 1 ? 'last' : 'middle';
}

/** Real bytes against computed ones, when the files' packing is the one that is loaded. */
function storedScale(facts: ModelFacts, options: WeightOptions): number {
  const { stored } = facts;
  const isOverridden =
    options.quantization !== facts.quantization || options.plainBytes !== floatBytes(facts.dtype);
  if (stored === null || isOverridden) return 1;
  const whole = [
    ...facts.layers.flatMap((layer) => layerPieces(facts, layer, 1)),
    ...edgePieces(facts, 1, 'both'),
  ];
  const computed = summed(whole, options, 1).reduce((sum, part) => sum + part.bytesPerRank, 0);
  return stored.bytes / computed;
}

function summed(pieces: readonly Piece[], options: WeightOptions, scale: number): WeightPart[] {
  const parts = new Map<WeightKind, WeightPart>();
  for (const { kind, parameters, perRank } of pieces) {
    if (parameters === 0) continue;
    const known = parts.get(kind);
    parts.set(kind, {
      kind,
      parameters: parameters + (known?.parameters ?? 0),
      bytesPerRank: perRank * parameterBytes(kind, options) * scale + (known?.bytesPerRank ?? 0),
    });
  }
  return [...parts.values()];
}

function parameterBytes(kind: WeightKind, { plainBytes, quantization }: WeightOptions): number {
  return quantization !== null && isQuantized(kind, quantization)
    ? quantization.bitsPerWeight / 8
    : plainBytes;
}

function isQuantized(kind: WeightKind, quantization: Quantization): boolean {
  switch (kind) {
    case 'embedding':
    case 'output head':
      return quantization.embeddings;
    case 'attention':
    case 'attention, on every rank':
      return quantization.attention;
    case 'feed-forward':
    case 'experts':
    case 'state layers':
      return true;
    case 'routers':
    case 'norms':
    case 'tower':
      return false;
  }
}

function edgePieces(facts: ModelFacts, ranks: number, edge: Edge): Piece[] {
  const table = facts.vocabularySize * facts.hiddenSize;
  const pieces: Piece[] = [];
  const isFirst = edge === 'both' || edge === 'first';
  const isLast = edge === 'both' || edge === 'last';
  // A tied last stage needs the table again.
  if (isFirst || (isLast && facts.tiedEmbeddings)) pieces.push(split('embedding', table, ranks));
  if (isFirst) pieces.push(whole('tower', facts.towerParameters));
  if (isLast && !facts.tiedEmbeddings) pieces.push(split('output head', table, ranks));
  if (isLast) pieces.push(whole('norms', facts.extraEmbeddingParameters));
  return pieces;
}

function split(kind: WeightKind, parameters: number, ranks: number): Piece {
  return { kind, parameters, perRank: parameters / ranks };
}

function whole(kind: WeightKind, parameters: number): Piece {
  return { kind, parameters, perRank: parameters };
}

function layerPieces(facts: ModelFacts, layer: LayerFacts, ranks: number): Piece[] {
  return [
    ...mixerPieces(layer.mixer, facts.hiddenSize, ranks),
    ...feedForwardPieces(layer.feedForward, facts.hiddenSize, ranks),
    whole('norms', layer.normParameters),
  ];
}

function mixerPieces(mixer: MixerFacts, hidden: number, ranks: number): Piece[] {
  switch (mixer.kind) {
    case 'attention':
      return attentionPieces(mixer, hidden, ranks);
    case 'latent':
      return latentPieces(mixer, hidden, ranks);
    case 'cross_attention': {
      const { heads, kvHeads, headSize } = mixer;
      return [split('attention', 2 * hidden * headSize * (heads + kvHeads), ranks)];
    }
    case 'state':
      return [split('state layers', mixer.weightParameters, ranks)];
    case 'none':
      return [];
  }
}

function attentionPieces(mixer: AttentionFacts, hidden: number, ranks: number): Piece[] {
  const { heads, kvHeads, headSizeK, headSizeV, bias, gated } = mixer;
  const queryWidth = heads * headSizeK * (gated ? 2 : 1);
  const queries = hidden * queryWidth + heads * headSizeV * hidden;
  const queryBias = (bias === 'none' ? 0 : queryWidth) + (bias === 'all' ? hidden : 0);
  const perHead = (headSizeK + headSizeV) * (hidden + Number(bias !== 'none'));
  const keysAndValues = kvHeads * perHead;
  return [
    split('attention', queries + queryBias, ranks),
    { kind: 'attention', parameters: keysAndValues, perRank: Math.max(1, kvHeads / ranks) * perHead },
  ];
}

/** `model_executor/models/deepseek_v2.py`, DeepseekV2MLAAttention and Indexer. */
function latentPieces(mixer: LatentAttentionFacts, hidden: number, ranks: number): Piece[] {
  const { heads, kvLoraRank, queryLoraRank, ropeHeadSize, nopeHeadSize, headSizeV, indexer } = mixer;
  const queryWidth = heads * (nopeHeadSize + ropeHeadSize);
  const down = hidden * (kvLoraRank + ropeHeadSize + (queryLoraRank ?? 0));
  const up = (queryLoraRank ?? hidden) * queryWidth + kvLoraRank * heads * (nopeHeadSize + headSizeV);
  const indexing =
    indexer === null
      ? 0
      : (queryLoraRank ?? hidden) * indexer.heads * indexer.headSize +
        hidden * (indexer.headSize + indexer.heads);
  return [
    split('attention', up + heads * headSizeV * hidden, ranks),
    whole('attention, on every rank', down + indexing),
  ];
}

function feedForwardPieces(facts: FeedForwardFacts, hidden: number, ranks: number): Piece[] {
  switch (facts.kind) {
    case 'none':
      return [];
    case 'dense': {
      const { intermediateSize, matrices, bias } = facts;
      const biases = bias ? (matrices - 1) * intermediateSize + hidden : 0;
      return [split('feed-forward', matrices * hidden * intermediateSize + biases, ranks)];
    }
    case 'experts': {
      const { experts, intermediateSize, matrices, bias, inputSize } = facts;
      const biases = bias ? (matrices - 1) * intermediateSize + inputSize : 0;
      const router = experts * (hidden + Number(facts.routerBias)) + (facts.sharedGate ? hidden : 0);
      const narrowing = inputSize === hidden ? 0 : 2 * hidden * inputSize;
      return [
        split('experts', experts * (matrices * inputSize * intermediateSize + biases), ranks),
        split('feed-forward', matrices * hidden * facts.sharedIntermediateSize + narrowing, ranks),
        whole('routers', router),
      ];
    }
  }
}
