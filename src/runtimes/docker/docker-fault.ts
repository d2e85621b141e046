/** What a failed call to the engine API means. Pure. */

export interface DockerFault {
  /** HTTP status; null: the daemon did not answer. */
  readonly status: number | null;
  /** The daemon's own words, or what the connection says. */
  readonly text: string;
  /** Nobody answers there now; another try may help. */
  readonly isUnreachable: boolean;
}

const UNREACHABLE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'ABORT_ERR',
]);

export function faultOf(error: unknown): DockerFault {
  if (!(error instanceof Error)) return { status: null, text: String(error), isUnreachable: false };
  const { statusCode, json, code, syscall } = error as Error & {
    readonly syscall?: unknown;
    readonly statusCode?: unknown;
    readonly json?: unknown;
    readonly code?: unknown;
  };
  if (typeof statusCode === 'number') {
    return {
      status: statusCode,
      text: messageIn(json) ?? withoutPrefix(error.message),
      isUnreachable: false,
    };
  }
  const isTimeout = error.name === 'TimeoutError' || error.name === 'AbortError';
  // A socket that is not there or not ours to use (ENOENT, EACCES); files of ours fail with the same codes.
  const isOfConnection = syscall === 'connect' || UNREACHABLE_CODES.has(String(code));
  const isUnreachable = isTimeout || isOfConnection;
  return { status: null, text: isTimeout ? 'no answer in time' : error.message, isUnreachable };
}

function messageIn(json: unknown): string | null {
  if (typeof json !== 'object' || json === null || !('message' in json)) return null;
  return typeof json.message === 'string' ? json.message.trim() : null;
}

/** dockerode puts `(HTTP code 404) no such container - ` before the daemon's words. */
function withoutPrefix(message: string): string {
  return message.replace(/^\(HTTP code \d+\) [^-]*- /, '').trim();
}
