/**
 * Which files of a repository a launch of vLLM reads. Pure.
 *  1. Everything that is no weights: configuration, tokenizer, processor, templates, code; not what other programs keep there
 *     (vLLM and its tokenizers take all non-weight files too).
 *  2. Weights in one packing only, in vLLM's order for the load format: safetensors (those of the index, where there is one),
 *     else PyTorch's; Mistral's own `consolidated` files only where there are no others.
 */
import type { ModelFile } from '../readers/model-files.ts';
import type { GgufChoice } from '../readers/model-name.ts';
import { chosenParts } from '../readers/raw-facts.ts';
import { isObject, jsonObject } from './json-object.ts';

export type WeightFormat = 'auto' | 'safetensors' | 'all_safetensors' | 'bin' | 'pt' | 'mistral' | 'none';

/** What is wanted of a repository. */
export type Wanted =
  | { readonly kind: 'model'; readonly format: WeightFormat }
  | { readonly kind: 'adapter' }
  | { readonly kind: 'gguf'; readonly choice: GgufChoice };

const SAFETENSORS_INDEX = 'model.safetensors.index.json';
const MISTRAL_INDEX = 'consolidated.safetensors.index.json';
const BIN_INDEX = 'pytorch_model.bin.index.json';

/** Folders of other programs' versions of the same model. */
const FOREIGN_FOLDER =
  /^(original|onnx|openvino|coreml|tflite|tf|flax|gguf|metal|mlx|runs|logs|figures|images|assets|examples?|\.\w+)\//i;
const CHECKPOINT_FOLDER = /(^|\/)(checkpoint-\d+|global_step\d+)\//;
/** Weights of any packing, as vLLM has the list, and files that nothing of a launch reads. */
const WEIGHTS_OR_OTHER =
  /\.(safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack|onnx|onnx_data|tflite|mlmodel|mlpackage|npz|nemo|ot|llamafile|pdf|png|jpe?g|gif|webp|svg|mp3|mp4|wav|flac|webm|parquet|arrow|ipynb|zip|gz|bz2|xz|tgz|tar|7z|pkl|pickle|joblib|exe|so|dll)$/i;
/** Files of a training that PyTorch's pattern would take for weights (as vLLM filters them). */
const OF_TRAINING = /^(training_args\.bin|optimizer\.(bin|pt)|scheduler\.pt|scaler\.pt|rng_state.*)$/;
/** Further stages of sentence embedding models, each with a few weights of its own. */
const STAGE_WEIGHTS = /^\d+_\w+\/(model\.safetensors|pytorch_model\.bin)$/;
/** What is no weights is small; larger files are taken only with the names of vocabularies. */
const SIDE_FILE_BYTES_MAX = 16 * 1024 * 1024;
const VOCABULARY = /\.(json|txt|model|tiktoken|py|jinja|spm|vocab)$|(^|\/)tokenizer\.model\.v\d|tekken/i;
const TOKENIZER =
  /^(tokenizer\.json|tokenizer\.model.*|tekken\.json|vocab\.(json|txt)|spiece\.model|sentencepiece.*\.model|source\.spm|.+\.tiktoken)$/;

/** The index that must be read before weights can be chosen; null: none. */
export function neededIndex(files: readonly ModelFile[], wanted: Wanted): string | null {
  if (wanted.kind !== 'model') return null;
  const index = indexOf(files, wanted.format);
  return index !== null && files.some(({ path }) => path === index) ? index : null;
}

function indexOf(files: readonly ModelFile[], format: WeightFormat): string | null {
  switch (format) {
    case 'none':
    case 'pt':
    case 'all_safetensors':
      return null;
    case 'mistral':
      return MISTRAL_INDEX;
    case 'bin':
      return BIN_INDEX;
    default: {
      if (files.some(({ path }) => path === SAFETENSORS_INDEX)) return SAFETENSORS_INDEX;
      const weights = topLevel(files, /\.safetensors$/);
      if (weights.length > 0 && weights.every(isMistral)) return MISTRAL_INDEX;
      return weights.length === 0 && format === 'auto' ? BIN_INDEX : null;
    }
  }
}

/** `index`: text of `neededIndex`, where there is one. Throws a ReadError where a GGUF file is not among them. */
export function chooseFiles<File extends ModelFile>(
  files: readonly File[],
  wanted: Wanted,
  index: string | null,
): readonly File[] {
  if (wanted.kind === 'gguf') {
    // The model card tells what the model was made of, and with it where its tokenizer is.
    const card = files.filter(({ path }) => path === 'README.md');
    return [...chosenParts('the repository', files, wanted.choice), ...card];
  }
  if (wanted.kind === 'adapter') return files.filter(({ path }) => !CHECKPOINT_FOLDER.test(path));
  const weights = wanted.format === 'none' ? [] : chosenWeights(files, wanted.format, index);
  return [...files.filter(isSideFile), ...weights];
}

function isSideFile({ path, sizeBytes }: ModelFile): boolean {
  if (WEIGHTS_OR_OTHER.test(path) || FOREIGN_FOLDER.test(path) || CHECKPOINT_FOLDER.test(path)) return false;
  if (/(^|\/)\.[^/]*$/.test(path)) return false;
  return sizeBytes <= SIDE_FILE_BYTES_MAX || VOCABULARY.test(path);
}

