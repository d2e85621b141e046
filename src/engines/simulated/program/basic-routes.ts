/** Routes that every server has: health, models, version, load, metrics, tokenizer. */
import { SIMULATED_VERSION, type SimContext } from './context.ts';
import {
  ApiError,
  type Exchange,
  type JsonObject,
  newId,
  sendEmpty,
  sendJson,
  sendText,
} from './exchange.ts';
import { chatPrompt } from './openai-routes.ts';
import { checkPromptLength, resolveModel } from './sampling.ts';
import { checkFields } from './validation.ts';

export function health(context: SimContext, exchange: Exchange): void {
  const ready = !context.life.dead && performance.now() >= context.life.healthyFromMs;
  sendEmpty(exchange, ready ? 200 : 503);
}

export function version(_context: SimContext, exchange: Exchange): void {
  sendJson(exchange, 200, { version: SIMULATED_VERSION });
}

export function load(context: SimContext, exchange: Exchange): void {
  const { running, waiting } = context.generation.counts();
  sendJson(exchange, 200, { server_load: context.options.trackServerLoad ? running + waiting : 0 });
}

export function metricsPage(context: SimContext, exchange: Exchange): void {
  sendText(exchange, 200, context.metrics.render(context), 'text/plain; version=1.0.0; charset=utf-8');
}

export function models(context: SimContext, exchange: Exchange): void {
  const { options } = context;
  const card = (id: string, root: string, parent: string | null, maxModelLen: number | null): JsonObject => ({
    id,
    object: 'model',
    created: Math.floor(Date.now() / 1000),
    owned_by: 'vllm',
    root,
    parent,
    max_model_len: maxModelLen,
    permission: [
      {
        id: `modelperm-${newId()}`,
        object: 'model_permission',
        created: Math.floor(Date.now() / 1000),
        allow_create_engine: false,
        allow_sampling: true,
        allow_logprobs: true,
        allow_search_indices: false,
        allow_view: true,
        allow_fine_tuning: false,
        organization: '*',
        group: null,
        is_blocking: false,
      },
    ],
  });
  const base = options.servedNames.map((name) => card(name, options.model, null, context.maxModelLen));
  const adapters = [...context.loras].map(([name, path]) => card(name, path, options.servedNames[0], null));
  sendJson(exchange, 200, { object: 'list', data: [...base, ...adapters] });
}

export function tokenize(context: SimContext, exchange: Exchange, body: JsonObject): void {
  checkFields(body, { model: 'string', prompt: 'string', messages: 'list' });
  resolveModel(context, body);
  const prompt = body['prompt'];
  const text = typeof prompt === 'string' ? prompt : chatPrompt(body['messages']).text;
  const tokens = context.vocabulary.encode(text);
  checkPromptLength(context, tokens.length);
  const strings = body['return_token_strs'] === true ? tokens.map(context.vocabulary.pieceOf) : null;
  sendJson(exchange, 200, {
    count: tokens.length,
    max_model_len: context.maxModelLen,
    tokens,
    token_strs: strings,
  });
}

export function detokenize(context: SimContext, exchange: Exchange, body: JsonObject): void {
  checkFields(body, { model: 'string', tokens: 'list' }, ['tokens']);
  resolveModel(context, body);
  const tokens = (body['tokens'] as readonly unknown[]).map(Number);
  sendJson(exchange, 200, { prompt: context.vocabulary.decode(tokens) });
}

export function tokenizerInfo(_context: SimContext, exchange: Exchange): void {
  sendJson(exchange, 200, { tokenizer_class: 'PreTrainedTokenizerFast' });
}

/** Scale-out routes exist on every server, and are forbidden without their flag. */
export function scaleOutOnly(): void {
  throw new ApiError(
    403,
    'PermissionDeniedError',
    'Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to enable them.',
  );
}
