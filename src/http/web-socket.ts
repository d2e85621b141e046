/**
 * One WebSocket from its request to the end of both connections: waiting (for a lease) -> asking (the engine for 101) ->
 * open -> done; or answering, where the engine's answer is an ordinary one. It joins the parts as `Exchange` does.
 *
 * 1. Whatever happens, `#finish` runs exactly once; a granted lease ends by exactly one `finish` or `giveBack`.
 * 2. Open, it holds a lease while data passes, gives it back at rest, and asks for one when data comes again. It goes on
 *    only at the engine that it is connected to.
 * 3. Before 101 every refusal is an HTTP answer; afterwards it is a close frame.
 */

import type { Socket } from 'node:net';
import type { GiveBackCause, Lease, Outcome, Waiter } from '../control/gate.ts';
import { assert } from '../core/assert.ts';
import { errorMessage, type Refusal } from '../core/errors.ts';
import { UNSENT_TRIES_MAX } from '../core/limits.ts';
import type { CloseReason } from '../proxy/close-frame.ts';
import type { Transmission, UpgradeHandler } from '../proxy/endpoint-types.ts';
import { faultRefusal } from '../proxy/forward.ts';
import type { TransportFault } from '../proxy/transport-fault.ts';
import { Tunnel, type TunnelEnd, type TunnelOwner } from '../proxy/tunnel.ts';
import { HELD_BYTES_MAX } from '../proxy/tunnel-way.ts';
import { checkCaller } from './caller.ts';
import type { ClientConnection } from './client-connection.ts';
import { clientHead, headerText } from './client-head.ts';
import { clientRequestIdOf } from './client-request-id.ts';
import { EarlyClient, type EarlyClientOwner } from './early-client.ts';
import { type Dialect, errorBody } from './error-body.ts';
import { clientAddress, pushForwarded } from './forwarded.ts';
import type { ActiveRequest, FrontContext } from './front-context.ts';
import type { FrontRequest } from './front-messages.ts';
import { GateTicket } from './gate-ticket.ts';
import { endSocketWith } from './gentle-close.ts';
import { rawAnswer, rawHead } from './raw-answer.ts';
import { checkHead, type RequestHead } from './request-checks.ts';
import type { RequestOutcome } from './request-observer.ts';
import { RequestRecord } from './request-record.ts';
import { waitWishes } from './wait-wishes.ts';
import { cutReason, farewell, outcomeOf, refusedReason, STARTED_ANEW } from './web-socket-ends.ts';
import {
  checkHandshake,
  handshakeHeaders,
  type OfferedProtocols,
  offeredProtocols,
  protocolToName,
  switchingHead,
} from './web-socket-head.ts';
import { webSocketTarget } from './web-socket-target.ts';

/** WebSockets come and go slowly. */
const FULL_RETRY_S = 30;
/** A client that is gone without a word is noticed by the kernel, also where nothing passes. */
const TCP_KEEP_ALIVE_MS = 60_000;
const NO_BYTES = Buffer.alloc(0);
const NO_HEADERS: readonly string[] = [];

type State = 'judging' | 'waiting' | 'asking' | 'answering' | 'open' | 'done';

