/**
 * How a model talks: its architecture, its chat template and the tokens that its tokenizer added. Read from files of this
 * machine alone, at once and within limits, because it is read while an engine is about to start.
 */
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { isObject, type JsonObject } from '../sizing/config-keys.ts';
import { hubCacheDirectory } from './hub-access.ts';
import { parseModelName } from './model-name.ts';

export interface ChatFacts {
  /** `architectures[0]` of config.json. */
  readonly architecture: string;
  /** Jinja text, all variants of it; empty where the model has none. */
  readonly template: string;
  /** Contents of the tokens that were added to the vocabulary, such as `<think>`. */
  readonly addedTokens: ReadonlySet<string>;
}

/** Larger files are not what we take them for. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** tokenizer.json opens with its added tokens and goes on with a vocabulary of many megabytes. */
const TOKENIZER_HEAD_BYTES = 1024 * 1024;

/** Null: the model's files are not on this machine (or are a GGUF, which keeps these facts elsewhere). Never throws. */
export function readChatFacts(
  repo: string,
  options: { readonly environment: Environment; readonly revision: string | null },
): ChatFacts | null {
  const directory = modelDirectory(repo, options.environment, options.revision);
  if (directory === null) return null;
  const config = jsonObject(join(directory, 'config.json'));
  const [architecture] = Array.isArray(config?.['architectures']) ? config['architectures'] : [];
  if (typeof architecture !== 'string') return null;
  const tokenizer = jsonObject(join(directory, 'tokenizer_config.json'));
  return {
    architecture,
    template: templateOf(directory, tokenizer),
    addedTokens: addedTokens(directory, tokenizer),
  };
}

/** Text of a small file, null where it cannot be read whole. */
export function smallText(path: string): string | null {
  try {
    const found = statSync(path);
    return found.isFile() && found.size <= FILE_BYTES_MAX ? readFileSync(path, 'utf8') : null;
  } catch {
    return null;
  }
}

function modelDirectory(repo: string, environment: Environment, revision: string | null): string | null {
  const name = parseModelName(repo, existsSync);
  if (name === null) return null;
  if (name.kind === 'path') return existsSync(join(name.path, 'config.json')) ? name.path : null;
  const wanted = revision ?? name.revision ?? 'main';
  // A revision is part of a path here, and must not lead out of it.
  if (name.gguf !== null || wanted.split('/').includes('..')) return null;
  const cached = join(hubCacheDirectory(environment), `models--${name.repo.replaceAll('/', '--')}`);
  const commit = (smallText(join(cached, 'refs', wanted)) ?? wanted).trim();
  if (!/^[\w.-]{1,128}$/.test(commit)) return null;
  const snapshot = join(cached, 'snapshots', commit);
  return existsSync(join(snapshot, 'config.json')) ? snapshot : null;
}

function jsonObject(path: string): JsonObject | null {
  const text = smallText(path);
  if (text === null) return null;
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** In the order in which the tokenizer's library looks: a file of its own wins over the key. */
function templateOf(directory: string, tokenizer: JsonObject | null): string {
  const own = smallText(join(directory, 'chat_template.jinja'));
  if (own !== null) return own;
  const ofProcessor = jsonObject(join(directory, 'chat_template.json'))?.['chat_template'];
  return typeof ofProcessor === 'string' ? ofProcessor : templateText(tokenizer?.['chat_template']);
}

/** One template, or a list of named ones. */
function templateText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return '';
  return value.map((entry) => (isObject(entry) ? templateText(entry['template']) : '')).join('\n');
}

function addedTokens(directory: string, tokenizer: JsonObject | null): ReadonlySet<string> {
  const decoder = tokenizer?.['added_tokens_decoder'];
  const told = isObject(decoder)
    ? Object.values(decoder).map((token) => (isObject(token) ? token['content'] : null))
    : contents(fileHead(join(directory, 'tokenizer.json')));
  return new Set(told.filter((token) => typeof token === 'string'));
}

/** The part of the text up to the vocabulary is no whole JSON, so its tokens are looked for one by one. */
function contents(head: string): unknown[] {
  return [...head.matchAll(/"content":\s*("(?:[^"\\]|\\.)*")/g)].map(([, literal = '""']): unknown => {
    try {
      return JSON.parse(literal);
    } catch {
      return null;
    }
  });
}

function fileHead(path: string): string {
  try {
    const file = openSync(path, 'r');
    try {
      const bytes = new Uint8Array(TOKENIZER_HEAD_BYTES);
      const count = readSync(file, bytes, 0, bytes.length, 0);
      return new TextDecoder().decode(bytes.subarray(0, count));
    } finally {
      closeSync(file);
    }
  } catch {
    return '';
  }
}
