/**
 * One file from a hub, its store or any address, into a file that others know as unfinished until it is whole.
 *  D1. Bytes that are there are not asked for again: a try begins where the last one ended, also that of an earlier process.
 *  D2. A file that has changed meanwhile is never mixed: one without a known hash is asked for the rest only if it is still the same
 *      (If-Range). One with a hash is not: stores give the same content other tags, and the hash has the last word.
 *  D3. It gets its final name only when size and hash are right and it is on the disk.
 *  D4. Every try that does not come further than all before it counts against a limit.
 */
import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { byteText } from './byte-text.ts';
import { VALIDATOR_SUFFIX } from './cache-layout.ts';
import { FetchError, PassingError } from './fetch-error.ts';
import type { AskedFor, HubTransport, OpenAnswer } from './hub-transport.ts';
import { pauseAfter, type RetryOptions } from './try-again.ts';

export interface Digest {
  /** `git`: SHA-1 of a header with the size and the content, as git names files. */
  readonly algorithm: 'sha256' | 'git';
  readonly hex: string;
}

export interface DownloadTarget {
  readonly url: string;
  readonly what: AskedFor;
  readonly unfinishedPath: string;
  readonly finalPath: string;
  /** Null: the server will tell. */
  readonly sizeBytes: number | null;
  readonly digest: Digest | null;
}

export interface DownloadOptions extends RetryOptions {
  readonly transport: HubTransport;
  /** Bytes that came; negative where the file is begun anew. What an earlier fetch left is the caller's to count. */
  readonly onBytes: (change: number) => void;
  /** The whole size, once the server has told it. */
  readonly onSize?: (sizeBytes: number) => void;
}

const READ_CHUNK_BYTES = 1024 * 1024;

/** Bytes that came over the network. Rejects with a FetchError, or an error of the file system or the signal. */
export async function download(target: DownloadTarget, options: DownloadOptions): Promise<number> {
  const file = await open(target.unfinishedPath, constants.O_RDWR | constants.O_CREAT, 0o666);
  const work = new Download(target, options, file);
  try {
    await work.run();
    await file.sync();
  } catch (error) {
    const { size } = await file.stat().catch(() => ({ size: 1 }));
    // Nothing to go on with: a leftover that only puzzles.
    if (size === 0) await removeUnfinished(target);
    throw error;
  } finally {
    await file.close();
  }
  await rename(target.unfinishedPath, target.finalPath);
  await rm(target.unfinishedPath + VALIDATOR_SUFFIX, { force: true });
  return work.fetchedBytes;
}

async function removeUnfinished({ unfinishedPath }: DownloadTarget): Promise<void> {
  for (const path of [unfinishedPath, unfinishedPath + VALIDATOR_SUFFIX])
    await rm(path, { force: true }).catch(() => {});
}

class Download {
  fetchedBytes = 0;
  readonly #target: DownloadTarget;
  readonly #options: DownloadOptions;
  readonly #file: FileHandle;
  #offset = 0;
  #furthest = 0;
  #sizeBytes: number | null;
  #hash: Hash | null = null;
  #validator: string | null = null;

  constructor(target: DownloadTarget, options: DownloadOptions, file: FileHandle) {
    this.#target = target;
    this.#options = options;
    this.#file = file;
    this.#sizeBytes = target.sizeBytes;
  }

  async run(): Promise<void> {
    await this.#takeUp();
    for (let corruptions = 0; ; ) {
      await this.#complete();
      if (this.#isRight()) return;
      corruptions += 1;
      await this.#beginAnew();
      if (corruptions >= this.#options.limits.corruptionsMax)
        throw new FetchError(
          'fetch_failed',
          `${this.#name()} came ${corruptions} times with a content that does not match its checksum: what answers is not the hub's file (a proxy, a broken mirror?)`,
          true,
        );
      this.#furthest = 0;
    }
  }

  /** Goes on where an earlier fetch ended (D1). */
  async #takeUp(): Promise<void> {
    this.#hash = this.#newHash();
    const { size } = await this.#file.stat();
    if (size === 0) return;
    // Nobody has counted it.
    if (this.#sizeBytes !== null && size > this.#sizeBytes) {
      await this.#file.truncate(0);
      return;
    }
    const chunk = new Uint8Array(READ_CHUNK_BYTES);
    while (this.#hash !== null && this.#offset < size) {
      this.#options.signal.throwIfAborted();
      const { bytesRead } = await this.#file.read(chunk, 0, chunk.length, this.#offset);
      if (bytesRead === 0) break;
      this.#hash.update(chunk.subarray(0, bytesRead));
      this.#offset += bytesRead;
    }
    this.#offset = size;
    this.#furthest = size;
    this.#validator = await readFile(this.#target.unfinishedPath + VALIDATOR_SUFFIX, 'utf8').catch(
      () => null,
    );
  }

