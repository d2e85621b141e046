/**
 * The routes that have names of their own: what the gateway answers itself, and every route of vLLM that asks a model
 * something. docs/routes.md lists them and is tested against this table. Everything else of an engine is reached by
 * rules (routes.ts), under one label.
 */
import type { Dialect } from './error-body.ts';

export interface ModelRoute {
  /** `json`: the body is scanned for its model; `multipart`: it is read until its model is known. */
  readonly bodyRule: 'json' | 'multipart';
  readonly dialect: Dialect;
}

export type OwnRoute = 'models' | 'model' | 'health' | 'ready' | 'metrics' | 'status';

const json: ModelRoute = { bodyRule: 'json', dialect: 'openai' };
const multipart: ModelRoute = { bodyRule: 'multipart', dialect: 'openai' };
const responses: ModelRoute = { bodyRule: 'json', dialect: 'responses' };
const messages: ModelRoute = { bodyRule: 'json', dialect: 'anthropic' };

/** POST routes by path, each of which is a label of metrics. */
export const MODEL_ROUTES: ReadonlyMap<string, ModelRoute> = new Map([
  // Generation.
  ['/v1/chat/completions', json],
  ['/v1/chat/completions/batch', json],
  ['/v1/completions', json],
  ['/v1/responses', responses],
  ['/v1/messages', messages],
  ['/v1/messages/count_tokens', messages],
  ['/cohere/v2/chat', json],
  ['/generative_scoring', json],
  ['/v1/systemone', json],
  // Pooling.
  ['/v1/embeddings', json],
  ['/v2/embed', json],
  ['/pooling', json],
  ['/classify', json],
  ['/score', json],
  ['/v1/score', json],
  ['/rerank', json],
  ['/v1/rerank', json],
  ['/v2/rerank', json],
  // Tokens.
  ['/tokenize', json],
  ['/detokenize', json],
  // SageMaker's one path for all of them.
  ['/invocations', json],
  // Parts of a request, for fleets that render and generate apart.
  ['/v1/chat/completions/render', json],
  ['/v1/chat/completions/derender', json],
  ['/v1/completions/render', json],
  ['/v1/completions/derender', json],
  ['/v1/responses/render', responses],
  ['/v1/messages/render', messages],
  ['/inference/v1/generate', json],
  // Speech.
  ['/v1/audio/transcriptions', multipart],
  ['/v1/audio/translations', multipart],
  ['/v1/audio/speech', json],
  // Routes of other servers.
  ['/v1/moderations', json],
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

export const READING_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);
/** What may be sent to an engine; OPTIONS is answered before it gets there. */
export const ENGINE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** Values of `Allow`. */
export const OWN_ALLOWED = 'GET, HEAD, OPTIONS';
export const MODEL_ALLOWED = 'POST, OPTIONS';
export const ENGINE_ALLOWED = `${[...ENGINE_METHODS].join(', ')}, OPTIONS`;
