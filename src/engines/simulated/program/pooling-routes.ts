/** Routes of pooling models: embeddings, scores, classes. */
import type { SimContext } from './context.ts';
import { ApiError, badRequest, type Exchange, type JsonObject, sendJson } from './exchange.ts';
import { chatPrompt, nowS } from './openai-routes.ts';
import { checkPromptLength, engineDead, findModel, usageOf } from './sampling.ts';
import { countTokens, embed } from './text.ts';
import { checkFields, numberOf } from './validation.ts';

export async function embeddings(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  checkFields(body, { model: 'string', encoding_format: 'string', dimensions: 'integer' });
  const model = poolingModel(context, body);
  const inputs = inputTexts(context, body);
  const tokens = await encode(context, inputs, truncation(context, body));
  const size = numberOf(body, 'dimensions') ?? context.options.sim.embeddingSize;
  sendJson(exchange, 200, {
    id: `embd-${exchange.requestId}`,
    object: 'list',
    created: nowS(),
    model,
    data: inputs.map((text, index) => ({
      index,
      object: 'embedding',
      embedding: encoded(embed(text, size), body['encoding_format']),
    })),
    usage: usageOf(tokens, 0),
  });
}

/** /v2/embed, in Cohere's shape. */
export async function cohereEmbed(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  checkFields(body, { model: 'string', texts: 'list', embedding_types: 'list', output_dimension: 'integer' });
  poolingModel(context, body);
  const inputs = texts(body['texts']);
  if (inputs.length === 0)
    throw badRequest('Exactly one of texts, images, or inputs must be provided, and it must be non-empty');
  const tokens = await encode(context, inputs);
  const size = numberOf(body, 'output_dimension') ?? context.options.sim.embeddingSize;
  const types = Array.isArray(body['embedding_types']) ? body['embedding_types'] : ['float'];
  const embeddings: Record<string, unknown> = {};
  if (types.includes('float')) embeddings['float'] = inputs.map((text) => embed(text, size));
  if (types.includes('base64'))
    embeddings['base64'] = inputs.map((text) => encoded(embed(text, size), 'base64'));
  sendJson(exchange, 200, {
    id: `embd-${exchange.requestId}`,
    embeddings,
    texts: body['texts'],
    meta: { api_version: { version: '2' }, billed_units: { input_tokens: tokens, image_tokens: 0 } },
    response_type: 'embeddings_by_type',
  });
}

export async function pooling(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  checkFields(body, { model: 'string', encoding_format: 'string' });
  const model = poolingModel(context, body);
  const inputs = inputTexts(context, body);
  const tokens = await encode(context, inputs, truncation(context, body));
  sendJson(exchange, 200, {
    id: `pooling-${exchange.requestId}`,
    object: 'list',
    created: nowS(),
    model,
    data: inputs.map((text, index) => ({
      index,
      object: 'pooling',
      data: encoded(embed(text, context.options.sim.embeddingSize), body['encoding_format']),
    })),
    usage: usageOf(tokens, 0),
  });
}

export async function classify(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  checkFields(body, { model: 'string' });
  const model = poolingModel(context, body);
  const inputs = inputTexts(context, body);
  const tokens = await encode(context, inputs, truncation(context, body));
  sendJson(exchange, 200, {
    id: `classify-${exchange.requestId}`,
    object: 'list',
    created: nowS(),
    model,
    data: inputs.map((text, index) => {
      const positive = similarity(text, 'positive');
      const probs = [positive, 1 - positive];
      return { index, label: positive >= 0.5 ? 'LABEL_0' : 'LABEL_1', probs, num_classes: 2 };
    }),
    usage: usageOf(tokens, 0),
  });
}

export async function score(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  const model = poolingModel(context, body);
  const left = texts(body['text_1'] ?? body['queries']);
  const right = texts(body['text_2'] ?? body['documents'] ?? body['items']);
  if (left.length === 0 || right.length === 0)
    throw badRequest('At least one text_pair element must be given');
  const tokens = await encode(context, [...left, ...right]);
  sendJson(exchange, 200, {
    id: `score-${exchange.requestId}`,
    object: 'list',
    created: nowS(),
    model,
    data: right.map((text, index) => ({
      index,
      object: 'score',
      score: similarity(left[left.length === 1 ? 0 : index] ?? '', text),
    })),
    usage: usageOf(tokens, 0),
  });
}

