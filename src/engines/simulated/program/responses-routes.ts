/** /v1/responses: OpenAI's newer dialect, whose stream has typed events and no `[DONE]`. */
import type { SimContext } from './context.ts';
import { ApiError, badRequest, type Exchange, type JsonObject, sendJson } from './exchange.ts';
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
import { type EventStream, openStream } from './stream.ts';
import { countTokens } from './text.ts';
import { booleanOf, checkFields, numberOf, objectOf } from './validation.ts';

/** Stored responses (only with VLLM_ENABLE_RESPONSES_API_STORE=1). vLLM never forgets; we forget the oldest. */
const STORED_MAX = 1000;
const stored = new Map<string, JsonObject>();

export async function responses(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  checkSamplingFields(body, ['input']);
  checkFields(body, { max_output_tokens: 'integer', instructions: 'string', background: 'boolean' });
  const asked = numberOf(body, 'max_output_tokens');
  const job = createJob(context, exchange, { ...body, max_tokens: asked }, responsePrompt(body), {
    maxTokens: null,
    maxTokensName: 'max_output_tokens',
  });
  if (booleanOf(body, 'background') && !context.options.environment.responsesStore) {
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
  };
  if (booleanOf(body, 'stream')) return stream(context, exchange, answer);
  const [result] = await collect(context, exchange, job);
  if (result === undefined) throw engineDead();
  const final = responseObject(answer, result);
  remember(context, answer.id, final);
  sendJson(exchange, 200, final);
}

export function getResponse(context: SimContext, exchange: Exchange): void {
  const id = exchange.path.split('/')[3] ?? '';
  const found = stored.get(id);
  if (!context.options.environment.responsesStore || found === undefined) throw unknownResponse(id);
  sendJson(exchange, 200, found);
}

export function cancelResponse(_context: SimContext, exchange: Exchange): void {
  const id = exchange.path.split('/')[3] ?? '';
  if (!stored.has(id)) throw unknownResponse(id);
  throw badRequest('Cannot cancel a synchronous response.', 'response_id');
}

interface Answer {
  readonly id: string;
  readonly createdAt: number;
  readonly job: Job;
  readonly body: JsonObject;
  readonly itemId: string;
}

async function stream(context: SimContext, exchange: Exchange, answer: Answer): Promise<void> {
  let sequence = 0;
  const events = openStream(
    context,
    exchange,
    { error: (opened, error) => emit(opened, 'error', errorEvent(error)) },
    engineDead(),
  );
  const emit = (opened: EventStream, type: string, payload: JsonObject): void => {
    opened.event(type, { ...payload, sequence_number: sequence++, type });
  };
  const at = { content_index: 0, item_id: answer.itemId, output_index: 0 };
  emit(events, 'response.created', { response: responseObject(answer, null) });
  emit(events, 'response.in_progress', { response: responseObject(answer, null) });
  let opened = false;
  let text = '';
  let last: SampleResult | null = null;
  await runJob(context, exchange, answer.job, {
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
        emit(events, 'response.output_item.added', { item, output_index: 0 });
        emit(events, 'response.content_part.added', { ...at, part: textPart('', true) });
      }
      text += piece;
      emit(events, 'response.output_text.delta', { ...at, delta: piece, logprobs: [] });
    },
    finished(_sample, result) {
      last = result;
    },
  });
  const result = last as SampleResult | null;
  if (result === null || result.finish === 'error') {
    emit(events, 'error', errorEvent(engineDead()));
    return events.end();
  }
  if (opened) {
    emit(events, 'response.output_text.done', { ...at, logprobs: [], text });
    emit(events, 'response.content_part.done', { ...at, part: textPart(text) });
    emit(events, 'response.output_item.done', { item: outputItem(answer.itemId, result), output_index: 0 });
  }
  const final = responseObject(answer, result);
  remember(context, answer.id, final);
  emit(events, 'response.completed', { response: final });
  events.end();
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

function responsePrompt(body: JsonObject): Prompt {
  const input = body['input'];
  const lines: string[] = [];
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
  return { text, lastUserText, tokens: countTokens(text) + lines.length * 4 + 3 };
}

function remember(context: SimContext, id: string, response: JsonObject): void {
  if (!context.options.environment.responsesStore) return;
  stored.set(id, response);
  for (const oldest of stored.keys()) {
    if (stored.size <= STORED_MAX) break;
    stored.delete(oldest);
  }
}

function unknownResponse(id: string): ApiError {
  return new ApiError(404, 'invalid_request_error', `Response with id '${id}' not found.`, 'response_id');
}
