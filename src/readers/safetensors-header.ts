/**
 * The table at the beginning of a safetensors file: 8 bytes of length, then JSON with the type, shape and place of each tensor.
 * Weights are never read.
 */
import type { TensorEntry } from '../sizing/stored-weights.ts';
import type { ModelFile, ModelFiles } from './model-files.ts';
import { ReadError } from './read-fault.ts';

const LENGTH_BYTES = 8;
/** What the format's own library accepts. */
const HEADER_BYTES_MAX = 100_000_000;
/** The first request asks for this much, which holds most headers whole. */
const FIRST_BYTES = 256 * 1024;

export async function safetensorsHeader(files: ModelFiles, file: ModelFile): Promise<TensorEntry[]> {
  const firstEnd = Math.min(FIRST_BYTES, file.sizeBytes);
  if (firstEnd < LENGTH_BYTES)
    throw new ReadError('malformed', `${file.path} is too short for a safetensors file`);
  const first = await files.range(file.path, 0, firstEnd);
  const length = Number(new DataView(first.buffer, first.byteOffset).getBigUint64(0, true));
  const end = LENGTH_BYTES + length;
  if (length > HEADER_BYTES_MAX || end > file.sizeBytes)
    throw new ReadError('malformed', `the header of ${file.path} claims ${length} bytes`);
  const head = first.subarray(LENGTH_BYTES, Math.min(end, firstEnd));
  const rest = end > firstEnd ? await files.range(file.path, firstEnd, end) : new Uint8Array();
  return entriesOf(file.path, new TextDecoder().decode(joined(head, rest)));
}

function joined(head: Uint8Array, rest: Uint8Array): Uint8Array {
  const whole = new Uint8Array(head.length + rest.length);
  whole.set(head);
  whole.set(rest, head.length);
  return whole;
}

function entriesOf(path: string, text: string): TensorEntry[] {
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null)
    throw new ReadError('malformed', `the header of ${path} is no table`);
  return Object.entries(parsed).flatMap(([name, tensor]): TensorEntry[] => {
    if (name === '__metadata__') return [];
    const { dtype, shape, data_offsets: offsets } = tensor as Readonly<Record<string, unknown>>;
    if (typeof dtype !== 'string' || !isNumbers(shape) || !isNumbers(offsets) || offsets.length !== 2)
      throw new ReadError('malformed', `the header of ${path} has no type, shape or place for ${name}`);
    const [begin = 0, end = 0] = offsets;
    return [
      { name, type: dtype, elements: shape.reduce((product, size) => product * size, 1), bytes: end - begin },
    ];
  });
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}
