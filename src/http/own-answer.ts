/** Writes an answer of ours, and keeps the connection only where what is left of the request's body is small. */
import type { FrontRequest, FrontResponse } from './front-messages.ts';
import { endAfterBody } from './gentle-close.ts';
import type { OwnAnswer } from './own-routes.ts';
import type { RequestHead } from './request-checks.ts';

/** A refused request's body up to this size is read, so that its connection stays usable. */
const DRAINED_BODY_BYTES_MAX = 64 * 1024;

export interface OwnAnswerOptions {
  /** Null for a head that was refused: nobody knows how long the body is. */
  readonly head: RequestHead | null;
  /** The client waits for `100 Continue` before it sends its body. */
  readonly continuePending: boolean;
  /** The connection ends with this answer whatever the body. */
  readonly isLast: boolean;
}

/** Only for a response that nothing was written to. True: the answer says that the connection ends. */
export function writeOwnAnswer(
  request: FrontRequest,
  response: FrontResponse,
  { status, headers, body }: OwnAnswer,
  options: OwnAnswerOptions,
): boolean {
  const isReadable = request.complete || bodyIsSmall(options);
  const ends = options.isLast || !isReadable;
  if (ends) headers.push('connection', 'close');
  response.writeHead(status, headers);
  if (isReadable) {
    response.end(body);
  } else {
    response.write(body);
    endAfterBody(request, response);
  }
  return ends;
}

/** Whether Node can read what is left of the body by itself, after the answer. */
function bodyIsSmall({ head, continuePending }: OwnAnswerOptions): boolean {
  if (head === null || continuePending) return false;
  return !head.hasBody || (head.contentLength !== null && head.contentLength <= DRAINED_BODY_BYTES_MAX);
}
