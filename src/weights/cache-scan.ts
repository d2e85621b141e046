/** What is in a Hugging Face cache: repositories, their revisions, how complete they look, and what broken downloads have left. */
import { lstat, readdir, readFile, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { tryFileLock } from '../store/file-lock.ts';
import { INCOMPLETE_SUFFIX, OWN_FOLDER, repositoryCache, VALIDATOR_SUFFIX } from './cache-layout.ts';
import { type Completeness, completeness, neededIndex, type Wanted } from './file-choice.ts';
import { jsonObject } from './json-object.ts';

export interface CacheScan {
  readonly directory: string;
  readonly repositories: readonly CachedRepository[];
  /** Files from plain addresses. */
  readonly files: readonly CachedFile[];
  readonly leftovers: readonly Leftover[];
}

export interface CachedRepository {
  readonly repo: string;
  /** On the disk, all revisions together; leftovers not counted. */
  readonly sizeBytes: number;
  /** Newest access or change of its contents, in milliseconds since 1970; null: nothing is there. */
  readonly lastUsedMs: number | null;
  readonly revisions: readonly CachedRevision[];
}

export interface CachedRevision {
  readonly commit: string;
  /** Branches and tags that name it. */
  readonly names: readonly string[];
  readonly sizeBytes: number;
  readonly files: number;
  readonly completeness: Completeness;
}

export interface CachedFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly lastUsedMs: number;
}

export interface Leftover {
  /** Repository, or name of a file from a plain address. */
  readonly of: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly changedMs: number;
  /** Locked while it is being fetched. */
  readonly lockPath: string;
}

/** Entries looked at in one repository. */
const ENTRIES_MAX = 100_000;
const REPOSITORY_FOLDER = /^models--([^/]+)$/;

/** A cache that is not there is an empty one. */
export async function scanCache(directory: string): Promise<CacheScan> {
  const folders = await entriesOf(directory);
  const repositories: CachedRepository[] = [];
  const leftovers: Leftover[] = [];
  for (const folder of folders.sort()) {
    const name = REPOSITORY_FOLDER.exec(folder)?.[1]?.replaceAll('--', '/');
    if (name === undefined) continue;
    repositories.push(await scanRepository(directory, name));
    const lockPath = join(directory, '.locks', folder, 'vllm-gateway.lock');
    leftovers.push(...(await leftoversIn(join(directory, folder, 'blobs'), name, lockPath)));
  }
  const urls = await scanAddresses(join(directory, OWN_FOLDER, 'urls'));
  return { directory, repositories, files: urls.files, leftovers: [...leftovers, ...urls.leftovers] };
}

async function scanRepository(cacheDirectory: string, repo: string): Promise<CachedRepository> {
  const { directory } = repositoryCache(cacheDirectory, repo);
  const refs = await refsOf(join(directory, 'refs'));
  const lists = await ownLists(join(directory, OWN_FOLDER));
  const contents = new Map<string, Content>();
  const revisions: CachedRevision[] = [];
  for (const commit of (await entriesOf(join(directory, 'snapshots'))).sort()) {
    const snapshot = join(directory, 'snapshots', commit);
    const files = await contentsOf(snapshot);
    for (const { inode, ...content } of files) contents.set(inode, { inode, ...content });
    const list = lists.filter((each) => each.commit === commit);
    revisions.push({
      commit,
      names: refs.filter((ref) => ref.commit === commit).map(({ name }) => name),
      sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      files: files.length,
      completeness: await judged(snapshot, files, list),
    });
  }
  const all = [...contents.values()];
  return {
    repo,
    sizeBytes: all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    lastUsedMs: all.length === 0 ? null : Math.max(...all.map(({ usedMs }) => usedMs)),
    revisions,
  };
}

interface Content {
  readonly path: string;
  readonly sizeBytes: number;
  readonly usedMs: number;
  /** Two names of one content have the same. */
  readonly inode: string;
}

/** Links that lead nowhere are left out. */
async function contentsOf(directory: string): Promise<readonly Content[]> {
  const entries = await readdir(directory, { recursive: true }).catch(() => []);
  const found: Content[] = [];
  for (const path of entries.slice(0, ENTRIES_MAX)) {
    const each = await stat(join(directory, path)).catch(() => null);
    if (each?.isFile() !== true) continue;
    const usedMs = Math.max(each.atimeMs, each.mtimeMs);
    found.push({ path, sizeBytes: each.size, usedMs, inode: `${each.dev}:${each.ino}` });
  }
  return found;
}

interface OwnList {
  readonly commit: string;
  readonly sizes: ReadonlyMap<string, number>;
}

