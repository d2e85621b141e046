/**
 * What the `repo` of a model can be: a directory, a GGUF file here, a repository on a hub, or a GGUF file in one
 * (`owner/name/file.gguf`, `owner/name:Q4_K_M`, or the address of the file).
 */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export type ModelName =
  | { readonly kind: 'path'; readonly path: string }
  | {
      readonly kind: 'repository';
      readonly repo: string;
      readonly gguf: GgufChoice | null;
      readonly revision: string | null;
    };

export type GgufChoice =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'packing'; readonly word: string };

const REPOSITORY = /^([\w.-]{1,96}\/)?[\w.-]{1,96}$/;
const FILE_IN_REPOSITORY = /^([\w.-]{1,96}\/[\w.-]{1,96})\/(.+\.gguf)$/i;
const PACKING_OF_REPOSITORY = /^([\w.-]{1,96}\/[\w.-]{1,96}):([\w-]{1,32})$/;
const ADDRESS =
  /^https?:\/\/[^/]+\/([\w.-]{1,96}\/[\w.-]{1,96})\/(?:resolve|blob)\/([\w.-]+)\/(.+\.gguf)(?:\?.*)?$/i;

/** `exists`: is there something at this path? Names that are also paths are paths, as vLLM takes them. Null: neither. */
export function parseModelName(text: string, exists: (path: string) => boolean): ModelName | null {
  const path = text.startsWith('~/') ? join(homedir(), text.slice(2)) : resolve(text);
  if (/^[/~]|^\.\.?(\/|$)/.test(text) || exists(path)) return { kind: 'path', path };
  const address = ADDRESS.exec(text);
  if (address !== null)
    return inRepository(address[1], { kind: 'file', path: address[3] ?? '' }, address[2] ?? null);
  const file = FILE_IN_REPOSITORY.exec(text);
  if (file !== null) return inRepository(file[1], { kind: 'file', path: file[2] ?? '' }, null);
  const packing = PACKING_OF_REPOSITORY.exec(text);
  if (packing !== null) return inRepository(packing[1], { kind: 'packing', word: packing[2] ?? '' }, null);
  return REPOSITORY.test(text) ? inRepository(text, null, null) : null;
}

function inRepository(repo: string | undefined, gguf: GgufChoice | null, revision: string | null): ModelName {
  return { kind: 'repository', repo: repo ?? '', gguf, revision };
}
