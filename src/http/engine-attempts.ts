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
import type { AnswerHead } from '../proxy/answer.ts';
import { Forward, type ForwardOwner } from '../proxy/forward.ts';
import { clientHead } from './client-head.ts';
import { type Dialect, streamErrorFrame } from './error-body.ts';
import type { FrontContext } from './front-context.ts';
import type { FrontRequest, FrontResponse } from './front-messages.ts';
import { upstreamHeaders } from './hop-headers.ts';
import type { ForwardedRoute } from './model-request.ts';
import type { RequestOutcome } from './request-observer.ts';
import type { RequestRecord } from './request-record.ts';
import type { ResponseErrand } from './response-errand.ts';

/** Give-backs of one request that reached no socket; then its engine counts as unreachable. */
const UNSENT_TRIES_MAX = 10;

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
  answered(outcome: Outcome): void;
}

type State = 'waiting' | 'forwarding' | 'ended';

export class EngineAttempts implements Waiter, ForwardOwner {
  readonly #owner: AttemptsOwner;
  readonly #context: FrontContext;
  readonly #request: FrontRequest;
  readonly #response: FrontResponse;
  readonly #route: ForwardedRoute;
  /** Null for most requests. */
  readonly #errand: ResponseErrand | null;
  /** The context's, or that of a lease which goes on anyway. */
  readonly #gate: Gate;
  #body: Uint8Array | null;
  #state: State = 'waiting';
  #gateId: RequestId | null = null;
  #lease: Lease | null = null;
  #forward: Forward | null = null;
  #unsentTries = 0;

  constructor(
    owner: AttemptsOwner,
    context: FrontContext,
    request: FrontRequest,
    response: FrontResponse,
    route: ForwardedRoute,
    body: Uint8Array | null,
    errand: ResponseErrand | null,
  ) {
    this.#owner = owner;
    this.#context = context;
    this.#request = request;
    this.#response = response;
    this.#route = route;
    this.#body = body;
    this.#errand = errand;
    this.#gate = errand === null ? context.gate : errand.gate;
  }

  /** Asks the gate for the model. The owner may hear of the end before this returns. */
  start(model: ModelName): void {
    const target = this.#route.upstreamTarget;
    const query = target.indexOf('?');
    const path = this.#errand?.path ?? (query < 0 ? target : target.slice(0, query));
    const id = this.#gate.admit({ model, path, body: this.#body }, this);
    // A lease that came before `admit` returned brought the id with it.
    this.#gateId ??= id;
  }

  /** The client is gone. True: the owner hears of the end by `answered`; false: there is nothing to hear. */
  leave(): boolean {
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
      owner.refuse(unfit);
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
    this.#owner.refuse(refusal);
  }

  cut(refusal: Refusal): void {
    this.#forward?.cut(refusal, errorMessage(refusal.code, refusal.parameters));
  }

  // The engine's answer.

  answerHead(status: number, statusText: string, rawHeaders: readonly string[]): AnswerHead {
    const lease = this.#lease;
    assert(lease !== null, 'an engine answers without a lease');
    const owner = this.#owner;
    const { isLast } = owner;
    const head = clientHead(status, statusText, rawHeaders, {
      requestId: owner.clientRequestId,
      lease,
      method: owner.method,
      takesChunks: this.#request.httpVersionMinor >= 1,
      cors: owner.corsHeaders,
      isLast,
    });
    if (isLast) owner.connectionEnds();
    owner.status = status;
    owner.streamed = head.eventStream;
    return head;
  }

  answerBegan(): void {
    this.#body = null;
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
      this.forwardRefused({ code: 'engine_unreachable', parameters: { model: lease.model, cause: detail } });
      return;
    }
    this.#state = 'waiting';
    this.#forward = null;
    this.#lease = null;
    this.#gate.giveBack(id, cause, detail);
  }

  forwardRefused(refusal: Refusal): void {
    this.#endLease('engine_error', null);
    this.#owner.refuse(refusal, 'engine_error');
  }

  forwardEnded(outcome: Outcome, refusal: Refusal | null): void {
    this.#owner.code = refusal?.code ?? null;
    this.#owner.responseBytes = this.#forward?.answerBytes ?? 0;
    this.#owner.streamErrors = this.#forward?.streamErrors ?? 0;
    this.#endLease(outcome, refusal);
    this.#owner.answered(outcome);
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
