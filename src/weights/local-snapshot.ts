/** What of a repository is in the cache, judged without a hub. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { localFiles } from '../readers/local-files.ts';
import type { ModelFile } from '../readers/model-files.ts';
import {
  cachedCommit,
  cachedSize,
  type FetchedList,
  type RepositoryCache,
  readFetchedList,
  snapshotPath,
} from './cache-layout.ts';
import { type Completeness, chooseFiles, completeness, neededIndex, type Wanted } from './file-choice.ts';
import { isObject, jsonObject } from './json-object.ts';

export interface LocalSnapshot {
  readonly commit: string;
  readonly completeness: Completeness;
  /** Files that the launch needs, or everything where no list says what that is. */
  readonly files: readonly ModelFile[];
}

/**
 * Null: the revision is not here at all.
 *  1. A list that a fetch of ours left is right to the byte.
 *  2. The list of the whole repository that Hugging Face's library left (`trees/`) tells what there should be.
 *  3. Otherwise the files are judged by their names.
 */
export async function localSnapshot(
  cache: RepositoryCache,
  revision: string,
  wanted: Wanted,
  key: string,
): Promise<LocalSnapshot | null> {
  const commit = await cachedCommit(cache, revision);
  if (commit === null) return null;
  const own = await readFetchedList(cache, commit, key);
  if (own !== null) {
    const files = Object.entries(own).map(([path, sizeBytes]) => ({ path, sizeBytes }));
    return { commit, files, completeness: await compared(cache, commit, files) };
  }
  const here = await localFiles(snapshotPath(cache, commit))
    .list()
    .catch(() => []);
  const listed = await libraryList(cache, commit);
  if (listed !== null) {
    const files = await chosen(cache, commit, listed, wanted);
    if (files !== null) return { commit, files, completeness: await compared(cache, commit, files) };
  }
  const index = await indexText(cache, commit, here, wanted);
  return { commit, files: here, completeness: completeness(here, wanted, index) };
}

async function compared(
  cache: RepositoryCache,
  commit: string,
  files: readonly ModelFile[],
): Promise<Completeness> {
  for (const { path, sizeBytes } of files) {
    if ((await cachedSize(cache, commit, path)) !== sizeBytes) return { kind: 'missing', what: path };
  }
  return { kind: 'complete' };
}

/** Null: the choice needs what is not here. */
async function chosen(
  cache: RepositoryCache,
  commit: string,
  listed: readonly ModelFile[],
  wanted: Wanted,
): Promise<readonly ModelFile[] | null> {
  const index = await indexText(cache, commit, listed, wanted);
  if (index === null && neededIndex(listed, wanted) !== null) return null;
  try {
    return chooseFiles(listed, wanted, index);
  } catch {
    return null;
  }
}

async function indexText(
  cache: RepositoryCache,
  commit: string,
  files: readonly ModelFile[],
  wanted: Wanted,
): Promise<string | null> {
  const index = neededIndex(files, wanted);
  if (index === null) return null;
  return readFile(join(snapshotPath(cache, commit), index), 'utf8').catch(() => null);
}

async function libraryList({ directory }: RepositoryCache, commit: string): Promise<ModelFile[] | null> {
  const text = await readFile(join(directory, 'trees', `${commit}.json`), 'utf8').catch(() => '');
  const files = jsonObject(text)?.['files'];
  if (!isObject(files)) return null;
  return Object.entries(files).flatMap(([path, entry]) => {
    if (!isObject(entry)) return [];
    const size = entry['lfs_size'] ?? entry['size'];
    return typeof size === 'number' ? [{ path, sizeBytes: size }] : [];
  });
}

/** For `writeFetchedList`. */
export function listOf(files: readonly ModelFile[]): FetchedList {
  return Object.fromEntries(files.map(({ path, sizeBytes }) => [path, sizeBytes]));
}
