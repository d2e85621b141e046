/**
 * Device memory that vLLM sets aside for LoRA adapters at its start: for each adapter that a batch may mix, two matrices of
 * the largest rank beside every linear layer, whatever the adapters themselves change.
 */
import type { FeedForwardFacts, MixerFacts, ModelFacts } from './model-facts.ts';

export interface AdapterSlots {
  /** Adapters that one batch may mix. */
  readonly perBatch: number;
  readonly rank: number;
}

/** Adapters are kept in 16 bits. */
const ELEMENT_BYTES = 2;
/** Layers of other kinds have about as many linear layers as attention has, each about as wide as the model. */
const OTHER_MATRICES = 4;

/** On each device. The first of each two matrices stands on every rank, so nothing is taken off for several of them. */
export function adapterBytes(facts: ModelFacts, slots: AdapterSlots | null): number {
  if (slots === null) return 0;
  let width = 0;
  for (const { mixer, feedForward } of facts.layers) {
    width += mixerWidth(mixer, facts.hiddenSize) + feedForwardWidth(feedForward, facts.hiddenSize);
  }
  return slots.perBatch * slots.rank * width * ELEMENT_BYTES;
}

/** Inputs and outputs of all its linear layers. */
function mixerWidth(mixer: MixerFacts, hiddenSize: number): number {
  if (mixer.kind === 'none') return 0;
  if (mixer.kind !== 'attention') return OTHER_MATRICES * 2 * hiddenSize;
  const { heads, kvHeads, headSizeK, headSizeV, gated } = mixer;
  const query = heads * headSizeK * (gated ? 2 : 1);
  return 4 * hiddenSize + query + kvHeads * (headSizeK + headSizeV) + heads * headSizeV;
}

function feedForwardWidth(feedForward: FeedForwardFacts, hiddenSize: number): number {
  switch (feedForward.kind) {
    case 'none':
      return 0;
    case 'dense':
      return feedForward.matrices * (hiddenSize + feedForward.intermediateSize);
    case 'experts': {
      const { experts, matrices, inputSize, intermediateSize, sharedIntermediateSize } = feedForward;
      const shared = sharedIntermediateSize === 0 ? 0 : hiddenSize + sharedIntermediateSize;
      return matrices * (experts * (inputSize + intermediateSize) + shared);
    }
  }
}
