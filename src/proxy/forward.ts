/**
 * One attempt to have a request answered by an engine: it is an undici handler whose calls go to an `Answer`.
 *
 * 1. Exactly one terminal call to the owner per attempt, whatever the engine, the client and we do at the same time.
 * 2. Nothing reached the client: the attempt is `lost` (the request may be sent again) or `refused` (it may not).
 *    Something reached it: the answer ends complete or visibly broken.
 * 3. Whoever ends an attempt closes the engine's connection at once, so that the engine stops working for nobody.
 *
 * It uses undici's older handler shape on purpose: the newer one parses all headers into an object first.
 */
import type { ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import type { GiveBackCause, Outcome } from '../control/gate.ts';
import type { Refusal } from '../core/errors.ts';
import { Answer, type AnswerHead, type AnswerOwner, type AnswerSettings } from './answer.ts';
import type { Endpoint } from './endpoint-types.ts';
import { type TransportFault, transportFault } from './transport-fault.ts';

/** A request as it goes to the engine. */
export interface UpstreamRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Flat list, hop-by-hop headers removed. */
  readonly headers: string[];
  readonly body: Uint8Array | null;
}

export interface ForwardOwner {
  /** The engine's head, turned into the one for the client. */
  answerHead(status: number, statusText: string, rawHeaders: readonly Buffer[]): AnswerHead;
  /** The first byte goes to the client. */
  answerBegan(): void;
  /** The event that tells the client of a stream that it failed. */
  errorFrame(refusal: Refusal, midEvent: boolean): Buffer;
  /** Terminal: nothing reached the client and the engine never answered. */
  forwardLost(cause: GiveBackCause, detail: string): void;
  /** Terminal: nothing reached the client, and sending again would not help. */
  forwardRefused(refusal: Refusal): void;
  /** Terminal: something reached the client, or the client is gone. `refusal`: what broke the answer off. */
  forwardEnded(outcome: Outcome, refusal: Refusal | null): void;
}

export interface ForwardOptions {
  /** For our errors. */
  readonly model: string;
  readonly endpoint: Endpoint;
  readonly request: UpstreamRequest;
  readonly response: ServerResponse;
  readonly settings: AnswerSettings;
  readonly owner: ForwardOwner;
}

export class Forward implements Dispatcher.DispatchHandler, AnswerOwner {
  readonly #options: ForwardOptions;
  readonly #answer: Answer;
  #abort: ((error?: Error) => void) | null = null;
  #resume: (() => void) | null = null;
  #ended = false;

  constructor(options: ForwardOptions) {
    this.#options = options;
    this.#answer = new Answer(options.response, options.settings, this);
  }

  /** Bytes of the answer's body that went to the client. */
  get answerBytes(): number {
    return this.#answer.bytes;
  }

  /** Call it under a lease only. The owner may be called before this returns. */
  start(): void {
    const { endpoint, request } = this.#options;
    endpoint.dispatcher.dispatch(
      {
        path: `${endpoint.options.pathPrefix}${request.path}`,
        method: request.method as Dispatcher.HttpMethod,
        headers: request.headers,
        body: request.body,
      },
      this,
    );
  }

  clientLeft(): void {
    this.#endByClient('client_left');
  }

  /** Ends the attempt for the gateway's own reasons. */
  cut(refusal: Refusal, detail: string): void {
    if (this.#ended) return;
    this.#stop();
    if (this.#answer.begun) this.#breakOff('cut', refusal);
    else this.#lose('cut', detail);
  }

  // Called by undici.

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort;
    if (this.#ended) abort();
  }

  onHeaders(status: number, rawHeaders: Buffer[], resume: () => void, statusText: string): boolean {
    // Informational answers may come before the real one.
    if (status < 200 || this.#ended) return true;
    this.#resume = resume;
    this.#answer.begin(this.#options.owner.answerHead(status, statusText, rawHeaders));
    return true;
  }

  onData(chunk: Buffer): boolean {
    return this.#ended || this.#answer.write(chunk);
  }

  onComplete(): void {
    if (this.#ended) return;
    this.#answer.end();
    this.#ended = true;
    this.#options.owner.forwardEnded('answered', null);
  }

  onError(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    const fault = transportFault(error, this.#abort !== null);
    if (this.#answer.begun) {
      this.#breakOff('engine_error', this.#refusalOf(fault));
    } else if (fault.kind === 'not_sent' || fault.kind === 'connection_lost') {
      this.#lose(fault.kind, fault.detail);
    } else {
      this.#answer.discard();
      this.#options.owner.forwardRefused(this.#refusalOf(fault));
    }
  }

  // Called by the answer.

  answerBegan(): void {
    this.#options.owner.answerBegan();
  }

  answerUnwritable(error: Error): void {
    this.#abort?.(error);
  }

  answerDrained(): void {
    if (!this.#ended) this.#resume?.();
  }

  answerStalled(): void {
    this.#endByClient('client_stalled');
  }

  #endByClient(outcome: Outcome): void {
    if (this.#ended) return;
    this.#stop();
    this.#answer.discard();
    this.#options.owner.forwardEnded(outcome, null);
  }

  #lose(cause: GiveBackCause, detail: string): void {
    this.#answer.discard();
    this.#options.owner.forwardLost(cause, detail);
  }

  #breakOff(outcome: Outcome, refusal: Refusal): void {
    const answer = this.#answer;
    answer.fail(this.#options.owner.errorFrame(refusal, answer.midEvent));
    this.#options.owner.forwardEnded(outcome, refusal);
  }

  /** Closes the engine's connection. What undici still tells afterwards is ignored. */
  #stop(): void {
    this.#ended = true;
    if (this.#abort === null) this.#options.endpoint.abandon(this);
    else this.#abort();
  }

  #refusalOf(fault: TransportFault): Refusal {
    const { model, endpoint } = this.#options;
    switch (fault.kind) {
      case 'silence': {
        const seconds = Math.round(endpoint.options.silenceTimeoutMs / 100) / 10;
        return { code: 'engine_timeout', parameters: { model, seconds } };
      }
      case 'malformed':
        return { code: 'engine_bad_answer', parameters: { model, cause: fault.detail } };
      case 'unsendable':
        return { code: 'request_malformed', parameters: { detail: fault.detail } };
      case 'not_sent':
      case 'connection_lost':
        return { code: 'engine_died', parameters: { model, cause: fault.detail } };
    }
  }
}
