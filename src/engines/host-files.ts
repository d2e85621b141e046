/**
 * What of a launch stands on this host outside of the Hugging Face cache: models, tokenizers, templates, adapters. A runtime
 * with images mounts these at the same paths, so that the arguments which name them stay as they are.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { LaunchContext } from './engine.ts';

/** vLLM's flags whose values may be paths. Others are not looked at: `--root-path /` is no folder to be mounted. */
const FLAGS_WITH_PATHS: ReadonlySet<string> = new Set([
  '--allowed-local-media-path',
  '--chat-template',
  '--config',
  '--generation-config',
  '--hf-config-path',
  '--log-config-file',
  '--lora-modules',
  '--reasoning-parser-plugin',
  '--speculative-config',
  '--tokenizer',
  '--tool-parser-plugin',
]);

/** The model as an argument: what was fetched, else what is configured; null: neither. */
export function modelArgument(
  model: ResolvedModel,
  { source, sharesHost }: Pick<LaunchContext, 'source' | 'sharesHost'>,
): string | null {
  if (source !== null) return source.model;
  return model.repo === null ? null : nameOrPath(model.repo, sharesHost);
}

/** As the engine is to read it: in a container there is neither our working directory nor our home, so a path is named whole. */
export function nameOrPath(text: string, sharesHost: boolean): string {
  return sharesHost ? text : (hostPath(text) ?? text);
}

/** Paths of this host that a launch reads. `words`: arguments that may hold some, the user's own among them. */
export function hostFiles(
  model: ResolvedModel,
  { source, sharesHost }: Pick<LaunchContext, 'source' | 'sharesHost'>,
  words: readonly string[],
): readonly string[] {
  const found = new Set(source?.files ?? []);
  // A file of the cache that is named by its path must have that path in a container too.
  if (source !== null && !sharesHost) for (const path of partsOf(source.model)) found.add(path);
  const local = source === null && model.repo !== null ? hostPath(model.repo) : null;
  if (local !== null) found.add(local);
  for (const path of pathsIn(words)) if (path !== '/' && existsSync(path)) found.add(path);
  return [...found];
}

const SPLIT_FILE = /-00001-of-(\d{5})\.gguf$/i;

/** All parts of a split file are read, and the first one is named. None for what is no path. */
function partsOf(text: string): readonly string[] {
  if (!text.startsWith('/')) return [];
  const count = Number(SPLIT_FILE.exec(text)?.[1] ?? 1);
  const numbers = Array.from({ length: count }, (_, index) => String(index + 1).padStart(5, '0'));
  return numbers.map((number) => text.replace(/-00001-of-(?=\d{5}\.gguf$)/i, `-${number}-of-`));
}

/** A name that is also a path is one, as vLLM takes it. Null for what is not here: it may be a repository, or in the image. */
function hostPath(text: string): string | null {
  const path = text.startsWith('~/') ? join(homedir(), text.slice(2)) : resolve(text);
  return existsSync(path) ? path : null;
}

/** Absolute paths in the values of flags that take some: `/a`, `name=/a`, and any text of a JSON object. */
function pathsIn(words: readonly string[]): readonly string[] {
  const paths: string[] = [];
  let takes = false;
  for (const word of words) {
    const [name = '', ...rest] = word.startsWith('--') ? word.split('=') : [''];
    if (name !== '') takes = FLAGS_WITH_PATHS.has(name.replaceAll('_', '-'));
    const value = name === '' ? word : rest.join('=');
    if (takes) paths.push(...[...value.matchAll(/(?:^|[="])(\/[^"]*)/g)].map(([, path = '']) => path));
  }
  return paths;
}
