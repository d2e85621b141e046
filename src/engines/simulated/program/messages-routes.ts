/** /v1/messages: Anthropic's dialect, which vLLM serves beside OpenAI's on every generating model. */
import type { SimContext } from './context.ts';
import { ApiError, type Exchange, type JsonObject, sendJson } from './exchange.ts';
import type { FinishReason } from './generation.ts';
import { chatPrompt, checkToolChoice, collect, contentText } from './openai-routes.ts';
import { createJob, engineDead, type Job, type Prompt, runJob } from './sampling.ts';
import { type EventStream, openStream } from './stream.ts';
import { booleanOf, checkFields, objectOf } from './validation.ts';

const FIELDS = {
  model: 'string',
  messages: 'list',
  max_tokens: 'integer',
  stream: 'boolean',
  temperature: 'number',
  top_p: 'number',
} as const;

/** Errors of the handler in Anthropic's shape; those of the framework before it keep OpenAI's. */
export class AnthropicError extends Error {
  override readonly cause: ApiError;

  constructor(cause: ApiError) {
    super(cause.message);
    this.cause = cause;
  }
}

export function anthropicErrorBody(error: ApiError): JsonObject {
  return { type: 'error', error: { type: error.type, message: error.message } };
}

export async function messages(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  checkFields(body, FIELDS, ['model', 'messages', 'max_tokens']);
  const job = inAnthropicShape(() => {
    checkTools(context, body);
    return createJob(context, exchange, { ...body, stop: body['stop_sequences'] }, messagesPrompt(body), {
      maxTokens: null,
      maxTokensName: 'max_tokens',
    });
  });
  const id = `chatcmpl-${exchange.requestId}`;
  if (booleanOf(body, 'stream')) return stream(context, exchange, job, id);
  const [result] = await collect(context, exchange, job).catch((error: unknown) => {
    throw error instanceof ApiError ? new AnthropicError(error) : error;
  });
  if (result === undefined) throw new AnthropicError(engineDead());
  sendJson(exchange, 200, {
    id,
    type: 'message',
    role: 'assistant',
    content: [{ type: 'text', text: result.text }],
    model: job.modelName,
    stop_reason: stopReason(result.finish, result.stopReason),
    ...(result.stopReason === null ? {} : { stop_sequence: result.stopReason }),
    usage: { input_tokens: job.promptTokens, output_tokens: result.tokens },
  });
}

export function countMessageTokens(context: SimContext, exchange: Exchange, body: JsonObject): void {
  checkFields(body, FIELDS, ['model', 'messages']);
  const tokens = inAnthropicShape(() => {
    const prompt = messagesPrompt(body);
    createJob(context, exchange, { model: body['model'] }, prompt, {
      maxTokens: null,
      maxTokensName: 'max_tokens',
    });
    return prompt.tokens;
  });
  sendJson(exchange, 200, {
    input_tokens: tokens,
    context_management: { original_input_tokens: tokens },
  });
}

function checkTools(context: SimContext, body: JsonObject): void {
  const tools = body['tools'];
  if (Array.isArray(tools) && tools.length > 0) checkToolChoice(context, openAiChoice(body['tool_choice']));
}

/** Anthropic's choices by OpenAI's names for them. */
function openAiChoice(choice: unknown): unknown {
  const given = objectOf(choice);
  switch (given?.['type']) {
    case undefined:
      return 'auto';
    case 'any':
      return 'required';
    case 'tool':
      return { function: { name: given?.['name'] } };
    default:
      return given?.['type'];
  }
}

async function stream(context: SimContext, exchange: Exchange, job: Job, id: string): Promise<void> {
  const emit = (opened: EventStream, type: string, payload: JsonObject): void =>
    opened.event(type, { type, ...payload });
  const events = openStream(
    context,
    exchange,
    { error: (opened, error) => opened.event('error', anthropicErrorBody(error)) },
    engineDead(),
  );
  const message = {
    id,
    type: 'message',
    role: 'assistant',
    content: [],
    model: job.modelName,
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: job.promptTokens, output_tokens: 0 },
  };
  emit(events, 'message_start', { message });
  let opened = false;
  let tokens = 0;
  let failed = false;
  let finish: FinishReason = 'stop';
  let sequence: string | null = null;
  await runJob(context, exchange, job, {
    token(_sample, piece) {
      if (!opened) {
        opened = true;
        emit(events, 'content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
      }
      tokens++;
      emit(events, 'content_block_delta', { index: 0, delta: { type: 'text_delta', text: piece } });
    },
    finished(_sample, result) {
      failed = result.finish === 'error';
      finish = result.finish;
      sequence = result.stopReason;
    },
  });
  if (failed) {
    events.event('error', anthropicErrorBody(engineDead()));
    return events.end();
  }
  if (opened) emit(events, 'content_block_stop', { index: 0 });
  emit(events, 'message_delta', {
    delta: { stop_reason: stopReason(finish, sequence), stop_sequence: sequence },
    usage: { input_tokens: job.promptTokens, output_tokens: tokens },
  });
  emit(events, 'message_stop', {});
  events.end();
}

function stopReason(finish: FinishReason, sequence: string | null): string {
  if (sequence !== null) return 'stop_sequence';
  return finish === 'length' ? 'max_tokens' : 'end_turn';
}

function messagesPrompt(body: JsonObject): Prompt {
  const system = contentText(body['system']);
  const entries = Array.isArray(body['messages']) ? body['messages'] : [];
  const all = system === '' ? entries : [{ role: 'system', content: system }, ...entries];
  return chatPrompt(all.map((entry) => objectOf(entry)));
}

function inAnthropicShape<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    // Schema errors are raised before vLLM's handler runs, and so keep the other shape.
    if (error instanceof ApiError && error.type !== 'Bad Request') throw new AnthropicError(error);
    throw error;
  }
}
