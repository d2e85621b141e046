/** Which model a WebSocket is for, and on which path its engine serves it. */
import type { Refusal } from '../core/errors.ts';
import type { ModelName } from '../core/ids.ts';
import { modelOfHead } from './model-request.ts';
import type { NameResolver } from './names.ts';
import type { RequestHead } from './request-checks.ts';
import { matchRoute, type Route } from './routes.ts';

/** vLLM's and OpenAI's own WebSocket; other paths are the engine's to know. */
const REALTIME_PATH = '/v1/realtime';

export interface WebSocketTarget {
  /** For the caller's check, the label and the dialect. */
  readonly route: Route;
  readonly model:
    | { readonly kind: 'ok'; readonly model: ModelName; readonly upstreamTarget: string }
    | { readonly kind: 'fault'; readonly refusal: Refusal };
}

export function webSocketTarget(head: RequestHead, names: NameResolver): WebSocketTarget {
  const { target } = head;
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  if (path === REALTIME_PATH) return realtime(head, names);
  const route = matchRoute(head, names);
  switch (route.kind) {
    case 'fault':
      return { route, model: { kind: 'fault', refusal: route.refusal } };
    case 'options':
    case 'own': {
      const detail = `${route.label} is no WebSocket`;
      return {
        route,
        model: { kind: 'fault', refusal: { code: 'request_malformed', parameters: { detail } } },
      };
    }
    case 'model':
    case 'engine_path': {
      const choice = modelOfHead(head, route, names);
      const { upstreamTarget } = route;
      return {
        route,
        model: choice.kind === 'fault' ? choice : { kind: 'ok', model: choice.model, upstreamTarget },
      };
    }
  }
}

/** The query or the header names the model; without either the default model serves, if there is one. */
function realtime(head: RequestHead, names: NameResolver): WebSocketTarget {
  const { target } = head;
  const route: Route = {
    kind: 'model',
    label: REALTIME_PATH,
    upstreamTarget: target,
    bodyRule: 'none',
    dialect: 'openai',
    modelName: null,
    responseId: null,
  };
  const named = modelOfHead(head, route, names);
  const isUnnamed = named.kind === 'fault' && named.refusal.code === 'model_unnamed';
  const byDefault = isUnnamed ? names.resolve(null) : null;
  const choice = byDefault?.kind === 'ok' ? byDefault : named;
  return {
    route,
    model: choice.kind === 'fault' ? choice : { kind: 'ok', model: choice.model, upstreamTarget: target },
  };
}
