/**
 * One attempt to have a request answered by an engine: it joins a transmission to an `Answer`.
 *
 * 1. Exactly one terminal call to the owner per attempt, whatever the engine, the client and we do at the same time.
 * 2. Nothing reached the client: the attempt is `lost` (the request may be sent again) or `refused` (it may not).
 *    Something reached it: the answer ends complete or visibly broken.
 * 3. Whoever ends an attempt closes the engine's connection at once, so that the engine stops working for nobody.
 */
import type { ServerResponse } from 'node:http';
import type { GiveBackCause, Outcome } from '../control/gate.ts';
import type { Refusal } from '../core/errors.ts';
import { UPGRADED_CONNECTIONS_MAX } from '../core/limits.ts';
import { Answer, type AnswerHead, type AnswerOwner, type AnswerSettings } from './answer.ts';
import { CollectedAnswer } from './collected-answer.ts';
import type { AnswerHandler, Endpoint, Transmission, UpstreamRequest } from './endpoint-types.ts';
import { ErrorFrames } from './error-frames.ts';
import type { TransportFault } from './transport-fault.ts';

export interface ForwardOwner {
  /** The engine's head, turned into the one for the client. Null: the answer cannot pass, and is collected. */
  answerHead(status: number, statusText: string, rawHeaders: readonly string[]): AnswerHead | null;
  /** The first byte goes to the client. */
  answerBegan(): void;
  /** The first piece of the body of an answer with status 400. */
  requestRefused(piece: Buffer): void;
  /** The event that tells the client of a stream that it failed. */
  errorFrame(refusal: Refusal, midEvent: boolean): Buffer;
  /** Terminal: nothing reached the client and the engine never answered. */
  forwardLost(cause: GiveBackCause, detail: string): void;
  /** Terminal: an answer that cannot pass is complete, or longer than what is read of it. */
  forwardCollected(answer: CollectedAnswer): void;
  /** Terminal: nothing reached the client, and sending again would not help. `cut`: the fault is ours, not the engine's. */
  forwardRefused(refusal: Refusal, outcome: 'engine_error' | 'cut'): void;
  /** Terminal: something reached the client, or the client is gone. `refusal`: what broke the answer off. */
  forwardEnded(outcome: Outcome, refusal: Refusal | null): void;
}

/** Looks at an answer while it passes, and changes nothing. */
export interface AnswerWatch {
  head(status: number, eventStream: boolean): void;
  /** `piece` is valid during the call only. */
  piece(piece: Buffer): void;
}

export interface ForwardOptions {
  /** For our errors. */
  readonly model: string;
  readonly endpoint: Endpoint;
  readonly response: ServerResponse;
  readonly settings: AnswerSettings;
  readonly owner: ForwardOwner;
  /** Null for most requests. */
  readonly watch: AnswerWatch | null;
}

export class Forward implements AnswerHandler, AnswerOwner {
  readonly #options: ForwardOptions;
  readonly #answer: Answer;
  #transmission: Transmission | null = null;
  #ended = false;
  #isRefusal = false;
  /** Null for an answer that passes. */
  #collected: CollectedAnswer | null = null;
  /** Looks for errors within an event stream; null for other answers. */
  #errorFrames: ErrorFrames | null = null;

  constructor(options: ForwardOptions) {
    this.#options = options;
    this.#answer = new Answer(options.response, options.settings, this);
  }

  /** Bytes of the answer's body that went to the client. */
  get answerBytes(): number {
    return this.#answer.bytes;
  }

  /** Events of the engine's stream that told of an error. */
  get streamErrors(): number {
    return this.#errorFrames === null ? 0 : this.#errorFrames.count;
  }

