/**
 * Follows an engine's output file. The engine appends to it and outlives us, so the file is the truth and we only read:
 * woken by the file system where it tells, and by a slow poll where it does not.
 *
 *  O1. Lines are delivered in order, each once; `drain` delivers all that was written before it was called.
 *  O2. The file stays near its limit: at the limit the older part is kept in `FILE.1` and the file begins anew.
 *  O3. Nothing is delivered after `close`.
 */

import type { FSWatcher } from 'node:fs';
import { fstatSync, ftruncateSync, watch } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { copyFile, open } from 'node:fs/promises';
import { createLineSplitter } from './line-splitter.ts';

const POLL_MS = 500;
const READ_BYTES = 64 * 1024;

/** Ending of the file that keeps the part before the last fresh start. */
export const OLDER_OUTPUT_SUFFIX = '.1';

export interface OutputTail {
  /** Reads to the end of the file and delivers also a last line without an end. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export interface OutputTailOptions {
  readonly path: string;
  /** `end` for the output of an engine that ran before us. */
  readonly from: 'start' | 'end';
  readonly limitBytes: number;
  readonly onLine: (line: string) => void;
}

/** The file must exist. */
export async function openOutputTail(options: OutputTailOptions): Promise<OutputTail> {
  const file = await open(options.path, 'r+');
  const tail = new Tail(file, options, options.from === 'end' ? fstatSync(file.fd).size : 0);
  tail.start();
  return tail;
}

class Tail implements OutputTail {
  readonly #file: FileHandle;
  readonly #options: OutputTailOptions;
  readonly #splitter = createLineSplitter((line) => {
    if (!this.#closed) this.#options.onLine(line);
  });
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES);
  #offset: number;
  #closed = false;
  #again = false;
  #reading: Promise<void> | null = null;
  #watcher: FSWatcher | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(file: FileHandle, options: OutputTailOptions, offset: number) {
    this.#file = file;
    this.#options = options;
    this.#offset = offset;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#wake(), POLL_MS);
    try {
      this.#watcher = watch(this.#options.path, () => void this.#wake());
      // Too many watches, or a file system without them: the poll stays.
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch {
      this.#watcher = null;
    }
    void this.#wake();
  }

  async drain(): Promise<void> {
    // The read under way may have passed the end already, so another one follows it.
    await this.#reading;
    await this.#wake();
    this.#splitter.flush();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#watcher?.close();
    await this.#reading;
    await this.#file.close();
  }

  #wake(): Promise<void> {
    this.#again = true;
    this.#reading ??= this.#read()
      // A failing disk costs the output, not the gateway; the next wake tries again.
      .catch(() => undefined)
      .finally(() => {
        this.#reading = null;
      });
    return this.#reading;
  }

  async #read(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      await this.#readToEnd();
    }
  }

  async #readToEnd(): Promise<void> {
    const { limitBytes, path } = this.#options;
    let kept = false;
    while (!this.#closed) {
      const { bytesRead } = await this.#file.read(this.#buffer, 0, READ_BYTES, this.#offset);
      if (bytesRead > 0) {
        this.#offset += bytesRead;
        this.#splitter.push(this.#buffer.subarray(0, bytesRead));
        // Against a writer that is faster than we are, lines are lost rather than the disk.
        if (this.#offset > 2 * limitBytes) this.#beginAnew();
        continue;
      }
      const { size } = fstatSync(this.#file.fd);
      if (size > this.#offset) continue;
      // Somebody else emptied the file.
      if (size < this.#offset) this.#offset = size;
      if (this.#offset < limitBytes) return;
      if (kept) return this.#beginAnew();
      kept = true;
      // A disk without room for the copy needs the fresh start all the more. Then once more to the end: what came in
      // the meantime is read before it is cut off.
      await copyFile(path, path + OLDER_OUTPUT_SUFFIX).catch(() => undefined);
    }
  }

  /** O2. The engine appends, so its next line is written at the new beginning. */
  #beginAnew(): void {
    ftruncateSync(this.#file.fd, 0);
    this.#offset = 0;
  }
}
