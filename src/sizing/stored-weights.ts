/**
 * What the tensors in a model's files come to in memory. vLLM casts plain weights to the model's type while loading, keeps
 * packed ones as they are, and leaves out what it does not run: draft layers for speculative decoding (DeepSeek's and GLM's
 * layers beyond `num_hidden_layers`, Qwen's `mtp.`), and an output head that is the embedding table.
 */
import { floatBytes } from './element-types.ts';
import type { ModelFacts, StoredWeights } from './model-facts.ts';

/** One tensor of a file. */
export interface TensorEntry {
  readonly name: string;
  /** As the file names it: `BF16`, `F8_E4M3`, `I32`, `Q4_K`, … */
  readonly type: string;
  readonly elements: number;
  readonly bytes: number;
}

/** Tensors of one kind, summed up: a file of 20,000 tensors becomes some hundred of these. */
export interface TensorGroup {
  /** Number of the layer of the language model; null for what belongs to none. */
  readonly layer: number | null;
  readonly role: 'head' | 'draft' | 'other';
  readonly type: string;
  readonly elements: number;
  readonly bytes: number;
}

const TOWER = /(^|\.)(vision|visual|audio|image|mm_|multi_modal|patch_embed)/;
const LAYER = /(?:^|\.)(?:layers|h|blocks?|blk)\.(\d+)\./;

export function groupTensors(tensors: Iterable<TensorEntry>): TensorGroup[] {
  const groups = new Map<string, TensorGroup>();
  for (const { name, type, elements, bytes } of tensors) {
    const layer = TOWER.test(name) ? null : (LAYER.exec(name)?.[1] ?? null);
    const role = roleOf(name);
    const key = `${layer} ${role} ${type}`;
    const known = groups.get(key);
    groups.set(key, {
      layer: layer === null ? null : Number(layer),
      role,
      type,
      elements: elements + (known?.elements ?? 0),
      bytes: bytes + (known?.bytes ?? 0),
    });
  }
  return [...groups.values()];
}

function roleOf(name: string): TensorGroup['role'] {
  if (/(^|\.)mtp\./.test(name)) return 'draft';
  return /(^|\.)(lm_head|embed_out|output)\.weight$/.test(name) ? 'head' : 'other';
}

const PLAIN_TYPES = new Set(['F64', 'F32', 'F16', 'BF16']);

export function storedWeights(
  facts: ModelFacts,
  groups: readonly TensorGroup[],
  source: StoredWeights['source'],
): StoredWeights {
  let bytes = 0;
  let skippedBytes = 0;
  for (const group of groups) {
    if (isSkipped(facts, group)) skippedBytes += group.bytes;
    else bytes += loadedBytes(facts, group);
  }
  return { bytes, skippedBytes, source };
}

function isSkipped(facts: ModelFacts, { role, layer }: TensorGroup): boolean {
  if (role === 'draft') return true;
  if (role === 'head') return facts.tiedEmbeddings;
  return layer !== null && layer >= facts.layers.length;
}

/** Scales of packed weights keep their float32. */
function loadedBytes(facts: ModelFacts, { type, elements, bytes }: TensorGroup): number {
  return facts.quantization === null && PLAIN_TYPES.has(type) ? elements * floatBytes(facts.dtype) : bytes;
}