  async #complete(): Promise<void> {
    const { limits, signal } = this.#options;
    let fruitless = 0;
    while (this.#sizeBytes === null || this.#offset < this.#sizeBytes) {
      signal.throwIfAborted();
      const before = this.#furthest;
      try {
        if (await this.#attempt()) return;
      } catch (error) {
        if (!(error instanceof PassingError)) throw error;
        const rest = this.#sizeBytes === null ? limits.progressBytesMin : this.#sizeBytes - before;
        const gained = this.#furthest - before;
        fruitless = gained > 0 && gained >= Math.min(limits.progressBytesMin, rest) ? 0 : fruitless + 1;
        if (fruitless >= limits.fruitlessTriesMax) throw this.#givenUp(error, fruitless);
        await pauseAfter(error, Math.max(1, fruitless), this.#options);
      }
    }
  }

  /** True: the server says that this is all. */
  async #attempt(): Promise<boolean> {
    const { transport, signal } = this.#options;
    const { url, what } = this.#target;
    const answer = await transport.open(url, what, { headers: this.#rangeHeaders(), signal });
    try {
      if (!(await this.#accept(answer))) return true;
      for await (const chunk of answer.body) {
        if (this.#sizeBytes !== null && this.#offset + chunk.length > this.#sizeBytes) {
          await this.#beginAnew();
          throw new PassingError(`${this.#name()} is longer than it was said to be`);
        }
        await this.#file.write(chunk, 0, chunk.length, this.#offset);
        this.#hash?.update(chunk);
        this.#offset += chunk.length;
        this.fetchedBytes += chunk.length;
        this.#furthest = Math.max(this.#furthest, this.#offset);
        this.#options.onBytes(chunk.length);
      }
    } finally {
      answer.discard();
    }
    if (this.#sizeBytes !== null && this.#offset < this.#sizeBytes)
      throw new PassingError(
        `${this.#name()} ended after ${byteText(this.#offset)} of ${byteText(this.#sizeBytes)}`,
      );
    return true;
  }

  #rangeHeaders(): Record<string, string> {
    if (this.#offset === 0) return {};
    const range = { range: `bytes=${this.#offset}-` };
    return this.#validator === null ? range : { ...range, 'if-range': this.#validator };
  }

  /** Looks at the head of an answer (D2). False: everything is here already. */
  async #accept(answer: OpenAnswer): Promise<boolean> {
    if (answer.status === 416) {
      const total = Number(/\/(\d+)$/.exec(answer.header('content-range') ?? '')?.[1] ?? Number.NaN);
      if (total === this.#offset && this.#sizeBytes === null) return false;
      await this.#beginAnew();
      throw new PassingError(`${this.#name()} is shorter than what is here of it`);
    }
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(answer.header('content-range') ?? '');
    const validator = this.#target.digest === null ? validatorOf(answer) : null;
    if (answer.status === 206) {
      const isOther = validator !== null && this.#validator !== null && validator !== this.#validator;
      if (range === null || Number(range[1]) !== this.#offset || isOther) {
        await this.#beginAnew();
        throw new PassingError(`${this.#name()} has changed, or another part of it came than was asked for`);
      }
    } else if (this.#offset > 0) await this.#beginAnew();
    const total = answer.status === 206 ? range?.[2] : answer.header('content-length');
    await this.#checkSize(total === undefined || total === null || total === '*' ? null : Number(total));
    if (validator !== this.#validator) {
      this.#validator = validator;
      if (validator !== null) await writeFile(this.#target.unfinishedPath + VALIDATOR_SUFFIX, validator);
    }
    return true;
  }

  async #checkSize(total: number | null): Promise<void> {
    if (total === null) return;
    const known = this.#target.sizeBytes;
    if (known === null) {
      this.#sizeBytes = total;
      this.#options.onSize?.(total);
    } else if (total !== known) {
      await this.#beginAnew();
      throw new PassingError(
        `${this.#name()} is offered with ${total} bytes, and the hub lists it with ${known}`,
      );
    }
  }

  async #beginAnew(): Promise<void> {
    await this.#file.truncate(0);
    this.#options.onBytes(-this.#offset);
    this.#offset = 0;
    this.#hash = this.#newHash();
    this.#validator = null;
    await rm(this.#target.unfinishedPath + VALIDATOR_SUFFIX, { force: true });
  }

  #newHash(): Hash | null {
    const { digest, sizeBytes } = this.#target;
    if (digest === null) return null;
    return digest.algorithm === 'sha256'
      ? createHash('sha256')
      : createHash('sha1').update(`blob ${sizeBytes ?? 0}\0`);
  }

  #isRight(): boolean {
    return this.#hash === null || this.#hash.digest('hex') === this.#target.digest?.hex;
  }

  #name(): string {
    const { repo, file } = this.#target.what;
    return repo === null ? (file ?? 'the file') : `${file ?? 'a file'} of ${repo}`;
  }

  #givenUp(error: PassingError, tries: number): FetchError {
    const kept = this.#offset === 0 ? '' : `; ${byteText(this.#offset)} are kept for the next try`;
    return new FetchError(
      'repository_unreachable',
      `${this.#name()} could not be fetched, ${tries} tries in a row failed: ${error.message}${kept}`,
      true,
    );
  }
}

/** What tells one version of a file from another; a weak tag does not, byte for byte. */
function validatorOf(answer: OpenAnswer): string | null {
  const tag = answer.header('etag');
  if (tag !== null && !tag.startsWith('W/')) return tag;
  return answer.header('last-modified');
}
