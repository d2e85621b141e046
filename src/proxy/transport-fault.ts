/** What an error of the transport means for a request. */

export type TransportFault = {
  readonly kind:
    | /** Nothing was written to a socket. */ 'not_sent'
    | /** The connection broke while the request was in flight. */ 'connection_lost'
    | /** The engine sent nothing for too long. */ 'silence'
    | /** The engine's answer is no valid HTTP. */ 'malformed'
    | /** The request cannot be written as HTTP. */ 'unsendable';
  /** In words for errors and the log. */
  readonly detail: string;
};

const SILENCE: ReadonlySet<string> = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);
const UNSENDABLE: ReadonlySet<string> = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
]);
/** Node's own checks, when it refuses to repeat the engine's head to the client. */
const BAD_HEAD: ReadonlySet<string> = new Set([
  'ERR_INVALID_CHAR',
  'ERR_INVALID_HTTP_TOKEN',
  'ERR_HTTP_INVALID_HEADER_VALUE',
  'ERR_HTTP_INVALID_STATUS_CODE',
]);
/** Undici reports answers that it will not take (a 100 or 101 nobody asked for) as socket errors with these words. */
const UNASKED_ANSWERS: ReadonlySet<string> = new Set(['bad response', 'bad upgrade']);

/** `written`: whether the request had a socket of its own. */
export function transportFault(error: Error, written: boolean): TransportFault {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (SILENCE.has(code)) return { kind: 'silence', detail: 'it sent nothing for too long' };
  if (UNSENDABLE.has(code)) return { kind: 'unsendable', detail: error.message };
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return { kind: 'malformed', detail: 'its headers are too large' };
  if (code.startsWith('HPE_') || BAD_HEAD.has(code))
    return { kind: 'malformed', detail: oneLine(error.message) };
  if (code === 'UND_ERR_SOCKET' && UNASKED_ANSWERS.has(error.message)) {
    return { kind: 'malformed', detail: 'it sent an interim or upgrade answer that nobody asked for' };
  }
  return written
    ? { kind: 'connection_lost', detail: `the connection broke (${words(error, code)})` }
    : { kind: 'not_sent', detail: `no connection (${words(error, code)})` };
}

function words(error: Error, code: string): string {
  const message = oneLine(error.message);
  return message === '' ? code : message;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, 200);
}
