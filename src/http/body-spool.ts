/**
 * Large bodies in files without a name, so that a long recording that waits for its model costs disk and not memory.
 *
 * 1. A file is unlinked as soon as it is open: whatever becomes of the gateway, nothing stays behind.
 * 2. The sum of all files has a bound of its own; what is held is given back when the file is closed, and never before.
 * 3. A file is closed exactly once: by its writer while it is written, by the last holder of the body afterwards.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { assert } from '../core/assert.ts';
import type { FileBody } from '../proxy/endpoint-types.ts';

const OPEN_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const FILE_MODE = 0o600;
/** Bytes that wait for the disk before their client is paused, and below which it goes on. */
const PENDING_BYTES_HIGH = 1024 * 1024;
const PENDING_BYTES_LOW = 256 * 1024;
/** How long the disk may take, after the last byte came, for what still waits for it. */
export const SPOOL_FLUSH_TIMEOUT_MS = 60_000;

/** The files of one front. */
export class BodySpool {
  readonly directory: string;
  readonly limitBytes: number;
  #heldBytes = 0;
  #openFiles = 0;

  constructor(directory: string, limitBytes: number) {
    this.directory = directory;
    this.limitBytes = limitBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Files that are open or being opened. */
  get openFiles(): number {
    return this.#openFiles;
  }

  hasRoom(bytes: number): boolean {
    return this.#heldBytes + bytes <= this.limitBytes;
  }

  // For writers and bodies.

  /** False: there is no room, and nothing was taken. */
  hold(bytes: number): boolean {
    if (!this.hasRoom(bytes)) return false;
    this.#heldBytes += bytes;
    return true;
  }

  async openFile(): Promise<FileHandle> {
    this.#openFiles += 1;
    try {
      const path = join(this.directory, `vllm-gateway-body-${randomBytes(12).toString('hex')}`);
      const file = await open(path, OPEN_FLAGS, FILE_MODE);
      try {
        await unlink(path);
      } catch (error) {
        await file.close();
        throw error;
      }
      return file;
    } catch (error) {
      this.#openFiles -= 1;
      throw error;
    }
  }

  /** Closes it once its running reads and writes have ended. `null`: it never opened. */
  async closeFile(file: FileHandle | null, heldBytes: number): Promise<void> {
    try {
      await file?.close();
    } catch {
      // Delayed errors of writes: nobody reads these bytes any more.
    }
    if (file !== null) this.#openFiles -= 1;
    this.#heldBytes -= heldBytes;
  }
}

export interface SpoolOwner {
  /** So many bytes have left memory. */
  spoolWrote(bytes: number): void;
  /** The disk has caught up: the client may go on. */
  spoolDrained(): void;
  /** Terminal: all is written, and the owner holds the body. */
  spoolDone(body: SpooledBody): void;
  /** Terminal: the disk took it not. */
  spoolFailed(cause: string): void;
}

/** One body on its way to its file. */
export class SpoolWriter {
  readonly #spool: BodySpool;
  readonly #owner: SpoolOwner;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #pendingBytes = 0;
  #heldBytes = 0;
  #writtenBytes = 0;
  #isRunning = false;
  #isWaiting = false;
  #isComplete = false;
  #ended = false;
  #file: FileHandle | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(spool: BodySpool, owner: SpoolOwner) {
    this.#spool = spool;
    this.#owner = owner;
  }

  /** False: the sum of all files is at its bound, and nothing was taken. The chunk is ours until it is written. */
  append(chunk: Buffer): boolean {
    if (!this.#spool.hold(chunk.length)) return false;
    this.#heldBytes += chunk.length;
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    this.#pendingBytes += chunk.length;
    this.#run();
    return true;
  }

  /** The client has to wait for `spoolDrained`. */
  get isFull(): boolean {
    const isFull = this.#pendingBytes > PENDING_BYTES_HIGH;
    this.#isWaiting ||= isFull;
    return isFull;
  }

  /** No more comes. */
  finish(): void {
    this.#isComplete = true;
    this.#timer = setTimeout(() => {
      this.#fail(`it took nothing for ${SPOOL_FLUSH_TIMEOUT_MS / 1000} s`);
    }, SPOOL_FLUSH_TIMEOUT_MS);
    this.#run();
  }

  /** Throws away what was written. The owner hears nothing more. */
  stop(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#queue = [];
    this.#clearTimer();
    // A running write closes it at its end.
    if (!this.#isRunning) this.#close();
  }

  #run(): void {
    if (this.#isRunning || this.#ended) return;
    this.#isRunning = true;
    this.#writeAll().then(
      () => this.#wroteAll(),
      (error: unknown) => {
        this.#isRunning = false;
        this.#fail(error instanceof Error ? error.message : String(error));
      },
    );
  }

  async #writeAll(): Promise<void> {
    this.#file ??= await this.#spool.openFile();
    while (this.#queuedBytes > 0 && !this.#ended) {
      const pieces = this.#queue;
      const bytes = this.#queuedBytes;
      this.#queue = [];
      this.#queuedBytes = 0;
      await writeWhole(this.#file, Buffer.concat(pieces, bytes), this.#writtenBytes);
      this.#writtenBytes += bytes;
      this.#pendingBytes -= bytes;
      if (this.#ended) return;
      this.#owner.spoolWrote(bytes);
      if (this.#isWaiting && this.#pendingBytes <= PENDING_BYTES_LOW) {
        this.#isWaiting = false;
        this.#owner.spoolDrained();
      }
    }
  }

  #wroteAll(): void {
    this.#isRunning = false;
    if (this.#ended) {
      this.#close();
      return;
    }
    if (this.#queuedBytes > 0) {
      this.#run();
      return;
    }
    const file = this.#file;
    if (!this.#isComplete || file === null) return;
    this.#ended = true;
    this.#clearTimer();
    this.#file = null;
    this.#owner.spoolDone(new SpooledBody(this.#spool, file, this.#writtenBytes));
  }

  #fail(cause: string): void {
    const wasEnded = this.#ended;
    this.stop();
    // It was stopped during the write that failed.
    if (wasEnded) this.#close();
    else this.#owner.spoolFailed(cause);
  }

  #close(): void {
    const file = this.#file;
    const held = this.#heldBytes;
    this.#file = null;
    this.#heldBytes = 0;
    void this.#spool.closeFile(file, held);
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** A complete body in its file. Whoever got it holds it once. */
export class SpooledBody implements FileBody {
  readonly length: number;
  readonly #spool: BodySpool;
  readonly #file: FileHandle;
  #holders = 1;

  constructor(spool: BodySpool, file: FileHandle, length: number) {
    this.#spool = spool;
    this.#file = file;
    this.length = length;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const { bytesRead } = await this.#file.read(target, 0, target.length, position);
    return bytesRead;
  }

  retain(): void {
    assert(this.#holders > 0, 'a body is held after its file was closed');
    this.#holders += 1;
  }

  release(): void {
    assert(this.#holders > 0, 'a body is given up more often than it was held');
    this.#holders -= 1;
    if (this.#holders === 0) void this.#spool.closeFile(this.#file, this.length);
  }
}

/** A short write is what a full disk answers first; the next one then says why. */
async function writeWhole(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw new Error('the disk took nothing');
    done += bytesWritten;
  }
}
