/** What a model's launch will read besides its own repository, by its `adapters` and the words of its `extra_args`. Pure. */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { WeightFormat } from './file-choice.ts';
import { jsonObject } from './json-object.ts';

export interface LaunchWords {
  readonly revision: string | null;
  readonly tokenizer: string | null;
  readonly tokenizerRevision: string | null;
  readonly configRepo: string | null;
  readonly downloadDirectory: string | null;
  /** Repositories or paths of adapters. */
  readonly adapters: readonly string[];
  /** Repository or path of a model that drafts. */
  readonly draft: string | null;
  /** Null: the loader reads from elsewhere, in its own way. */
  readonly format: WeightFormat | null;
  /** The rest of the words stands in a file that only vLLM reads. */
  readonly hasConfigFile: boolean;
  /** Code of repositories is run, which may stand in further repositories. */
  readonly trustsRemoteCode: boolean;
  readonly codeRevision: string | null;
}

const FORMATS: Readonly<Record<string, WeightFormat>> = {
  auto: 'auto',
  hf: 'auto',
  bitsandbytes: 'auto',
  gguf: 'auto',
  safetensors: 'safetensors',
  fastsafetensors: 'safetensors',
  instanttensor: 'safetensors',
  runai_streamer: 'safetensors',
  sharded_state: 'all_safetensors',
  npcache: 'bin',
  pt: 'pt',
  mistral: 'mistral',
  // Only configuration and tokenizer are read.
  dummy: 'none',
};

export function launchWords({ vllm, adapters }: Pick<ResolvedModel, 'vllm' | 'adapters'>): LaunchWords {
  const words = vllm.extraArgs;
  const last = (flag: string): string | null => valuesOf(words, flag).at(-1)?.[0] ?? null;
  const format = last('--load-format') ?? 'auto';
  return {
    revision: last('--revision'),
    tokenizer: last('--tokenizer'),
    tokenizerRevision: last('--tokenizer-revision'),
    configRepo: last('--hf-config-path'),
    downloadDirectory: last('--download-dir'),
    adapters: [...Object.values(adapters), ...valuesOf(words, '--lora-modules').flat().flatMap(adapterPath)],
    draft: draftModel(last('--speculative-config') ?? last('-sc'), last('--speculative-config.model')),
    format: FORMATS[format] ?? null,
    hasConfigFile: last('--config') !== null,
    trustsRemoteCode: valuesOf(words, '--trust-remote-code').length > 0,
    codeRevision: last('--code-revision'),
  };
}

/** Each occurrence with its values; `--flag=value` has one. Underscores of long names are dashes. */
function valuesOf(words: readonly string[], flag: string): string[][] {
  const found: string[][] = [];
  for (const [at, word] of words.entries()) {
    const [name = '', ...rest] = word.split('=');
    if ((name.startsWith('--') ? name.replaceAll('_', '-') : name) !== flag) continue;
    if (rest.length > 0) {
      found.push([rest.join('=')]);
      continue;
    }
    const after = words.slice(at + 1);
    const end = after.findIndex((next) => next.startsWith('-'));
    found.push(end < 0 ? after : after.slice(0, end));
  }
  return found;
}

/** `name=path`, or a JSON object with `path`. */
function adapterPath(text: string): string[] {
  if (text.startsWith('{')) {
    const path = jsonObject(text)?.['path'];
    return typeof path === 'string' ? [path] : [];
  }
  const at = text.indexOf('=');
  return at < 0 ? [] : [text.slice(at + 1)];
}

function draftModel(json: string | null, plain: string | null): string | null {
  if (plain !== null) return plain;
  const model = json === null ? null : jsonObject(json)?.['model'];
  return typeof model === 'string' && model.includes('/') ? model : null;
}
