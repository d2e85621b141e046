/** What the generating routes share: from a checked body to running sequences and their text. */
import type { EventEmitter } from 'node:events';
import type { SimContext } from './context.ts';
import { ApiError, badRequest, type Exchange, type JsonObject } from './exchange.ts';
import type { FinishReason } from './generation.ts';
import { composeAnswer, splitPieces } from './text.ts';
import { booleanOf, checkFields, numberOf } from './validation.ts';

export interface Job {
  readonly requestId: string;
  /** The name that stands in the answer. */
  readonly modelName: string;
  readonly prompt: string;
  readonly lastUserText: string;
  readonly promptTokens: number;
  readonly samples: number;
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly stops: readonly string[];
  readonly includeStop: boolean;
}

export interface SampleResult {
  readonly text: string;
  readonly tokens: number;
  readonly finish: FinishReason;
  /** The stop string that ended it. */
  readonly stopReason: string | null;
}

export interface SampleSink {
  /** `isLastOfLength`: the limit ends the sample here, and vLLM puts this token and the end into one frame. */
  token(sample: number, piece: string, isLastOfLength: boolean): void;
  finished(sample: number, result: SampleResult): void;
}

const SAMPLING_FIELDS = {
  model: 'string',
  max_tokens: 'integer',
  max_completion_tokens: 'integer',
  min_tokens: 'integer',
  n: 'integer',
  temperature: 'number',
  top_p: 'number',
  presence_penalty: 'number',
  frequency_penalty: 'number',
  seed: 'integer',
  stream: 'boolean',
  stream_options: 'object',
  ignore_eos: 'boolean',
} as const;

/** The name for answers; 404 for a model that is not served. Absent and empty names mean the first served one. */
export function resolveModel(context: SimContext, body: JsonObject): string {
  const found = findModel(context, body);
  if (found !== null) return found;
  throw new ApiError(
    404,
    'NotFoundError',
    `The model \`${String(body['model'])}\` does not exist. Valid aliases: ${context.options.servedNames.join(', ')}.`,
    'model',
  );
}

/** The same without the error. */
export function findModel(context: SimContext, body: JsonObject): string | null {
  const given = body['model'];
  const { servedNames } = context.options;
  if (given === undefined || given === null || given === '') return servedNames[0];
  if (typeof given !== 'string') return null;
  if (servedNames.includes(given)) return servedNames[0];
  return context.loras.has(given) ? given : null;
}

export interface Prompt {
  readonly text: string;
  readonly lastUserText: string;
  readonly tokens: number;
}

/** Checks the sampling parameters of an OpenAI body against the model. */
export function createJob(
  context: SimContext,
  exchange: Exchange,
  body: JsonObject,
  prompt: Prompt,
  defaults: { readonly maxTokens: number | null; readonly maxTokensName: string },
): Job {
  const modelName = resolveModel(context, body);
  const asked = numberOf(body, 'max_completion_tokens') ?? numberOf(body, 'max_tokens');
  checkRanges(body, asked);
  const limit = context.maxModelLen;
  if (asked !== null && asked > limit) {
    throw invalidParameter(
      `${defaults.maxTokensName}=${asked} cannot be greater than max_model_len=${limit}. Please request fewer output tokens.`,
      defaults.maxTokensName,
      asked,
    );
  }
  checkPromptLength(context, prompt.tokens);
  return {
    requestId: exchange.requestId,
    modelName,
    prompt: prompt.text,
    lastUserText: prompt.lastUserText,
    promptTokens: prompt.tokens,
    samples: numberOf(body, 'n') ?? 1,
    maxTokens: Math.max(1, Math.min(asked ?? defaults.maxTokens ?? limit, limit - prompt.tokens)),
    minTokens: numberOf(body, 'min_tokens') ?? 0,
    ignoreEos: booleanOf(body, 'ignore_eos'),
    stops: stopStrings(body['stop']),
    includeStop: booleanOf(body, 'include_stop_str_in_output'),
  };
}

/** vLLM tokenizes no more than one token beyond the limit, so it knows only `at least`. */
export function checkPromptLength(context: SimContext, tokens: number): void {
  const limit = context.maxModelLen;
  if (tokens <= limit) return;
  throw invalidParameter(
    `This model's maximum context length is ${limit} tokens. However, your prompt contains at least ${limit + 1} input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt.`,
    'input_tokens',
    limit + 1,
  );
}

function checkRanges(body: JsonObject, maxTokens: number | null): void {
  if (maxTokens !== null && maxTokens < 1) {
    throw invalidParameter(`max_tokens must be at least 1, got ${maxTokens}.`, 'max_tokens', maxTokens);
  }
  const samples = numberOf(body, 'n');
  if (samples !== null && samples < 1) throw badRequest(`n must be at least 1, got ${samples}.`);
  const temperature = numberOf(body, 'temperature');
  if (temperature !== null && temperature < 0) {
    const shown = pythonFloat(temperature);
    throw invalidParameter(`temperature must be non-negative, got ${shown}.`, 'temperature', shown);
  }
  const topP = numberOf(body, 'top_p');
  if (topP !== null && (topP <= 0 || topP > 1)) {
    const shown = pythonFloat(topP);
    throw invalidParameter(`top_p must be in (0, 1], got ${shown}.`, 'top_p', shown);
  }
  if (body['stream_options'] !== undefined && body['stream_options'] !== null && !booleanOf(body, 'stream')) {
    throw invalidParameter('Stream options can only be defined when `stream=True`.', 'stream_options');
  }
}

