/** What the front tells about each request when it ends: cheap, synchronous, called exactly once per request. */
import type { LoadKind, Outcome } from '../control/gate.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { ModelName } from '../core/ids.ts';

/**
 * `answered`, `engine_error`, `client_left`, `client_stalled`, `cut`: as the gate's outcomes, for requests that reached
 * an engine. `refused`: we answered with an error of ours. `left_waiting`: the client left before it had an engine.
 * `own`: one of our own routes. `stream_error`: answered, but within its event stream the engine told of an error.
 */
export type RequestOutcome = Outcome | 'stream_error' | 'refused' | 'left_waiting' | 'own';

/** Valid only during the call: the object belongs to the request. */
export interface RequestEnd {
  /** The client's X-Request-Id or ours. */
  readonly clientRequestId: string;
  readonly method: string;
  /** Path and query as the client sent them; for logs, never for labels. */
  readonly target: string;
  /** The route table's name for the path, for labels: one of few, `none` for what was refused before its route. */
  readonly label: string;
  /** Where it came from, as far as it is told (forwarded.ts); null for a Unix socket's clients. Worked out when asked. */
  readonly clientAddress: string | null;
  /** Whose key it carried; null without keys. */
  readonly principal: string | null;
  /** Null where the request ended before its model was known. */
  readonly model: ModelName | null;
  readonly outcome: RequestOutcome;
  /** Status that the client got; 0: none. */
  readonly status: number;
  /** Code of our own error, also of one sent inside a stream; null: none. */
  readonly code: ErrorCode | null;
  /** How it came to its engine; null: it did not. */
  readonly load: LoadKind | null;
  readonly streamed: boolean;
  /** From admission to the lease; 0 without a lease. */
  readonly waitMs: number;
  /** From arrival to the first byte of an engine's answer; null: there was none. */
  readonly ttfbMs: number | null;
  readonly durationMs: number;
  readonly requestBytes: number;
  /** Bytes of the answer's body. */
  readonly responseBytes: number;
  /** Times it was sent to an engine. */
  readonly attempts: number;
  /** Events of the engine's stream that told of an error. */
  readonly streamErrors: number;
}

export interface RequestObserver {
  requestEnded(end: RequestEnd): void;
}
