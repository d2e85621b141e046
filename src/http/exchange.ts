/**
 * One request from its head to its end: reading -> waiting (for a lease) -> forwarding -> done, back to waiting when an
 * engine is lost before the first byte. It joins the parts and decides nothing itself.
 *
 * 1. Whatever happens, `#finish` runs exactly once; a granted lease ends by exactly one `finish` or `giveBack`.
 * 2. The client's leaving is heard in every state, because the body is always read on.
 * 3. An answer of ours is written only while nothing of an engine's answer is.
 */
import type { GiveBackCause, Lease, Outcome, Waiter } from '../control/gate.ts';
import { assert } from '../core/assert.ts';
import { ERRORS, errorMessage, type Refusal } from '../core/errors.ts';
import { CLIENT_REQUEST_ID, type RequestId } from '../core/ids.ts';
import type { AnswerHead } from '../proxy/answer.ts';
import { Forward, type ForwardOwner } from '../proxy/forward.ts';
import { type BodyOwner, BodyReader } from './body-reader.ts';
import { checkCaller } from './caller.ts';
import type { ClientConnection } from './client-connection.ts';
import { clientHead, headerText } from './client-head.ts';
import { type Dialect, errorBody, streamErrorFrame } from './error-body.ts';
import type { FrontContext } from './front-context.ts';
import type { CloseListener, FrontRequest, FrontResponse } from './front-messages.ts';
import { upstreamHeaders } from './hop-headers.ts';
import { bodyLimitBytes, bodyRefusal, type ForwardedRoute, modelOfHead, readBody } from './model-request.ts';
import { writeOwnAnswer } from './own-answer.ts';
import { type OwnAnswer, ownAnswer } from './own-routes.ts';
import { checkHead, type RequestHead } from './request-checks.ts';
import type { RequestOutcome } from './request-observer.ts';
import { RequestRecord } from './request-record.ts';
import { dialectOf, matchRoute, type Route } from './routes.ts';

/** Give-backs of one request that reached no socket; then its engine counts as unreachable. */
const UNSENT_TRIES_MAX = 10;
/** Bodies come and go with the requests in flight: room is back soon. */
const BODY_MEMORY_RETRY_S = 5;
/** Requests that one connection may have open at once. */
export const PIPELINED_REQUESTS_MAX = 16;

/** `answering`: an answer of ours is being made. */
type State = 'reading' | 'answering' | 'waiting' | 'forwarding' | 'done';

export class Exchange extends RequestRecord implements Waiter, ForwardOwner, BodyOwner, CloseListener {
  listIndex = -1;
  readonly #connection: ClientConnection;
  readonly #context: FrontContext;
  readonly #request: FrontRequest;
  readonly #response: FrontResponse;
  readonly #startedMs: number;
  #state: State = 'reading';
  /** Null while it is not judged, and for one that is refused. */
  #head: RequestHead | null = null;
  #dialect: Dialect = 'openai';
  #route: ForwardedRoute | null = null;
  #reader: BodyReader | null = null;
  /** The client waits for `100 Continue` before it sends its body. */
  #continuePending: boolean;
  #body: Uint8Array | null = null;
  /** Of the front's body memory. */
  #heldBytes = 0;
  #gateId: RequestId | null = null;
  #lease: Lease | null = null;
  #forward: Forward | null = null;
  #unsentTries = 0;

  constructor(
    context: FrontContext,
    request: FrontRequest,
    response: FrontResponse,
    expectsContinue: boolean,
  ) {
    super();
    this.#context = context;
    this.#request = request;
    this.#response = response;
    this.#continuePending = expectsContinue;
    this.#startedMs = context.clock.nowMs();
    this.#connection = context.connections.of(request.socket);
  }

  get method(): string {
    return this.#request.method ?? '';
  }

  get target(): string {
    return this.#request.url ?? '';
  }

  /** Errors beside the response are written in it too. */
  get dialect(): Dialect {
    return this.#dialect;
  }

