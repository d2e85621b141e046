/** The routes that the gateway answers itself. What they show comes through `FrontData`; nothing here knows of engines. */
import type { Refusal } from '../core/errors.ts';
import { errorBody } from './error-body.ts';
import type { NameResolver } from './names.ts';
import type { OwnRoute } from './route-table.ts';

/** One model in the lists of /v1/models. */
export interface ModelCard {
  readonly id: string;
  /** Seconds since 1970, as OpenAI's field. */
  readonly createdS: number;
  readonly ownedBy: string;
  /** The model that an adapter belongs to; null for models. */
  readonly parent: string | null;
  readonly state: string;
  /** Null while nobody knows it. */
  readonly contextLength: number | null;
}

/** What the gateway's own routes show; asked anew for each request. */
export interface FrontData {
  models(): readonly ModelCard[];
  /** Configuration and devices are read, and nobody asked us to end. */
  ready(): boolean;
  /** Prometheus text format. */
  metricsText(): Promise<string>;
  /** The object of /gateway/status. */
  status(): object;
}

export interface OwnAnswer {
  readonly status: number;
  readonly headers: string[];
  readonly body: Buffer;
}

const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Open also where keys are needed: probes carry none, and these two tell nothing. */
export function needsKey(route: OwnRoute): boolean {
  return route !== 'health' && route !== 'ready';
}

/** Answers a route; the promise of `metrics` rejects only when `metricsText` does. */
export function ownAnswer(
  route: OwnRoute,
  modelId: string,
  data: FrontData,
  names: NameResolver,
  requestId: string,
): OwnAnswer | Promise<OwnAnswer> {
  switch (route) {
    case 'health':
      return jsonAnswer(200, { status: 'ok' }, requestId);
    case 'ready': {
      const ready = data.ready();
      return jsonAnswer(ready ? 200 : 503, { status: ready ? 'ready' : 'not_ready' }, requestId);
    }
    case 'models':
      return jsonAnswer(200, { object: 'list', data: data.models().map(cardObject) }, requestId);
    case 'model': {
      const card = data.models().find(({ id }) => id === modelId);
      if (card === undefined) return refusalAnswer(names.unknown(modelId), requestId);
      return jsonAnswer(200, cardObject(card), requestId);
    }
    case 'status':
      return jsonAnswer(200, data.status(), requestId);
    case 'metrics':
      return data.metricsText().then((text) => answer(200, METRICS_TYPE, text, requestId));
  }
}

/** Answers OPTIONS: `allowed` as in `Allow`, `more` a flat list of further headers. */
export function optionsAnswer(allowed: string, more: readonly string[], requestId: string): OwnAnswer {
  return {
    status: 204,
    headers: ['allow', allowed, 'x-request-id', requestId, ...more],
    body: Buffer.alloc(0),
  };
}

function cardObject(card: ModelCard): object {
  return {
    id: card.id,
    object: 'model',
    created: card.createdS,
    owned_by: card.ownedBy,
    parent: card.parent,
    state: card.state,
    // vLLM's own name for it, which its clients read.
    max_model_len: card.contextLength,
    context_length: card.contextLength,
  };
}

function jsonAnswer(status: number, value: object, requestId: string): OwnAnswer {
  return answer(status, 'application/json', JSON.stringify(value), requestId);
}

function refusalAnswer(refusal: Refusal, requestId: string): OwnAnswer {
  return errorBody(refusal, { dialect: 'openai', requestId });
}

function answer(status: number, contentType: string, text: string, requestId: string): OwnAnswer {
  const body = Buffer.from(text);
  const headers = ['content-type', contentType, 'content-length', String(body.length)];
  headers.push('cache-control', 'no-store', 'x-request-id', requestId);
  return { status, headers, body };
}
