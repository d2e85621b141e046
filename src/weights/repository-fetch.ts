/**
 * One repository into the cache.
 *  1. What is complete here is taken as it is, and no hub is asked (unless an update is wished).
 *  2. Otherwise, under the repository's lock: commit, list of files, choice, room on the disk, files; then links.
 *  3. The revision's name is set last, so that a reader of this cache sees an old whole snapshot or a new whole one.
 */
import { createHash } from 'node:crypto';
import { rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { HubAccess, ReachableHub } from '../readers/hub-access.ts';
import { type HubFile, hubCommit, hubFileList } from '../readers/hub-files.ts';
import { isGgufModel } from '../readers/raw-facts.ts';
import { ReadError } from '../readers/read-fault.ts';
import { makeDirectory } from '../store/make-directory.ts';
import type { Log } from '../telemetry/log.ts';
import {
  blobPath,
  cachedSize,
  checkedPath,
  INCOMPLETE_SUFFIX,
  linkIntoSnapshot,
  type MakeLink,
  type RepositoryCache,
  repositoryCache,
  snapshotPath,
  writeFetchedList,
  writeRef,
} from './cache-layout.ts';
import { checkSpace, type FreeBytes } from './disk-space.ts';
import { type Digest, download } from './download.ts';
import { AbsentError, FetchError, PassingError } from './fetch-error.ts';
import type { FetchLimits } from './fetch-limits.ts';
import type { ProgressMeter } from './fetch-progress.ts';
import { chooseFiles, filesOfIndex, neededIndex, type Wanted } from './file-choice.ts';
import { asFetch, type HubTransport, originText, wholeBody } from './hub-transport.ts';
import { type LocalSnapshot, listOf, localSnapshot } from './local-snapshot.ts';
import type { RepositoryLocks } from './repository-lock.ts';
import type { Slots } from './slots.ts';
import { tryAgain } from './try-again.ts';

export interface RepositoryTarget {
  readonly repo: string;
  readonly revision: string;
  readonly wanted: Wanted;
  /** Where `models--owner--name` lies. */
  readonly cacheDirectory: string;
}

/** What all targets of one fetch share. */
export interface FetchWork {
  readonly access: HubAccess;
  readonly transport: HubTransport;
  readonly limits: FetchLimits;
  readonly signal: AbortSignal;
  readonly progress: ProgressMeter;
  readonly locks: RepositoryLocks;
  readonly slots: Slots;
  readonly free: FreeBytes;
  readonly makeLink: MakeLink | undefined;
  readonly log: Log;
  /** Told before a server is asked. */
  readonly onAsk: ((origin: string) => void) | undefined;
  /** Only look: an AbsentError tells that something has to be fetched. */
  readonly onlyLook: boolean;
  /** Ask the hub even where everything is here. */
  readonly update: boolean;
}

export interface FetchedRepository {
  readonly commit: string;
  /** Directory of the files. */
  readonly snapshot: string;
  readonly paths: readonly string[];
  readonly fetchedBytes: number;
}

/** Rejects with a FetchError, or an error of the file system or the signal. */
export async function fetchRepository(target: RepositoryTarget, work: FetchWork): Promise<FetchedRepository> {
  const cache = repositoryCache(target.cacheDirectory, target.repo);
  const look = () => localSnapshot(cache, target.revision, target.wanted, keyOf(target.wanted));
  const local = await look();
  if (local?.completeness.kind === 'complete' && !work.update) return taken(cache, local, work);
  if (work.access.isOffline) {
    if (local === null || local.completeness.kind === 'missing') throw offlineError(target, local);
    return taken(cache, local, work);
  }
  if (work.onlyLook) throw new AbsentError(target.repo);
  const access = reachable(work.access);
  const lock = join(target.cacheDirectory, '.locks', `models--${target.repo.replaceAll('/', '--')}`);
  const release = await work.locks.acquire(join(lock, 'vllm-gateway.lock'), work.signal);
  try {
    const meanwhile = await look();
    if (meanwhile?.completeness.kind === 'complete' && !work.update) return taken(cache, meanwhile, work);
    try {
      return await fromHub(cache, target, access, work);
    } catch (error) {
      // Only whether it has a tokenizer is in doubt, and the engine will say so itself.
      if (!(error instanceof PassingError) || meanwhile?.completeness.kind !== 'doubtful') throw error;
      work.log('warn', `${target.repo} is taken from the cache as it is: ${error.message}`);
      return taken(cache, meanwhile, work);
    }
  } finally {
    release();
  }
}

/** A new rule of choice gets a new number. */
function keyOf(wanted: Wanted): string {
  if (wanted.kind === 'model') return `model-${wanted.format}-1`;
  if (wanted.kind === 'adapter') return 'adapter-1';
  const choice = JSON.stringify(wanted.choice);
  return `gguf-${createHash('sha256').update(choice).digest('hex').slice(0, 12)}-2`;
}

function taken(cache: RepositoryCache, { commit, files }: LocalSnapshot, work: FetchWork): FetchedRepository {
  for (const { sizeBytes } of files) {
    work.progress.addTotal(sizeBytes);
    work.progress.addPresent(sizeBytes);
  }
  const paths = files.map(({ path }) => path);
  return { commit, snapshot: snapshotPath(cache, commit), paths, fetchedBytes: 0 };
}

function offlineError(
  { repo, revision, cacheDirectory }: RepositoryTarget,
  local: LocalSnapshot | null,
): FetchError {
  const what =
    local?.completeness.kind === 'missing'
      ? `of ${repo} ${local.completeness.what} is missing in the Hugging Face cache (${cacheDirectory})`
      : `${repo}${revision === 'main' ? '' : ` (revision ${revision})`} is not in the Hugging Face cache (${cacheDirectory})`;
  return new FetchError(
    'model_not_found',
    `${what}, and HF_HUB_OFFLINE forbids to ask a hub: fetch it once without that variable (\`vllm-gateway fetch\`)`,
    false,
  );
}

function reachable(access: HubAccess): ReachableHub {
  const { endpoint } = access;
  if (endpoint === null)
    throw new FetchError('repository_unreachable', 'HF_ENDPOINT is not an http or https address', false);
  return { ...access, endpoint };
}

async function fromHub(
  cache: RepositoryCache,
  target: RepositoryTarget,
  access: ReachableHub,
  work: FetchWork,
): Promise<FetchedRepository> {
  const { repo, revision, wanted } = target;
  const { transport, signal } = work;
  work.onAsk?.(originText(new URL(access.endpoint)));
  const again = <T>(ask: () => Promise<T>): Promise<T> => tryAgain(ask, work);
  const hubFetch = asFetch(transport, { repo, file: null }, signal, again);
  const commit = await hubCommit(access, repo, revision, hubFetch);
  const listed = await hubFileList(access, repo, commit, hubFetch);
  const address = (path: string): string =>
    `${access.endpoint}/${repo}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
  const index = neededIndex(listed, wanted);
  const indexText =
    index === null
      ? null
      : await again(async () => {
          const answer = await transport.open(address(index), { repo, file: index }, { signal });
          return new TextDecoder().decode(await wholeBody(answer, access.endpoint));
        });
  const files = chosenFrom(repo, listed, wanted, indexText);
  const fetchedBytes = await fetchFiles({ cache, commit, files, address }, work);
  await writeFetchedList(cache, commit, keyOf(wanted), listOf(files));
  await writeRef(cache, revision, commit);
  return {
    commit,
    snapshot: snapshotPath(cache, commit),
    paths: files.map(({ path }) => path),
    fetchedBytes,
  };
}

function chosenFrom(
  repo: string,
  listed: readonly HubFile[],
  wanted: Wanted,
  index: string | null,
): readonly HubFile[] {
  const files = chosen(repo, listed, wanted, index);
  const paths = new Set(files.map(({ path }) => checkedPath(path, repo)));
  const absent = [...(index === null ? [] : (filesOfIndex(index) ?? []))].find((path) => !paths.has(path));
  if (absent !== undefined)
    throw new FetchError(
      'model_not_found',
      `${repo} is not whole: it lists ${absent} and has no such file`,
      false,
    );
  const hasWeights = files.some(({ path }) => /\.(safetensors|bin|pt)$/.test(path));
  if (wanted.kind === 'model' && wanted.format !== 'none' && !hasWeights)
    throw new FetchError(
      'model_not_found',
      `${repo} has no weights that vLLM reads${ggufText(listed)}${ggufRemedy(repo, listed)}`,
      false,
    );
  return files;
}

function chosen(
  repo: string,
  listed: readonly HubFile[],
  wanted: Wanted,
  index: string | null,
): readonly HubFile[] {
  try {
    return chooseFiles(listed, wanted, index);
  } catch (error) {
    if (!(error instanceof ReadError) || wanted.kind !== 'gguf') throw error;
    const { choice } = wanted;
    const what = choice.kind === 'file' ? choice.path : `GGUF file for ${choice.word}`;
    throw new FetchError('model_not_found', `${repo} has no ${what}${ggufText(listed)}`, false);
  }
}

const NAMES_MAX = 8;

function ggufText(listed: readonly HubFile[]): string {
  const names = listed.map(({ path }) => path).filter((path) => path.endsWith('.gguf'));
  if (names.length === 0) return '';
  const more = names.length > NAMES_MAX ? `, and ${names.length - NAMES_MAX} more` : '';
  return `; its GGUF files are ${names.slice(0, NAMES_MAX).join(', ')}${more}`;
}

/** A packing within a name, as in `small-UD-Q4_K_XL.gguf`. */
const PACKING = /(?:^|[-._/])((?:UD-)?(?:I?Q\d\w*|TQ\d\w*|MXFP4\w*|BF16|F16|F32))(?=[-.])/i;

function ggufRemedy(repo: string, listed: readonly HubFile[]): string {
  const path = listed.map((file) => file.path).find(isGgufModel);
  if (path === undefined) return '';
  const packing = PACKING.exec(path)?.[1];
  const byPacking = packing === undefined ? '' : ` or \`${repo}:${packing}\``;
  return `: name one of them, such as \`${repo}/${path}\`${byPacking}`;
}

interface FilesWork {
  readonly cache: RepositoryCache;
  readonly commit: string;
  readonly files: readonly HubFile[];
  readonly address: (path: string) => string;
}

interface MissingFile {
  readonly file: HubFile;
  readonly blob: string;
  /** The content is here, under this or another name. */
  readonly hasBlob: boolean;
}

async function fetchFiles({ cache, commit, files, address }: FilesWork, work: FetchWork): Promise<number> {
  const { progress, limits } = work;
  const blobs = join(cache.directory, 'blobs');
  await makeDirectory(blobs);
  try {
    const { missing, missingBytes } = await lookFor({ cache, commit, files }, progress);
    progress.flush();
    const need = { missingBytes, reserveBytes: limits.diskReserveBytes, what: cache.repo };
    await checkSpace(need, cache.directory, work.free);
    return await fetchMissing({ cache, commit, files, address }, missing, work);
  } catch (error) {
    // A repository of which nothing came is not in the cache. Full directories stay.
    for (const directory of [blobs, cache.directory]) await rmdir(directory).catch(() => {});
    throw error;
  }
}

/** What is here counts as present, also the beginnings that earlier fetches left. */
async function lookFor(
  { cache, commit, files }: Omit<FilesWork, 'address'>,
  progress: ProgressMeter,
): Promise<{ readonly missing: readonly MissingFile[]; readonly missingBytes: number }> {
  const missing: MissingFile[] = [];
  const unfinished = new Set<string>();
  let missingBytes = 0;
  for (const file of files) {
    progress.addTotal(file.sizeBytes);
    const blob = blobOf(file, cache.repo);
    const hasBlob = (await sizeOf(blobPath(cache, blob))) === file.sizeBytes;
    const isLinked = (await cachedSize(cache, commit, file.path)) === file.sizeBytes;
    if (!isLinked) missing.push({ file, blob, hasBlob });
    if (isLinked || hasBlob) progress.addPresent(file.sizeBytes);
    // Two files with one content are fetched once.
    else if (!unfinished.has(blob)) {
      unfinished.add(blob);
      const here = await unfinishedBytes(cache, blob, file.sizeBytes);
      progress.addPresent(here);
      missingBytes += file.sizeBytes - here;
    }
  }
  return { missing, missingBytes };
}

async function fetchMissing(
  { cache, commit, address }: FilesWork,
  missing: readonly MissingFile[],
  work: FetchWork,
): Promise<number> {
  const failed = new AbortController();
  const signal = AbortSignal.any([work.signal, failed.signal]);
  const running = new Map<string, Promise<number>>();
  const fetchBlob = ({ file, blob }: MissingFile): Promise<number> =>
    work.slots.run(cache.directory, signal, async () => {
      // Of another size than the hub tells: not what its name says.
      await rm(blobPath(cache, blob), { force: true });
      return download(
        {
          url: address(file.path),
          what: { repo: cache.repo, file: file.path },
          unfinishedPath: blobPath(cache, blob) + INCOMPLETE_SUFFIX,
          finalPath: blobPath(cache, blob),
          sizeBytes: file.sizeBytes,
          digest: digestOf(file),
        },
        {
          transport: work.transport,
          limits: work.limits,
          log: work.log,
          signal,
          onBytes: (bytes) => work.progress.addDone(bytes, file.path),
        },
      );
    });
  const one = async (each: MissingFile): Promise<number> => {
    const { file, blob, hasBlob } = each;
    try {
      let fetched = 0;
      if (!hasBlob) {
        // Two files with one content are fetched once.
        const other = running.get(blob);
        const mine = other ?? fetchBlob(each);
        running.set(blob, mine);
        const bytes = await mine;
        if (other === undefined) fetched = bytes;
        else work.progress.addPresent(file.sizeBytes);
      }
      // A blob that other files want too stays where it is, whatever the file system can.
      const isNew = !hasBlob && missing.every((their) => their === each || their.blob !== blob);
      await linkIntoSnapshot(cache, { commit, path: file.path, blob, isNew }, work.makeLink);
      return fetched;
    } catch (error) {
      failed.abort();
      throw error;
    }
  };
  const results = await Promise.allSettled(missing.map(one));
  work.progress.flush();
  work.signal.throwIfAborted();
  const errors = results.flatMap((result) =>
    result.status === 'rejected' ? [result.reason as unknown] : [],
  );
  // The others were only ended because of one.
  const cause = errors.find((error) => !(error instanceof Error && error.name === 'AbortError'));
  if (errors.length > 0) throw cause ?? errors[0];
  return results.reduce((sum, result) => sum + (result.status === 'fulfilled' ? result.value : 0), 0);
}

/** The name that Hugging Face's library gives the content. */
function blobOf({ path, sha256, blobId }: HubFile, repo: string): string {
  const blob = sha256 ?? blobId ?? '';
  if (!/^[0-9a-f]{4,64}$/.test(blob))
    throw new FetchError('fetch_failed', `the hub does not tell the checksum of ${path} of ${repo}`, false);
  return blob;
}

function digestOf({ sha256, blobId }: HubFile): Digest | null {
  if (sha256 !== null) return sha256.length === 64 ? { algorithm: 'sha256', hex: sha256 } : null;
  return blobId?.length === 40 ? { algorithm: 'git', hex: blobId } : null;
}

async function unfinishedBytes(cache: RepositoryCache, blob: string, wholeBytes: number): Promise<number> {
  const size = (await sizeOf(blobPath(cache, blob) + INCOMPLETE_SUFFIX)) ?? 0;
  return size <= wholeBytes ? size : 0;
}

async function sizeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true ? found.size : null;
}
