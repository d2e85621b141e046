/**
 * Joins the small pieces of one read of an engine's connection, and all of them while their client is behind. An engine
 * may cut an answer into chunks of one byte: one by one, each of them would cost a hundred times its size.
 *
 * Nothing is kept beyond the end of the current turn of the event loop, so that no byte comes later than the read does.
 */

/** At least one read: a piece never exceeds it. */
const CAPACITY_BYTES = 64 * 1024;

export interface PieceOwner {
  /** Sends what was gathered; keeps nothing of it. */
  sendPieces(bytes: Buffer): void;
}

export class GatheredPieces {
  readonly #buffer = Buffer.allocUnsafeSlow(CAPACITY_BYTES);
  #length = 0;
  #owner: PieceOwner | null = null;
  #turnIsDue = false;
  readonly #turn = (): void => {
    this.#turnIsDue = false;
    this.#flush();
  };

  /** Copies a piece of at most `CAPACITY_BYTES`; its owner sends it before the turn ends. */
  hold(owner: PieceOwner, piece: Buffer): void {
    if (this.#owner !== owner || this.#length + piece.length > CAPACITY_BYTES) this.#flush();
    if (piece.length > CAPACITY_BYTES) {
      owner.sendPieces(piece);
      return;
    }
    this.#owner = owner;
    this.#buffer.set(piece, this.#length);
    this.#length += piece.length;
    if (this.#turnIsDue) return;
    this.#turnIsDue = true;
    process.nextTick(this.#turn);
  }

  heldBytes(owner: PieceOwner): number {
    return this.#owner === owner ? this.#length : 0;
  }

  /** Has the owner send what it holds, now. */
  release(owner: PieceOwner): void {
    if (this.#owner === owner) this.#flush();
  }

  /** Forgets what the owner holds. */
  drop(owner: PieceOwner): void {
    if (this.#owner !== owner) return;
    this.#owner = null;
    this.#length = 0;
  }

  #flush(): void {
    const owner = this.#owner;
    if (owner === null) return;
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#owner = null;
    this.#length = 0;
    owner.sendPieces(bytes);
  }
}
