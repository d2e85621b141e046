/**
 * One request from its head to its end: reading -> serving (waiting for an engine and answering) -> done. It joins the
 * parts and decides nothing itself.
 *
 * 1. Whatever happens, `#finish` runs exactly once.
 * 2. The client's leaving is heard in every state, because the body is always read on.
 * 3. An answer of ours is written only while nothing of an engine's answer is.
 */
import { ERRORS, type Refusal } from '../core/errors.ts';
import { BodyIntake, type IntakeOwner } from './body-intake.ts';
import { checkCaller } from './caller.ts';
import type { ClientConnection } from './client-connection.ts';
import { headerText } from './client-head.ts';
import { clientRequestIdOf } from './client-request-id.ts';
import { headerOf } from './cors.ts';
import { type AttemptsOwner, EngineAttempts } from './engine-attempts.ts';
import { type Dialect, errorBody } from './error-body.ts';
import { clientAddress, pushForwarded } from './forwarded.ts';
import type { FrontContext } from './front-context.ts';
import type { CloseListener, FrontRequest, FrontResponse } from './front-messages.ts';
import { bodyRefusal, type ForwardedRoute, modelOfBodyless, type ReadBody } from './model-request.ts';
import { writeOwnAnswer } from './own-answer.ts';
import { type OwnAnswer, optionsAnswer, ownAnswer } from './own-routes.ts';
import { checkHead, type RequestHead } from './request-checks.ts';
import type { RequestOutcome } from './request-observer.ts';
import { RequestRecord } from './request-record.ts';
import type { ResponseErrand } from './response-errand.ts';
import { dialectOf, matchRoute, type Route } from './routes.ts';
import { type WaitWishes, waitWishes } from './wait-wishes.ts';
import { NO_WEB_SOCKET } from './web-socket-head.ts';

const NO_HEADERS: readonly string[] = [];
/** Requests that one connection may have open at once. */
export const PIPELINED_REQUESTS_MAX = 16;

/** `answering`: an answer of ours is being made. `serving`: the attempts have it. */
type State = 'reading' | 'answering' | 'serving' | 'done';

