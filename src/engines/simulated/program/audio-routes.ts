/**
 * /v1/audio/transcriptions and /v1/audio/translations, which a server has whose model hears and does nothing else, as
 * Whisper. Audio is never decoded: a transcript is the usual words, chosen by the file's bytes; `echo` gives the first
 * digits of their SHA-256, so that a test can tell what arrived.
 */
import { createHash } from 'node:crypto';
import { audioDurationS } from './audio-file.ts';
import type { SimContext } from './context.ts';
import { badRequest, type Exchange, type JsonObject, sendJson } from './exchange.ts';
import { readForm } from './form.ts';
import { nowS, usageOptions } from './openai-routes.ts';
import type { BytesHandler } from './route.ts';
import {
  countsOf,
  engineDead,
  invalidParameter,
  type Job,
  resolveModel,
  runJob,
  type SampleResult,
} from './sampling.ts';
import { type EventStream, OPENAI_DIALECT, openStream } from './stream.ts';
import { booleanOf, checkFields, checkWords, numberOf } from './validation.ts';

type AudioTask = 'transcribe' | 'translate';

const FORMATS = ['json', 'text', 'srt', 'verbose_json', 'vtt'] as const;
/** In these vLLM can answer; the others are known words, and refused by the handler. */
const SERVED_FORMATS: ReadonlySet<string> = new Set(['json', 'text', 'verbose_json', 'diarized_json']);
const LANGUAGES = (
  'af ar az be bg bs ca cs cy da de el en es et fa fi fr gl he hi hr hu hy id is it ja kk kn ko lt lv mi mk mr ms ' +
  'ne nl no pl pt ro ru sk sl sr sv sw ta th tl tr uk ur vi zh'
).split(' ');
/** Whisper detects it from the first words; all that we have are bytes. */
const DETECTED_LANGUAGE = 'en';
/** Whisper's: start, language, task and time marks. */
const DECODER_PROMPT_TOKENS = 4;
/** Frames of Whisper's spectrogram. */
const AUDIO_TOKENS_PER_S = 100;
const MIB = 1024 * 1024;

export const transcriptions: BytesHandler = (context, exchange, body) =>
  hear(context, exchange, body, 'transcribe');

export const translations: BytesHandler = (context, exchange, body) =>
  hear(context, exchange, body, 'translate');

interface Heard {
  readonly job: Job;
  readonly durationS: number;
  readonly language: string;
}

async function hear(context: SimContext, exchange: Exchange, body: Buffer, task: AudioTask): Promise<void> {
  const { fields, file } = await readForm(exchange, body);
  checkForm(fields, file, task);
  const limit = context.options.environment.audioFileMib;
  if (file.length > limit * MIB)
    throw invalidParameter('Maximum file size exceeded', 'audio_filesize_mb', file.length / MIB);
  const servedName = resolveModel(context, fields);
  const given = fields['model'];
  const modelName = typeof given === 'string' && given !== '' ? given : servedName;
  checkFormat(fields, modelName);
  const language = fields['language'];
  if (typeof language === 'string' && !LANGUAGES.includes(language)) {
    const known = LANGUAGES.map((code) => `'${code}'`).join(', ');
    throw badRequest(`Unsupported language: '${language}'.  Must be one of [${known}].`);
  }
  const durationS = audioDurationS(file);
  if (durationS === null) throw badRequest('Invalid or unsupported audio file.');
  const heard: Heard = {
    job: jobOf(context, exchange, { fields, file, task, modelName, durationS }),
    durationS,
    language: typeof language === 'string' ? language : DETECTED_LANGUAGE,
  };
  if (booleanOf(fields, 'stream')) return streamHeard(context, exchange, fields, heard, task);
  const result = await collect(context, exchange, heard.job);
  sendJson(exchange, 200, wholeAnswer(context, fields, heard, result, task));
}

function checkForm(fields: JsonObject, file: Buffer | null, task: AudioTask): asserts file is Buffer {
  const wantsUsage = ['stream_include_usage', 'stream_continuous_usage_stats'].find((name) => fields[name]);
  if (wantsUsage !== undefined && !fields['stream'])
    throw invalidParameter('Stream options can only be defined when `stream=True`.', wantsUsage);
  checkFields(file === null ? fields : { ...fields, file }, FORM_FIELDS, ['file']);
  // The two lists are a union of types there, and each of its members complains.
  checkWords(fields, 'response_format', task === 'transcribe' ? [FORMATS, ['diarized_json']] : [FORMATS]);
}

const FORM_FIELDS = {
  stream: 'boolean',
  stream_include_usage: 'boolean',
  stream_continuous_usage_stats: 'boolean',
  temperature: 'number',
  top_p: 'number',
  seed: 'integer',
  max_completion_tokens: 'integer',
} as const;

