/** /v1/chat/completions and /v1/completions. */
import { SIMULATED_VERSION, type SimContext } from './context.ts';
import { badRequest, type Exchange, type JsonObject, newId, sendJson } from './exchange.ts';
import {
  checkSamplingFields,
  countsOf,
  createJob,
  engineDead,
  type Job,
  type Prompt,
  runJob,
  type SampleResult,
  usageOf,
} from './sampling.ts';
import { OPENAI_DIALECT, openStream } from './stream.ts';
import { countTokens } from './text.ts';
import { booleanOf, numberOf, objectOf, validationError } from './validation.ts';

/** What vLLM makes of its version and configuration. */
const FINGERPRINT = `vllm-${SIMULATED_VERSION}-51a1a7ed`;
/** Tokens that a chat template adds to each message and to the whole. */
const TEMPLATE_TOKENS_PER_MESSAGE = 4;
const TEMPLATE_TOKENS = 3;

export async function chatCompletions(
  context: SimContext,
  exchange: Exchange,
  body: JsonObject,
): Promise<void> {
  checkSamplingFields(body, ['messages']);
  const job = createJob(context, exchange, body, chatPrompt(body['messages']), {
    maxTokens: null,
    maxTokensName: body['max_completion_tokens'] === undefined ? 'max_tokens' : 'max_completion_tokens',
  });
  checkTools(context, body);
  const id = `chatcmpl-${exchange.requestId}`;
  if (booleanOf(body, 'stream')) return streamChat(context, exchange, body, job, id);
  const results = await collect(context, exchange, job);
  sendJson(exchange, 200, chatAnswer(id, job.modelName, job.promptTokens, results));
}

/** Conversations that are answered as one: a choice for each of them, in their order. */
export async function batchCompletions(
  context: SimContext,
  exchange: Exchange,
  body: JsonObject,
): Promise<void> {
  checkSamplingFields(body, ['messages']);
  if ((numberOf(body, 'n') ?? 1) !== 1) {
    throw badRequest(
      'Batch chat completions do not support `n > 1`. Please set `n` to 1. (parameter=n)',
      'n',
    );
  }
  const conversations = Array.isArray(body['messages']) ? body['messages'] : [];
  const jobs = conversations.map((messages) =>
    createJob(context, exchange, { ...body, n: 1 }, chatPrompt(messages), {
      maxTokens: null,
      maxTokensName: 'max_tokens',
    }),
  );
  const [first] = jobs;
  if (first === undefined) throw badRequest('messages must hold at least one conversation', 'messages');
  const results = await Promise.all(jobs.map((job) => collect(context, exchange, job)));
  const promptTokens = jobs.reduce((sum, job) => sum + job.promptTokens, 0);
  const id = `chatcmpl-${exchange.requestId}`;
  sendJson(exchange, 200, chatAnswer(id, first.modelName, promptTokens, results.flat()));
}

function chatAnswer(
  id: string,
  model: string,
  promptTokens: number,
  results: readonly SampleResult[],
): JsonObject {
  return {
    id,
    object: 'chat.completion',
    created: nowS(),
    model,
    choices: results.map((result, index) => ({
      index,
      message: {
        role: 'assistant',
        content: result.text,
        refusal: null,
        annotations: null,
        audio: null,
        function_call: null,
        reasoning: null,
      },
      logprobs: null,
      finish_reason: result.finish,
      stop_reason: result.stopReason,
      token_ids: null,
      routed_experts: null,
    })),
    service_tier: null,
    system_fingerprint: FINGERPRINT,
    usage: usageOf(promptTokens, totalTokens(results)),
    prompt_logprobs: null,
    prompt_token_ids: null,
    prompt_text: null,
    kv_transfer_params: null,
    ec_transfer_params: null,
    metrics: null,
  };
}