export class WebSocketExchange
  extends RequestRecord
  implements Waiter, UpgradeHandler, TunnelOwner, EarlyClientOwner, ActiveRequest
{
  listIndex = -1;
  dialect: Dialect = 'openai';
  /** Its head is complete, and it has no body. */
  readonly isReading = false;
  readonly endsWithClient = false;
  readonly uploadedBytes = 0;
  /** Browsers ask for none here: a page's origin is judged with its caller. */
  readonly corsHeaders = NO_HEADERS;
  readonly #context: FrontContext;
  readonly #request: FrontRequest;
  readonly #socket: Socket;
  readonly #connection: ClientConnection;
  readonly startedMs: number;
  readonly #protocols: OfferedProtocols;
  readonly #early: EarlyClient;
  readonly #ticket: GateTicket;
  #state: State = 'judging';
  #upstreamTarget = '';
  /** Its own patience, also for later leases; null: the model's. */
  #queueTimeoutMs: number | null = null;
  #host: string | null = null;
  /** The first lease: its engine is the one. */
  #lease: Lease | null = null;
  #transmission: Transmission | null = null;
  #tunnel: Tunnel | null = null;
  #unsentTries = 0;

  constructor(context: FrontContext, request: FrontRequest, socket: Socket, first: Buffer) {
    super();
    this.#context = context;
    this.#request = request;
    this.#socket = socket;
    this.#connection = context.connections.of(socket);
    this.startedMs = context.clock.nowMs();
    this.#protocols = offeredProtocols(request.rawHeaders);
    this.#early = new EarlyClient(socket, first, this);
    this.#ticket = new GateTicket(context.gate);
  }

  get method(): string {
    return this.#request.method ?? '';
  }

  get target(): string {
    return this.#request.url ?? '';
  }

  get clientAddress(): string | null {
    return clientAddress(this.#request.rawHeaders, this.#connection, this.#context.server.trustedHops);
  }

  start(): void {
    const context = this.#context;
    const socket = this.#socket;
    context.active.add(this);
    context.webSockets.add(this);
    this.#connection.began(this);
    socket.setTimeout(0);
    socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS);
    socket.on('error', ignore);
    const head = checkHead(this.#request as { method: string; url: string } & FrontRequest);
    this.clientRequestId = clientRequestIdOf(head, context);
    this.#host = head.kind === 'ok' ? head.host : null;
    const refusal = head.kind === 'ok' ? this.#judge(head) : head.refusal;
    if (refusal !== null) {
      this.#refuse(refusal);
      return;
    }
    this.#early.watch();
    this.#state = 'waiting';
    this.#admit();
  }

  /** Finds who asks for which model. */
  #judge(head: RequestHead): Refusal | null {
    const context = this.#context;
    const handshake = checkHandshake(this.#request.rawHeaders);
    if (handshake !== null) return handshake;
    const wishes = waitWishes(head, context.server.queueTimeoutMaxMs);
    if (wishes.kind === 'fault') return wishes.refusal;
    this.#queueTimeoutMs = wishes.queueTimeoutMs;
    const { route, model } = webSocketTarget(head, context.names);
    this.label = route.label;
    this.dialect = route.dialect;
    const caller = checkCaller({ ...head, apiKey: head.apiKey ?? this.#protocols.key }, route, context);
    if (caller.kind === 'fault') return caller.refusal;
    this.principal = caller.principal;
    if (model.kind === 'fault') return model.refusal;
    this.model = model.model;
    this.streamed = true;
    this.#upstreamTarget = model.upstreamTarget;
    return null;
  }

  // The gate.

  granted(lease: Lease): void {
    this.#ticket.granted(lease);
    if (this.#state === 'waiting') {
      this.#ask(lease);
      return;
    }
    const tunnel = this.#tunnel;
    if (this.#state !== 'open' || tunnel === null) {
      this.#ticket.end('client_left');
    } else if (lease.endpoint === this.#lease?.endpoint) {
      tunnel.wake();
    } else {
      this.#close(STARTED_ANEW);
    }
  }

  refused(refusal: Refusal): void {
    this.#ticket.refused();
    if (this.#state === 'waiting') {
      this.#refuse(refusal);
    } else if (this.#state === 'open') {
      this.code = refusal.code;
      this.#close(refusedReason(refusal));
    }
  }

  cut(refusal: Refusal): void {
    if (this.#state === 'asking') {
      this.#transmission?.abort(this);
      this.#giveBack('cut', errorMessage(refusal.code, refusal.parameters));
      return;
    }
    if (this.#state !== 'answering' && this.#state !== 'open') return;
    this.code = refusal.code;
    if (this.#state === 'open') this.#close(cutReason(refusal));
    else this.#breakAnswer('cut');
  }

  // The engine's answer.

  onUpgraded(statusText: string, rawHeaders: readonly string[], engine: Socket, first: Buffer): void {
    const { model } = this;
    const client = this.#socket;
    assert(model !== null, 'an engine answers without a model');
    this.#state = 'open';
    this.status = 101;
    this.ttfbMs = this.#context.clock.nowMs() - this.startedMs;
    const { headers } = this.#clientHead(101, statusText, rawHeaders, false);
    const early = this.#early.release();
    client.write(switchingHead(statusText, headers, protocolToName(this.#protocols, rawHeaders)));
    const { clock, wsIdleTimeoutMs } = this.#context;
    const idleMs = wsIdleTimeoutMs(model);
    this.#tunnel = new Tunnel({ client, engine, idleMs, clock, owner: this });
    this.#tunnel.start(early, first);
  }

  onLeaving(): void {
    this.#close();
  }

  onHead(status: number, statusText: string, rawHeaders: readonly string[]): void {
    this.#state = 'answering';
    this.status = status;
    this.ttfbMs = this.#context.clock.nowMs() - this.startedMs;
    this.#connection.isEnding = true;
    const { headers } = this.#clientHead(status, statusText, rawHeaders, true);
    this.#socket.write(rawHead(status, statusText, headers));
  }

  onData(piece: Buffer): boolean {
    this.responseBytes += piece.length;
    this.#socket.write(piece);
    return this.#socket.writableLength < HELD_BYTES_MAX;
  }

  onComplete(): void {
    this.#early.release();
    endSocketWith(this.#socket, NO_BYTES);
    this.#ticket.end('answered');
    this.#finish('answered');
  }

  onError(fault: TransportFault): void {
    const lease = this.#lease;
    assert(lease !== null, 'an engine fails without a lease');
    if (this.#state === 'answering') {
      this.code = faultRefusal(fault, lease.model, lease.endpoint).code;
      this.#breakAnswer('engine_error');
    } else if (fault.kind === 'not_sent' && ++this.#unsentTries >= UNSENT_TRIES_MAX) {
      const parameters = { model: lease.model, cause: fault.detail };
      this.#ticket.end('engine_error');
      this.#refuse({ code: 'engine_unreachable', parameters }, 'engine_error');
    } else if (fault.kind === 'full') {
      this.#ticket.end('answered');
      this.#refuse({ ...faultRefusal(fault, lease.model, lease.endpoint), retryAfterS: FULL_RETRY_S });
    } else if (fault.kind === 'not_sent' || fault.kind === 'connection_lost') {
      this.#giveBack(fault.kind, fault.detail);
    } else {
      this.#ticket.end('engine_error');
      this.#refuse(faultRefusal(fault, lease.model, lease.endpoint), 'engine_error');
    }
  }

  // The tunnel.

  tunnelRests(): void {
    this.#ticket.end('answered');
    if (this.#context.draining) this.#close();
  }

  tunnelWants(): void {
    this.#admit();
  }

  tunnelEnded(end: TunnelEnd): void {
    const outcome = outcomeOf(end, this.#connection.stalled);
    this.requestBytes = this.#tunnel?.bytesUp ?? 0;
    this.responseBytes = this.#tunnel?.bytesDown ?? 0;
    this.#ticket.end(outcome);
    this.#finish(outcome);
  }

  // The front.

  /** Requests beside it are none, so nothing is ever written beside it. */
  answeredRaw(): void {}

  uploadTooSlow(): void {}

  drain(): void {
    if (this.#state === 'open' && !this.#ticket.isLeased) this.#close();
  }

  breakOff(): void {
    if (this.#state === 'open') this.#close();
    else this.#socket.destroy();
  }

  // The client before 101.

  clientSentTooMuch(): void {
    const detail = 'frames came before the WebSocket was open';
    this.#transmission?.abort(this);
    this.#ticket.end('client_left');
    if (this.#state === 'answering') this.#breakAnswer('client_left');
    else this.#refuse({ code: 'request_malformed', parameters: { detail } });
  }

  clientLeft(): void {
    const reachedEngine = this.#ticket.isLeased;
    const outcome = this.#connection.stalled ? 'client_stalled' : 'client_left';
    this.#transmission?.abort(this);
    this.#ticket.end(outcome);
    this.#early.release();
    this.#socket.destroy();
    this.#finish(reachedEngine ? outcome : 'left_waiting');
  }

  clientDrained(): void {
    this.#transmission?.resume(this);
  }

  #admit(): void {
    if (this.model !== null) this.#ticket.admit(this.model, this.#upstreamTarget, this.#queueTimeoutMs, this);
  }

  #ask(lease: Lease): void {
    const { endpoint } = lease;
    this.#state = 'asking';
    this.#lease = lease;
    this.load = lease.load;
    this.waitMs = lease.waitedMs;
    this.attempts += 1;
    const headers = handshakeHeaders(this.#request.rawHeaders, this.#protocols, {
      requestId: this.clientRequestId,
      endpointHeaders: endpoint.options.headers,
    });
    const { trustedHops } = this.#context.server;
    pushForwarded(headers, this.#request.rawHeaders, this.#connection, this.#host, trustedHops);
    const path = `${endpoint.options.pathPrefix}${this.#upstreamTarget}`;
    this.#transmission = endpoint.upgrade({ method: 'GET', path, headers, body: null }, this);
  }

  #clientHead(status: number, statusText: string, rawHeaders: readonly string[], isLast: boolean) {
    const lease = this.#lease;
    assert(lease !== null, 'an engine answers without a lease');
    const { clientRequestId: requestId, method, corsHeaders: cors } = this;
    const input = { requestId, lease, method, takesChunks: false, isLast, cors };
    return clientHead(status, statusText, rawHeaders, input);
  }

  /** Ends an open one; the engine is free of it at once. */
  #close(reason: CloseReason = farewell(this.#context.draining)): void {
    this.#tunnel?.close(reason);
    this.#ticket.end('cut');
  }

  #giveBack(cause: GiveBackCause, detail: string): void {
    this.#state = 'waiting';
    this.#transmission = null;
    this.#ticket.giveBack(cause, detail);
  }

  /** An answer of ours in place of 101. Only before the engine's. */
  #refuse(refusal: Refusal, outcome: RequestOutcome = 'refused'): void {
    const answer = errorBody(refusal, { dialect: this.dialect, requestId: this.clientRequestId });
    if (this.model !== null) answer.headers.push('x-model', headerText(this.model));
    this.code = refusal.code;
    this.status = answer.status;
    this.responseBytes = answer.body.length;
    this.#early.release();
    this.#connection.isEnding = true;
    endSocketWith(this.#socket, rawAnswer(answer));
    this.#finish(outcome);
  }

  /** The engine's answer ends in the middle, and must not look complete. */
  #breakAnswer(outcome: Outcome): void {
    this.#transmission?.abort(this);
    this.#early.release();
    this.#socket.destroy();
    this.#ticket.end(outcome);
    this.#finish(outcome);
  }

  #finish(outcome: RequestOutcome): void {
    if (this.#state === 'done') return;
    this.#state = 'done';
    this.#transmission = null;
    this.#tunnel = null;
    this.#context.active.remove(this);
    this.#context.webSockets.delete(this);
    this.#connection.ended(this);
    this.outcome = outcome;
    this.durationMs = this.#context.clock.nowMs() - this.startedMs;
    this.#context.observer.requestEnded(this);
  }
}

/** The client may reset its connection; `close` follows. */
function ignore(): void {}
