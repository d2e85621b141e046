/**
 * A body in memory while it comes. One in one piece is not copied; many small pieces cost no more than one large one,
 * because they are copied together as they come. The buffers that it grows out of are freed at once.
 */
import { freeBytes } from '../core/free-bytes.ts';

/** First size of the buffer for a body in several pieces, however long the client says it will be. */
const FIRST_CAPACITY_BYTES_MAX = 1024 * 1024;
const FIRST_CAPACITY_BYTES_MIN = 16 * 1024;
/** A full buffer becomes this many times larger, but no larger than the client said. */
const GROWTH = 4;
const NO_BYTES = Buffer.alloc(0);

export class GatheredBody {
  readonly #limitBytes: number;
  readonly #declaredBytes: number | null;
  #buffer: Buffer = NO_BYTES;
  #length = 0;
  /** The buffer is ours to write to, not a piece as it came. */
  #own = false;

  /** Whoever appends keeps to the limit. `declaredBytes`: the request's Content-Length; null for chunked bodies. */
  constructor(limitBytes: number, declaredBytes: number | null) {
    this.#limitBytes = limitBytes;
    this.#declaredBytes = declaredBytes;
  }

  get length(): number {
    return this.#length;
  }

  /** True: the piece was copied, and nothing of it is kept. */
  append(chunk: Buffer): boolean {
    const isCopied = this.#length > 0;
    const length = this.#length + chunk.length;
    if (isCopied) this.#copy(chunk, length);
    else this.#buffer = chunk;
    this.#length = length;
    return isCopied;
  }

  /** What came so far. It may be overwritten or freed by the next `append`. */
  view(): Buffer {
    return this.#own ? this.#buffer.subarray(0, this.#length) : this.#buffer;
  }

  /** What came; nothing is left here. */
  take(): Buffer {
    const body = this.view();
    this.#buffer = NO_BYTES;
    this.#length = 0;
    this.#own = false;
    return body;
  }

  #copy(chunk: Buffer, needed: number): void {
    if (!this.#own || needed > this.#buffer.length) this.#grow(needed);
    this.#buffer.set(chunk, this.#length);
  }

  #grow(needed: number): void {
    const declared = this.#declaredBytes ?? this.#limitBytes;
    const capacity = Math.max(
      needed,
      Math.min(this.#declaredBytes ?? 0, FIRST_CAPACITY_BYTES_MAX),
      FIRST_CAPACITY_BYTES_MIN,
      this.#own ? Math.min(this.#buffer.length * GROWTH, declared) : 0,
    );
    const grown = Buffer.allocUnsafeSlow(Math.min(capacity, Math.max(needed, this.#limitBytes)));
    grown.set(this.#buffer.subarray(0, this.#length));
    freeBytes(this.#buffer);
    this.#buffer = grown;
    this.#own = true;
  }
}
