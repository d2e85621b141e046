/**
 * The face that the control loop shows to the front: one request comes in, waits, gets a lease on an engine, ends.
 * Calls are synchronous; `granted` may be called before `admit` returns (a ready model's request takes the short way).
 */
import type { Refusal } from '../core/errors.ts';
import type { LaunchId, ModelName, RequestId } from '../core/ids.ts';
import type { Endpoint } from '../proxy/endpoint-types.ts';
import type { Estimate } from '../scheduler/estimate.ts';

export type WaitEstimate = Estimate;

export interface Admission {
  readonly model: ModelName;
  /** The request's own patience; absent: the model's `queue_timeout`. */
  readonly queueTimeoutMs?: number;
  /** Path of the request: some need no device. */
  readonly path: string;
  /**
   * Body for the poison check, looked at only while poison fingerprints are known. Null for bodies in files: forms have
   * another boundary each time, so that a fingerprint of one would hold for no second request, and reading it would cost
   * the whole file.
   */
  readonly body: Uint8Array | null;
}

/** How a request came to its engine: it was awake, had to wake, or had to start. */
export type LoadKind = 'hot' | 'wake' | 'cold';

export interface Lease {
  readonly requestId: RequestId;
  readonly model: ModelName;
  /** Null: a server that others run. */
  readonly launchId: LaunchId | null;
  readonly endpoint: Endpoint;
  readonly waitedMs: number;
  readonly load: LoadKind;
  /** Requests waiting for this model at the moment of the grant (X-Queue-Depth). */
  readonly queueDepth: number;
}

export interface Waiter {
  granted(lease: Lease): void;
  /** Terminal: the request never reached an engine, or was given back and cannot be served. */
  refused(refusal: Refusal): void;
  /** The running request must end now (drain limit, shutdown). The waiter ends it and calls `finish` or `giveBack`. */
  cut(refusal: Refusal): void;
}

/** Exactly one of these ends a request that was granted. */
export type Outcome =
  | 'answered'
  /** The engine's answer broke off or was malformed. */
  | 'engine_error'
  | 'client_left'
  | 'client_stalled'
  /** Ended by us: its time was over, or its body was lost. The engine is none the worse. */
  | 'cut';

/** Why a granted request comes back without a byte having reached the client. */
export type GiveBackCause =
  /** Nothing was written to a socket: resent freely. */
  | 'not_sent'
  /** It was in flight when the connection broke: resent at most `RESENDS_MAX` times. */
  | 'connection_lost'
  /** It was cut at the end of a drain before its first byte. */
  | 'cut';

export interface Gate {
  /** Returns the id to use below. Throws only for a model that the configuration does not have (a defect of the caller). */
  admit(admission: Admission, waiter: Waiter): RequestId;
  /** The client left while waiting. Harmless when the request has ended. */
  leave(id: RequestId): void;
  /** Ends a granted request. Harmless when called again: the first call counts (R4). */
  finish(id: RequestId, outcome: Outcome): void;
  /**
   * Puts a granted request back at the head of its queue, or refuses it (through `refused`) when it may not be sent
   * again. `detail` is the transport's own words, for the error and the log.
   */
  giveBack(id: RequestId, cause: GiveBackCause, detail: string): void;
  /** A granted request goes on under another waiter, which ends it. Harmless when the request has ended. */
  handOver(id: RequestId, waiter: Waiter): void;
  /** An engine refused a request with 400: perhaps the configuration can do something about it. */
  requestRefused(model: ModelName, bodyStart: Uint8Array): void;
}

/** The gate of the front: it also tells those who wait how long. */
export interface FrontGate extends Gate {
  /** When a model is expected to serve, and why not yet. For a model that the configuration has. */
  estimate(model: ModelName): WaitEstimate;
}