async function streamChat(
  context: SimContext,
  exchange: Exchange,
  body: JsonObject,
  job: Job,
  id: string,
): Promise<void> {
  const created = nowS();
  const usage = usageOptions(context, body);
  let completionTokens = 0;
  const stream = openStream(context, exchange, OPENAI_DIALECT, engineDead());
  const chunk = (choices: readonly JsonObject[], extra: JsonObject = {}): void => {
    const continuous =
      usage.continuous && choices.length > 0
        ? { usage: runningUsage(job.promptTokens, completionTokens) }
        : {};
    stream.data({
      id,
      object: 'chat.completion.chunk',
      created,
      model: job.modelName,
      choices,
      ...continuous,
      ...extra,
    });
  };
  for (let index = 0; index < job.samples; index++) {
    const delta = { role: 'assistant', content: '' };
    chunk([{ index, delta, logprobs: null, finish_reason: null }], {
      prompt_token_ids: null,
      prompt_text: null,
    });
  }
  const held = new Map<number, string>();
  let failed = false;
  await runJob(context, exchange, job, {
    token(index, piece, isLastOfLength) {
      completionTokens++;
      if (isLastOfLength) held.set(index, piece);
      else
        chunk([{ index, delta: { content: piece }, logprobs: null, finish_reason: null, token_ids: null }]);
    },
    finished(index, result) {
      if (result.finish === 'error') {
        failed = true;
        return;
      }
      const { finish, stopReason } = result;
      const delta = { content: held.get(index) ?? '' };
      chunk(
        [{ index, delta, logprobs: null, finish_reason: finish, stop_reason: stopReason, token_ids: null }],
        usage.final ? {} : { system_fingerprint: FINGERPRINT },
      );
    },
  });
  if (failed) OPENAI_DIALECT.error(stream, engineDead());
  else {
    if (usage.final) chunk([], finalUsage(job.promptTokens, completionTokens));
    stream.done();
  }
  stream.end();
}

export async function completions(context: SimContext, exchange: Exchange, body: JsonObject): Promise<void> {
  checkSamplingFields(body, []);
  const prompts = completionPrompts(context, body['prompt']);
  const jobs = prompts.map((prompt) =>
    createJob(context, exchange, body, prompt, { maxTokens: 16, maxTokensName: 'max_tokens' }),
  );
  const [first] = jobs;
  if (first === undefined) throw badRequest('Either prompt or prompt_embeds must be provided and non-empty.');
  const id = `cmpl-${exchange.requestId}`;
  const echo = booleanOf(body, 'echo');
  if (booleanOf(body, 'stream')) return streamCompletion(context, exchange, body, jobs, first, id);
  const results = await Promise.all(jobs.map((job) => collect(context, exchange, job)));
  const choices = results.flatMap((samples, at) =>
    samples.map((result) => ({ result, prefix: echo ? (jobs[at]?.prompt ?? '') : '' })),
  );
  const promptTokens = jobs.reduce((sum, job) => sum + job.promptTokens, 0);
  sendJson(exchange, 200, {
    id,
    object: 'text_completion',
    created: nowS(),
    model: first.modelName,
    choices: choices.map(({ result, prefix }, index) => ({
      index,
      text: `${prefix}${result.text}`,
      logprobs: null,
      finish_reason: result.finish,
      stop_reason: result.stopReason,
      token_ids: null,
      prompt_logprobs: null,
      prompt_token_ids: null,
      routed_experts: null,
    })),
    service_tier: null,
    system_fingerprint: FINGERPRINT,
    usage: usageOf(
      promptTokens,
      results.reduce((sum, samples) => sum + totalTokens(samples), 0),
    ),
    kv_transfer_params: null,
    ec_transfer_params: null,
    metrics: null,
  });
}

async function streamCompletion(
  context: SimContext,
  exchange: Exchange,
  body: JsonObject,
  jobs: readonly Job[],
  first: Job,
  id: string,
): Promise<void> {
  const created = nowS();
  const usage = usageOptions(context, body);
  const promptTokens = jobs.reduce((sum, job) => sum + job.promptTokens, 0);
  let completionTokens = 0;
  let failed = false;
  const stream = openStream(context, exchange, OPENAI_DIALECT, engineDead());
  const chunk = (choices: readonly JsonObject[], extra: JsonObject = {}): void =>
    stream.data({ id, object: 'text_completion', created, model: first.modelName, choices, ...extra });
  const choice = (
    index: number,
    text: string,
    finish: string | null,
    stopReason: string | null,
  ): JsonObject => ({
    index,
    text,
    logprobs: null,
    finish_reason: finish,
    stop_reason: stopReason,
    prompt_token_ids: null,
    token_ids: null,
  });
  const continuous = (): JsonObject =>
    usage.continuous ? { usage: runningUsage(promptTokens, completionTokens) } : {};
  const held = new Map<number, string>();
  await Promise.all(
    jobs.map((job, at) =>
      runJob(context, exchange, job, {
        token(sample, piece, isLastOfLength) {
          completionTokens++;
          const index = at * job.samples + sample;
          if (isLastOfLength) held.set(index, piece);
          else chunk([choice(index, piece, null, null)], continuous());
        },
        finished(sample, result) {
          const index = at * job.samples + sample;
          if (result.finish === 'error') failed = true;
          else {
            chunk([choice(index, held.get(index) ?? '', result.finish, result.stopReason)], {
              ...continuous(),
              ...(usage.final ? {} : { system_fingerprint: FINGERPRINT }),
            });
          }
        },
      }),
    ),
  );
  if (failed) OPENAI_DIALECT.error(stream, engineDead());
  else {
    if (usage.final) chunk([], finalUsage(promptTokens, completionTokens));
    stream.done();
  }
  stream.end();
}

