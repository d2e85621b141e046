/**
 * What the front remembers of one client connection, and the one place that ends it for taking too long:
 *
 * 1. A client is stalled when its socket accepted no byte for the stall limit while data waited in it. Only written bytes
 *    count: what a client sends meanwhile proves nothing. It holds for answers of engines and of ours, and for those
 *    that wait behind a pipelined one.
 * 2. A connection without requests ends at its idle limit whatever trickles in. Node ends silent ones itself, earlier; this
 *    limit is longer by the time a head may take, so that it never meets a request that has begun.
 * 3. A body that comes slower than the least rate is refused.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../core/clock.ts';
import { DenseList, type Listed } from '../core/dense-list.ts';
import type { Peer } from './forwarded.ts';
import type { ActiveRequest } from './front-context.ts';
import type { FrontRequest } from './front-messages.ts';
import { uploadFault } from './upload-rate.ts';

/** Connections are looked at this many times within the shorter limit. */
const LOOKS = 4;
const LOOK_INTERVAL_MS_MAX = 5_000;

type Phase = 'new' | 'waits_for_client' | 'busy' | 'idle';

interface ClientSocket extends Socket {
  frontConnection?: ClientConnection;
  /** Node's handle; its count is the one that tells how far a large write came. */
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}

export class ClientConnection implements Listed, Peer {
  listIndex = -1;
  /** Of the other end; empty for a Unix socket. */
  readonly address: string;
  /** Beneath TLS. */
  readonly secure: boolean;
  /** Requests between their head and their end, in the order of their heads. */
  readonly requests: ActiveRequest[] = [];
  /** An answer that says `connection: close` was written. */
  isEnding = false;
  /** It was cut because the client took nothing. */
  stalled = false;
  /** Answered before its body was there; nothing may answer it again. */
  answeredUnread: FrontRequest | null = null;
  readonly #socket: ClientSocket;
  #phase: Phase = 'new';
  /** When the phase began, or when the client last took something. */
  #sinceMs = 0;
  #taken = 0;
  #queued = 0;

  constructor(socket: Socket, secure: boolean) {
    this.#socket = socket;
    this.address = plainAddress(socket.remoteAddress ?? '');
    this.secure = secure;
  }

  /** Its latest request was answered already: what still comes gets no second answer. */
  get isAnswered(): boolean {
    return this.isEnding || this.answeredUnread?.complete === false;
  }

  began(request: ActiveRequest): void {
    this.answeredUnread = null;
    this.requests.push(request);
  }

  ended(request: ActiveRequest): void {
    const { requests } = this;
    if (requests.at(-1) === request) requests.pop();
    else requests.splice(requests.indexOf(request), 1);
  }

  /**
   * The client sends no more. Node takes that for leaving, and so do other proxies, but it first waits until all that is
   * written has been taken: until then the engine would work for nobody.
   */
  clientEnded(): void {
    for (const request of [...this.requests]) if (request.endsWithClient) request.breakOff();
  }

  look(nowMs: number, limits: ConnectionLimits): void {
    const socket = this.#socket;
    if (socket.writableLength > 0) {
      const taken = socket.bytesWritten - socket.writableLength;
      const queued = socket._handle?.writeQueueSize ?? 0;
      const moved = taken !== this.#taken || queued !== this.#queued;
      this.#taken = taken;
      this.#queued = queued;
      if (this.#enter('waits_for_client', nowMs, moved) < limits.stallMs) return;
      this.stalled = true;
      socket.destroy();
    } else if (this.requests.length > 0 || this.isEnding) {
      this.#enter('busy', nowMs, false);
      this.#checkUpload(nowMs, limits.uploadBytesPerSMin);
    } else if (this.#enter('idle', nowMs, false) >= limits.idleMs) {
      socket.destroy();
    }
  }

  /** Bodies come one after the other, so only the last request's can be under way. */
  #checkUpload(nowMs: number, bytesPerSMin: number): void {
    const request = this.requests.at(-1);
    if (request?.isReading !== true) return;
    const refusal = uploadFault(request, nowMs, bytesPerSMin);
    if (refusal !== null) request.uploadTooSlow(refusal);
  }

  /** How long it has been in this phase. */
  #enter(phase: Phase, nowMs: number, anew: boolean): number {
    if (anew || this.#phase !== phase) {
      this.#phase = phase;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs;
  }
}

/** IPv4 clients of an address that serves both are told as such. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

export interface ConnectionLimits {
  readonly stallMs: number;
  readonly idleMs: number;
  /** 0: any rate. */
  readonly uploadBytesPerSMin: number;
}

/** All connections of a front, and the timer that looks at them. */
export class ClientConnections {
  readonly #open = new DenseList<ClientConnection>();
  readonly #clock: Clock;
  readonly #limits: ConnectionLimits;
  #timer: NodeJS.Timeout | null = null;

  constructor(clock: Clock, limits: ConnectionLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get count(): number {
    return this.#open.size;
  }

  add(socket: Socket, secure: boolean): ClientConnection {
    const connection = new ClientConnection(socket, secure);
    (socket as ClientSocket).frontConnection = connection;
    this.#open.add(connection);
    socket.once('close', () => this.#remove(connection));
    socket.once('end', () => connection.clientEnded());
    this.#arm();
    return connection;
  }

  /** The connection of a socket that `add` has seen. */
  of(socket: Socket): ClientConnection {
    return (socket as ClientSocket).frontConnection ?? this.add(socket, 'encrypted' in socket);
  }

  #remove(connection: ClientConnection): void {
    this.#open.remove(connection);
    if (this.#open.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Runs while a connection is open. */
  #arm(): void {
    if (this.#timer !== null) return;
    const { stallMs, idleMs } = this.#limits;
    const intervalMs = Math.min(LOOK_INTERVAL_MS_MAX, Math.ceil(Math.min(stallMs, idleMs) / LOOKS));
    this.#timer = setInterval(() => {
      const nowMs = this.#clock.nowMs();
      for (const connection of [...this.#open.items]) connection.look(nowMs, this.#limits);
    }, intervalMs);
    this.#timer.unref();
  }
}