function checkFormat(fields: JsonObject, modelName: string): void {
  const format = formatOf(fields);
  if (!SERVED_FORMATS.has(format)) {
    throw badRequest(
      'Currently only support response_format: `text`, `json`, `verbose_json` or `diarized_json`',
    );
  }
  if (format === 'diarized_json') throw badRequest(`Currently do not support diarized_json for ${modelName}`);
  if (format === 'verbose_json' && booleanOf(fields, 'stream'))
    throw badRequest(`${format} format doesn't support streaming case`);
}

function formatOf(fields: JsonObject): string {
  const given = fields['response_format'];
  return typeof given === 'string' ? given : 'json';
}

interface JobFacts {
  readonly fields: JsonObject;
  readonly file: Buffer;
  readonly task: AudioTask;
  readonly modelName: string;
  readonly durationS: number;
}

function jobOf(context: SimContext, exchange: Exchange, facts: JobFacts): Job {
  const { fields, file, task, modelName, durationS } = facts;
  const hash = createHash('sha256').update(file).digest('hex');
  const limit = context.maxModelLen - DECODER_PROMPT_TOKENS;
  return {
    requestId: `${task}-${exchange.requestId}`,
    modelName,
    prompt: [task, hash, fields['language'] ?? '', fields['prompt'] ?? ''].join('\n'),
    lastUserText: `audio ${hash.slice(0, 8)}`,
    promptTokens: DECODER_PROMPT_TOKENS + Math.ceil(durationS * AUDIO_TOKENS_PER_S),
    samples: 1,
    maxTokens: Math.max(1, Math.min(numberOf(fields, 'max_completion_tokens') ?? limit, limit)),
    minTokens: 0,
    ignoreEos: false,
    stops: [],
    includeStop: false,
  };
}

async function collect(context: SimContext, exchange: Exchange, job: Job): Promise<SampleResult> {
  const results: SampleResult[] = [];
  await runJob(context, exchange, job, {
    token: () => undefined,
    finished: (_sample, result) => results.push(result),
  });
  const [result] = results;
  if (result === undefined || result.finish === 'error') throw engineDead();
  return result;
}

/** `text` is answered like `json`, as vLLM does. One segment, however long the recording is. */
function wholeAnswer(
  context: SimContext,
  fields: JsonObject,
  heard: Heard,
  result: SampleResult,
  task: AudioTask,
): JsonObject {
  const { text } = result;
  if (formatOf(fields) !== 'verbose_json') {
    if (task === 'translate') return { text };
    return { text, usage: { type: 'duration', seconds: Math.ceil(heard.durationS) } };
  }
  const segment = {
    id: 0,
    avg_logprob: -0.25,
    compression_ratio: 1,
    end: heard.durationS,
    no_speech_prob: null,
    seek: 0,
    start: 0,
    temperature: numberOf(fields, 'temperature') ?? 0,
    text,
    tokens: context.vocabulary.encode(text),
  };
  return { duration: heard.durationS, language: heard.language, text, segments: [segment], words: null };
}

async function streamHeard(
  context: SimContext,
  exchange: Exchange,
  fields: JsonObject,
  heard: Heard,
  task: AudioTask,
): Promise<void> {
  const { job } = heard;
  const head = {
    id: job.requestId,
    object: task === 'transcribe' ? 'transcription.chunk' : 'translation.chunk',
    created: nowS(),
    model: job.modelName,
  };
  const asked = {
    include_usage: fields['stream_include_usage'],
    continuous_usage_stats: fields['stream_continuous_usage_stats'],
  };
  const usage = usageOptions(context, { stream_options: asked });
  const stream: EventStream = openStream(context, exchange, OPENAI_DIALECT, engineDead());
  let tokens = 0;
  let last = '';
  let failed = false;
  const chunk = (choice: JsonObject): void => {
    const counted = usage.continuous ? { usage: countsOf(job.promptTokens, tokens) } : {};
    stream.data({ ...head, choices: [choice], ...counted });
  };
  await runJob(context, exchange, job, {
    token(_sample, piece, isLastOfLength) {
      tokens += 1;
      if (isLastOfLength) last = piece;
      else chunk({ delta: { content: piece } });
    },
    finished(_sample, { finish, stopReason }) {
      failed = finish === 'error';
      if (!failed) chunk({ delta: { content: last }, finish_reason: finish, stop_reason: stopReason });
    },
  });
  if (failed) OPENAI_DIALECT.error(stream, engineDead());
  else {
    if (usage.final) stream.data({ ...head, choices: [], usage: countsOf(job.promptTokens, tokens) });
    stream.done();
  }
  stream.end();
}
