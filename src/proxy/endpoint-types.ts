/** What the byte path knows of an engine: an address with its connections. Nothing about models, turns or devices. */
import type { Dispatcher } from 'undici';
import type { ListenAddress } from '../engines/engine.ts';

export interface EndpointOptions {
  readonly address: ListenAddress | { readonly kind: 'url'; readonly baseUrl: string };
  /** `max_concurrent + POOL_SPARE_CONNECTIONS`. */
  readonly connectionsMax: number;
  readonly keepAliveMs: number;
  readonly connectTimeoutMs: number;
  /** Longest silence before the first byte and between bytes. */
  readonly silenceTimeoutMs: number;
  /** Added to every request to this endpoint (a foreign server's Authorization and headers), lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Path in front of every request path (`/v1`-less base path of a foreign server); empty for ours. */
  readonly pathPrefix: string;
}

/** Counted per endpoint for M: pool exhaustion and connection reuse. */
export interface EndpointCounters {
  connectionsCreated: number;
  requestsSent: number;
  /** Requests that found no free connection and had to wait inside the pool: must stay 0. */
  poolWaits: number;
}

export interface Endpoint {
  readonly options: EndpointOptions;
  readonly dispatcher: Dispatcher;
  readonly counters: EndpointCounters;
  /** Takes back a request that is on no socket yet: it is never sent. Harmless for one that has ended. */
  abandon(handler: Dispatcher.DispatchHandler): void;
  /** Ends idle connections now and busy ones when they finish. */
  close(): void;
  /** Ends all connections now. */
  destroy(cause: Error): void;
}
