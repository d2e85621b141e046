/**
 * What the Responses route keeps (only with VLLM_ENABLE_RESPONSES_API_STORE=1), and what it makes in the background. vLLM
 * never forgets; we forget the oldest.
 */
import { EventEmitter } from 'node:events';
import type { SimContext } from './context.ts';
import { ApiError, badRequest, type Exchange, type JsonObject, sendJson } from './exchange.ts';
import { engineDead } from './sampling.ts';
import { openStream } from './stream.ts';

const STORED_MAX = 1000;

export interface StoredEvent {
  readonly type: string;
  readonly payload: JsonObject;
}

export interface StoredResponse {
  value: JsonObject;
  /** Lines of the conversation up to its end, for the one that goes on from it. */
  lines: readonly string[];
  /** Of a background stream; null for all others. */
  readonly events: StoredEvent[] | null;
  /** Says `close` to end its making, and `event` when there is a new one. */
  readonly signals: EventEmitter;
}

const stored = new Map<string, StoredResponse>();

export function remember(
  context: SimContext,
  body: JsonObject,
  value: JsonObject,
  options: { readonly lines: readonly string[]; readonly hasEvents?: boolean },
): StoredResponse {
  const signals = new EventEmitter();
  signals.setMaxListeners(0);
  const { lines, hasEvents = false } = options;
  const entry: StoredResponse = { value, lines, events: hasEvents ? [] : null, signals };
  if (!context.options.environment.responsesStore || body['store'] === false) return entry;
  stored.set(String(value['id']), entry);
  for (const oldest of stored.keys()) {
    if (stored.size <= STORED_MAX) break;
    stored.delete(oldest);
  }
  return entry;
}

/** The response that a request goes on from; null: it goes on from none. */
export function previousResponse(body: JsonObject): StoredResponse | null {
  const id = body['previous_response_id'];
  return id === undefined || id === null ? null : storedResponse(String(id));
}

export function getResponse(context: SimContext, exchange: Exchange): void {
  const id = exchange.path.split('/')[3] ?? '';
  const found = storedResponse(id);
  if (exchange.query.get('stream') !== 'true') {
    sendJson(exchange, 200, found.value);
    return;
  }
  if (found.events === null) {
    throw badRequest(`Unknown response_id: ${id} (parameter=response_id, value=${id})`, 'response_id');
  }
  const after = exchange.query.get('starting_after');
  followEvents(context, exchange, found, after === null ? 0 : Number(after) + 1);
}

/** Sends what there is from an index on and what comes, until the response is complete. A cancelled one stays open, as in vLLM. */
export function followEvents(
  context: SimContext,
  exchange: Exchange,
  { events, signals }: StoredResponse,
  from: number,
): void {
  const stream = openStream(context, exchange, { error: () => {} }, engineDead());
  let next = from;
  const send = (): void => {
    for (let event = events?.[next]; event !== undefined; event = events?.[++next]) {
      stream.event(event.type, event.payload);
      if (event.type !== 'response.completed') continue;
      signals.removeListener('event', send);
      stream.end();
      return;
    }
  };
  signals.on('event', send);
  exchange.response.once('close', () => signals.removeListener('event', send));
  send();
}

export function cancelResponse(_context: SimContext, exchange: Exchange): void {
  const found = storedResponse(exchange.path.split('/')[3] ?? '');
  const status = found.value['status'];
  if (status !== 'queued' && status !== 'in_progress') {
    throw new ApiError(400, 'invalid_request_error', 'Cannot cancel a synchronous response.', 'response_id');
  }
  found.value = { ...found.value, status: 'cancelled' };
  found.signals.emit('close');
  sendJson(exchange, 200, found.value);
}

function storedResponse(id: string): StoredResponse {
  const found = stored.get(id);
  if (found !== undefined) return found;
  throw new ApiError(404, 'invalid_request_error', `Response with id '${id}' not found.`, 'response_id');
}
