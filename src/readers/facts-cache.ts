/**
 * What was read of a repository, kept in the state directory, one file for each name and revision. The raw reading is kept and
 * not what sizing made of it, so a better formula needs no new reading.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isObject } from '../sizing/config-keys.ts';
import { writeDurably } from '../store/durable-file.ts';
import { makeDirectory } from '../store/make-directory.ts';
import type { RawFacts } from './raw-facts.ts';

const FORMAT = 1;
const FILES_MAX = 256;

export interface SavedFacts {
  /** Commit that was read. */
  readonly commit: string;
  readonly raw: RawFacts;
}

function directoryOf(stateDirectory: string): string {
  return join(stateDirectory, 'model-facts');
}

function fileOf(stateDirectory: string, key: string): string {
  const name = createHash('sha256').update(key).digest('hex').slice(0, 32);
  return join(directoryOf(stateDirectory), `${name}.json`);
}

/** Null: nothing saved, or nothing that this version can read; then it is read anew. */
export async function savedFacts(stateDirectory: string, key: string): Promise<SavedFacts | null> {
  try {
    const saved: unknown = JSON.parse(await readFile(fileOf(stateDirectory, key), 'utf8'));
    if (!isObject(saved) || saved['format'] !== FORMAT || saved['key'] !== key) return null;
    const { commit, raw } = saved;
    if (typeof commit !== 'string' || !isObject(raw)) return null;
    return { commit, raw: raw as unknown as RawFacts };
  } catch {
    return null;
  }
}

export async function saveFacts(stateDirectory: string, key: string, facts: SavedFacts): Promise<void> {
  const directory = directoryOf(stateDirectory);
  await makeDirectory(directory, 0o700);
  await writeDurably(fileOf(stateDirectory, key), JSON.stringify({ format: FORMAT, key, ...facts }));
  await removeOldest(directory);
}

async function removeOldest(directory: string): Promise<void> {
  const names = await readdir(directory);
  if (names.length <= FILES_MAX) return;
  const dated = await Promise.all(
    names.map(async (name) => ({ name, writtenMs: (await stat(join(directory, name))).mtimeMs })),
  );
  dated.sort((a, b) => a.writtenMs - b.writtenMs);
  for (const { name } of dated.slice(0, names.length - FILES_MAX))
    await rm(join(directory, name), { force: true });
}
