/** What the head and the body of a request say about its model, as values; `Exchange` acts on them. */
import type { ServerConfig } from '../config/resolved-config.ts';
import type { Refusal } from '../core/errors.ts';
import type { ModelName } from '../core/ids.ts';
import { scanBody } from './body-scan.ts';
import type { NameResolver, ResolvedName } from './names.ts';
import { checkContentType, type RequestHead } from './request-checks.ts';
import type { Route } from './routes.ts';
import { spliceBody } from './splice.ts';

/** Routes that end at an engine. */
export type ForwardedRoute = Extract<Route, { kind: 'model' | 'engine_path' }>;

export type ModelChoice =
  | { readonly kind: 'ok'; readonly model: ModelName }
  | { readonly kind: 'fault'; readonly refusal: Refusal };

/** Judges what the head says about the body. Null: it may be read. */
export function bodyRefusal(head: RequestHead, route: ForwardedRoute): Refusal | null {
  const { bodyRule } = route;
  // A page cannot send the other methods without asking, whatever the body.
  if (bodyRule === 'none' || (bodyRule === 'any' && !(head.hasBody && head.method === 'POST'))) return null;
  if (bodyRule === 'json' && !head.hasBody) return { code: 'body_missing', parameters: {} };
  return checkContentType(head.contentType, bodyRule);
}

export function bodyLimitBytes(
  route: ForwardedRoute,
  server: Pick<ServerConfig, 'bodyLimitBytes' | 'audioBodyLimitBytes'>,
): number {
  return route.bodyRule === 'json' ? server.bodyLimitBytes : server.audioBodyLimitBytes;
}

/** Finds the model of a request whose body does not name it. */
export function modelOfHead(head: RequestHead, route: ForwardedRoute, names: NameResolver): ModelChoice {
  if (route.kind === 'engine_path') return { kind: 'ok', model: route.name.model };
  const name = route.modelName ?? head.modelHeader ?? queryModel(head.target);
  return name === null
    ? { kind: 'fault', refusal: { code: 'model_unnamed', parameters: {} } }
    : names.resolve(name);
}

export type JsonRequest =
  | {
      readonly kind: 'ok';
      readonly model: ModelName;
      readonly stream: boolean;
      /** As the engine gets it. */
      readonly body: Uint8Array;
    }
  | { readonly kind: 'fault'; readonly refusal: Refusal };

/** Reads and edits a JSON body that names its model. */
export function readJsonRequest(body: Buffer, names: NameResolver): JsonRequest {
  const scan = scanBody(body);
  if (scan.kind === 'fault') return scan;
  const resolved = names.resolve(scan.model);
  if (resolved.kind === 'fault') return resolved;
  const { model, edits } = resolved;
  return {
    kind: 'ok',
    model,
    stream: scan.stream,
    body: edits === null ? body : spliceBody(body, scan, edits),
  };
}

/** The path names the model; a JSON body that names it too must say what the engine knows. */
export function editedForPath(body: Buffer, name: ResolvedName): Uint8Array {
  if (name.edits === null) return body;
  const scan = scanBody(body);
  return scan.kind === 'ok' ? spliceBody(body, scan, name.edits) : body;
}

function queryModel(target: string): string | null {
  const at = target.indexOf('?');
  const name = at < 0 ? null : new URLSearchParams(target.slice(at)).get('model');
  return name === '' ? null : name;
}