async function ownLists(directory: string): Promise<readonly OwnList[]> {
  const lists: OwnList[] = [];
  for (const name of await entriesOf(directory)) {
    const commit = /^([\w-]+)\..*\.json$/.exec(name)?.[1];
    const text = await readFile(join(directory, name), 'utf8').catch(() => '');
    const entries = Object.entries(jsonObject(text) ?? {});
    const sizes = entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number');
    if (commit !== undefined && sizes.length > 0) lists.push({ commit, sizes: new Map(sizes) });
  }
  return lists;
}

/** By the lists of our fetches where there are some, else by the names of the files. */
async function judged(
  snapshot: string,
  files: readonly Content[],
  lists: readonly OwnList[],
): Promise<Completeness> {
  const sizes = new Map(files.map(({ path, sizeBytes }) => [path, sizeBytes]));
  for (const list of lists) {
    const absent = [...list.sizes].find(([path, size]) => sizes.get(path) !== size);
    if (absent !== undefined) return { kind: 'missing', what: absent[0] };
  }
  if (lists.length > 0) return { kind: 'complete' };
  const wanted = wantedOf(files.map(({ path }) => path));
  const index = neededIndex(files, wanted);
  const text = index === null ? null : await readFile(join(snapshot, index), 'utf8').catch(() => null);
  return completeness(files, wanted, text);
}

function wantedOf(paths: readonly string[]): Wanted {
  if (paths.includes('adapter_config.json')) return { kind: 'adapter' };
  const gguf = paths.find((path) => path.endsWith('.gguf'));
  return gguf !== undefined && !paths.includes('config.json')
    ? { kind: 'gguf', choice: { kind: 'file', path: gguf } }
    : { kind: 'model', format: 'auto' };
}

async function refsOf(
  directory: string,
): Promise<readonly { readonly name: string; readonly commit: string }[]> {
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  const refs = await Promise.all(
    names.map(async (name) => {
      const commit = await readFile(join(directory, name), 'utf8').catch(() => '');
      return { name, commit: commit.trim() };
    }),
  );
  return refs.filter(({ commit }) => commit !== '');
}

async function scanAddresses(directory: string): Promise<Pick<CacheScan, 'files' | 'leftovers'>> {
  const files: CachedFile[] = [];
  const leftovers: Leftover[] = [];
  for (const folder of await entriesOf(directory)) {
    const inside = join(directory, folder);
    for (const { path, sizeBytes, usedMs } of await contentsOf(inside)) {
      if (path.endsWith('.gguf')) files.push({ path: join(inside, path), sizeBytes, lastUsedMs: usedMs });
    }
    const lockPath = join(inside, 'vllm-gateway.lock');
    leftovers.push(...(await leftoversIn(inside, null, lockPath)));
  }
  return { files, leftovers };
}

/** `of`: null for names of files that tell it themselves. */
async function leftoversIn(directory: string, of: string | null, lockPath: string): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const name of await entriesOf(directory)) {
    if (!name.endsWith(INCOMPLETE_SUFFIX)) continue;
    const path = join(directory, name);
    const each = await lstat(path).catch(() => null);
    if (each?.isFile() !== true) continue;
    found.push({
      of: of ?? basename(name, INCOMPLETE_SUFFIX),
      path,
      sizeBytes: each.size,
      changedMs: each.mtimeMs,
      lockPath,
    });
  }
  return found;
}

async function entriesOf(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}

/** A leftover that changed since then may be another tool's that is at work. */
const LEFTOVER_AGE_MS = 10 * 60_000;

/** What was done with each: removed, or left because something may still write it. */
export async function pruneLeftovers(
  leftovers: readonly Leftover[],
  nowMs: number,
): Promise<readonly { readonly leftover: Leftover; readonly outcome: 'removed' | 'in_use' }[]> {
  const done: { leftover: Leftover; outcome: 'removed' | 'in_use' }[] = [];
  for (const leftover of leftovers) {
    const isYoung = nowMs - leftover.changedMs < LEFTOVER_AGE_MS;
    const lock = isYoung ? null : lockOf(leftover);
    if (lock === null) {
      done.push({ leftover, outcome: 'in_use' });
      continue;
    }
    try {
      await rm(leftover.path, { force: true });
      await rm(leftover.path + VALIDATOR_SUFFIX, { force: true });
      done.push({ leftover, outcome: 'removed' });
    } finally {
      lock.release();
    }
  }
  return done;
}

/** Null: somebody fetches this repository. Where there are no locks, the age has to do. */
function lockOf({ lockPath }: Leftover): { release(): void } | null {
  try {
    return tryFileLock(lockPath);
  } catch {
    return { release: () => {} };
  }
}

/** For the report: does a list of ours or the names of files say that it is whole? */
export function completenessText(found: Completeness): string {
  switch (found.kind) {
    case 'complete':
      return 'complete';
    case 'doubtful':
      return 'complete, without a tokenizer';
    case 'missing':
      return `lacks ${found.what}`;
  }
}
