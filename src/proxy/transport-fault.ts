/** Why a request to an engine ended without a complete answer. */

export type TransportFaultKind =
  /** Nothing was written to a socket. */
  | 'not_sent'
  /** The engine has as many connections of another protocol as it may; nothing was sent. */
  | 'full'
  /** The connection broke while the request was in flight. */
  | 'connection_lost'
  /** The engine did not begin its answer within `firstByteTimeoutMs`. */
  | 'no_first_byte'
  /** The engine sent nothing within its answer for `streamIdleTimeoutMs`. */
  | 'idle'
  /** The engine's answer is no valid HTTP. */
  | 'malformed'
  /** The request's body could not be read from its file. */
  | 'body_lost';

export interface TransportFault {
  readonly kind: TransportFaultKind;
  /** In words for errors and the log. */
  readonly detail: string;
}

/** Thrown by the parser of answers; the message goes into our error. */
export class MalformedAnswer extends Error {
  override readonly name = 'MalformedAnswer';
}

const DETAIL_CHARS_MAX = 200;

/** An error of a socket in one line. */
export function socketErrorText(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const message = error.message === '' ? code : error.message;
  return message.replaceAll(/\s+/g, ' ').trim().slice(0, DETAIL_CHARS_MAX);
}
