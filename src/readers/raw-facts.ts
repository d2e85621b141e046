/** A model's own words, before sizing has looked at them: its configuration and the sums of its tensors. */
import { failure, type Result } from '../core/result.ts';
import { factsFromConfig } from '../sizing/config-facts.ts';
import { isObject, type JsonObject } from '../sizing/config-keys.ts';
import { factsFromGguf } from '../sizing/gguf-facts.ts';
import { type MissingFacts, type ModelFacts, missingFactsText } from '../sizing/model-facts.ts';
import type { TensorGroup } from '../sizing/stored-weights.ts';
import { ggufHeader } from './gguf-header.ts';
import type { ModelFile, ModelFiles } from './model-files.ts';
import type { GgufChoice } from './model-name.ts';
import { ReadError, type ReadFault } from './read-fault.ts';
import { jsonFile, tensorTable } from './tensor-table.ts';

export type RawFacts =
  | { readonly kind: 'config'; readonly config: JsonObject; readonly tensors: readonly TensorGroup[] | null }
  | { readonly kind: 'gguf'; readonly metadata: JsonObject; readonly tensors: readonly TensorGroup[] };

export async function readRawFacts(files: ModelFiles, gguf: GgufChoice | null): Promise<RawFacts> {
  const listed = await files.list();
  if (gguf !== null) return ggufFacts(files, chosenParts(files.label, listed, gguf));
  const config = await jsonFile(files, listed, 'config.json');
  if (isObject(config)) {
    const tensors = await tensorTable(files, listed);
    return { kind: 'config', config: await withQuantization(files, listed, config), tensors };
  }
  const whole = listed.filter(({ path }) => isGgufModel(path));
  if (whole.length === 1) return ggufFacts(files, whole);
  throw new ReadError(
    'not_found',
    whole.length === 0
      ? `${files.label} has neither a config.json nor a GGUF file`
      : `${files.label} has ${whole.length} GGUF files: name one of them`,
  );
}

/** NVIDIA's ModelOpt writes the packing into a file of its own. */
async function withQuantization(
  files: ModelFiles,
  listed: readonly ModelFile[],
  config: JsonObject,
): Promise<JsonObject> {
  if (config['quantization_config'] !== undefined) return config;
  const told = await jsonFile(files, listed, 'hf_quant_config.json');
  return isObject(told) ? { ...config, quantization_config: { quant_method: 'modelopt', ...told } } : config;
}

async function ggufFacts(files: ModelFiles, parts: readonly ModelFile[]): Promise<RawFacts> {
  const { metadata, groups } = await ggufHeader(files, parts);
  return { kind: 'gguf', metadata, tensors: groups };
}

/** Files beside a model that have its packings' names too: the projector of what it sees or hears, and the weights' importance. */
const BESIDE_MODEL = /(^|\/)(mmproj|imatrix)[-._]|[-._]mmproj[-._]/i;

/** Not the projector that lies beside it. */
export function isGgufModel(path: string): boolean {
  return path.endsWith('.gguf') && !BESIDE_MODEL.test(path);
}

const PART = /-(\d{5})-of-(\d{5})\.gguf$/;

/**
 * All parts of the chosen model, in order. Of several with the packing's word the shortest name is it: the others are variants
 * (`UD-Q4_K_XL` beside `Q4_K_XL`). `label`: of the repository, for the fault where it has no such file.
 */
export function chosenParts<File extends ModelFile>(
  label: string,
  listed: readonly File[],
  choice: GgufChoice,
): File[] {
  const wanted = (path: string) =>
    choice.kind === 'file'
      ? path === choice.path
      : isGgufModel(path) && new RegExp(`(^|[-._/])${choice.word}([-._/]|$)`, 'i').test(path);
  const first = listed
    .filter(({ path }) => wanted(path))
    .sort((a, b) => a.path.length - b.path.length || (a.path < b.path ? -1 : 1))[0];
  if (first === undefined) {
    const what = choice.kind === 'file' ? choice.path : `GGUF file for ${choice.word}`;
    throw new ReadError('not_found', `${label} has no ${what}`);
  }
  if (!PART.test(first.path)) return [first];
  const stem = first.path.replace(PART, '');
  const parts = listed.filter(({ path }) => PART.test(path) && path.replace(PART, '') === stem);
  return parts.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** What sizing makes of it, its complaint turned to a fault of reading. */
export function factsOf(raw: RawFacts, label: string): Result<ModelFacts, ReadFault> {
  const facts =
    raw.kind === 'config'
      ? factsFromConfig(raw.config, raw.tensors)
      : factsFromGguf(raw.metadata, raw.tensors);
  return facts.ok ? facts : failure(notUnderstood(facts.error, label));
}

function notUnderstood(missing: MissingFacts, label: string): ReadFault {
  return { kind: 'not_understood', text: `${label}: ${missingFactsText(missing)}` };
}
