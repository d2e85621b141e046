/**
 * The route table of the public address: from method and target to what is to be done. docs/routes.md shows it to users
 * and is tested against it.
 *
 * 1. A path that changes an engine is refused in whatever spelling (forbidden-paths.ts), also beneath `/engines/`.
 * 2. Known paths are found by one look-up; everything else takes the slower, stricter way.
 */
import type { Refusal } from '../core/errors.ts';
import type { Dialect } from './error-body.ts';
import { isForbiddenPath, pathFlaw } from './forbidden-paths.ts';
import type { NameResolver, ResolvedName } from './names.ts';

/**
 * How the body is treated: `json` is scanned for its model, `multipart` is read until its model is known, `any` passes
 * as it is, `none`: there is no body.
 */
export type BodyRule = 'json' | 'multipart' | 'any' | 'none';

export type OwnRoute = 'models' | 'model' | 'health' | 'ready' | 'metrics' | 'status';

export type Route =
  | {
      /** The request names its model itself: in its body, or in `modelName` for rules without a readable body. */
      readonly kind: 'model';
      /** For metrics: a path of the table, or `other`. */
      readonly label: string;
      /** Path and query for the engine. */
      readonly upstreamTarget: string;
      readonly bodyRule: BodyRule;
      readonly dialect: Dialect;
      /** From `X-Model` or `?model=`, for `any` and `none` only; null otherwise. */
      readonly modelName: string | null;
    }
  | {
      readonly kind: 'engine_path';
      readonly label: '/engines';
      readonly name: ResolvedName;
      readonly upstreamTarget: string;
      readonly bodyRule: 'any' | 'none';
      readonly dialect: Dialect;
    }
  | {
      readonly kind: 'own';
      readonly label: string;
      readonly route: OwnRoute;
      /** For `model` only: the decoded id. */
      readonly modelId: string;
      readonly dialect: Dialect;
    }
  | { readonly kind: 'fault'; readonly label: string; readonly refusal: Refusal; readonly dialect: Dialect };

export interface RouteRequest {
  readonly method: string;
  /** Origin form, as `checkHead` gives it. */
  readonly target: string;
  readonly contentType: string | null;
  readonly modelHeader: string | null;
}

interface ModelRoute {
  readonly bodyRule: 'json' | 'multipart';
  readonly dialect: Dialect;
}

const json: ModelRoute = { bodyRule: 'json', dialect: 'openai' };
const multipart: ModelRoute = { bodyRule: 'multipart', dialect: 'openai' };
const responses: ModelRoute = { bodyRule: 'json', dialect: 'responses' };
const messages: ModelRoute = { bodyRule: 'json', dialect: 'anthropic' };

/** POST routes with names of their own in metrics. All other POST paths are served by the same rules. */
export const MODEL_ROUTES: ReadonlyMap<string, ModelRoute> = new Map([
  ['/v1/chat/completions', json],
  ['/v1/completions', json],
  ['/v1/embeddings', json],
  ['/v1/responses', responses],
  ['/v1/messages', messages],
  ['/v1/messages/count_tokens', messages],
  ['/v1/rerank', json],
  ['/v1/score', json],
  ['/v1/moderations', json],
  ['/v1/audio/speech', json],
  ['/v1/audio/transcriptions', multipart],
  ['/v1/audio/translations', multipart],
  ['/v1/images/generations', json],
  ['/v1/images/edits', multipart],
  ['/v1/images/variations', multipart],
]);

/** GET and HEAD routes that the gateway answers itself; `/v1/models/{id}` is matched by its prefix. */
export const OWN_ROUTES: ReadonlyMap<string, OwnRoute> = new Map([
  ['/v1/models', 'models'],
  ['/health', 'health'],
  ['/ready', 'ready'],
  ['/metrics', 'metrics'],
  ['/gateway/status', 'status'],
]);

/** What may follow a path: a longer one, or a query in a target that was not split yet. */
const AFTER_ROOT: ReadonlySet<string> = new Set(['/', '?']);
const ENGINES_PREFIX = '/engines/';
const MODELS_PREFIX = '/v1/models/';
const READING_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);
const ENGINE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
const OWN_ALLOWED = 'GET, HEAD';
/** What of a path an error repeats. */
const ECHO_CHARS_MAX = 200;

/** Decides what a request is. Never throws. */
export function matchRoute(request: RouteRequest, names: NameResolver): Route {
  const { method, target } = request;
  const queryAt = target.indexOf('?');
  const path = queryAt < 0 ? target : target.slice(0, queryAt);
  if (method === 'POST') {
    const known = MODEL_ROUTES.get(path);
    if (known !== undefined) return modelRoute(known, path, target);
  }
  const query = queryAt < 0 ? '' : target.slice(queryAt);
  return matchSlowly(request, path, query, names);
}

