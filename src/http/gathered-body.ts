/**
 * A body in memory while it comes. One in one piece is not copied; many small pieces cost no more than one large one,
 * because they are copied together as they come.
 */

/** First size of the buffer for a body in several pieces, however long the client says it will be. */
const FIRST_CAPACITY_BYTES_MAX = 1024 * 1024;
const FIRST_CAPACITY_BYTES_MIN = 16 * 1024;
const NO_BYTES = Buffer.alloc(0);

export class GatheredBody {
  readonly #limitBytes: number;
  readonly #declaredBytes: number;
  #buffer: Buffer = NO_BYTES;
  #length = 0;
  /** The buffer is ours to write to, not a piece as it came. */
  #own = false;

  /** Whoever appends keeps to the limit. `declaredBytes`: the request's Content-Length; null for chunked bodies. */
  constructor(limitBytes: number, declaredBytes: number | null) {
    this.#limitBytes = limitBytes;
    this.#declaredBytes = declaredBytes ?? 0;
  }

  get length(): number {
    return this.#length;
  }

  append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (this.#length === 0) this.#buffer = chunk;
    else this.#copy(chunk, length);
    this.#length = length;
  }

  /** What came so far. It may be overwritten after the next `append`. */
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
    if (!this.#own || needed > this.#buffer.length) {
      const capacity = Math.max(
        needed,
        Math.min(this.#declaredBytes, FIRST_CAPACITY_BYTES_MAX),
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
