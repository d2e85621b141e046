/** The header of a GGUF file, all its parts. `@huggingface/gguf` is loaded here and nowhere else, on first use. */
import type { JsonObject } from '../sizing/config-keys.ts';
import { groupTensors, type TensorEntry, type TensorGroup } from '../sizing/stored-weights.ts';
import type { ModelFile, ModelFiles } from './model-files.ts';

export interface GgufHeader {
  /** Plain values; of long lists (the vocabulary) only the length. */
  readonly metadata: JsonObject;
  readonly groups: readonly TensorGroup[];
}

/** Longer lists are words and their scores. Shorter ones have a number for each layer. */
const LIST_MAX = 4096;

/** `parts`: the files of one model in order; the first one's metadata counts. */
export async function ggufHeader(files: ModelFiles, parts: readonly ModelFile[]): Promise<GgufHeader> {
  const { gguf } = await import('@huggingface/gguf');
  let metadata: JsonObject = {};
  const tensors: TensorEntry[][] = [];
  for (const [index, part] of parts.entries()) {
    const { uri, fetch } = files.ggufAddress(part.path);
    const parsed = await gguf(uri, fetch === null ? { allowLocalFile: true } : { fetch });
    if (index === 0) metadata = plain(parsed.metadata);
    tensors.push(placed(parsed.tensorInfos, Number(parsed.tensorDataOffset), part.sizeBytes));
  }
  return { metadata, groups: groupTensors(tensors.flat()) };
}

function plain(metadata: object): JsonObject {
  return Object.fromEntries(
    Object.entries(metadata).map(([key, value]: [string, unknown]) => {
      if (typeof value === 'bigint') return [key, Number(value)];
      if (!Array.isArray(value)) return [key, value];
      if (value.length > LIST_MAX) return [key, value.length];
      return [key, value.map((item: unknown) => (typeof item === 'bigint' ? Number(item) : item))];
    }),
  );
}

interface TensorPlace {
  readonly name: string;
  readonly shape: readonly bigint[];
  readonly dtype: number;
  readonly offset: bigint;
}

/** A tensor reaches to the next one's beginning; so no table of packings is needed, and padding counts as it should. */
function placed(tensors: readonly TensorPlace[], dataOffset: number, sizeBytes: number): TensorEntry[] {
  const inOrder = [...tensors].sort((a, b) => Number(a.offset - b.offset));
  return inOrder.map(({ name, shape, dtype, offset }, index) => {
    const next = inOrder[index + 1];
    const end = next === undefined ? sizeBytes - dataOffset : Number(next.offset);
    return {
      name,
      type: String(dtype),
      elements: shape.reduce((product, size) => product * Number(size), 1),
      bytes: Math.max(0, end - Number(offset)),
    };
  });
}