function chosenWeights<File extends ModelFile>(
  files: readonly File[],
  format: WeightFormat,
  index: string | null,
): readonly File[] {
  const named = index === null ? null : filesOfIndex(index);
  if (named !== null && named.size > 0) {
    const chosen = files.filter(({ path }) => named.has(path));
    return [...chosen, ...stageWeights(files)];
  }
  const safetensors = topLevel(files, /\.safetensors$/);
  const own = safetensors.filter((file) => !isMistral(file));
  const mistral = safetensors.filter(isMistral);
  const withStages = (chosen: readonly File[]) => [...chosen, ...stageWeights(files)];
  switch (format) {
    case 'all_safetensors':
      return withStages(safetensors);
    case 'mistral':
      return mistral;
    case 'safetensors':
      return withStages(own.length > 0 ? own : safetensors);
    case 'bin':
      return withStages(pytorch(files, /\.bin$/));
    case 'pt':
      return pytorch(files, /\.pt$/);
    default:
      return withStages(
        [own, mistral, pytorch(files, /\.bin$/), pytorch(files, /\.pt$/), inFolders(files)].find(
          (found) => found.length > 0,
        ) ?? [],
      );
  }
}

/** Each stage in one packing. */
function stageWeights<File extends ModelFile>(files: readonly File[]): readonly File[] {
  const stages = files.filter(({ path }) => STAGE_WEIGHTS.test(path));
  const paths = new Set(stages.map(({ path }) => path));
  return stages.filter(
    ({ path }) => path.endsWith('.safetensors') || !paths.has(path.replace(/[^/]+$/, 'model.safetensors')),
  );
}

/** Models in parts (transformer/, text_encoder/): all safetensors below the top. */
function inFolders<File extends ModelFile>(files: readonly File[]): readonly File[] {
  return files.filter(
    ({ path }) =>
      path.endsWith('.safetensors') && !FOREIGN_FOLDER.test(path) && !CHECKPOINT_FOLDER.test(path),
  );
}

function topLevel<File extends ModelFile>(files: readonly File[], ending: RegExp): File[] {
  return files.filter(({ path }) => !path.includes('/') && ending.test(path));
}

function pytorch<File extends ModelFile>(files: readonly File[], ending: RegExp): File[] {
  return topLevel(files, ending).filter(({ path }) => !OF_TRAINING.test(path));
}

function isMistral({ path }: ModelFile): boolean {
  return /^consolidated.*\.safetensors$/.test(path);
}

/** Null: the text is no index. */
export function filesOfIndex(text: string): ReadonlySet<string> | null {
  const map = jsonObject(text)?.['weight_map'];
  if (!isObject(map)) return null;
  return new Set(Object.values(map).filter((path): path is string => typeof path === 'string'));
}

/** How complete files look when nobody has a list of what there should be. */
export type Completeness =
  | { readonly kind: 'complete' }
  /** All is there but a tokenizer, which some models have none of. */
  | { readonly kind: 'doubtful' }
  | { readonly kind: 'missing'; readonly what: string };

/** `files`: what is in a snapshot, links that lead nowhere left out; `index`: as for `chooseFiles`. */
export function completeness(
  files: readonly ModelFile[],
  wanted: Wanted,
  index: string | null,
): Completeness {
  const paths = new Set(files.map(({ path }) => path));
  if (wanted.kind === 'gguf') {
    const parts = ggufPaths(files, wanted.choice);
    const absent = parts.length === 0 ? 'the GGUF file' : missingPart(parts);
    return absent === null ? { kind: 'complete' } : { kind: 'missing', what: absent };
  }
  if (wanted.kind === 'adapter') {
    if (!paths.has('adapter_config.json')) return { kind: 'missing', what: 'adapter_config.json' };
    const hasWeights = paths.has('adapter_model.safetensors') || paths.has('adapter_model.bin');
    return hasWeights ? { kind: 'complete' } : { kind: 'missing', what: 'adapter_model.safetensors' };
  }
  const speaks = hasTokenizer([...paths]);
  if (wanted.format === 'none')
    return speaks ? { kind: 'complete' } : { kind: 'missing', what: 'a tokenizer' };
  if (!paths.has('config.json') && !paths.has('params.json')) return { kind: 'missing', what: 'config.json' };
  const absent = [...(index === null ? [] : (filesOfIndex(index) ?? []))].find((path) => !paths.has(path));
  if (absent !== undefined) return { kind: 'missing', what: absent };
  const weights = chosenWeights(files, wanted.format, index);
  if (weights.length === 0) return { kind: 'missing', what: 'weights' };
  const part = missingPart(weights.map(({ path }) => path));
  if (part !== null) return { kind: 'missing', what: part };
  return speaks ? { kind: 'complete' } : { kind: 'doubtful' };
}

/** Files of the chosen GGUF model in order; none where there are none. */
export function ggufPaths(files: readonly ModelFile[], choice: GgufChoice): readonly string[] {
  try {
    return chosenParts('', files, choice).map(({ path }) => path);
  } catch {
    return [];
  }
}

/** `model-00002-of-00003.safetensors` tells that there are three. */
function missingPart(paths: readonly string[]): string | null {
  for (const path of paths) {
    const match = /^(.*-)\d{5}(-of-(\d{5})\..+)$/.exec(path);
    if (match === null) continue;
    for (let number = 1; number <= Number(match[3]); number += 1) {
      const part = `${match[1]}${String(number).padStart(5, '0')}${match[2]}`;
      if (!paths.includes(part)) return part;
    }
  }
  return null;
}

export function hasTokenizer(paths: readonly string[]): boolean {
  return paths.some((path) => TOKENIZER.test(path));
}