/** Runs a job to its end without a stream. */
export async function collect(context: SimContext, exchange: Exchange, job: Job): Promise<SampleResult[]> {
  const results: SampleResult[] = [];
  await runJob(context, exchange, job, {
    token: () => {},
    finished: (sample, result) => {
      results[sample] = result;
    },
  });
  if (results.some((result) => result.finish === 'error')) throw engineDead();
  return results;
}

function totalTokens(results: readonly SampleResult[]): number {
  return results.reduce((sum, result) => sum + result.tokens, 0);
}

/** Usage so far, in every frame of a stream that asked for it. */
function runningUsage(promptTokens: number, completionTokens: number): JsonObject {
  return { ...countsOf(promptTokens, completionTokens), completion_tokens_details: null };
}

/** The frame behind the last token of a stream that asked for usage. */
function finalUsage(promptTokens: number, completionTokens: number): JsonObject {
  return { usage: countsOf(promptTokens, completionTokens), system_fingerprint: FINGERPRINT };
}

interface UsageOptions {
  readonly final: boolean;
  readonly continuous: boolean;
}

/** What a body asks to be told of its tokens while it streams, and at its end. */
export function usageOptions(context: SimContext, body: JsonObject): UsageOptions {
  const options = objectOf(body['stream_options']) ?? {};
  const final = booleanOf(options, 'include_usage') || context.options.forceIncludeUsage;
  return { final, continuous: final && booleanOf(options, 'continuous_usage_stats') };
}

/** Text of a message's content, which is a string or a list of parts. */
export function contentText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .map((part) => {
      const text = objectOf(part)?.['text'];
      return typeof text === 'string' ? text : '';
    })
    .join('');
}

/** Messages as one prompt; a message without a role is refused as pydantic refuses it. */
export function chatPrompt(messages: unknown): Prompt {
  if (Array.isArray(messages) && messages.length === 0) {
    throw badRequest('Cannot apply chat template to an empty conversation. Provide at least one message.');
  }
  const lines: string[] = [];
  let lastUserText = '';
  for (const [index, entry] of (Array.isArray(messages) ? messages : []).entries()) {
    const message = objectOf(entry);
    const role = message?.['role'];
    if (message === null || typeof role !== 'string') {
      throw validationError([
        { type: 'missing', loc: `body.messages.${index}.role`, msg: 'Field required', input: entry },
      ]);
    }
    const text = contentText(message['content']);
    if (role === 'user') lastUserText = text;
    lines.push(`${role}: ${text}`);
  }
  const text = lines.join('\n');
  return {
    text,
    lastUserText,
    tokens: countTokens(text) + lines.length * TEMPLATE_TOKENS_PER_MESSAGE + TEMPLATE_TOKENS,
  };
}

function completionPrompts(context: SimContext, prompt: unknown): Prompt[] {
  if (typeof prompt === 'string')
    return [{ text: prompt, lastUserText: prompt, tokens: countTokens(prompt) }];
  if (!Array.isArray(prompt)) {
    throw badRequest('Either prompt or prompt_embeds must be provided and non-empty.');
  }
  if (prompt.length > 0 && prompt.every((id) => typeof id === 'number')) {
    const text = context.vocabulary.decode(prompt);
    return [{ text, lastUserText: text, tokens: prompt.length }];
  }
  return prompt.flatMap((part) => completionPrompts(context, part));
}

function checkTools(context: SimContext, body: JsonObject): void {
  const tools = body['tools'];
  if (!Array.isArray(tools) || tools.length === 0) return;
  checkToolChoice(context, body['tool_choice'] ?? 'auto');
}

/** `choice` in OpenAI's form. */
export function checkToolChoice(context: SimContext, choice: unknown): void {
  const hasParser = context.options.autoToolChoice && context.options.toolCallParser !== null;
  if (hasParser || choice === 'none') return;
  if (choice === 'auto') {
    throw badRequest(
      '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    );
  }
  const name = objectOf(objectOf(choice)?.['function'])?.['name'];
  const wanted = typeof name === 'string' ? `function "${name}"` : `"${String(choice)}"`;
  throw badRequest(`tool_choice=${wanted} requires --tool-call-parser to be set`);
}

export function nowS(): number {
  return Math.floor(Date.now() / 1000);
}

/** Ids of other kinds of answers. */
export function prefixedId(prefix: string): string {
  return `${prefix}${newId()}`;
}
