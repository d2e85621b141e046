/**
 * The Hugging Face cache as its own library keeps it: `models--owner--name/` with `blobs/<hash>`, `snapshots/<commit>/<path>`
 * (links to blobs) and `refs/<revision>` (a file with the commit). Beside these, `.vllm-gateway/` is ours: lists of what we
 * have fetched, so that a complete snapshot is known without a hub.
 */
import { copyFile, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { makeDirectory } from '../store/make-directory.ts';
import { codeOf, FetchError } from './fetch-error.ts';

export interface RepositoryCache {
  readonly repo: string;
  /** `<cache>/models--owner--name` */
  readonly directory: string;
}

export type MakeLink = (target: string, path: string) => Promise<void>;

/** Ending of a file that is being fetched; its library knows it too. */
export const INCOMPLETE_SUFFIX = '.incomplete';
/** Beside an incomplete file: what its server called this version of it. */
export const VALIDATOR_SUFFIX = '.validator';
/** Folder of ours in a repository's, and in the cache for files of plain addresses. */
export const OWN_FOLDER = '.vllm-gateway';

export function repositoryCache(cacheDirectory: string, repo: string): RepositoryCache {
  return { repo, directory: join(cacheDirectory, `models--${repo.replaceAll('/', '--')}`) };
}

export function blobPath({ directory }: RepositoryCache, blob: string): string {
  return join(directory, 'blobs', blob);
}

export function snapshotPath({ directory }: RepositoryCache, commit: string): string {
  return join(directory, 'snapshots', commit);
}

/** The commit that a revision named when it was last fetched; a commit names itself. Null: unknown here. */
export async function cachedCommit({ directory }: RepositoryCache, revision: string): Promise<string | null> {
  // A revision is part of a path here, and must not lead out of it.
  if (revision.split('/').includes('..')) return null;
  const told = await readFile(join(directory, 'refs', revision), 'utf8').catch(() => revision);
  const commit = told.trim();
  if (!/^[\w.-]{1,128}$/.test(commit) || /^\.+$/.test(commit)) return null;
  const found = await stat(join(directory, 'snapshots', commit)).catch(() => null);
  return found?.isDirectory() === true ? commit : null;
}

/** Size of a file of a snapshot; null: it is not there, or its link leads nowhere. */
export async function cachedSize(
  cache: RepositoryCache,
  commit: string,
  path: string,
): Promise<number | null> {
  const found = await stat(join(snapshotPath(cache, commit), path)).catch(() => null);
  return found?.isFile() === true ? found.size : null;
}

/** Names from a hub become paths here; one that would lead out of the snapshot is refused. */
export function checkedPath(path: string, repo: string): string {
  const parts = path.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..') || /[\\\0]/.test(path))
    throw new FetchError('fetch_failed', `${repo} lists a file with an impossible name`, false);
  return path;
}

/** Puts a fetched blob into a snapshot: by a relative link, or where the file system has none by moving or copying it. */
export async function linkIntoSnapshot(
  cache: RepositoryCache,
  file: { readonly commit: string; readonly path: string; readonly blob: string; readonly isNew: boolean },
  makeLink: MakeLink = symlink,
): Promise<void> {
  const pointer = join(snapshotPath(cache, file.commit), file.path);
  const blob = blobPath(cache, file.blob);
  await makeDirectory(dirname(pointer));
  await rm(pointer, { force: true });
  try {
    await makeLink(relative(dirname(pointer), blob), pointer);
  } catch (error) {
    const code = codeOf(error) ?? '';
    if (code === 'EEXIST') return;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EACCES'].includes(code)) throw error;
    if (file.isNew) await rename(blob, pointer);
    else await copyFile(blob, pointer);
  }
}

/** From now on `revision` means `commit` to everybody who reads this cache without a hub. */
export async function writeRef(
  { directory }: RepositoryCache,
  revision: string,
  commit: string,
): Promise<void> {
  if (revision === commit || revision.split('/').includes('..')) return;
  const path = join(directory, 'refs', revision);
  if ((await readFile(path, 'utf8').catch(() => '')) === commit) return;
  await makeDirectory(dirname(path));
  const beside = `${path}.${process.pid}.tmp`;
  await writeFile(beside, commit);
  await rename(beside, path);
}

/** Sizes by path of what a fetch needed of a commit. */
export type FetchedList = Readonly<Record<string, number>>;

/** `key` names what was wanted, so that a list for a tokenizer does not stand for a whole model. */
export async function readFetchedList(
  { directory }: RepositoryCache,
  commit: string,
  key: string,
): Promise<FetchedList | null> {
  const text = await readFile(fetchedListPath(directory, commit, key), 'utf8').catch(() => null);
  if (text === null) return null;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return null;
    const entries = Object.entries(value);
    return entries.every(([, size]) => typeof size === 'number') ? (value as FetchedList) : null;
  } catch {
    return null;
  }
}

export async function writeFetchedList(
  { directory }: RepositoryCache,
  commit: string,
  key: string,
  list: FetchedList,
): Promise<void> {
  const path = fetchedListPath(directory, commit, key);
  await makeDirectory(dirname(path));
  const beside = `${path}.${process.pid}.tmp`;
  await writeFile(beside, JSON.stringify(list));
  await rename(beside, path);
}

function fetchedListPath(directory: string, commit: string, key: string): string {
  return join(directory, OWN_FOLDER, `${commit}.${key}.json`);
}
