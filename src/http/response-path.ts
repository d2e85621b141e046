/** Paths of single responses: `/v1/responses/{id}` and what may follow it. */
import { isResponseId } from './response-id.ts';

/** Their label in metrics, and their name where the scheduler asks what needs no device. */
export const ONE_RESPONSE = '/v1/responses/{id}';

const PREFIX = '/v1/responses/';

/** The id of the response that a request asks about; null: it asks about none. `path` is decoded and without a query. */
export function responseIdOfPath(method: string, path: string): string | null {
  if (!path.startsWith(PREFIX)) return null;
  const end = path.indexOf('/', PREFIX.length);
  const id = end < 0 ? path.slice(PREFIX.length) : path.slice(PREFIX.length, end);
  const rest = end < 0 ? '' : path.slice(end);
  return isAsked(method, rest) && isResponseId(id) ? id : null;
}

function isAsked(method: string, rest: string): boolean {
  switch (method) {
    case 'GET':
    case 'HEAD':
      return rest === '' || rest === '/input_items';
    case 'DELETE':
      return rest === '';
    case 'POST':
      return rest === '/cancel';
    default:
      return false;
  }
}
