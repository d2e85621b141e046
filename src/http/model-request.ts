/** What the head and the body of a request say about its model, as values; `Exchange` acts on them. */
import type { ServerConfig } from '../config/resolved-config.ts';
import type { Refusal } from '../core/errors.ts';
import type { ModelName } from '../core/ids.ts';
import { scanBody } from './body-scan.ts';
import { JsonReader } from './json-reader.ts';
import type { NameResolver, ResolvedName } from './names.ts';
import { checkContentType, type RequestHead } from './request-checks.ts';
import type { ResponseDesk } from './response-desk.ts';
import type { Route } from './routes.ts';
import { prepareEdits, spliceBody } from './splice.ts';

const OPEN = 0x7b;
/** What of a name an error repeats. */
const ECHO_CHARS_MAX = 100;

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

/** Finds the model of a request whose body does not name it, for one about a response by what is known of that. */
export function modelOfBodyless(
  head: RequestHead,
  route: ForwardedRoute,
  names: NameResolver,
  responses: ResponseDesk,
): ModelChoice {
  const named = modelOfHead(head, route, names);
  if (route.kind !== 'model' || route.responseId === null) return named;
  if (named.kind === 'ok') return responses.modelOf(route.responseId, named.model);
  return named.refusal.code === 'model_unnamed' ? responses.modelOf(route.responseId, null) : named;
}

/** Finds the model that the path, the headers or the query name. */
export function modelOfHead(head: RequestHead, route: ForwardedRoute, names: NameResolver): ModelChoice {
  if (route.kind === 'engine_path') return { kind: 'ok', model: route.name.model };
  const name = route.modelName ?? head.modelHeader ?? queryModel(head.target);
  return name === null
    ? { kind: 'fault', refusal: { code: 'model_unnamed', parameters: {} } }
    : names.resolve(name);
}

export type ReadBody =
  | {
      readonly kind: 'ok';
      /** Null: the head names it. */
      readonly model: ModelName | null;
      readonly stream: boolean;
      /** As of `ScannedBody`; false and null where the body was not scanned. */
      readonly background: boolean;
      readonly previousResponseId: string | null;
      /** As the engine gets it. */
      readonly body: Uint8Array;
    }
  | { readonly kind: 'fault'; readonly refusal: Refusal };

/** Reads a whole body as its route says, and edits it for the engine. */
export function readBody(body: Buffer, route: ForwardedRoute, names: NameResolver): ReadBody {
  if (route.kind === 'engine_path') return readPathBody(body, route.name, names);
  return route.bodyRule === 'json' ? readJsonRequest(body, names) : unread(body);
}

function unread(body: Uint8Array): ReadBody {
  return { kind: 'ok', model: null, stream: false, background: false, previousResponseId: null, body };
}

/** A JSON body that names its model. */
function readJsonRequest(body: Buffer, names: NameResolver): ReadBody {
  const scan = scanBody(body);
  if (scan.kind === 'fault') return scan;
  const resolved = names.resolve(scan.model);
  if (resolved.kind === 'fault') return resolved;
  const { model, edits } = resolved;
  return {
    kind: 'ok',
    model,
    stream: scan.stream,
    background: scan.background,
    previousResponseId: scan.previousResponseId,
    body: edits === null ? body : spliceBody(body, scan, edits),
  };
}

/** The path names the model; a JSON object that names one too must mean the same, and then says what the engine knows. */
function readPathBody(body: Buffer, name: ResolvedName, names: NameResolver): ReadBody {
  if (!beginsObject(body)) return unread(body);
  const scan = scanBody(body);
  if (scan.kind === 'fault') {
    // A `model` that is no string names nothing: the engine says so, or does without.
    return scan.refusal.code === 'model_not_string' ? unread(body) : scan;
  }
  const written = scan.model;
  let used = name;
  if (written !== null && written !== name.servedName) {
    const resolved = names.resolve(written);
    if (resolved.kind === 'fault' || !isSame(name, resolved)) {
      const model = name.isAdapter ? name.servedName : name.model;
      return {
        kind: 'fault',
        refusal: { code: 'model_conflict', parameters: { model, other: echo(written) } },
      };
    }
    if (resolved.isAdapter) used = resolved;
  }
  const renames = written !== null && written !== used.servedName;
  const edits = used.edits ?? (renames ? prepareEdits({ model: used.servedName }) : null);
  return {
    kind: 'ok',
    model: null,
    stream: scan.stream,
    background: scan.background,
    previousResponseId: scan.previousResponseId,
    body: edits === null ? body : spliceBody(body, scan, edits),
  };
}

/** A model's path serves its adapters too, as the engine behind it does; an adapter's path serves that one alone. */
function isSame(named: ResolvedName, written: ResolvedName): boolean {
  return written.model === named.model && (!named.isAdapter || written.servedName === named.servedName);
}

function beginsObject(body: Buffer): boolean {
  const reader = new JsonReader(body);
  reader.skipWhitespace();
  return reader.peek() === OPEN;
}

function echo(name: string): string {
  return (name.length > ECHO_CHARS_MAX ? `${name.slice(0, ECHO_CHARS_MAX)}…` : name).toWellFormed();
}

function queryModel(target: string): string | null {
  const at = target.indexOf('?');
  const name = at < 0 ? null : new URLSearchParams(target.slice(at)).get('model');
  return name === '' ? null : name;
}
