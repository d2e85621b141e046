/**
 * What happens to a request between its body and its answer: waiting for a lease -> forwarding -> ended, back to waiting
 * when an engine is lost before the first byte.
 *
 * 1. A granted lease ends by exactly one `finish` or `giveBack`.
 * 2. The owner hears exactly one of `refuse` and `answered`, unless it said `leave` or `breakOff` first.
 */

import type { Gate, GiveBackCause, Lease, Outcome, Waiter } from '../control/gate.ts';
import { assert } from '../core/assert.ts';
import { errorMessage, type Refusal } from '../core/errors.ts';
import type { ModelName, RequestId } from '../core/ids.ts';
import { UNSENT_TRIES_MAX } from '../core/limits.ts';
import type { AnswerHead } from '../proxy/answer.ts';
import type { CollectedAnswer } from '../proxy/collected-answer.ts';
import type { RequestBody } from '../proxy/endpoint-types.ts';
import { Forward, type ForwardOwner } from '../proxy/forward.ts';
import { clientHead, continuedHead } from './client-head.ts';
import { type Dialect, streamErrorFrame } from './error-body.ts';
import type { FrontContext } from './front-context.ts';
import type { FrontRequest, FrontResponse } from './front-messages.ts';
import { upstreamHeaders } from './hop-headers.ts';
import { lastFrames, passesOn } from './last-frames.ts';
import type { ForwardedRoute } from './model-request.ts';
import { ProgressAnswer, type ProgressOwner } from './progress-answer.ts';
import type { RequestOutcome } from './request-observer.ts';
import type { RequestRecord } from './request-record.ts';
import type { ResponseErrand } from './response-errand.ts';
import type { WaitWishes } from './wait-wishes.ts';

const CHAT_PATH = '/v1/chat/completions';

/** The request that the attempts are made for; what is learned of it is noted there. */
export interface AttemptsOwner extends RequestRecord {
  /** How the client expects errors. */
  readonly dialect: Dialect;
  /** What its answer says to web pages; empty where nothing is said. */
  readonly corsHeaders: readonly string[];
  /** The connection ends with this request's answer. */
  readonly isLast: boolean;
  /** The connection was cut because the client took nothing. */
  readonly stalled: boolean;
  /** Appends what engines are told of the client. */
  pushForwarded(headers: string[]): void;
  /** The answer's head says that the connection ends with it. */
  connectionEnds(): void;
  /** The first byte of the answer is on its way: the body will not be sent again. */
  answerBegan(): void;
  /** Terminal: nothing was answered yet, and this error is to be. */
  refuse(refusal: Refusal, outcome?: RequestOutcome): void;
  /** Terminal: the answer is complete or broke off, or the client is gone. */
  answered(outcome: RequestOutcome): void;
}

type State = 'waiting' | 'forwarding' | 'ended';

export class EngineAttempts implements Waiter, ForwardOwner, ProgressOwner {
  readonly #owner: AttemptsOwner;
  readonly #context: FrontContext;
  readonly #request: FrontRequest;
  readonly #response: FrontResponse;
  readonly #route: ForwardedRoute;
  /** Null for most requests. */
  readonly #errand: ResponseErrand | null;
  /** The context's, or that of a lease which goes on anyway. */
  readonly #gate: Gate;
  readonly #wishes: WaitWishes;
  #body: RequestBody;
  #state: State = 'waiting';
  #gateId: RequestId | null = null;
  #lease: Lease | null = null;
  #forward: Forward | null = null;
  #unsentTries = 0;
  /** When it began to wait; null: it was served at once. */
  #waitingSinceMs: number | null = null;
  /** Only for a stream that is told of its progress. */
  #progress: ProgressAnswer | null = null;

  constructor(
    owner: AttemptsOwner,
    context: FrontContext,
    request: FrontRequest,
    response: FrontResponse,
    route: ForwardedRoute,
    wishes: WaitWishes,
    body: RequestBody,
    errand: ResponseErrand | null,
  ) {
    this.#owner = owner;
    this.#context = context;
    this.#request = request;
    this.#response = response;
    this.#route = route;
    this.#wishes = wishes;
    this.#body = body;
    this.#errand = errand;
    this.#gate = errand === null ? context.gate : errand.gate;
  }

