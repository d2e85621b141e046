/**
 * An engine's answer that cannot pass as it is, because an early head has gone out in its place: its status, and its body
 * up to a limit.
 */

/** What is read of such a body; the rest is not. */
export const COLLECTED_BYTES_MAX = 1024 * 1024;

export class CollectedAnswer {
  readonly status: number;
  readonly contentType: string;
  /** There was more than the limit. */
  truncated = false;
  readonly #pieces: Buffer[] = [];
  #length = 0;

  constructor(status: number, rawHeaders: readonly string[]) {
    this.status = status;
    const at = rawHeaders.findIndex(
      (part, index) => index % 2 === 0 && part.toLowerCase() === 'content-type',
    );
    this.contentType = at < 0 ? '' : (rawHeaders[at + 1] ?? '');
  }

  /** Copies a piece. False: it is full, and more need not come. */
  take(piece: Buffer): boolean {
    const room = COLLECTED_BYTES_MAX - this.#length;
    this.truncated = piece.length > room;
    const kept = Buffer.from(piece.subarray(0, room));
    this.#pieces.push(kept);
    this.#length += kept.length;
    return !this.truncated;
  }

  text(): string {
    return Buffer.concat(this.#pieces, this.#length).toString('utf8');
  }
}