function matchSlowly(request: RouteRequest, path: string, query: string, names: NameResolver): Route {
  const { method } = request;
  const decoded = decodePath(path);
  const dialect = dialectOf(decoded ?? path);
  const flaw = decoded === null ? 'the path holds a bad percent escape' : pathFlaw(path);
  if (decoded === null || flaw !== null) {
    if (isForbiddenPath(path, method)) return forbidden(path, dialect);
    return fault({ code: 'request_malformed', parameters: { detail: flaw ?? '' } }, dialect);
  }
  const plain = decoded.length > 1 && decoded.endsWith('/') ? decoded.slice(0, -1) : decoded;
  const own = OWN_ROUTES.get(plain);
  if (own !== undefined) return ownRoute(own, plain, '', method);
  if (plain.startsWith(MODELS_PREFIX) && READING_METHODS.has(method)) {
    return ownRoute('model', `${MODELS_PREFIX}{id}`, plain.slice(MODELS_PREFIX.length), method);
  }
  if (path.startsWith(ENGINES_PREFIX)) return enginePath(request, path, query, names);
  if (isForbiddenPath(path, method)) return forbidden(path, dialect);
  if (plain.startsWith(MODELS_PREFIX)) return wrongMethod(method, plain, OWN_ALLOWED, dialect);
  if (plain.startsWith('/gateway/') || plain.startsWith(ENGINES_PREFIX) || plain === '/') {
    return notFound(method, path, dialect);
  }
  const known = MODEL_ROUTES.get(plain);
  if (known !== undefined) {
    if (method !== 'POST') return wrongMethod(method, plain, 'POST', dialect);
    return modelRoute(known, plain, plain + query);
  }
  return otherPath(request, path, query, dialect);
}

function modelRoute(route: ModelRoute, label: string, upstreamTarget: string): Route {
  const { bodyRule, dialect } = route;
  return { kind: 'model', label, upstreamTarget, bodyRule, dialect, modelName: null };
}

/** POST paths that are not in the table carry a model in their body; other methods need it in the head. */
function otherPath(request: RouteRequest, path: string, query: string, dialect: Dialect): Route {
  const { method } = request;
  const base = { kind: 'model', label: 'other', upstreamTarget: path + query, dialect } as const;
  if (method === 'POST') {
    const isMultipart = request.contentType?.toLowerCase().startsWith('multipart/form-data') === true;
    return { ...base, bodyRule: isMultipart ? 'multipart' : 'json', modelName: null };
  }
  const modelName = request.modelHeader ?? new URLSearchParams(query).get('model');
  if (modelName === null || modelName === '' || !ENGINE_METHODS.has(method)) {
    return notFound(method, path, dialect);
  }
  return { ...base, bodyRule: READING_METHODS.has(method) ? 'none' : 'any', modelName };
}

function enginePath(request: RouteRequest, path: string, query: string, names: NameResolver): Route {
  const { method } = request;
  const beneath = path.slice(ENGINES_PREFIX.length);
  const split = names.splitPath(beneath);
  if (split === null) {
    if (isForbiddenPath(beneath, method)) return forbidden(path, 'openai');
    if (beneath === '') return notFound(method, path, 'openai');
    const end = unknownNameEnd(beneath);
    const unknown = beneath.slice(0, end);
    return fault(names.unknown(decodePath(unknown) ?? unknown), dialectOf(beneath.slice(end)));
  }
  const { name, rest } = split;
  const dialect = dialectOf(decodePath(rest) ?? rest);
  if (isForbiddenPath(rest, method)) return forbidden(path, dialect);
  if (!ENGINE_METHODS.has(method)) {
    return wrongMethod(method, path, [...ENGINE_METHODS].join(', '), dialect);
  }
  return {
    kind: 'engine_path',
    label: '/engines',
    name,
    upstreamTarget: (rest === '' ? '/' : rest) + query,
    bodyRule: READING_METHODS.has(method) ? 'none' : 'any',
    dialect,
  };
}

/** Where the name probably ends that the client meant: before `/v1`, else after the first segment. */
function unknownNameEnd(beneath: string): number {
  const version = beneath.search(/\/v\d+(\/|$)/);
  if (version > 0) return version;
  const slash = beneath.indexOf('/');
  return slash < 0 ? beneath.length : slash;
}

/** Errors on Anthropic's and the Responses routes are written as their clients read them. */
export function dialectOf(decodedPath: string): Dialect {
  if (isAtOrBeneath(decodedPath, '/v1/messages')) return 'anthropic';
  return isAtOrBeneath(decodedPath, '/v1/responses') ? 'responses' : 'openai';
}

function isAtOrBeneath(path: string, root: string): boolean {
  return path.startsWith(root) && (path.length === root.length || AFTER_ROOT.has(path[root.length] ?? ''));
}

function ownRoute(route: OwnRoute, label: string, modelId: string, method: string): Route {
  if (!READING_METHODS.has(method)) return wrongMethod(method, label, OWN_ALLOWED, 'openai');
  return { kind: 'own', label, route, modelId, dialect: 'openai' };
}

function wrongMethod(method: string, path: string, allowed: string, dialect: Dialect): Route {
  const parameters = { method, path: clip(path), allowed };
  return fault({ code: 'method_not_allowed', parameters, headers: { allow: allowed } }, dialect);
}

function notFound(method: string, path: string, dialect: Dialect): Route {
  return fault({ code: 'route_not_found', parameters: { method, path: clip(path) } }, dialect);
}

function forbidden(path: string, dialect: Dialect): Route {
  return fault({ code: 'route_forbidden', parameters: { path: clip(path) } }, dialect);
}

function fault(refusal: Refusal, dialect: Dialect): Route {
  return { kind: 'fault', label: 'none', refusal, dialect };
}

function clip(text: string): string {
  return text.length > ECHO_CHARS_MAX ? `${text.slice(0, ECHO_CHARS_MAX)}…` : text;
}

function decodePath(path: string): string | null {
  if (!path.includes('%')) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return null;
  }
}
