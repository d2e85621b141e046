/** Random asks of every kind that a gateway gets. */

import type { Prng } from '../../src/core/prng.ts';
import { embed } from '../../src/engines/simulated/program/text.ts';
import { popular } from '../../test/fixtures/popularity.ts';
import { recording, recordingForm, transcriptOf } from '../../test/fixtures/recordings.ts';
import type { Ask, HttpAsk, Leaving } from './ask.ts';
import {
  CHAT_MODELS,
  EMBEDDING_MODELS,
  EMBEDDING_SIZE,
  FAST_MODEL,
  HEARING_MODEL,
  KEEPING_MODEL,
} from './world.ts';

const LEAVER_SHARE = 0.2;
const LEAVES_WITHIN_MS = 2_500;
const LEAVES_WITHIN_BYTES = 6_000;
/** Exponent of Zipf's law: which models are asked. */
const SKEW = 0.7;
/** At least the tokens of the number that an answer gives back. */
const TOKENS_LEAST = 12;
const TOKENS_SPREAD = 60;
/** Longer than `drain_timeout` at the engines' speed: cut, when its engine has to give way. */
const LONG_TOKENS = 2_000;
/** Up to five megabytes of events, more than the sockets of a slow reader hold. */
const MANY_TOKENS = 20_000;
const UPLOAD_BYTES_LEAST = 100_000;
const UPLOAD_BYTES_SPREAD = 600_000;
/** Some longer than what forms may take of memory: they wait in files. */
const RECORDING_BYTES_LEAST = 20_000;
const RECORDING_BYTES_SPREAD = 2_000_000;
const UTTERANCE_BYTES_SPREAD = 20_000;
/** Some longer than `ws_idle_timeout`. */
const SILENCES_MS = [0, 50, 300, 2_600];
const PATIENCE = ['0', '0.3', '1.5', '30'];

type Make = (number: number, random: Prng) => Ask;

/** Kinds and how often each is asked. */
const KINDS: readonly (readonly [weight: number, make: Make])[] = [
  [16, (number, random) => generate('chat', number, random, {})],
  [22, (number, random) => generate('chat', number, random, { stream: true })],
  [5, (number, random) => generate('completion', number, random, { stream: random.integer(2) === 0 })],
  [6, (number, random) => generate('message', number, random, { stream: random.integer(2) === 0 })],
  [6, (number, random) => generate('response', number, random, { stream: random.integer(2) === 0 })],
  [2, background],
  [9, (number, random) => progressing(generate('chat', number, random, { stream: true }), random)],
  [6, (number, random) => impatient(generate('chat', number, random, {}), random)],
  [2, (number, random) => generate('chat', number, random, { stream: true, tokens: LONG_TOKENS })],
  [2, slowReader],
  [3, slowUpload],
  [4, transcription],
  [10, embedding],
  [4, tokenize],
  [6, socket],
  [1, unknownModel],
];

const WEIGHTS = KINDS.reduce((sum, [weight]) => sum + weight, 0);

export function randomAsk(number: number, random: Prng): Ask {
  let place = random.next() * WEIGHTS;
  const found = KINDS.find(([weight]) => {
    place -= weight;
    return place < 0;
  });
  const [, make] = found ?? KINDS[0] ?? [0, unknownModel];
  return make(number, random);
}

/** Asks for a response that was begun in the background. */
export function retrieve(number: number, responseId: string): HttpAsk {
  const path = `/v1/responses/${responseId}`;
  return { ...http(number, 'retrieve', path, null), method: 'GET', contains: responseId };
}

const DIALECTS = {
  chat: '/v1/chat/completions',
  completion: '/v1/completions',
  message: '/v1/messages',
  response: '/v1/responses',
} as const;

interface Generating {
  readonly stream?: boolean;
  readonly tokens?: number;
  readonly model?: string;
  readonly filler?: string;
}

function generate(
  dialect: keyof typeof DIALECTS,
  number: number,
  random: Prng,
  { stream = false, tokens, model = popular(CHAT_MODELS, random, SKEW), filler = '' }: Generating,
): HttpAsk {
  const echo = `#${number}#`;
  const content = `${echo} of the soak ${filler}`;
  const limit = tokens ?? TOKENS_LEAST + random.integer(TOKENS_SPREAD);
  const limits = dialect === 'response' ? { max_output_tokens: limit } : { max_tokens: limit };
  const words =
    dialect === 'response'
      ? { input: content }
      : dialect === 'completion'
        ? { prompt: content }
        : { messages: [{ role: 'user', content }] };
  const body = { model, ...words, ...limits, stream, ...(dialect === 'message' ? {} : { ignore_eos: true }) };
  const kind = stream ? `${dialect} stream` : dialect;
  return { ...http(number, kind, DIALECTS[dialect], body), streams: stream, echo, leaving: leaving(random) };
}

