/** The id under which a request is answered, logged and sent on. */
import { CLIENT_REQUEST_ID } from '../core/ids.ts';
import type { FrontContext } from './front-context.ts';
import type { HeadCheck } from './request-checks.ts';

/** The client's own where it is one that may be repeated in a header, else a new one. */
export function clientRequestIdOf(head: HeadCheck, context: Pick<FrontContext, 'nextRequestId'>): string {
  const wanted = head.kind === 'ok' ? head.requestId : null;
  return wanted !== null && CLIENT_REQUEST_ID.test(wanted) ? wanted : context.nextRequestId();
}
