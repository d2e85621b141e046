/** Routes matched without a configuration, for the tests of `routes.ts`. */
import assert from 'node:assert/strict';
import { createNameResolver, type NameResolver } from './names.ts';
import { matchRoute, type Route, type RouteRequest } from './routes.ts';

/** Names for the routes alone: no model needs a configuration here. */
function namesOf(...known: string[]): NameResolver {
  const none = createNameResolver({ models: new Map(), aliases: [], defaultModel: null });
  const named = known.map((model) => {
    return {
      kind: 'ok',
      model,
      servedName: model,
      isAdapter: false,
      requestDefaults: {},
      edits: null,
    } as const;
  });
  return {
    ...none,
    splitPath(rawPath) {
      const path = rawPath.replaceAll(/%2f/gi, '/');
      const name = named.find((entry) => path === entry.model || path.startsWith(`${entry.model}/`));
      return name === undefined ? null : { name, rest: path.slice(name.model.length) };
    },
  };
}

const names = namesOf('org/m', 'm', 'org/resume');

export function match(method: string, target: string, more: Partial<RouteRequest> = {}): Route {
  return matchRoute({ method, target, contentType: 'application/json', modelHeader: null, ...more }, names);
}

export function refusal(method: string, target: string) {
  const route = match(method, target);
  assert(route.kind === 'fault', `${method} ${target} was matched as ${route.kind}`);
  return { code: route.refusal.code, dialect: route.dialect, allow: route.refusal.headers?.allow };
}

export function codeOf(method: string, target: string): string {
  return refusal(method, target).code;
}