/** vLLM's own validation error: its text repeats the parameter, and its value where one was given. */
export function invalidParameter(message: string, parameter: string, value?: number | string): ApiError {
  const details = value === undefined ? '' : `, value=${value}`;
  return badRequest(`${message} (parameter=${parameter}${details})`, parameter);
}

function pythonFloat(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function stopStrings(value: unknown): readonly string[] {
  if (typeof value === 'string') return value === '' ? [] : [value];
  if (!Array.isArray(value)) return [];
  return value.filter((part): part is string => typeof part === 'string' && part !== '');
}

/** Checks the fields that chat, completions and others have in common. */
export function checkSamplingFields(body: JsonObject, required: readonly string[]): void {
  checkFields(
    body,
    { ...SAMPLING_FIELDS, ...(body['messages'] === undefined ? {} : { messages: 'list' }) },
    required,
  );
}

/**
 * Runs all samples of a job and tells the sink. Resolves when all have finished. The client's leaving aborts them, as vLLM's
 * cancellation does; then nobody listens to the sink any more.
 */
export function runJob(
  context: SimContext,
  exchange: { readonly response: Pick<EventEmitter, 'once' | 'removeListener'> },
  job: Job,
  sink: SampleSink,
): Promise<void> {
  if (context.life.dead) return Promise.reject(engineDead());
  const startedMs = performance.now();
  const aborts: (() => void)[] = [];
  const onClose = (): void => {
    for (const abort of aborts) abort();
  };
  exchange.response.once('close', onClose);
  const samples = Array.from({ length: job.samples }, (_, sample) => {
    const answer = answerOf(context, job, sample);
    return new Promise<void>((resolve) => {
      let text = '';
      let tokens = 0;
      let firstTokenS: number | null = null;
      const finished = (finish: FinishReason): void => {
        const totalS = (performance.now() - startedMs) / 1000;
        context.metrics.observe({
          reason: finish,
          promptTokens: sample === 0 ? job.promptTokens : 0,
          generatedTokens: tokens,
          firstTokenS,
          totalS,
        });
        sink.finished(sample, {
          text,
          tokens,
          finish,
          stopReason: finish === 'stop' ? answer.stopReason : null,
        });
        resolve();
      };
      if (context.life.draining) return finished('abort');
      const abort = context.generation.submit({
        requestId: job.requestId,
        promptTokens: job.promptTokens,
        pieces: answer.pieces,
        finish: answer.finish,
        onToken(piece) {
          firstTokenS ??= (performance.now() - startedMs) / 1000;
          text += piece;
          tokens++;
          sink.token(sample, piece, answer.finish === 'length' && tokens === answer.pieces.length);
        },
        onFinish: finished,
      });
      aborts.push(abort);
    });
  });
  return Promise.all(samples).then(() => {
    exchange.response.removeListener('close', onClose);
  });
}

interface StoppedAnswer {
  readonly pieces: readonly string[];
  readonly finish: 'stop' | 'length';
  readonly stopReason: string | null;
}

function answerOf(context: SimContext, job: Job, sample: number): StoppedAnswer {
  const answer = composeAnswer({
    prompt: job.prompt,
    lastUserText: job.lastUserText,
    mode: context.options.sim.answer,
    sample,
    maxTokens: job.maxTokens,
    minTokens: job.minTokens,
    ignoreEos: job.ignoreEos,
    naturalTokens: context.options.sim.answerTokens,
  });
  const text = answer.pieces.join('');
  let cutAt = Number.POSITIVE_INFINITY;
  let stopReason: string | null = null;
  for (const stop of job.stops) {
    const at = text.indexOf(stop);
    if (at < 0 || at >= cutAt) continue;
    cutAt = at;
    stopReason = stop;
  }
  if (stopReason === null) return { ...answer, stopReason };
  const kept = text.slice(0, cutAt + (job.includeStop ? stopReason.length : 0));
  const pieces = splitPieces(kept);
  return { pieces: pieces.length > 0 ? pieces : [''], finish: 'stop', stopReason };
}

/** What every request gets once the engine core is gone. */
export function engineDead(): ApiError {
  return new ApiError(
    500,
    'InternalServerError',
    'EngineCore encountered an issue. See stack trace (above) for the root cause.',
  );
}

export function usageOf(promptTokens: number, completionTokens: number): JsonObject {
  return {
    ...countsOf(promptTokens, completionTokens),
    prompt_tokens_details: null,
    completion_tokens_details: null,
  };
}

export function countsOf(promptTokens: number, completionTokens: number): JsonObject {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
  };
}
