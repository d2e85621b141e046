/**
 * Reads bodies that need not be in memory: forms, and what passes unread. Up to `MEMORY_BYTES_MAX` they stay there,
 * larger ones go to a file as they come. A form's model is found on the way.
 *
 * 1. JSON objects stay in memory, whatever route they come by: they are scanned whole.
 * 2. The client is paused only while more waits for the disk than the spool allows; `request_timeout` and the spool's
 *    own limit bound that, and the client's leaving is seen at the next read.
 */
import type { Refusal } from '../core/errors.ts';
import type { BodyOwner, BodySink } from './body-reader.ts';
import { type BodySpool, type SpooledBody, type SpoolOwner, SpoolWriter } from './body-spool.ts';
import type { FrontRequest } from './front-messages.ts';
import { GatheredBody } from './gathered-body.ts';
import { beginsObject } from './json-reader.ts';
import type { MultipartScan, ScannedForm } from './multipart-scan.ts';

/** Largest body that stays in memory. */
export const MEMORY_BYTES_MAX = 1024 * 1024;

/** A body that was read, and what a form says. Its file, if it has one, is held by who gets this. */
export interface Upload {
  readonly body: Buffer | SpooledBody;
  /** Null: it is no form. */
  readonly form: ScannedForm | null;
}

export interface UploadOwner extends Pick<BodyOwner, 'bodyGrew' | 'bodyTooLarge'> {
  /** So many of the bytes that `bodyGrew` told of are no longer in memory. */
  bodyShrank(bytes: number): void;
  /** Terminal. */
  uploadRead(upload: Upload): void;
  /** Terminal: what still comes is thrown away. */
  bodyRefused(refusal: Refusal): void;
}

export interface UploadOptions {
  readonly limitBytes: number;
  /** The request's Content-Length; null for chunked bodies. */
  readonly declaredBytes: number | null;
  readonly spool: BodySpool;
  /** Null: the body is no form. */
  readonly scan: MultipartScan | null;
}

const SPOOL_RETRY_S = 5;

export class UploadReader implements BodySink, SpoolOwner {
  readonly #owner: UploadOwner;
  readonly #options: UploadOptions;
  readonly #gathered: GatheredBody;
  #request: FrontRequest | null = null;
  #writer: SpoolWriter | null = null;
  #form: ScannedForm | null = null;
  #length = 0;
  /** Decided when the body grows beyond `MEMORY_BYTES_MAX`; null before. */
  #staysInMemory: boolean | null = null;
  #isPaused = false;
  #ended = false;

  constructor(owner: UploadOwner, options: UploadOptions) {
    this.#owner = owner;
    this.#options = options;
    this.#gathered = new GatheredBody(options.limitBytes, options.declaredBytes);
  }

  /** Bytes that have come. */
  get bytes(): number {
    return this.#length;
  }

  /** Begins to read. The owner hears one terminal call, unless the client leaves before the end. */
  start(request: FrontRequest): void {
    this.#request = request;
    request.bodyReader = this;
  }

  /** The owner hears nothing more; what still comes is thrown away. */
  stop(): void {
    this.#ended = true;
    this.#writer?.stop();
    this.#gathered.take();
    this.#resume();
  }

  // Called by the request.

  take(chunk: Buffer): boolean {
    if (this.#ended) return true;
    this.#length += chunk.length;
    if (this.#length > this.#options.limitBytes) {
      this.stop();
      this.#owner.bodyTooLarge();
      return true;
    }
    const refusal = this.#options.scan?.push(chunk) ?? null;
    if (refusal !== null) this.#refuse(refusal);
    else if (this.#owner.bodyGrew(chunk.length)) this.#keep(chunk);
    this.#isPaused = !this.#ended && this.#writer?.isFull === true;
    return !this.#isPaused;
  }

  end(): void {
    if (this.#ended) return;
    const form = this.#options.scan?.end() ?? null;
    if (form?.kind === 'fault') {
      this.#refuse(form.refusal);
      return;
    }
    this.#form = form;
    if (this.#writer !== null) this.#writer.finish();
    else this.#finish(this.#gathered.take());
  }

  // Called by the spool.

  spoolWrote(bytes: number): void {
    this.#owner.bodyShrank(bytes);
  }

  spoolDrained(): void {
    this.#resume();
  }

  spoolDone(body: SpooledBody): void {
    this.#finish(body);
  }

  spoolFailed(cause: string): void {
    this.#refuse({ code: 'body_not_stored', parameters: { cause }, retryAfterS: SPOOL_RETRY_S });
  }

  #keep(chunk: Buffer): void {
    const gathered = this.#gathered;
    if (this.#writer === null) {
      if (this.#length > MEMORY_BYTES_MAX) this.#staysInMemory ??= this.#mayBeObject(chunk);
      if (this.#staysInMemory !== false) {
        gathered.append(chunk);
        return;
      }
      this.#writer = new SpoolWriter(this.#options.spool, this);
      if (gathered.length > 0 && !this.#writer.append(gathered.take())) this.#refuseForSpool();
    }
    if (!this.#ended && !this.#writer.append(chunk)) this.#refuseForSpool();
  }

  #finish(body: Buffer | SpooledBody): void {
    this.#ended = true;
    this.#owner.uploadRead({ body, form: this.#form });
  }

  /** Whitespace alone may still become one. */
  #mayBeObject(chunk: Buffer): boolean {
    if (this.#options.scan !== null) return false;
    return beginsObject(this.#gathered.length > 0 ? this.#gathered.view() : chunk) !== false;
  }

  #refuseForSpool(): void {
    this.#refuse(spoolFull(this.#options.spool));
  }

  #refuse(refusal: Refusal): void {
    this.stop();
    this.#owner.bodyRefused(refusal);
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#request?.resumeBody();
  }
}

export function spoolFull(spool: BodySpool): Refusal {
  const limitMib = Math.floor(spool.limitBytes / (1024 * 1024));
  return { code: 'body_spool_full', parameters: { limitMib }, retryAfterS: SPOOL_RETRY_S };
}
