/** /v1/responses: OpenAI's newer dialect, whose stream has typed events and no `[DONE]`. */
import type { EventEmitter } from 'node:events';
import type { SimContext } from './context.ts';
import { type ApiError, badRequest, type Exchange, type JsonObject, sendJson } from './exchange.ts';
import { collect, contentText, nowS, prefixedId } from './openai-routes.ts';
import {
  checkSamplingFields,
  createJob,
  engineDead,
  type Job,
  type Prompt,
  runJob,
  type SampleResult,
} from './sampling.ts';
import { followEvents, previousResponse, remember } from './stored-responses.ts';
import { openStream } from './stream.ts';
import { countTokens } from './text.ts';
import { booleanOf, checkFields, numberOf, objectOf } from './validation.ts';

export async function responses(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  checkSamplingFields(body, ['input']);
  checkFields(body, { max_output_tokens: 'integer', instructions: 'string', background: 'boolean' });
  const asked = numberOf(body, 'max_output_tokens');
  const isBackground = booleanOf(body, 'background');
  if (isBackground && body['store'] === false) {
    const message = 'background can only be used when `store` is true (parameter=background)';
    throw badRequest(message, 'background');
  }
  const prompt = responsePrompt(body, previousResponse(body)?.lines ?? []);
  const job = createJob(context, exchange, { ...body, max_tokens: asked }, prompt, {
    maxTokens: null,
    maxTokensName: 'max_output_tokens',
  });
  if (isBackground && !context.options.environment.responsesStore) {
    throw badRequest(
      'This vLLM engine does not support `store=True` and therefore does not support the background mode. To enable these features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when launching the vLLM server.',
      'background',
    );
  }
  const answer: Answer = {
    id: `resp_${exchange.requestId}`,
    createdAt: nowS(),
    job,
    body,
    itemId: prefixedId('msg_'),
    lines: prompt.lines,
  };
  if (isBackground) return makeInBackground(context, exchange, answer);
  if (booleanOf(body, 'stream')) return stream(context, exchange, answer);
  const [result] = await collect(context, exchange, job);
  if (result === undefined) throw engineDead();
  const final = responseObject(answer, result);
  remember(context, body, final, { lines: linesAfter(answer, result) });
  sendJson(exchange, 200, final);
}

/** Answered at once; what is made outlives the connection. vLLM says `queued` until it is done. */
function makeInBackground(context: SimContext, exchange: Exchange, answer: Answer): void {
  const { body } = answer;
  const hasEvents = booleanOf(body, 'stream');
  const queued = { ...responseObject(answer, null), status: 'queued' };
  const entry = remember(context, body, queued, { lines: answer.lines, hasEvents });
  const emit: Emit = (type, payload) => {
    entry.events?.push({ type, payload });
    entry.signals.emit('event');
  };
  makeResponse(context, { response: entry.signals }, answer, emit).then(
    (made) => {
      if (entry.value['status'] === 'cancelled') return;
      entry.value = made?.final ?? { ...queued, status: 'failed' };
      entry.lines = made?.lines ?? answer.lines;
    },
    () => {
      entry.value = { ...queued, status: 'failed' };
    },
  );
  if (hasEvents) followEvents(context, exchange, entry, 0);
  else sendJson(exchange, 200, queued);
}

interface Answer {
  readonly id: string;
  readonly createdAt: number;
  readonly job: Job;
  readonly body: JsonObject;
  readonly itemId: string;
  /** The conversation that it answers. */
  readonly lines: readonly string[];
}

/** Takes an event of a stream without its number. */
type Emit = (type: string, payload: JsonObject) => void;

interface MadeResponse {
  readonly final: JsonObject;
  readonly lines: readonly string[];
}

async function stream(context: SimContext, exchange: Exchange, answer: Answer): Promise<void> {
  let sent = 0;
  const events = openStream(
    context,
    exchange,
    {
      error: (opened, error) =>
        opened.event('error', { ...errorEvent(error), sequence_number: sent, type: 'error' }),
    },
    engineDead(),
  );
  const made = await makeResponse(context, exchange, answer, (type, payload) => {
    // Whoever reads the last event may ask for it at once.
    if (type === 'response.completed')
      remember(context, answer.body, payload['response'] as JsonObject, { lines: answer.lines });
    events.event(type, payload);
    sent += 1;
  });
  if (made !== null) remember(context, answer.body, made.final, { lines: made.lines });
  events.end();
}