function background(number: number, random: Prng): HttpAsk {
  const ask = generate('response', number, random, { model: KEEPING_MODEL });
  const body = { ...(JSON.parse(String(ask.body)) as object), background: true };
  return {
    ...ask,
    kind: 'background',
    body: Buffer.from(JSON.stringify(body)),
    echo: null,
    contains: '"id":"resp_',
  };
}

function progressing(ask: HttpAsk, random: Prng): HttpAsk {
  const progress = ask.path === DIALECTS.chat && random.integer(3) === 0 ? 'reasoning' : 'comments';
  return { ...ask, kind: 'progress', headers: { ...ask.headers, 'x-progress': progress } };
}

function impatient(ask: HttpAsk, random: Prng): HttpAsk {
  const patience = PATIENCE[random.integer(PATIENCE.length)] ?? '0';
  return { ...ask, kind: 'impatient', headers: { ...ask.headers, 'x-queue-timeout': patience } };
}

function slowReader(number: number, random: Prng): HttpAsk {
  const ask = generate('chat', number, random, {
    stream: true,
    model: FAST_MODEL,
    tokens: MANY_TOKENS / 10 + random.integer(MANY_TOKENS),
  });
  return { ...ask, kind: 'slow reader', readPauseMs: 1 + random.integer(60) };
}

function slowUpload(number: number, random: Prng): HttpAsk {
  const filler = 'aaaaaaaa'.repeat((UPLOAD_BYTES_LEAST + random.integer(UPLOAD_BYTES_SPREAD)) / 8);
  const ask = generate('chat', number, random, { filler });
  return { ...ask, kind: 'upload', pieces: 2 + random.integer(20), pauseMs: random.integer(80) };
}

/** A form whose model stands behind its recording, in which the engine hears what no other recording says. */
function transcription(number: number, random: Prng): HttpAsk {
  const streams = random.integer(2) === 0;
  const file = recording(RECORDING_BYTES_LEAST + 4 * random.integer(RECORDING_BYTES_SPREAD / 4), number);
  const { type, payload } = recordingForm(file, { model: HEARING_MODEL, stream: streams });
  const heard = transcriptOf(file);
  return {
    ...http(number, 'recording', '/v1/audio/transcriptions', null),
    headers: { 'content-type': type },
    method: 'POST',
    body: payload,
    pieces: 1 + random.integer(8),
    pauseMs: random.integer(60),
    streams,
    echo: streams ? heard : null,
    contains: streams ? null : heard,
    leaving: leaving(random),
  };
}

function embedding(number: number, random: Prng): HttpAsk {
  const input = `text ${number} of the soak`;
  const model = popular(EMBEDDING_MODELS, random, SKEW);
  const [expected] = embed(input, EMBEDDING_SIZE);
  const ask = http(number, 'embedding', '/v1/embeddings', { model, input });
  return { ...ask, contains: String(expected), leaving: leaving(random) };
}

function tokenize(number: number, random: Prng): HttpAsk {
  const body = { model: popular(CHAT_MODELS, random, SKEW), prompt: 'one two three' };
  return { ...http(number, 'tokenize', '/tokenize', body), contains: '"count":3' };
}

function unknownModel(number: number): HttpAsk {
  const body = { model: `nobody-${number}`, messages: [{ role: 'user', content: 'Hello' }] };
  const ask = http(number, 'unknown model', DIALECTS.chat, body);
  return { ...ask, status: 404, contains: `nobody-${number}`, by: 'gateway' };
}

function socket(number: number, random: Prng): Ask {
  const model = popular(CHAT_MODELS, random, SKEW);
  const utterances = Array.from({ length: 1 + random.integer(3) }, () =>
    Buffer.alloc(2 + random.integer(UTTERANCE_BYTES_SPREAD), `${number} ${random.next()}`),
  );
  return {
    transport: 'socket',
    number,
    kind: 'socket',
    path: `/v1/realtime?model=${model}`,
    by: 'engine',
    leaving: leaving(random),
    model,
    utterances,
    pauseMs: SILENCES_MS[random.integer(SILENCES_MS.length)] ?? 0,
  };
}

function http(number: number, kind: string, path: string, body: object | null): HttpAsk {
  return {
    transport: 'http',
    number,
    kind,
    path,
    method: body === null ? 'GET' : 'POST',
    headers: body === null ? {} : { 'content-type': 'application/json' },
    body: body === null ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body)),
    pieces: 1,
    pauseMs: 0,
    readPauseMs: 0,
    streams: false,
    status: 200,
    echo: null,
    contains: null,
    by: 'engine',
    leaving: null,
  };
}

function leaving(random: Prng): Leaving | null {
  const chance = random.next();
  if (chance < LEAVER_SHARE / 2) return { afterMs: random.integer(LEAVES_WITHIN_MS) };
  return chance < LEAVER_SHARE ? { atBytes: 1 + random.integer(LEAVES_WITHIN_BYTES) } : null;
}
