/** GGUF files from plain addresses, kept in a folder of ours in the Hugging Face cache. */
import { createHash } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory } from '../store/make-directory.ts';
import { INCOMPLETE_SUFFIX, OWN_FOLDER } from './cache-layout.ts';
import { checkSpace } from './disk-space.ts';
import { download } from './download.ts';
import { AbsentError, FetchError } from './fetch-error.ts';
import { originText } from './hub-transport.ts';
import type { FetchWork } from './repository-fetch.ts';
import { tryAgain } from './try-again.ts';

export interface FetchedFile {
  /** Of the first part. */
  readonly path: string;
  readonly fetchedBytes: number;
}

const PART = /-(\d{5})-of-(\d{5})\.gguf$/i;
const PARTS_MAX = 1000;

/** Rejects with a FetchError, or an error of the file system or the signal. */
export async function fetchAddress(address: string, work: FetchWork): Promise<FetchedFile> {
  const first = new URL(address);
  const parts = partsOf(first);
  const directory = join(work.access.cacheDirectory, OWN_FOLDER, 'urls', folderOf(first));
  const paths = parts.map((url) => join(directory, nameOf(url)));
  const missing = new Map<URL, string>();
  for (const [index, url] of parts.entries()) {
    const path = paths[index] ?? '';
    const size = work.update ? null : await fileSize(path);
    if (size === null) missing.set(url, path);
    else {
      work.progress.addTotal(size);
      work.progress.addPresent(size);
    }
  }
  const path = paths[0] ?? '';
  if (missing.size === 0) return { path, fetchedBytes: 0 };
  const label = `${nameOf(first)} of ${originText(first)}`;
  if (work.access.isOffline)
    throw new FetchError(
      'model_not_found',
      `${label} is not in the Hugging Face cache (${work.access.cacheDirectory}), and HF_HUB_OFFLINE forbids to fetch it`,
      false,
    );
  if (work.onlyLook) throw new AbsentError(label);
  const release = await work.locks.acquire(join(directory, 'vllm-gateway.lock'), work.signal);
  try {
    await makeDirectory(directory);
    let fetchedBytes = 0;
    for (const [url, target] of missing) fetchedBytes += await fetchOne(url, target, directory, work);
    work.progress.flush();
    return { path, fetchedBytes };
  } finally {
    release();
  }
}

async function fetchOne(url: URL, path: string, directory: string, work: FetchWork): Promise<number> {
  const { progress, limits, signal } = work;
  const name = nameOf(url);
  // Another process may have fetched it while we waited for the lock.
  if (!work.update && (await fileSize(path)) !== null) return 0;
  work.onAsk?.(originText(url));
  const sizeBytes = await tryAgain(() => askSize(url, work), work);
  const here = (await fileSize(path + INCOMPLETE_SUFFIX)) ?? 0;
  progress.addPresent(here);
  if (sizeBytes !== null) {
    progress.addTotal(sizeBytes);
    const need = { missingBytes: Math.max(0, sizeBytes - here), reserveBytes: limits.diskReserveBytes };
    await checkSpace({ ...need, what: name }, directory, work.free);
  }
  const target = {
    url: url.href,
    what: { repo: null, file: name },
    unfinishedPath: path + INCOMPLETE_SUFFIX,
    finalPath: `${path}.checked`,
    sizeBytes: null,
    digest: null,
  };
  const onBytes = (bytes: number): void => progress.addDone(bytes, name);
  const fetched = await work.slots.run(directory, signal, () =>
    download(target, { transport: work.transport, limits, signal, log: work.log, onBytes }),
  );
  await takeIfGguf(target.finalPath, path, url);
  return fetched;
}

/** Null: the server does not tell. */
async function askSize(url: URL, work: FetchWork): Promise<number | null> {
  const what = { repo: null, file: nameOf(url) };
  const headers = { range: 'bytes=0-0' };
  const answer = await work.transport.open(url.href, what, { headers, signal: work.signal });
  const total =
    answer.status === 206
      ? /\/(\d+)$/.exec(answer.header('content-range') ?? '')?.[1]
      : answer.header('content-length');
  answer.discard();
  return total === undefined || total === null ? null : Number(total);
}

/** Servers answer with pages of regret and status 200. */
async function takeIfGguf(checked: string, path: string, url: URL): Promise<void> {
  const handle = await open(checked, 'r');
  const head = Buffer.alloc(4);
  try {
    await handle.read(head, 0, 4, 0);
  } finally {
    await handle.close();
  }
  if (head.toString('latin1') === 'GGUF') {
    await rename(checked, path);
    return;
  }
  await rm(checked, { force: true });
  throw new FetchError(
    'fetch_failed',
    `what ${originText(url)} gives as ${nameOf(url)} is no GGUF file: correct the address`,
    false,
  );
}

/** By path alone: what stands in the query is often a signature for today. */
function folderOf(url: URL): string {
  const stem = `${url.origin}${url.pathname.replace(PART, '.gguf')}`;
  return createHash('sha256').update(stem).digest('hex').slice(0, 16);
}

function nameOf(url: URL): string {
  const last = url.pathname.split('/').at(-1) ?? '';
  return last.replaceAll(/[^\w.-]/g, '_');
}

/** `-00001-of-00003.gguf` is one file of three. */
function partsOf(url: URL): readonly URL[] {
  const count = Number(PART.exec(url.pathname)?.[2] ?? 0);
  if (count < 1 || count > PARTS_MAX) return [url];
  return Array.from({ length: count }, (_, index) => {
    const part = new URL(url);
    const number = String(index + 1).padStart(5, '0');
    part.pathname = url.pathname.replace(PART, `-${number}-of-$2.gguf`);
    return part;
  });
}

async function fileSize(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true ? found.size : null;
}
