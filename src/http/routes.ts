/**
 * From method and target to what is to be done: the table (route-table.ts), and the rules for everything else.
 * docs/routes.md shows both to users and is tested against them.
 *
 * 1. A path that changes an engine is refused in whatever spelling (forbidden-paths.ts), also beneath `/engines/`.
 * 2. Known paths are found by one look-up; everything else takes the slower, stricter way.
 * 3. OPTIONS reaches no engine: it is a question about the route, and the gateway knows its routes.
 */

import type { Refusal } from '../core/errors.ts';
import { clipped } from './clipped.ts';
import type { Dialect } from './error-body.ts';
import { isForbiddenPath, pathFlaw } from './forbidden-paths.ts';
import type { NameResolver, ResolvedName } from './names.ts';
import { ONE_RESPONSE, responseIdOfPath } from './response-path.ts';
import {
  ENGINE_ALLOWED,
  ENGINE_METHODS,
  MODEL_ALLOWED,
  MODEL_ROUTES,
  type ModelRoute,
  OWN_ALLOWED,
  OWN_ROUTES,
  type OwnRoute,
  READING_METHODS,
} from './route-table.ts';

/**
 * How the body is treated: `json` is scanned for its model, `multipart` is read until its model is known, `any` passes
 * as it is, `none`: there is no body.
 */
export type BodyRule = 'json' | 'multipart' | 'any' | 'none';

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
      /** The stored response that it is about, whose engine is meant; null: none. */
      readonly responseId: string | null;
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
  | {
      readonly kind: 'options';
      readonly label: 'options';
      /** Methods of the path, as `Allow` says them. */
      readonly allowed: string;
      readonly dialect: Dialect;
    }
  | { readonly kind: 'fault'; readonly label: string; readonly refusal: Refusal; readonly dialect: Dialect };

export interface RouteRequest {
  readonly method: string;
  /** Origin form, as `checkHead` gives it, or `*` for OPTIONS. */
  readonly target: string;
  readonly contentType: string | null;
  readonly modelHeader: string | null;
}

/** What may follow a path: a longer one, or a query in a target that was not split yet. */
const AFTER_ROOT: ReadonlySet<string> = new Set(['/', '?']);
const ENGINES_PREFIX = '/engines/';
const MODELS_PREFIX = '/v1/models/';
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
  if (method === 'OPTIONS') return matchOptions(path, plain, names, dialect);
  const own = OWN_ROUTES.get(plain);
  if (own !== undefined) return ownRoute(own, plain, '', method);
  if (plain.startsWith(MODELS_PREFIX) && READING_METHODS.has(method)) {
    return ownRoute('model', `${MODELS_PREFIX}{id}`, plain.slice(MODELS_PREFIX.length), method);
  }
  if (path.startsWith(ENGINES_PREFIX)) return enginePath(request, path, query, names);
  if (isForbiddenPath(path, method)) return forbidden(path, dialect);
  if (plain.startsWith(MODELS_PREFIX)) return wrongMethod(method, plain, OWN_ALLOWED, dialect);
  if (isReserved(plain)) return notFound(method, path, dialect);
  const known = MODEL_ROUTES.get(plain);
  if (known !== undefined) {
    if (method !== 'POST') return wrongMethod(method, plain, MODEL_ALLOWED, dialect);
    return modelRoute(known, plain, plain + query);
  }
  const responseId = responseIdOfPath(method, plain);
  if (responseId !== null) {
    const bodyRule = READING_METHODS.has(method) ? 'none' : 'any';
    const upstreamTarget = plain + query;
    return {
      kind: 'model',
      label: ONE_RESPONSE,
      upstreamTarget,
      bodyRule,
      dialect,
      modelName: null,
      responseId,
    };
  }
  return otherPath(request, path, query, dialect);
}

/** What may be asked of a path. A name in it need not exist: what follows it is the engine's all the same. */
function matchOptions(path: string, plain: string, names: NameResolver, dialect: Dialect): Route {
  const options = (allowed: string): Route => ({ kind: 'options', label: 'options', allowed, dialect });
  if (plain === '*') return options(ENGINE_ALLOWED);
  if (OWN_ROUTES.has(plain) || plain.startsWith(MODELS_PREFIX)) return options(OWN_ALLOWED);
  const beneath = path.startsWith(ENGINES_PREFIX) ? path.slice(ENGINES_PREFIX.length) : null;
  const asked = beneath === null ? path : (names.splitPath(beneath)?.rest ?? beneath);
  if (isForbiddenPath(asked, 'GET')) return forbidden(path, dialect);
  if (beneath === null && isReserved(plain)) return notFound('OPTIONS', path, dialect);
  return options(MODEL_ROUTES.has(plain) ? MODEL_ALLOWED : ENGINE_ALLOWED);
}

/** Paths that are ours to name, whatever engines have. */
function isReserved(plain: string): boolean {
  return plain.startsWith('/gateway/') || plain.startsWith(ENGINES_PREFIX) || plain === '/';
}

function modelRoute(route: ModelRoute, label: string, upstreamTarget: string): Route {
  const { bodyRule, dialect } = route;
  return { kind: 'model', label, upstreamTarget, bodyRule, dialect, modelName: null, responseId: null };
}

/** POST paths that are not in the table carry a model in their body; other methods need it in the head. */
function otherPath(request: RouteRequest, path: string, query: string, dialect: Dialect): Route {
  const { method } = request;
  const base = { kind: 'model', label: 'other', upstreamTarget: path + query, dialect } as const;
  if (method === 'POST') {
    const isMultipart = request.contentType?.toLowerCase().startsWith('multipart/form-data') === true;
    return { ...base, bodyRule: isMultipart ? 'multipart' : 'json', modelName: null, responseId: null };
  }
  const modelName = request.modelHeader ?? new URLSearchParams(query).get('model');
  if (modelName === null || modelName === '' || !ENGINE_METHODS.has(method)) {
    return notFound(method, path, dialect);
  }
  return { ...base, bodyRule: READING_METHODS.has(method) ? 'none' : 'any', modelName, responseId: null };
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
    return wrongMethod(method, path, ENGINE_ALLOWED, dialect);
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
  const parameters = { method, path: clipped(path, ECHO_CHARS_MAX), allowed };
  return fault({ code: 'method_not_allowed', parameters, headers: { allow: allowed } }, dialect);
}

function notFound(method: string, path: string, dialect: Dialect): Route {
  return fault(
    { code: 'route_not_found', parameters: { method, path: clipped(path, ECHO_CHARS_MAX) } },
    dialect,
  );
}

function forbidden(path: string, dialect: Dialect): Route {
  return fault({ code: 'route_forbidden', parameters: { path: clipped(path, ECHO_CHARS_MAX) } }, dialect);
}

function fault(refusal: Refusal, dialect: Dialect): Route {
  return { kind: 'fault', label: 'none', refusal, dialect };
}

function decodePath(path: string): string | null {
  if (!path.includes('%')) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return null;
  }
}
