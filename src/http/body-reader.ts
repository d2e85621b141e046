/**
 * Reads a request's body into one buffer: bodies of JSON, which have to be in memory whole. Others: upload-reader.ts.
 * Never more than the limit is kept, and the pieces that were copied are freed at once.
 */
import { freeBytes } from '../core/free-bytes.ts';
import type { FrontRequest } from './front-messages.ts';
import { GatheredBody } from './gathered-body.ts';

/** Where a request's body goes as it comes from the parser. */
export interface BodySink {
  /** False: the client is paused until `FrontRequest.resumeBody`. */
  take(chunk: Buffer): boolean;
  /** The last byte has come. */
  end(): void;
}

export interface BodyOwner {
  /** More bytes came and would be kept. False: there is no room, and the owner has stopped the reader. */
  bodyGrew(bytes: number): boolean;
  /** The body is complete. */
  bodyRead(body: Buffer): void;
  /** More than the limit came; what follows is thrown away. */
  bodyTooLarge(): void;
}

export class BodyReader implements BodySink {
  readonly #owner: BodyOwner;
  readonly #limitBytes: number;
  readonly #gathered: GatheredBody;
  #ended = false;

  /** `declaredBytes`: the request's Content-Length; null for chunked bodies. */
  constructor(owner: BodyOwner, limitBytes: number, declaredBytes: number | null) {
    this.#owner = owner;
    this.#limitBytes = limitBytes;
    this.#gathered = new GatheredBody(limitBytes, declaredBytes);
  }

  /** Bytes that came so far. */
  get bytes(): number {
    return this.#gathered.length;
  }

  /** Begins to read. The owner hears exactly once, unless the client leaves before the end. */
  start(request: FrontRequest): void {
    request.bodyReader = this;
  }

  /** The owner hears nothing more; what still comes is thrown away. */
  stop(): void {
    this.#ended = true;
    this.#gathered.take();
  }

  take(chunk: Buffer): boolean {
    if (this.#ended) return true;
    if (this.#gathered.length + chunk.length > this.#limitBytes) {
      this.stop();
      this.#owner.bodyTooLarge();
    } else if (this.#owner.bodyGrew(chunk.length)) {
      if (this.#gathered.append(chunk)) freeBytes(chunk);
    }
    return true;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#owner.bodyRead(this.#gathered.take());
  }
}