  /** The connection ends with this request's answer: what Node's parser makes of bytes after an upgrade is not ours. */
  get #isLast(): boolean {
    return this.#context.draining || (this.#head !== null && this.#head.upgrade !== null);
  }

  get isReading(): boolean {
    return this.#state === 'reading';
  }

  start(): void {
    const context = this.#context;
    context.active.add(this);
    this.#connection.began(this);
    this.#response.closeListener = this;
    this.#response.on('close', responseClosed);
    this.#dialect = dialectOf(this.target);
    const head = checkHead(this.#request as { method: string; url: string } & FrontRequest);
    const wanted = head.kind === 'ok' ? head.requestId : null;
    this.clientRequestId =
      wanted !== null && CLIENT_REQUEST_ID.test(wanted) ? wanted : context.nextRequestId();
    if (head.kind === 'fault') {
      this.refuse(head.refusal);
      return;
    }
    this.#head = head;
    if (this.#response.socket === null && this.#connection.requests.length > PIPELINED_REQUESTS_MAX) {
      const detail = `more than ${PIPELINED_REQUESTS_MAX} requests at once on one connection`;
      this.refuse({ code: 'request_malformed', parameters: { detail } });
      return;
    }
    if (head.upgrade?.toLowerCase().includes('websocket') === true) {
      this.refuse({ code: 'upgrade_unsupported', parameters: { protocol: 'websocket' } });
      return;
    }
    this.#follow(head, matchRoute(head, context.names));
  }

  // The body.

  bodyGrew(bytes: number): boolean {
    if (this.#context.bodies.take(bytes)) {
      this.#heldBytes += bytes;
      return true;
    }
    this.#refuseForMemory();
    return false;
  }

  bodyRead(body: Buffer): void {
    this.requestBytes = body.length;
    const route = this.#route;
    if (route === null) return;
    const read = readBody(body, route, this.#context.names);
    if (read.kind === 'fault') {
      this.refuse(read.refusal);
      return;
    }
    this.model = read.model ?? this.model;
    this.streamed = read.stream;
    this.#admit(read.body);
  }

  bodyTooLarge(): void {
    const route = this.#route;
    const limitBytes = route === null ? 0 : bodyLimitBytes(route, this.#context.server);
    this.refuse({ code: 'body_too_large', parameters: { limitBytes } });
  }

  // The gate.

  granted(lease: Lease): void {
    const route = this.#route;
    if (this.#state === 'done' || route === null) {
      this.#context.gate.finish(lease.requestId, 'client_left');
      return;
    }
    this.#state = 'forwarding';
    this.#gateId = lease.requestId;
    this.#lease = lease;
    this.load = lease.load;
    this.waitMs = lease.waitedMs;
    this.attempts += 1;
    const { endpoint } = lease;
    const headers = upstreamHeaders(this.#request.rawHeaders, {
      requestId: this.clientRequestId,
      contentLength: null,
      endpointHeaders: endpoint.options.headers,
    });
    this.#forward = new Forward({
      model: lease.model,
      endpoint,
      response: this.#response,
      settings: this.#context.answers,
      owner: this,
    });
    this.#forward.start({
      method: this.method,
      path: `${endpoint.options.pathPrefix}${route.upstreamTarget}`,
      headers,
      body: this.#body,
    });
  }

  refused(refusal: Refusal): void {
    if (this.#state !== 'done') this.refuse(refusal);
  }

  cut(refusal: Refusal): void {
    this.#forward?.cut(refusal, errorMessage(refusal.code, refusal.parameters));
  }

  // The engine's answer.

  answerHead(status: number, statusText: string, rawHeaders: readonly string[]): AnswerHead {
    const lease = this.#lease;
    assert(lease !== null, 'an engine answers without a lease');
    const head = clientHead(status, statusText, rawHeaders, {
      requestId: this.clientRequestId,
      lease,
      method: this.method,
      takesChunks: this.#request.httpVersionMinor >= 1,
      isLast: this.#isLast,
    });
    if (this.#isLast) this.#connection.isEnding = true;
    this.status = status;
    this.streamed = head.eventStream;
    return head;
  }

  answerBegan(): void {
    // It will not be sent again.
    this.#dropBody();
    this.ttfbMs = this.#context.clock.nowMs() - this.#startedMs;
  }

  requestRefused(piece: Buffer): void {
    if (this.model !== null) this.#context.gate.requestRefused(this.model, piece);
  }

  errorFrame(refusal: Refusal, midFrame: boolean): Buffer {
    return streamErrorFrame(
      refusal,
      { dialect: this.#dialect, requestId: this.clientRequestId },
      { midFrame },
    );
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
    this.#context.gate.giveBack(id, cause, detail);
  }

  forwardRefused(refusal: Refusal): void {
    this.#endLease('engine_error');
    this.refuse(refusal, 'engine_error');
  }

  forwardEnded(outcome: Outcome, refusal: Refusal | null): void {
    this.code = refusal?.code ?? null;
    this.responseBytes = this.#forward?.answerBytes ?? 0;
    this.streamErrors = this.#forward?.streamErrors ?? 0;
    this.#endLease(outcome);
    this.#finish(outcome === 'answered' && this.streamErrors > 0 ? 'stream_error' : outcome);
  }

  // The connection.

  responseClosed(): void {
    switch (this.#state) {
      case 'done':
        return;
      case 'reading':
        this.#reader?.stop();
        break;
      case 'answering':
        break;
      case 'waiting':
        if (this.#gateId !== null) this.#context.gate.leave(this.#gateId);
        break;
      case 'forwarding':
        if (this.#connection.stalled) this.#forward?.answerStalled();
        else this.#forward?.clientLeft();
        return;
    }
    this.#finish('left_waiting');
  }

  /** Answers with an error of ours and ends the exchange. Only while nothing else was answered. */
  refuse(refusal: Refusal, outcome: RequestOutcome = 'refused'): void {
    this.code = refusal.code;
    const answer = errorBody(refusal, { dialect: this.#dialect, requestId: this.clientRequestId });
    if (this.model !== null) answer.headers.push('x-model', headerText(this.model));
    this.#reader?.stop();
    this.#write(answer);
    this.#finish(outcome);
  }

  /** The connection broke while the body was read, and its answer is written beside the response. */
  answeredRaw(refusal: Refusal, bytes: number): void {
    this.#reader?.stop();
    this.code = refusal.code;
    this.status = ERRORS[refusal.code].status;
    this.responseBytes = bytes;
    this.#finish('refused');
  }

  /** Ends the exchange and its connection whatever it is doing. */
  breakOff(): void {
    this.#response.destroy();
  }

  #follow(head: RequestHead, route: Route): void {
    this.label = route.label;
    this.#dialect = route.dialect;
    const caller = checkCaller(head, route, this.#context);
    if (caller.kind === 'fault') {
      this.refuse(caller.refusal);
      return;
    }
    this.principal = caller.principal;
    switch (route.kind) {
      case 'fault':
        this.refuse(route.refusal);
        return;
      case 'own':
        this.#answerOwn(route);
        return;
      case 'model':
      case 'engine_path':
        this.#readBody(head, route);
        return;
    }
  }

  #answerOwn(route: Extract<Route, { kind: 'own' }>): void {
    const { data, names } = this.#context;
    const answer = ownAnswer(route.route, route.modelId, data, names, this.clientRequestId);
    if (!(answer instanceof Promise)) {
      this.#endOwn(answer);
      return;
    }
    this.#state = 'answering';
    answer.then(
      (made) => this.#endOwn(made),
      () => this.#state !== 'done' && this.refuse({ code: 'internal', parameters: { detail: 'no metrics' } }),
    );
  }

  #endOwn(answer: OwnAnswer): void {
    if (this.#state === 'done') return;
    this.#write(answer);
    this.#finish('own');
  }

  #readBody(head: RequestHead, route: ForwardedRoute): void {
    this.#route = route;
    const refusal = bodyRefusal(head, route);
    if (refusal !== null) {
      this.refuse(refusal);
      return;
    }
    if (route.bodyRule !== 'json') {
      const choice = modelOfHead(head, route, this.#context.names);
      if (choice.kind === 'fault') {
        this.refuse(choice.refusal);
        return;
      }
      this.model = choice.model;
    }
    if (!head.hasBody) {
      this.#admit(null);
      return;
    }
    const limit = bodyLimitBytes(route, this.#context.server);
    if (head.contentLength !== null && head.contentLength > limit) {
      this.bodyTooLarge();
      return;
    }
    if (!this.#context.bodies.hasRoom(head.contentLength ?? 0)) {
      this.#refuseForMemory();
      return;
    }
    if (this.#continuePending) {
      this.#continuePending = false;
      this.#response.writeContinue();
    }
    this.#reader = new BodyReader(this, limit, head.contentLength);
    this.#reader.start(this.#request);
  }

  #admit(body: Uint8Array | null): void {
    const { model } = this;
    const target = this.#route?.upstreamTarget;
    if (model === null || target === undefined) return;
    this.#body = body;
    this.#state = 'waiting';
    const query = target.indexOf('?');
    const path = query < 0 ? target : target.slice(0, query);
    const id = this.#context.gate.admit({ model, path, body }, this);
    // A lease that came before `admit` returned brought the id with it.
    this.#gateId ??= id;
  }

  #write(answer: OwnAnswer): void {
    const request = this.#request;
    const response = this.#response;
    if (response.headersSent || response.destroyed) return;
    this.status = answer.status;
    this.responseBytes = answer.body.length;
    const options = { head: this.#head, continuePending: this.#continuePending, isLast: this.#isLast };
    if (writeOwnAnswer(request, response, answer, options)) this.#connection.isEnding = true;
    if (!request.complete) this.#connection.answeredUnread = request;
  }

  #refuseForMemory(): void {
    const limitMib = Math.floor(this.#context.bodies.limitBytes / (1024 * 1024));
    this.refuse({ code: 'body_memory_full', parameters: { limitMib }, retryAfterS: BODY_MEMORY_RETRY_S });
  }

  #dropBody(): void {
    this.#body = null;
    this.#context.bodies.give(this.#heldBytes);
    this.#heldBytes = 0;
  }

  #endLease(outcome: Outcome): void {
    const id = this.#gateId;
    if (this.#state !== 'forwarding' || id === null) return;
    this.#state = 'waiting';
    this.#gateId = null;
    this.#context.gate.finish(id, outcome);
  }

  #finish(outcome: RequestOutcome): void {
    if (this.#state === 'done') return;
    this.#state = 'done';
    this.#dropBody();
    this.#forward = null;
    this.#context.active.remove(this);
    this.#connection.ended(this);
    this.outcome = outcome;
    this.durationMs = this.#context.clock.nowMs() - this.#startedMs;
    this.#context.observer.requestEnded(this);
  }
}

function responseClosed(this: FrontResponse): void {
  this.closeListener?.responseClosed();
}
