/**
 * Takes a request's body in: whether it may come at all, the front's memory and files for it, and what it says about its
 * model.
 *
 * 1. The owner hears once: `bodyTaken` or `refuse`; nothing after `stop`.
 * 2. What was taken of the front's memory, and the file, are given back by `drop`, which is harmless when called again.
 */
import type { Refusal } from '../core/errors.ts';
import type { FileBody } from '../proxy/endpoint-types.ts';
import { type BodyOwner, BodyReader } from './body-reader.ts';
import type { FrontContext } from './front-context.ts';
import type { FrontRequest } from './front-messages.ts';
import {
  bodyLimitBytes,
  type ForwardedRoute,
  formScan,
  type ReadBody,
  readJsonRequest,
  readUpload,
} from './model-request.ts';
import type { RequestHead } from './request-checks.ts';
import { MEMORY_BYTES_MAX, spoolFull, type Upload, type UploadOwner, UploadReader } from './upload-reader.ts';

/** Bodies come and go with the requests in flight: room is back soon. */
const BODY_MEMORY_RETRY_S = 5;

export interface IntakeOwner {
  /** The body is complete and read as its route says. `bytes`: as it came. */
  bodyTaken(read: Extract<ReadBody, { kind: 'ok' }>, bytes: number): void;
  refuse(refusal: Refusal): void;
}

export class BodyIntake implements BodyOwner, UploadOwner {
  readonly #owner: IntakeOwner;
  readonly #context: FrontContext;
  readonly #route: ForwardedRoute;
  readonly #head: RequestHead;
  readonly #limitBytes: number;
  #reader: BodyReader | UploadReader | null = null;
  /** Of the front's body memory. */
  #heldBytes = 0;
  #file: FileBody | null = null;

  constructor(owner: IntakeOwner, context: FrontContext, route: ForwardedRoute, head: RequestHead) {
    this.#owner = owner;
    this.#context = context;
    this.#route = route;
    this.#head = head;
    this.#limitBytes = bodyLimitBytes(route, context.server);
  }

  /** Judges what the head says about the body. Null: it may come. */
  prepare(): Refusal | null {
    const declaredBytes = this.#head.contentLength;
    const limitBytes = this.#limitBytes;
    if (declaredBytes !== null && declaredBytes > limitBytes) return this.#tooLarge();
    const { bodies, spool } = this.#context;
    if (this.#route.bodyRule === 'json') {
      if (!bodies.hasRoom(declaredBytes ?? 0)) return this.#memoryFull();
      this.#reader = new BodyReader(this, limitBytes, declaredBytes);
      return null;
    }
    const form = formScan(this.#head, this.#route);
    if (form.kind === 'fault') return form.refusal;
    const { scan } = form;
    if (!bodies.hasRoom(Math.min(declaredBytes ?? 0, MEMORY_BYTES_MAX))) return this.#memoryFull();
    const isLarge = scan !== null && declaredBytes !== null && declaredBytes > MEMORY_BYTES_MAX;
    if (isLarge && !spool.hasRoom(declaredBytes)) return spoolFull(spool);
    this.#reader = new UploadReader(this, { limitBytes, declaredBytes, spool, scan });
    return null;
  }

  /** Begins to read. Call it when `prepare` refused nothing. */
  start(request: FrontRequest): void {
    this.#reader?.start(request);
  }

  /** Bytes that came so far. */
  get bytes(): number {
    return this.#reader?.bytes ?? 0;
  }

  /** The owner hears nothing more; what still comes is thrown away. */
  stop(): void {
    this.#reader?.stop();
  }

  /** The body is not needed any more. */
  drop(): void {
    this.#context.bodies.give(this.#heldBytes);
    this.#heldBytes = 0;
    this.#file?.release();
    this.#file = null;
  }

  // Called by the readers.

  bodyGrew(bytes: number): boolean {
    if (this.#context.bodies.take(bytes)) {
      this.#heldBytes += bytes;
      return true;
    }
    this.#owner.refuse(this.#memoryFull());
    return false;
  }

  bodyShrank(bytes: number): void {
    this.#context.bodies.give(bytes);
    this.#heldBytes -= bytes;
  }

  bodyRead(body: Buffer): void {
    this.#take(readJsonRequest(body, this.#context.names), body.length);
  }

  uploadRead(upload: Upload): void {
    const { body } = upload;
    if (!Buffer.isBuffer(body)) this.#file = body;
    this.#take(readUpload(upload, this.#head, this.#route, this.#context.names), body.length);
  }

  bodyRefused(refusal: Refusal): void {
    this.#owner.refuse(refusal);
  }

  bodyTooLarge(): void {
    this.#owner.refuse(this.#tooLarge());
  }

  #take(read: ReadBody, bytes: number): void {
    if (read.kind === 'fault') this.#owner.refuse(read.refusal);
    else this.#owner.bodyTaken(read, bytes);
  }

  #tooLarge(): Refusal {
    return { code: 'body_too_large', parameters: { limitBytes: this.#limitBytes } };
  }

  #memoryFull(): Refusal {
    const limitMib = Math.floor(this.#context.bodies.limitBytes / (1024 * 1024));
    return { code: 'body_memory_full', parameters: { limitMib }, retryAfterS: BODY_MEMORY_RETRY_S };
  }
}