  /** Asks the gate for the model. The owner may hear of the end before this returns. */
  start(model: ModelName): void {
    const path = this.#errand?.path ?? this.#path;
    const { queueTimeoutMs } = this.#wishes;
    const body = this.#body instanceof Uint8Array ? this.#body : null;
    const admission = queueTimeoutMs === null ? { model, path, body } : { model, path, body, queueTimeoutMs };
    const id = this.#gate.admit(admission, this);
    // A lease that came before `admit` returned brought the id with it.
    this.#gateId ??= id;
    this.#noteWaiting(model);
  }

  /** Milliseconds that it has waited for an engine so far, or did. */
  get waitedMs(): number {
    if (this.#owner.load !== null) return this.#owner.waitMs;
    return this.#waitingSinceMs === null ? 0 : this.#context.clock.nowMs() - this.#waitingSinceMs;
  }

  /** The client is gone. True: the owner hears of the end by `answered`; false: there is nothing to hear. */
  leave(): boolean {
    this.#progress?.stop();
    if (this.#state === 'forwarding') {
      if (this.#owner.stalled) this.#forward?.answerStalled();
      else this.#forward?.clientLeft();
      return true;
    }
    if (this.#state === 'waiting' && this.#gateId !== null) this.#gate.leave(this.#gateId);
    this.#state = 'ended';
    return false;
  }

  // The gate.

  granted(lease: Lease): void {
    if (this.#state === 'ended') {
      this.#gate.finish(lease.requestId, 'client_left');
      return;
    }
    const owner = this.#owner;
    this.#state = 'forwarding';
    this.#gateId = lease.requestId;
    this.#lease = lease;
    const unfit = this.#errand === null ? null : this.#errand.refusalOf(lease);
    if (unfit !== null) {
      this.#endLease('answered', null);
      this.#refuse(unfit, 'refused');
      return;
    }
    owner.load = lease.load;
    owner.waitMs = lease.waitedMs;
    owner.attempts += 1;
    const { endpoint } = lease;
    const headers = upstreamHeaders(this.#request.rawHeaders, {
      requestId: owner.clientRequestId,
      contentLength: null,
      endpointHeaders: endpoint.options.headers,
    });
    owner.pushForwarded(headers);
    this.#forward = new Forward({
      model: lease.model,
      endpoint,
      response: this.#response,
      settings: this.#context.answers,
      owner: this,
      watch: this.#errand,
    });
    this.#progress?.answering(lease);
    this.#forward.start({
      method: owner.method,
      path: `${endpoint.options.pathPrefix}${this.#route.upstreamTarget}`,
      headers,
      body: this.#body,
    });
  }

  refused(refusal: Refusal): void {
    if (this.#state === 'ended') return;
    this.#end();
    this.#refuse(refusal, 'refused');
  }

  cut(refusal: Refusal): void {
    this.#forward?.cut(refusal, errorMessage(refusal.code, refusal.parameters));
  }

  // The engine's answer.

  answerHead(status: number, statusText: string, rawHeaders: readonly string[]): AnswerHead | null {
    const lease = this.#lease;
    assert(lease !== null, 'an engine answers without a lease');
    if (this.#progress?.begun === true)
      return passesOn(status, rawHeaders) ? continuedHead(this.#takesChunks) : null;
    const owner = this.#owner;
    const { isLast } = owner;
    const head = clientHead(status, statusText, rawHeaders, {
      requestId: owner.clientRequestId,
      lease,
      method: owner.method,
      cors: owner.corsHeaders,
      takesChunks: this.#takesChunks,
      isLast,
    });
    if (isLast) owner.connectionEnds();
    owner.status = status;
    owner.streamed = head.eventStream;
    return head;
  }

  answerBegan(): void {
    this.#body = null;
    this.#progress?.stop();
    this.#owner.answerBegan();
  }

  requestRefused(piece: Buffer): void {
    const lease = this.#lease;
    if (lease !== null) this.#context.gate.requestRefused(lease.model, piece);
  }

  errorFrame(refusal: Refusal, midFrame: boolean): Buffer {
    const { dialect, clientRequestId } = this.#owner;
    return streamErrorFrame(refusal, { dialect, requestId: clientRequestId }, { midFrame });
  }

  forwardLost(cause: GiveBackCause, detail: string): void {
    const id = this.#gateId;
    const lease = this.#lease;
    if (id === null || lease === null) return;
    if (cause === 'not_sent' && ++this.#unsentTries >= UNSENT_TRIES_MAX) {
      const parameters = { model: lease.model, cause: detail };
      this.forwardRefused({ code: 'engine_unreachable', parameters }, 'engine_error');
      return;
    }
    this.#state = 'waiting';
    this.#forward = null;
    this.#lease = null;
    this.#progress?.wait();
    this.#gate.giveBack(id, cause, detail);
    this.#noteWaiting(lease.model);
  }

  forwardRefused(refusal: Refusal, outcome: 'engine_error' | 'cut'): void {
    this.#endLease(outcome, null);
    this.#refuse(refusal, outcome === 'cut' ? 'refused' : outcome);
  }

  forwardCollected(answer: CollectedAnswer): void {
    const progress = this.#progress;
    const lease = this.#lease;
    assert(progress !== null && lease !== null, 'an answer was collected without an early one');
    const owner = this.#owner;
    const last = lastFrames(
      answer,
      { dialect: owner.dialect, requestId: owner.clientRequestId },
      lease.model,
    );
    if (last.failed) progress.fail(last.frames);
    else progress.complete(last.frames);
    owner.streamErrors = last.failed ? 1 : 0;
    owner.code = last.code;
    owner.responseBytes = progress.bytes;
    // The engine is as well as before: it answered.
    this.#endLease('answered', null);
    owner.answered('answered');
  }

  get isLast(): boolean {
    return this.#owner.isLast;
  }

  get corsHeaders(): readonly string[] {
    return this.#owner.corsHeaders;
  }

  progressBegan(): void {
    this.#owner.status = 200;
    if (this.isLast) this.#owner.connectionEnds();
  }

  forwardEnded(outcome: Outcome, refusal: Refusal | null): void {
    this.#owner.code = refusal?.code ?? null;
    this.#owner.responseBytes = (this.#forward?.answerBytes ?? 0) + (this.#progress?.bytes ?? 0);
    this.#owner.streamErrors = this.#forward?.streamErrors ?? 0;
    this.#endLease(outcome, refusal);
    this.#owner.answered(outcome);
  }

  get #takesChunks(): boolean {
    return this.#request.httpVersionMinor >= 1;
  }

  get #path(): string {
    const target = this.#route.upstreamTarget;
    const query = target.indexOf('?');
    return query < 0 ? target : target.slice(0, query);
  }

  /** A stream that waits for the first time is told of its progress from here on, where it or its model says so. */
  #noteWaiting(model: ModelName): void {
    if (this.#state !== 'waiting' || this.#waitingSinceMs !== null) return;
    const { clock, estimates, progressOf } = this.#context;
    this.#waitingSinceMs = clock.nowMs();
    const owner = this.#owner;
    if (!owner.streamed) return;
    const { progress, progressAfterMs } = progressOf(model);
    const kind = this.#wishes.progress ?? progress;
    if (kind === 'off') return;
    this.#progress = new ProgressAnswer({
      // Other routes have no reasoning text that their clients would show.
      kind: this.#path === CHAT_PATH ? kind : 'comments',
      afterMs: progressAfterMs,
      sinceMs: this.#waitingSinceMs,
      model,
      requestId: owner.clientRequestId,
      takesChunks: this.#takesChunks,
      response: this.#response,
      clock,
      estimates,
      owner: this,
    });
    this.#progress.wait();
  }

  #refuse(refusal: Refusal, outcome: 'refused' | 'engine_error'): void {
    const progress = this.#progress;
    const owner = this.#owner;
    progress?.stop();
    if (progress?.begun !== true) {
      owner.refuse(refusal, outcome);
      return;
    }
    progress.fail(this.errorFrame(refusal, false));
    owner.code = refusal.code;
    owner.responseBytes = progress.bytes;
    owner.answered(outcome);
  }

  #endLease(outcome: Outcome, refusal: Refusal | null): void {
    const id = this.#gateId;
    if (this.#state !== 'forwarding' || id === null) return;
    this.#end();
    if (this.#errand?.keepsLease(outcome, refusal) === true) return;
    this.#gate.finish(id, outcome);
  }

  #end(): void {
    this.#state = 'ended';
    this.#gateId = null;
    this.#forward = null;
    this.#body = null;
  }
}
