/** Which safetensors files of a model vLLM would load, and what their headers say. */
import { isObject, type JsonObject } from '../sizing/config-keys.ts';
import { groupTensors, type TensorEntry, type TensorGroup } from '../sizing/stored-weights.ts';
import type { ModelFile, ModelFiles } from './model-files.ts';
import { TEXT_BYTES_MAX } from './model-files.ts';
import { ReadError } from './read-fault.ts';
import { safetensorsHeader } from './safetensors-header.ts';

const INDEX_FILE = 'model.safetensors.index.json';
const SHARDS_MAX = 1000;
const SHARDS_AT_ONCE = 8;

/** Parsed JSON of a small file, null where there is none. */
export async function jsonFile(
  files: ModelFiles,
  listed: readonly ModelFile[],
  path: string,
): Promise<unknown> {
  const file = listed.find((one) => one.path === path);
  if (file === undefined) return null;
  if (file.sizeBytes > TEXT_BYTES_MAX)
    throw new ReadError('too_large', `${path} of ${files.label} has ${file.sizeBytes} bytes`);
  const text = new TextDecoder().decode(await files.range(path, 0, file.sizeBytes));
  try {
    return JSON.parse(text);
  } catch {
    throw new ReadError('malformed', `${path} of ${files.label} is not JSON`);
  }
}

/** Null: no safetensors files, or not all that the index names. */
export async function tensorTable(
  files: ModelFiles,
  listed: readonly ModelFile[],
): Promise<readonly TensorGroup[] | null> {
  const index = await jsonFile(files, listed, INDEX_FILE);
  const shards = isObject(index) ? indexedShards(index, listed) : looseShards(listed);
  if (shards === null || shards.length === 0) return null;
  if (shards.length > SHARDS_MAX)
    throw new ReadError('too_large', `${files.label} has ${shards.length} files of weights`);
  const headers: TensorEntry[][] = [];
  for (let first = 0; first < shards.length; first += SHARDS_AT_ONCE) {
    const together = shards.slice(first, first + SHARDS_AT_ONCE);
    headers.push(...(await Promise.all(together.map((shard) => safetensorsHeader(files, shard)))));
  }
  return groupTensors(headers.flat());
}

function indexedShards(index: JsonObject, listed: readonly ModelFile[]): ModelFile[] | null {
  const map = index['weight_map'];
  if (!isObject(map)) return null;
  const names = new Set(Object.values(map).filter((name) => typeof name === 'string'));
  const shards = listed.filter(({ path }) => names.has(path));
  return shards.length === names.size ? shards : null;
}

/** Without an index every file at the top counts, but not the `consolidated` copy in another format. */
function looseShards(listed: readonly ModelFile[]): ModelFile[] {
  const top = listed.filter(({ path }) => path.endsWith('.safetensors') && !path.includes('/'));
  const usual = top.filter(({ path }) => !path.startsWith('consolidated'));
  return usual.length > 0 ? usual : top;
}
