/** One entry of the route table. */
import type { SimContext } from './context.ts';
import type { Exchange, JsonObject } from './exchange.ts';

export type BodyHandler = (context: SimContext, exchange: Exchange, body: JsonObject) => Promise<void> | void;
export type PlainHandler = (context: SimContext, exchange: Exchange) => Promise<void> | void;

/** Handlers that read their body themselves, whatever its type is called. */
export type TextHandler = (context: SimContext, exchange: Exchange, text: string) => Promise<void> | void;

/** Handlers that read their body themselves, and which is no text. */
export type BytesHandler = (context: SimContext, exchange: Exchange, body: Buffer) => Promise<void> | void;

export type Route =
  | { readonly method: string; readonly path: string; readonly kind: 'bytes'; readonly handle: BytesHandler }
  | { readonly method: string; readonly path: string; readonly kind: 'text'; readonly handle: TextHandler }
  | { readonly method: string; readonly path: string; readonly kind: 'json'; readonly handle: BodyHandler }
  | { readonly method: string; readonly path: string; readonly kind: 'plain'; readonly handle: PlainHandler };

export function get(path: string, handle: PlainHandler): Route {
  return { method: 'GET', path, kind: 'plain', handle };
}

export function post(path: string, handle: PlainHandler): Route {
  return { method: 'POST', path, kind: 'plain', handle };
}

export function postBytes(path: string, handle: BytesHandler): Route {
  return { method: 'POST', path, kind: 'bytes', handle };
}

export function postText(path: string, handle: TextHandler): Route {
  return { method: 'POST', path, kind: 'text', handle };
}

export function postJson(path: string, handle: BodyHandler): Route {
  return { method: 'POST', path, kind: 'json', handle };
}
