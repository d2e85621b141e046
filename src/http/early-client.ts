/** A client that left HTTP and was not let in yet: it may leave, and should not send. */
import type { Socket } from 'node:net';

/** Bytes that it may send nevertheless. */
const EARLY_BYTES_MAX = 64 * 1024;

export interface EarlyClientOwner {
  clientLeft(): void;
  clientSentTooMuch(): void;
  /** It took everything that was written to it. */
  clientDrained(): void;
}

export class EarlyClient {
  readonly #socket: Socket;
  readonly #owner: EarlyClientOwner;
  #bytes: number;
  #pieces: Buffer[];

  /** `first` came behind its head. */
  constructor(socket: Socket, first: Buffer, owner: EarlyClientOwner) {
    this.#socket = socket;
    this.#owner = owner;
    this.#bytes = first.length;
    this.#pieces = first.length > 0 ? [first] : [];
  }

  watch(): void {
    this.#socket.on('data', this.#took);
    this.#socket.on('end', this.#left);
    this.#socket.on('close', this.#left);
    this.#socket.on('drain', this.#drained);
  }

  /** Hears no more of it, and hands over what it sent. */
  release(): readonly Buffer[] {
    this.#socket.off('data', this.#took);
    this.#socket.off('end', this.#left);
    this.#socket.off('close', this.#left);
    this.#socket.off('drain', this.#drained);
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  readonly #took = (piece: Buffer): void => {
    this.#bytes += piece.length;
    if (this.#bytes > EARLY_BYTES_MAX) this.#owner.clientSentTooMuch();
    else this.#pieces.push(piece);
  };

  readonly #left = (): void => this.#owner.clientLeft();

  readonly #drained = (): void => this.#owner.clientDrained();
}