export class Exchange extends RequestRecord implements AttemptsOwner, IntakeOwner, CloseListener {
  listIndex = -1;
  readonly #connection: ClientConnection;
  readonly #context: FrontContext;
  readonly #request: FrontRequest;
  readonly #response: FrontResponse;
  readonly startedMs: number;
  #state: State = 'reading';
  /** Null while it is not judged, and for one that is refused. */
  #head: RequestHead | null = null;
  #dialect: Dialect = 'openai';
  /** What the answer says to web pages. */
  corsHeaders = NO_HEADERS;
  #route: ForwardedRoute | null = null;
  #wishes: WaitWishes | null = null;
  #intake: BodyIntake | null = null;
  /** The client waits for `100 Continue` before it sends its body. */
  #continuePending: boolean;
  #attempts: EngineAttempts | null = null;

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
    this.startedMs = context.clock.nowMs();
    this.#connection = context.connections.of(request.socket);
  }

  get method(): string {
    return this.#request.method ?? '';
  }

  get target(): string {
    return this.#request.url ?? '';
  }

  /** Read for logs only. */
  get clientAddress(): string | null {
    return clientAddress(this.#request.rawHeaders, this.#connection, this.#context.server.trustedHops);
  }

  get uploadedBytes(): number {
    return this.#intake?.bytes ?? 0;
  }

  /** Errors beside the response are written in it too. */
  get dialect(): Dialect {
    return this.#dialect;
  }

  pushForwarded(headers: string[]): void {
    const { trustedHops } = this.#context.server;
    pushForwarded(headers, this.#request.rawHeaders, this.#connection, this.#head?.host ?? null, trustedHops);
  }

  /** The connection ends with this request's answer: what Node's parser makes of bytes after an upgrade is not ours. */
  get isLast(): boolean {
    return this.#context.draining || (this.#head !== null && this.#head.upgrade !== null);
  }

  get endsWithClient(): boolean {
    return true;
  }

  get isReading(): boolean {
    return this.#state === 'reading';
  }

  start(): void {
    // An answer before it says that the connection ends: nothing behind it is served, or heard of.
    if (this.#connection.isEnding) {
      this.#request.resume();
      return;
    }
    const context = this.#context;
    context.active.add(this);
    this.#connection.began(this);
    this.#response.closeListener = this;
    this.#response.on('close', responseClosed);
    this.#dialect = dialectOf(this.target);
    const head = checkHead(this.#request as { method: string; url: string } & FrontRequest);
    this.clientRequestId = clientRequestIdOf(head, context);
    if (context.cors !== null) {
      // A head that was refused was not read to its end.
      const origin = head.kind === 'ok' ? head.origin : headerOf(this.#request.rawHeaders, 'origin');
      this.corsHeaders = context.cors.headersFor(origin);
    }
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
      this.refuse(NO_WEB_SOCKET);
      return;
    }
    this.#follow(head, matchRoute(head, context.names));
  }

  bodyTaken(read: Extract<ReadBody, { kind: 'ok' }>, bytes: number): void {
    this.requestBytes = bytes;
    this.model = read.model ?? this.model;
    this.streamed = read.stream;
    this.#serve(read);
  }

  // The attempts.

  get stalled(): boolean {
    return this.#connection.stalled;
  }

  connectionEnds(): void {
    this.#connection.isEnding = true;
  }

  answerBegan(): void {
    this.#intake?.drop();
    this.ttfbMs = this.#context.clock.nowMs() - this.startedMs;
  }

  answered(outcome: RequestOutcome): void {
    this.#finish(outcome === 'answered' && this.streamErrors > 0 ? 'stream_error' : outcome);
  }

  // The connection.

  responseClosed(): void {
    switch (this.#state) {
      case 'done':
        return;
      case 'reading':
        this.#intake?.stop();
        break;
      case 'answering':
        break;
      case 'serving':
        if (this.#attempts?.leave() === true) return;
        break;
    }
    this.#finish('left_waiting');
  }

  /** Answers with an error of ours and ends the exchange. Only while nothing else was answered. */
  refuse(refusal: Refusal, outcome: RequestOutcome = 'refused'): void {
    this.code = refusal.code;
    const answer = errorBody(refusal, { dialect: this.#dialect, requestId: this.clientRequestId });
    if (this.model !== null) {
      const waitMs = Math.round(this.#attempts?.waitedMs ?? 0);
      answer.headers.push('x-model', headerText(this.model), 'x-load', this.load ?? 'none');
      answer.headers.push('x-queue-wait-ms', String(waitMs));
    }
    this.#intake?.stop();
    this.#write(answer);
    this.#finish(outcome);
  }

  /** The connection broke while the body was read, and its answer is written beside the response. */
  answeredRaw(refusal: Refusal, bytes: number): void {
    this.#intake?.stop();
    this.code = refusal.code;
    this.status = ERRORS[refusal.code].status;
    this.responseBytes = bytes;
    this.#finish('refused');
  }

  uploadTooSlow(refusal: Refusal): void {
    this.refuse(refusal);
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
      case 'options':
        this.#answerOptions(route.allowed);
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

  #answerOptions(allowed: string): void {
    const methods = allowed.replace(', OPTIONS', '');
    const more = this.#context.cors?.preflightHeaders(this.#request.rawHeaders, methods) ?? NO_HEADERS;
    this.#endOwn(optionsAnswer(allowed, more, this.clientRequestId));
  }

  #endOwn(answer: OwnAnswer): void {
    if (this.#state === 'done') return;
    this.#write(answer);
    this.#finish('own');
  }

  #readBody(head: RequestHead, route: ForwardedRoute): void {
    this.#route = route;
    const wishes = waitWishes(head, this.#context.server.queueTimeoutMaxMs);
    if (wishes.kind === 'fault') {
      this.refuse(wishes.refusal);
      return;
    }
    this.#wishes = wishes;
    const refusal = bodyRefusal(head, route);
    if (refusal !== null) {
      this.refuse(refusal);
      return;
    }
    if (route.bodyRule !== 'json') {
      const choice = modelOfBodyless(head, route, this.#context.names, this.#context.responses);
      if (choice?.kind === 'fault') {
        this.refuse(choice.refusal);
        return;
      }
      this.model = choice?.model ?? null;
    }
    if (!head.hasBody) {
      this.#serve(null);
      return;
    }
    const intake = new BodyIntake(this, this.#context, route, head);
    const unwanted = intake.prepare();
    if (unwanted !== null) {
      this.refuse(unwanted);
      return;
    }
    if (this.#continuePending) {
      this.#continuePending = false;
      sendContinue(this.#response);
    }
    this.#intake = intake;
    intake.start(this.#request);
  }

  #serve(read: Extract<ReadBody, { kind: 'ok' }> | null): void {
    const { model, method, clientRequestId } = this;
    const route = this.#route;
    const wishes = this.#wishes;
    if (model === null || route === null || wishes === null) return;
    let errand: ResponseErrand | null = null;
    if (route.dialect === 'responses') {
      const choice = this.#context.responses.errandOf({ method, route, model, read, clientRequestId });
      if (choice.kind === 'fault') {
        this.refuse(choice.refusal);
        return;
      }
      errand = choice.errand;
    }
    this.#state = 'serving';
    const attempts = new EngineAttempts(
      this,
      this.#context,
      this.#request,
      this.#response,
      route,
      wishes,
      read?.body ?? null,
      errand,
    );
    this.#attempts = attempts;
    attempts.start(model);
  }

  #write(answer: OwnAnswer): void {
    const request = this.#request;
    const response = this.#response;
    if (response.headersSent || response.destroyed) return;
    this.status = answer.status;
    this.responseBytes = answer.body.length;
    for (const part of this.corsHeaders) answer.headers.push(part);
    const options = { head: this.#head, continuePending: this.#continuePending, isLast: this.isLast };
    if (writeOwnAnswer(request, response, answer, options)) this.#connection.isEnding = true;
    if (!request.complete) this.#connection.answeredUnread = request;
  }

  #finish(outcome: RequestOutcome): void {
    if (this.#state === 'done') return;
    this.#state = 'done';
    this.#intake?.drop();
    this.#attempts = null;
    this.#context.active.remove(this);
    this.#connection.ended(this);
    this.outcome = outcome;
    this.durationMs = this.#context.clock.nowMs() - this.startedMs;
    this.#context.observer.requestEnded(this);
  }
}

function responseClosed(this: FrontResponse): void {
  this.closeListener?.responseClosed();
}

/** Behind a pipelined request it waits for its turn: Node would write it between the head and the body of the answer. */
function sendContinue(response: FrontResponse): void {
  if (response.socket !== null) {
    response.writeContinue();
    return;
  }
  response.once('socket', () => {
    if (!response.headersSent && !response.req.complete) response.writeContinue();
  });
}
