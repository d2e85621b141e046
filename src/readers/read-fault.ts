/** Why a model's facts could not be read. Expected, so a value; inside the readers it travels as an error. */

export type ReadFaultKind =
  | 'not_found'
  | 'no_access'
  | 'rate_limited'
  | 'unreachable'
  | 'timeout'
  | 'offline'
  | 'too_large'
  | 'malformed'
  | 'not_understood';

export interface ReadFault {
  readonly kind: ReadFaultKind;
  /** One sentence without the closing full stop, with what to do where there is something to do. */
  readonly text: string;
}

export class ReadError extends Error {
  override readonly name = 'ReadError';
  readonly fault: ReadFault;

  constructor(kind: ReadFaultKind, text: string) {
    super(text);
    this.fault = { kind, text };
  }
}

/** The fault in whatever was thrown; a defect of ours is not one and flies on. */
export function faultOf(error: unknown, what: string): ReadFault {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof ReadError) return cause.fault;
    if (cause.name === 'TimeoutError') return { kind: 'timeout', text: `reading ${what} took too long` };
    const code = 'code' in cause ? String(cause.code) : '';
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'not_found', text: `${what} does not exist` };
    if (code === 'EACCES' || code === 'EPERM') return { kind: 'no_access', text: `${what} may not be read` };
  }
  // Parsers of foreign files throw whatever they like at bytes that they did not expect.
  if (
    error instanceof SyntaxError ||
    error instanceof RangeError ||
    error instanceof TypeError ||
    isPlain(error)
  )
    return { kind: 'malformed', text: `${what} is malformed: ${error.message}` };
  throw error;
}

function isPlain(error: unknown): error is Error {
  return error instanceof Error && error.name === 'Error';
}
