/**
 * Which repository a GGUF file was made from: there is its tokenizer. The file's own words count first, then the model card
 * that lies beside it.
 */
import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ggufHeader } from '../readers/gguf-header.ts';
import { localFiles } from '../readers/local-files.ts';
import { isObject, type JsonObject } from './json-object.ts';

const REPOSITORY = /^[\w.-]{1,96}\/[\w.-]{1,96}$/;
/** Model cards open with their metadata; longer ones are texts. */
const CARD_HEAD_BYTES = 64 * 1024;

/** Null: neither tells. `card`: path of a README.md, if there is one. Never throws. */
export async function ggufBaseModel(file: string, card: string | null): Promise<string | null> {
  const metadata = await metadataOf(file);
  const text = card === null ? null : await readFile(card, 'utf8').catch(() => null);
  return ofAddresses(metadata) ?? (text === null ? null : await baseModelOfCard(text)) ?? ofNames(metadata);
}

async function metadataOf(file: string): Promise<JsonObject> {
  try {
    const part = { path: basename(file), sizeBytes: 0 };
    return (await ggufHeader(localFiles(dirname(file)), [part])).metadata;
  } catch {
    // Not what its name says, or of a version to come: whoever loads it will tell.
    return {};
  }
}

function ofAddresses(metadata: JsonObject): string | null {
  const keys = [
    'general.base_model.0.repo_url',
    'general.source.repo_url',
    'general.source.huggingface.repository',
    'general.source.url',
  ];
  for (const key of keys) {
    const value = metadata[key];
    const repo = typeof value === 'string' ? repositoryOf(value) : null;
    if (repo !== null) return repo;
  }
  return null;
}

/** An address of a hub, or a name. */
function repositoryOf(text: string): string | null {
  const url = URL.parse(text);
  const name = url === null ? text : url.pathname.split('/').slice(1, 3).join('/');
  return REPOSITORY.test(name) ? name : null;
}

/** Names for people: `Meta Llama`, `Llama 3.1 8B Instruct`. */
function ofNames(metadata: JsonObject): string | null {
  const organization = metadata['general.base_model.0.organization'];
  const name = metadata['general.base_model.0.name'];
  if (typeof organization !== 'string' || typeof name !== 'string') return null;
  return repositoryOf(`${organization}/${name}`.replaceAll(' ', '-'));
}

export async function baseModelOfCard(text: string): Promise<string | null> {
  const head = /^---\r?\n([\s\S]*?)\r?\n---/.exec(text.slice(0, CARD_HEAD_BYTES))?.[1];
  if (head === undefined) return null;
  const { parse } = await import('yaml');
  let card: unknown;
  try {
    card = parse(head);
  } catch {
    return null;
  }
  const told = isObject(card) ? card['base_model'] : null;
  const first: unknown = Array.isArray(told) ? told[0] : told;
  return typeof first === 'string' && REPOSITORY.test(first) ? first : null;
}
