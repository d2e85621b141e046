/**
 * Takes a request's body in: whether it may come at all, the front's memory for it, and what it says about its model.
 *
 * 1. The owner hears once: `bodyTaken` or `refuse`; nothing after `stop`.
 * 2. What was taken of the front's memory is given back by `drop`, which is harmless when called again.
 */
import type { Refusal } from '../core/errors.ts';
import { type BodyOwner, BodyReader } from './body-reader.ts';
import type { FrontContext } from './front-context.ts';
import type { FrontRequest } from './front-messages.ts';
import { bodyLimitBytes, type ForwardedRoute, type ReadBody, readBody } from './model-request.ts';
import type { RequestHead } from './request-checks.ts';

/** Bodies come and go with the requests in flight: room is back soon. */
const BODY_MEMORY_RETRY_S = 5;

export interface IntakeOwner {
  /** The body is complete and read as its route says. `bytes`: as it came. */
  bodyTaken(read: Extract<ReadBody, { kind: 'ok' }>, bytes: number): void;
  refuse(refusal: Refusal): void;
}

export class BodyIntake implements BodyOwner {
  readonly #owner: IntakeOwner;
  readonly #context: FrontContext;
  readonly #route: ForwardedRoute;
  readonly #limitBytes: number;
  #reader: BodyReader | null = null;
  /** Of the front's body memory. */
  #heldBytes = 0;

  constructor(owner: IntakeOwner, context: FrontContext, route: ForwardedRoute) {
    this.#owner = owner;
    this.#context = context;
    this.#route = route;
    this.#limitBytes = bodyLimitBytes(route, context.server);
  }

  /** Judges what the head says about the body's size. Null: it may come. */
  refusalOf(head: RequestHead): Refusal | null {
    const { contentLength } = head;
    if (contentLength !== null && contentLength > this.#limitBytes) return this.#tooLarge();
    return this.#context.bodies.hasRoom(contentLength ?? 0) ? null : this.#memoryFull();
  }

  start(request: FrontRequest, contentLength: number | null): void {
    this.#reader = new BodyReader(this, this.#limitBytes, contentLength);
    this.#reader.start(request);
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
  }

  bodyGrew(bytes: number): boolean {
    if (this.#context.bodies.take(bytes)) {
      this.#heldBytes += bytes;
      return true;
    }
    this.#owner.refuse(this.#memoryFull());
    return false;
  }

  bodyRead(body: Buffer): void {
    const read = readBody(body, this.#route, this.#context.names);
    if (read.kind === 'fault') this.#owner.refuse(read.refusal);
    else this.#owner.bodyTaken(read, body.length);
  }

  bodyTooLarge(): void {
    this.#owner.refuse(this.#tooLarge());
  }

  #tooLarge(): Refusal {
    return { code: 'body_too_large', parameters: { limitBytes: this.#limitBytes } };
  }

  #memoryFull(): Refusal {
    const limitMib = Math.floor(this.#context.bodies.limitBytes / (1024 * 1024));
    return { code: 'body_memory_full', parameters: { limitMib }, retryAfterS: BODY_MEMORY_RETRY_S };
  }
}
