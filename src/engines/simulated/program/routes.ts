/** The route table: which paths exist depends on the model's task, flags and environment, as it does in vLLM. */
import { transcriptions, translations } from './audio-routes.ts';
import {
  detokenize,
  health,
  load,
  metricsPage,
  models,
  scaleOutOnly,
  tokenize,
  tokenizerInfo,
  version,
} from './basic-routes.ts';
import type { SimContext } from './context.ts';
import { DEVELOPMENT_ROUTES, lorasRoutes } from './development-routes.ts';
import { badRequest, type Exchange, type JsonObject, sendJson, sendText } from './exchange.ts';
import { countMessageTokens, messages } from './messages-routes.ts';
import { batchCompletions, chatCompletions, completions } from './openai-routes.ts';
import { classify, cohereEmbed, embeddings, pooling, rerank, score } from './pooling-routes.ts';
import { responses } from './responses-routes.ts';
import { type BodyHandler, get, post, postBytes, postJson, type Route } from './route.ts';
import { generativeScoring, structuredDecision } from './scoring-routes.ts';
import { cancelResponse, getResponse } from './stored-responses.ts';

/** All routes of this server, in the order of its log. A segment in braces matches anything but a slash. */
export function routesOf(context: SimContext): readonly Route[] {
  const { options } = context;
  const routes: Route[] = [];
  if (!options.disableDocs) routes.push(...DOCS);
  routes.push(
    get('/load', load),
    get('/version', version),
    get('/health', health),
    get('/metrics', metricsPage),
    get('/ping', health),
    post('/ping', health),
    get('/v1/models', models),
    postJson('/tokenize', tokenize),
    postJson('/detokenize', detokenize),
  );
  if (options.tokenizerInfo) routes.push(get('/tokenizer_info', tokenizerInfo));
  if (options.environment.developmentMode) routes.push(...DEVELOPMENT_ROUTES);
  if (options.environment.runtimeLora) routes.push(...lorasRoutes());
  if (options.sim.task === 'generate') routes.push(...GENERATING);
  else if (options.sim.task === 'transcription') routes.push(...HEARING);
  else routes.push(...poolingRoutes(options.sim.task));
  routes.push(postJson('/invocations', invocations), get('/kv_event_sources', kvEventSources));
  if (!options.scaleOut) routes.push(...SCALE_OUT);
  return routes;
}

const DOCS: readonly Route[] = ['/openapi.json', '/docs', '/redoc'].map((path) =>
  get(path, (_context, exchange) => sendText(exchange, 200, '<html></html>', 'text/html; charset=utf-8')),
);

const GENERATING: readonly Route[] = [
  postJson('/v1/chat/completions', chatCompletions),
  postJson('/v1/chat/completions/batch', batchCompletions),
  postJson('/v1/completions', completions),
  postJson('/v1/responses', responses),
  get('/v1/responses/{id}', getResponse),
  post('/v1/responses/{id}/cancel', cancelResponse),
  postJson('/v1/messages', messages),
  postJson('/v1/messages/count_tokens', countMessageTokens),
  postJson('/generative_scoring', generativeScoring),
  postJson('/v1/systemone', structuredDecision),
];

const HEARING: readonly Route[] = [
  postBytes('/v1/audio/transcriptions', transcriptions),
  postBytes('/v1/audio/translations', translations),
];

/** SageMaker's one path: the body's shape says which route is meant. */
async function invocations(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  const routes = routesOf(context);
  const has = (path: string): boolean => routes.some((route) => route.path === path);
  for (const [key, path, handle] of INVOCATIONS) {
    if (body[key] !== undefined && has(path)) return handle(context, exchange, body);
  }
  throw badRequest(
    `Cannot find suitable handler for request. Expected one of: ${INVOCATIONS.map(([key]) => key).join(', ')}`,
  );
}

const INVOCATIONS: readonly (readonly [string, string, BodyHandler])[] = [
  ['messages', '/v1/chat/completions', chatCompletions],
  ['prompt', '/v1/completions', completions],
  ['input', '/v1/embeddings', embeddings],
  ['query', '/rerank', rerank],
  ['text_1', '/score', score],
  ['input', '/classify', classify],
];

function kvEventSources(_context: SimContext, exchange: Exchange): void {
  sendJson(exchange, 200, {});
}

const SCALE_OUT: readonly Route[] = [
  '/v1/chat/completions/render',
  '/v1/chat/completions/derender',
  '/v1/completions/render',
  '/v1/completions/derender',
  '/v1/messages/render',
  '/v1/responses/render',
  '/inference/v1/generate',
  '/inference/v1/abort_requests',
].map((path) => post(path, scaleOutOnly));

function poolingRoutes(task: 'embed' | 'classify'): readonly Route[] {
  const own =
    task === 'embed'
      ? [postJson('/v1/embeddings', embeddings), postJson('/v2/embed', cohereEmbed)]
      : [postJson('/classify', classify)];
  return [
    postJson('/pooling', pooling),
    ...own,
    ...['/score', '/v1/score'].map((path) => postJson(path, score)),
    ...['/rerank', '/v1/rerank', '/v2/rerank'].map((path) => postJson(path, rerank)),
  ];
}

export type Match =
  | { readonly kind: 'route'; readonly route: Route }
  | { readonly kind: 'wrong_method'; readonly allowed: readonly string[] }
  | { readonly kind: 'not_found' };

export function matchRoute(routes: readonly Route[], method: string, path: string): Match {
  const allowed: string[] = [];
  for (const route of routes) {
    if (!matchesPath(route.path, path)) continue;
    if (route.method === method) return { kind: 'route', route };
    allowed.push(route.method);
  }
  return allowed.length > 0 ? { kind: 'wrong_method', allowed } : { kind: 'not_found' };
}

function matchesPath(pattern: string, path: string): boolean {
  if (!pattern.includes('{')) return pattern === path;
  const wanted = pattern.split('/');
  const found = path.split('/');
  return (
    wanted.length === found.length &&
    wanted.every((segment, at) => (segment.startsWith('{') ? found[at] !== '' : segment === found[at]))
  );
}
