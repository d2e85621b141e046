/**
 * Sends a body from its file: a piece is read, written, and only when it has left the socket comes the next one. So an
 * upload costs one piece of memory, and waits for whoever takes it slowly.
 */
import type { Socket } from 'node:net';
import type { FileBody } from './endpoint-types.ts';
import { socketErrorText } from './transport-fault.ts';

const PIECE_BYTES = 256 * 1024;

export interface UploadListener {
  /** Bytes have left. */
  uploadMoved(): void;
  /** Terminal: the file cannot be read. Not called after `stop`. */
  uploadFailed(detail: string): void;
}

export class FileUpload {
  readonly #body: FileBody;
  readonly #socket: Socket;
  readonly #listener: UploadListener;
  readonly #piece: Buffer;
  #position = 0;
  #ended = false;

  /** Holds the body until all of it was sent or `stop` is called. */
  constructor(body: FileBody, socket: Socket, listener: UploadListener) {
    this.#body = body;
    this.#socket = socket;
    this.#listener = listener;
    this.#piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, body.length));
    body.retain();
  }

  get isComplete(): boolean {
    return this.#position >= this.#body.length;
  }

  start(): void {
    this.#next();
  }

  /** Sends nothing more. Harmless when called again. */
  stop(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#body.release();
  }

  #next(): void {
    this.#body.read(this.#piece, this.#position).then(
      (bytes) => this.#send(bytes),
      (error: unknown) => this.#fail(error instanceof Error ? socketErrorText(error) : String(error)),
    );
  }

  #send(bytes: number): void {
    if (this.#ended) return;
    // More than was announced must not follow, and less would leave the engine waiting.
    const due = Math.min(bytes, this.#body.length - this.#position);
    if (due === 0) {
      this.#fail('it is shorter than it was');
      return;
    }
    this.#socket.write(this.#piece.subarray(0, due), (error) => {
      if (error || this.#ended) return;
      this.#position += due;
      const complete = this.isComplete;
      if (complete) this.stop();
      this.#listener.uploadMoved();
      if (!complete && !this.#ended) this.#next();
    });
  }

  #fail(detail: string): void {
    if (this.#ended) return;
    this.stop();
    this.#listener.uploadFailed(detail);
  }
}
