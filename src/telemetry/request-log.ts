/** One line for each request that went wrong, so that the id a client shows leads to the cause; the others at `debug`. */
import type { LogLevel } from '../config/resolved-config.ts';
import type { Log } from './log.ts';

/** What a request's end tells; the front's `RequestEnd` has these and more. */
export interface LoggedRequest {
  readonly clientRequestId: string;
  readonly method: string;
  readonly target: string;
  /** Null for clients of a Unix socket. */
  readonly clientAddress: string | null;
  readonly model: string | null;
  readonly outcome: string;
  readonly status: number;
  readonly code: string | null;
  readonly load: string | null;
  readonly waitMs: number;
  readonly durationMs: number;
  readonly attempts: number;
}

/** Longest part of a path that is logged. */
const TARGET_CHARS_MAX = 200;
/** Outcomes that somebody has to know of although the client got a status of success. */
const BROKEN_OUTCOMES: ReadonlySet<string> = new Set([
  'engine_error',
  'stream_error',
  'client_stalled',
  'cut',
]);

/** Without the query, in which some clients put secrets. */
function pathOf(target: string): string {
  const at = target.indexOf('?');
  return target.slice(0, at < 0 ? TARGET_CHARS_MAX : Math.min(at, TARGET_CHARS_MAX));
}

/** Called for every request: does nothing where the level asks for nothing. */
export function createRequestLog(log: Log, level: LogLevel): (end: LoggedRequest) => void {
  const logsAll = level === 'trace' || level === 'debug';
  return (end) => {
    const wentWrong = end.status >= 500 || BROKEN_OUTCOMES.has(end.outcome);
    if (!wentWrong && !logsAll) return;
    log(wentWrong ? 'warn' : 'debug', `request ${end.outcome}`, {
      request: end.clientRequestId,
      method: end.method,
      path: pathOf(end.target),
      client: end.clientAddress,
      model: end.model,
      status: end.status,
      ...(end.code === null ? {} : { code: end.code }),
      ...(end.load === null
        ? {}
        : { load: end.load, wait_ms: Math.round(end.waitMs), attempts: end.attempts }),
      duration_ms: Math.round(end.durationMs),
    });
  };
}
