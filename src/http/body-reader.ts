/**
 * Reads a request's body into one buffer.
 *
 * 1. Never more than the limit is kept; a body in one piece is not copied.
 * 2. Many small pieces cost no more memory than one large one: they are copied together as they come.
 */
import type { FrontRequest } from './front-messages.ts';

/** First size of the buffer for a body in several pieces, however long the client says it will be. */
const FIRST_CAPACITY_BYTES_MAX = 1024 * 1024;
const FIRST_CAPACITY_BYTES_MIN = 16 * 1024;

export interface BodyOwner {
  /** More bytes came and would be kept. False: there is no room, and the owner has stopped the reader. */
  bodyGrew(bytes: number): boolean;
  /** The body is complete. */
  bodyRead(body: Buffer): void;
  /** More than the limit came; what follows is thrown away. */
  bodyTooLarge(): void;
}

const NO_BYTES = Buffer.alloc(0);

export class BodyReader {
  readonly #owner: BodyOwner;
  readonly #limitBytes: number;
  readonly #declaredBytes: number | null;
  #buffer: Buffer = NO_BYTES;
  #length = 0;
  /** The buffer is ours to write to, not a piece as it came. */
  #own = false;
  #ended = false;

  /** `declaredBytes`: the request's Content-Length; null for chunked bodies. */
  constructor(owner: BodyOwner, limitBytes: number, declaredBytes: number | null) {
    this.#owner = owner;
    this.#limitBytes = limitBytes;
    this.#declaredBytes = declaredBytes;
  }

  /** Bytes that came so far. */
  get bytes(): number {
    return this.#length;
  }

  /** Begins to read. The owner hears exactly once, unless the client leaves before the end. */
  start(request: FrontRequest): void {
    request.bodyReader = this;
  }

  /** The owner hears nothing more; what still comes is thrown away. */
  stop(): void {
    this.#ended = true;
    this.#buffer = NO_BYTES;
  }

  take(chunk: Buffer): void {
    if (this.#ended) return;
    const length = this.#length + chunk.length;
    if (length > this.#limitBytes) {
      this.stop();
      this.#owner.bodyTooLarge();
      return;
    }
    if (!this.#owner.bodyGrew(chunk.length)) return;
    if (this.#length === 0) this.#buffer = chunk;
    else this.#append(chunk);
    this.#length = length;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const body = this.#own ? this.#buffer.subarray(0, this.#length) : this.#buffer;
    this.#buffer = NO_BYTES;
    this.#owner.bodyRead(body);
  }

  #append(chunk: Buffer): void {
    const needed = this.#length + chunk.length;
    if (!this.#own || needed > this.#buffer.length) {
      const first = Math.min(this.#declaredBytes ?? 0, FIRST_CAPACITY_BYTES_MAX);
      const capacity = Math.max(
        needed,
        first,
        FIRST_CAPACITY_BYTES_MIN,
        this.#own ? this.#buffer.length * 2 : 0,
      );
      const grown = Buffer.allocUnsafeSlow(Math.min(capacity, Math.max(needed, this.#limitBytes)));
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
      this.#own = true;
    }
    this.#buffer.set(chunk, this.#length);
  }
}