/** Makes a response and tells of it event by event; null: the engine failed, which was told. */
async function makeResponse(
  context: SimContext,
  client: { readonly response: Pick<EventEmitter, 'once' | 'removeListener'> },
  answer: Answer,
  tell: Emit,
): Promise<MadeResponse | null> {
  let sequence = 0;
  const emit: Emit = (type, payload) => tell(type, { ...payload, sequence_number: sequence++, type });
  const at = { content_index: 0, item_id: answer.itemId, output_index: 0 };
  emit('response.created', { response: responseObject(answer, null) });
  emit('response.in_progress', { response: responseObject(answer, null) });
  let opened = false;
  let text = '';
  let last: SampleResult | null = null;
  await runJob(context, client, answer.job, {
    token(_sample, piece) {
      if (!opened) {
        opened = true;
        const item = {
          id: answer.itemId,
          content: [],
          role: 'assistant',
          status: 'in_progress',
          type: 'message',
          phase: null,
        };
        emit('response.output_item.added', { item, output_index: 0 });
        emit('response.content_part.added', { ...at, part: textPart('', true) });
      }
      text += piece;
      emit('response.output_text.delta', { ...at, delta: piece, logprobs: [] });
    },
    finished(_sample, result) {
      last = result;
    },
  });
  const result = last as SampleResult | null;
  if (result === null || result.finish === 'error') {
    emit('error', errorEvent(engineDead()));
    return null;
  }
  if (opened) {
    emit('response.output_text.done', { ...at, logprobs: [], text });
    emit('response.content_part.done', { ...at, part: textPart(text) });
    emit('response.output_item.done', { item: outputItem(answer.itemId, result), output_index: 0 });
  }
  const final = responseObject(answer, result);
  emit('response.completed', { response: final });
  return { final, lines: linesAfter(answer, result) };
}

function linesAfter({ lines }: Answer, { text }: SampleResult): readonly string[] {
  return [...lines, `assistant: ${text}`];
}

function errorEvent(error: ApiError): JsonObject {
  return { code: String(error.status), message: error.message, param: null };
}

/** A part that is being opened has an empty list of log probabilities, a finished one none. */
function textPart(text: string, isOpening = false): JsonObject {
  return { annotations: [], text, type: 'output_text', logprobs: isOpening ? [] : null };
}

/** The item counts as completed even where the response was cut. */
function outputItem(id: string, result: SampleResult): JsonObject {
  const content = [textPart(result.text)];
  return { id, content, role: 'assistant', status: 'completed', type: 'message', phase: null };
}

/** `result: null`: the response as it stands while it is being made. */
function responseObject(answer: Answer, result: SampleResult | null): JsonObject {
  const { body, job } = answer;
  const status = result === null ? 'in_progress' : result.finish === 'stop' ? 'completed' : 'incomplete';
  const usage = result && {
    input_tokens: job.promptTokens,
    input_tokens_details: {
      cached_tokens: 0,
      input_tokens_per_turn: [],
      cached_tokens_per_turn: [],
      cache_write_tokens: 0,
    },
    output_tokens: result.tokens,
    output_tokens_details: {
      reasoning_tokens: 0,
      tool_output_tokens: 0,
      output_tokens_per_turn: [],
      tool_output_tokens_per_turn: [],
    },
    total_tokens: job.promptTokens + result.tokens,
  };
  return {
    id: answer.id,
    created_at: answer.createdAt,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: body['instructions'] ?? null,
    metadata: body['metadata'] ?? null,
    model: job.modelName,
    object: 'response',
    output: result === null ? [] : [outputItem(answer.itemId, result)],
    parallel_tool_calls: true,
    temperature: body['temperature'] ?? 1,
    // vLLM says "none" when there is no tool to choose.
    tool_choice: body['tools'] === undefined ? 'none' : (body['tool_choice'] ?? 'auto'),
    tools: body['tools'] ?? [],
    top_p: body['top_p'] ?? 1,
    background: booleanOf(body, 'background'),
    max_output_tokens: job.maxTokens,
    max_tool_calls: null,
    previous_response_id: body['previous_response_id'] ?? null,
    prompt: null,
    reasoning: body['reasoning'] ?? null,
    service_tier: 'auto',
    status,
    text: body['text'] ?? null,
    top_logprobs: null,
    truncation: 'disabled',
    usage,
    user: body['user'] ?? null,
    presence_penalty: body['presence_penalty'] ?? 0,
    frequency_penalty: body['frequency_penalty'] ?? 0,
    kv_transfer_params: null,
    ec_transfer_params: null,
    input_messages: null,
    output_messages: null,
  };
}

function responsePrompt(
  body: JsonObject,
  before: readonly string[],
): Prompt & { readonly lines: readonly string[] } {
  const input = body['input'];
  const lines: string[] = [...before];
  if (typeof body['instructions'] === 'string') lines.push(`system: ${body['instructions']}`);
  let lastUserText = '';
  if (typeof input === 'string') {
    lastUserText = input;
    lines.push(`user: ${input}`);
  } else if (Array.isArray(input)) {
    for (const entry of input) {
      const message = objectOf(entry);
      if (message === null) throw badRequest('Invalid input item.', 'input');
      const text = contentText(message['content']);
      const role = typeof message['role'] === 'string' ? message['role'] : 'user';
      if (role === 'user') lastUserText = text;
      lines.push(`${role}: ${text}`);
    }
  } else {
    throw badRequest('Input should be a string or a list of items.', 'input');
  }
  const text = lines.join('\n');
  return { text, lastUserText, tokens: countTokens(text) + lines.length * 4 + 3, lines };
}