export async function rerank(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  checkFields(body, { model: 'string', query: 'string', documents: 'list', top_n: 'integer' }, [
    'query',
    'documents',
  ]);
  const model = poolingModel(context, body);
  const query = String(body['query']);
  const documents = texts(body['documents']);
  const tokens = await encode(context, [query, ...documents]);
  const ranked = documents
    .map((text, index) => ({
      index,
      document: { text, multi_modal: null },
      relevance_score: similarity(query, text),
    }))
    .sort((left, right) => right.relevance_score - left.relevance_score);
  const top = numberOf(body, 'top_n') ?? 0;
  sendJson(exchange, 200, {
    id: `score-${exchange.requestId}`,
    model,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
    results: top > 0 ? ranked.slice(0, top) : ranked,
  });
}

/** These routes say less about a model that is not served than the generating ones. */
function poolingModel(context: SimContext, body: JsonObject): string {
  const found = findModel(context, body);
  if (found !== null) return found;
  throw new ApiError(404, 'NotFoundError', `The model \`${String(body['model'])}\` does not exist.`);
}

/** Runs as one short sequence, so that pausing, sleeping and the limits act on it as on any request. */
function encode(
  context: SimContext,
  inputs: readonly string[],
  tokensMax = Number.POSITIVE_INFINITY,
): Promise<number> {
  const lengths = inputs.map((input) => Math.min(countTokens(input), tokensMax));
  for (const length of lengths) checkPromptLength(context, length);
  const promptTokens = lengths.reduce((sum, length) => sum + length, 0);
  if (context.life.dead) return Promise.reject(engineDead());
  return new Promise((resolve, reject) => {
    context.generation.submit({
      requestId: 'pooling',
      promptTokens,
      pieces: [''],
      finish: 'stop',
      onToken: () => {},
      onFinish: (reason) => {
        context.metrics.observe({ reason, promptTokens, generatedTokens: 0, firstTokenS: null, totalS: 0 });
        if (reason === 'stop') resolve(promptTokens);
        else reject(engineDead());
      },
    });
  });
}

/** `truncate_prompt_tokens`: -1 stands for the context length. */
function truncation(context: SimContext, body: JsonObject): number {
  const asked = numberOf(body, 'truncate_prompt_tokens');
  if (asked === null) return Number.POSITIVE_INFINITY;
  return asked < 0 ? context.maxModelLen : asked;
}

function inputTexts(context: SimContext, body: JsonObject): string[] {
  if (body['messages'] !== undefined) return [chatPrompt(body['messages']).text];
  const input = body['input'];
  if (Array.isArray(input) && input.length > 0 && input.every((id) => typeof id === 'number')) {
    return [context.vocabulary.decode(input)];
  }
  if (Array.isArray(input) && input.length > 0 && input.every((ids) => Array.isArray(ids))) {
    return input.map((ids: readonly unknown[]) => context.vocabulary.decode(ids.map(Number)));
  }
  const found = texts(input);
  if (found.length === 0)
    throw badRequest('Either `input` or `messages` must be provided and non-empty.', 'input');
  return found;
}

function texts(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value)) return [];
  return value.map((part) => (typeof part === 'string' ? part : JSON.stringify(part)));
}

/** Floats as a list, or as little-endian bytes in base64, which official clients ask for by default. */
function encoded(vector: readonly number[], format: unknown): readonly number[] | string {
  if (format !== 'base64') return vector;
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, at) => {
    bytes.writeFloatLE(value, at * 4);
  });
  return bytes.toString('base64');
}

/** In 0..1; shared words raise it. */
function similarity(left: string, right: string): number {
  const words = new Set(left.toLowerCase().split(/\W+/).filter(Boolean));
  const other = right.toLowerCase().split(/\W+/).filter(Boolean);
  const shared = other.filter((word) => words.has(word)).length;
  const noise = (embed(`${left}|${right}`, 1)[0] ?? 0) > 0 ? 0.01 : 0;
  return Math.min(1, 0.05 + noise + (0.9 * shared) / Math.max(1, other.length));
}