  /** Call it once, under a lease. The owner may be called before this returns. Keeps nothing of the request. */
  start(request: UpstreamRequest): void {
    const transmission = this.#options.endpoint.send(request, this);
    if (!this.#ended) this.#transmission = transmission;
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

  // Called by the endpoint.

  onHead(status: number, statusText: string, rawHeaders: readonly string[]): void {
    this.#isRefusal = status === 400;
    const head = this.#options.owner.answerHead(status, statusText, rawHeaders);
    if (head === null) {
      this.#collected = new CollectedAnswer(status, rawHeaders);
      return;
    }
    if (head.eventStream) this.#errorFrames = new ErrorFrames();
    this.#options.watch?.head(status, head.eventStream);
    this.#answer.begin(head);
  }

  onData(piece: Buffer): boolean {
    if (this.#isRefusal) {
      this.#isRefusal = false;
      this.#options.owner.requestRefused(piece);
    }
    if (this.#collected !== null) return this.#collect(this.#collected, piece);
    this.#errorFrames?.look(piece);
    this.#options.watch?.piece(piece);
    return this.#answer.write(piece);
  }

  onComplete(): void {
    if (this.#ended) return;
    if (this.#collected !== null) {
      this.#ended = true;
      this.#options.owner.forwardCollected(this.#collected);
      return;
    }
    this.#answer.end();
    this.#ended = true;
    this.#options.owner.forwardEnded('answered', null);
  }

  onError(fault: TransportFault): void {
    if (this.#ended) return;
    this.#ended = true;
    const outcome = fault.kind === 'body_lost' ? 'cut' : 'engine_error';
    if (this.#answer.begun) {
      this.#breakOff(outcome, faultRefusal(fault, this.#options.model, this.#options.endpoint));
    } else if (fault.kind === 'not_sent' || fault.kind === 'connection_lost') {
      this.#lose(fault.kind, fault.detail);
    } else {
      this.#answer.discard();
      const refusal = faultRefusal(fault, this.#options.model, this.#options.endpoint);
      this.#options.owner.forwardRefused(refusal, outcome);
    }
  }

  // Called by the answer.

  answerBegan(): void {
    this.#options.owner.answerBegan();
  }

  answerUnwritable(error: Error): void {
    if (this.#ended) return;
    this.#stop();
    this.#answer.discard();
    this.#options.owner.forwardRefused(
      { code: 'internal', parameters: { detail: error.message } },
      'engine_error',
    );
  }

  answerDrained(): void {
    this.#transmission?.resume(this);
  }

  answerStalled(): void {
    this.#endByClient('client_stalled');
  }

  #collect(collected: CollectedAnswer, piece: Buffer): boolean {
    if (this.#ended || collected.take(piece)) return true;
    this.#stop();
    this.#options.owner.forwardCollected(collected);
    return true;
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

  /** Closes the engine's connection; it tells nothing afterwards. */
  #stop(): void {
    this.#ended = true;
    this.#transmission?.abort(this);
  }
}

/** What the client is told of a fault. `model`: for people. */
export function faultRefusal(fault: TransportFault, model: string, endpoint: Endpoint): Refusal {
  switch (fault.kind) {
    case 'no_first_byte':
      return timedOut(model, 'first_byte_timeout', endpoint.options.firstByteTimeoutMs);
    case 'idle':
      return timedOut(model, 'stream_idle_timeout', endpoint.options.streamIdleTimeoutMs);
    case 'full':
      return { code: 'web_sockets_full', parameters: { model, limit: UPGRADED_CONNECTIONS_MAX } };
    case 'malformed':
      return { code: 'engine_bad_answer', parameters: { model, cause: fault.detail } };
    case 'body_lost':
      return { code: 'body_lost', parameters: { cause: fault.detail } };
    case 'not_sent':
    case 'connection_lost':
      return { code: 'engine_died', parameters: { model, cause: fault.detail } };
  }
}

/** `setting`: the model's key that sets the limit. */
function timedOut(model: string, setting: string, limitMs: number): Refusal {
  return { code: 'engine_timeout', parameters: { model, setting, seconds: Math.round(limitMs / 100) / 10 } };
}
