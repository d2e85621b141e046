/** What the byte path knows of an engine: an address with its connections. Nothing about models, turns or devices. */
import type { Socket } from 'node:net';
import type { ListenAddress } from '../engines/engine.ts';
import type { TransportFault } from './transport-fault.ts';

export interface EndpointOptions {
  readonly address: ListenAddress | { readonly kind: 'url'; readonly baseUrl: string };
  /** `max_concurrent + POOL_SPARE_CONNECTIONS`. */
  readonly connectionsMax: number;
  readonly keepAliveMs: number;
  readonly connectTimeoutMs: number;
  /** Longest time from the last byte of the request that left to the first byte of the answer's body (its end without one). */
  readonly firstByteTimeoutMs: number;
  /** Longest time between bytes of the answer's body. */
  readonly streamIdleTimeoutMs: number;
  /** Called once when the endpoint becomes mute. */
  readonly onMute?: () => void;
  /** Added to every request to this endpoint (a foreign server's Authorization and headers), lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Path in front of every request path (`/v1`-less base path of a foreign server); empty for ours. */
  readonly pathPrefix: string;
}

/** Counted per endpoint for M: pool exhaustion and connection reuse. */
export interface EndpointCounters {
  connectionsCreated: number;
  requestsSent: number;
  /** Requests that found no free connection though they had a lease: must stay 0. */
  poolWaits: number;
}

/** A body that is not in memory. It can be read again from its start, and is closed when nobody holds it. */
export interface FileBody {
  /** Bytes. */
  readonly length: number;
  /** Fills `target` from `position` on as far as one read goes. Resolves with its bytes; 0 only at the end. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** One holder more. */
  retain(): void;
  /** One holder less. */
  release(): void;
}

export type RequestBody = Uint8Array | FileBody | null;

/** A request as it goes to the engine. */
export interface UpstreamRequest {
  readonly method: string;
  /** Path and query, in ASCII without spaces. */
  readonly path: string;
  /** Flat list without framing and hop-by-hop headers, in Latin-1 without line breaks. */
  readonly headers: readonly string[];
  /**
   * Whoever calls `send` holds a file until the handler has heard the end; the connection holds it while it sends. Long
   * bytes are freed when their answer is complete: nobody may read them afterwards.
   */
  readonly body: RequestBody;
}

/**
 * Hears of one request: `onHead`, any `onData`, and in the end one `onComplete` or `onError`. What it throws is not
 * caught.
 */
export interface AnswerHandler {
  /** Not called for informational answers. `rawHeaders` is flat. */
  onHead(status: number, statusText: string, rawHeaders: readonly string[]): void;
  /** `piece` is valid during the call only. False: no more until `resume` (what was read already still comes). */
  onData(piece: Buffer): boolean;
  onComplete(): void;
  onError(fault: TransportFault): void;
}

/** Hears of a request for another protocol: either `onUpgraded`, or an ordinary answer as above. */
export interface UpgradeHandler extends AnswerHandler {
  /**
   * Status 101. The socket belongs to the handler from here on, paused and half-open on its end; `first` came behind the
   * head. Nothing of the answer follows.
   */
  onUpgraded(statusText: string, rawHeaders: readonly string[], socket: Socket, first: Buffer): void;
  /** The engine gives way, and the connection has to end soon. Only after `onUpgraded`. */
  onLeaving(): void;
}

/** A request under way. Calls by a handler whose request has ended do nothing. */
export interface Transmission {
  /** Closes the connection at once; the handler hears nothing more. */
  abort(handler: AnswerHandler): void;
  resume(handler: AnswerHandler): void;
}

export interface Endpoint {
  readonly options: EndpointOptions;
  readonly counters: EndpointCounters;
  /**
   * Requests were in flight for `firstByteTimeoutMs` in all since the last byte of any answer, whether they were given up
   * earlier or not: no single one has to wait for so long to show that the engine hangs.
   */
  readonly isMute: boolean;
  /** It is known otherwise that the engine works. */
  heard(): void;
  /** Call it under a lease only. The handler may be called before this returns; never throws. */
  send(request: UpstreamRequest, handler: AnswerHandler): Transmission;
  /**
   * Sends a request for another protocol over a connection of its own. As `send`; the connection may outlive its lease,
   * and is none of the kept ones.
   */
  upgrade(request: UpstreamRequest, handler: UpgradeHandler): Transmission;
  /** Ends idle connections now and busy ones when they finish; those of another protocol are told to end. */
  close(): void;
  /** Ends all connections now. */
  destroy(cause: Error): void;
}
