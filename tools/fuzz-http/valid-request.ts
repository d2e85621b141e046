/** Well-formed requests of every kind of route, framed in every way that HTTP allows, each with a mark of its own. */
import type { Prng } from '../../src/core/prng.ts';

export const MODEL = 'm1';
export const MARK = 'x-fuzz';

const LARGE_BODY_SHARE = 0.01;
const LARGE_BODY_CHARS_MAX = 200_000;
const BODY_CHARS_MAX = 2_000;
const EXPECT_SHARE = 0.05;
const OLD_SHARE = 0.05;
const ABSOLUTE_SHARE = 0.03;
const BOUNDARY = 'fuzz-boundary';

const JSON_PATHS = [
  '/v1/chat/completions',
  '/v1/chat/completions?x=1',
  '/v1/completions',
  '/v1/messages',
  '/v1/responses',
  '/v1/embeddings',
  '/v1/score',
  '/tokenize',
  `/engines/${MODEL}/v1/chat/completions`,
  '/v1/chat/completions/',
] as const;
const READ_TARGETS = ['/health', '/ready', '/v1/models', `/v1/models/${MODEL}`, '/metrics'] as const;

export function pick<T>(random: Prng, from: readonly [T, ...T[]] | readonly T[]): T {
  const picked = from[random.integer(from.length)];
  if (picked === undefined) throw new Error('picked from nothing');
  return picked;
}

/** The bytes of one request as latin1. */
export function validRequest(random: Prng, mark: string): string {
  const shared = [`Host: ${pick(random, ['gateway', 'localhost:9000', '127.0.0.1'])}`];
  shared.push(`X-Request-Id: f-${mark}`, `${pick(random, ['X-Fuzz', MARK])}: ${mark}`);
  if (random.next() < 0.2) shared.push('Connection: keep-alive');
  if (random.next() < 0.1) shared.push('TE: trailers', 'Connection: te');
  if (random.next() < 0.1) shared.push('X-Forwarded-For: 1.2.3.4', 'Cookie: a=b');
  const kind = random.next();
  if (kind < 0.15) {
    const method = pick(random, ['GET', 'HEAD']);
    return `${method} ${pick(random, READ_TARGETS)} HTTP/1.1\r\n${shared.join('\r\n')}\r\n\r\n`;
  }
  if (kind < 0.22) {
    const method = pick(random, ['GET', 'HEAD', 'DELETE']);
    return `${method} /engines/${MODEL}/v1/things/${mark} HTTP/1.1\r\n${shared.join('\r\n')}\r\n\r\n`;
  }
  if (kind < 0.3) {
    shared.push(`Content-Type: multipart/form-data; boundary=${BOUNDARY}`, `X-Model: ${MODEL}`);
    return framed(random, '/v1/audio/transcriptions', shared, formBody(random, mark));
  }
  shared.push(`Content-Type: ${pick(random, ['application/json', 'application/json; charset=utf-8'])}`);
  return framed(random, pick(random, JSON_PATHS), shared, jsonBody(random, mark));
}

function jsonBody(random: Prng, mark: string): string {
  const charsMax = random.next() < LARGE_BODY_SHARE ? LARGE_BODY_CHARS_MAX : BODY_CHARS_MAX;
  const pad = 'p'.repeat(random.integer(charsMax));
  return JSON.stringify({
    model: MODEL,
    mark,
    stream: random.next() < 0.3,
    pad,
    nested: { model: 'other', a: [1] },
  });
}

function formBody(random: Prng, mark: string): string {
  const part = (head: string, text: string): string =>
    `--${BOUNDARY}\r\nContent-Disposition: form-data; ${head}\r\n\r\n${text}\r\n`;
  const file = part('name="file"; filename="a.wav"', 'w'.repeat(random.integer(BODY_CHARS_MAX)));
  const model = part('name="model"', MODEL);
  const parts = random.next() < 0.5 ? file + model : model + file;
  return `${parts}${part('name="mark"', mark)}--${BOUNDARY}--\r\n`;
}

function framed(random: Prng, path: string, headers: readonly string[], body: string): string {
  const old = random.next() < OLD_SHARE;
  const target = !old && random.next() < ABSOLUTE_SHARE ? `http://${hostOf(headers)}${path}` : path;
  const lines = [`POST ${target} HTTP/1.${old ? 0 : 1}`, ...headers];
  if (!old && random.next() < EXPECT_SHARE) lines.push('Expect: 100-continue');
  if (old || random.next() < 0.6) {
    return `${[...lines, `Content-Length: ${body.length}`].join('\r\n')}\r\n\r\n${body}`;
  }
  return `${[...lines, 'Transfer-Encoding: chunked'].join('\r\n')}\r\n\r\n${chunks(random, body)}`;
}

function hostOf(headers: readonly string[]): string {
  return headers.find((line) => line.startsWith('Host: '))?.slice(6) ?? '';
}

function chunks(random: Prng, body: string): string {
  let text = '';
  let at = 0;
  while (at < body.length) {
    const size = Math.min(body.length - at, 1 + random.integer(random.next() < 0.2 ? 4 : body.length));
    const digits = size.toString(16);
    const written = random.next() < 0.1 ? digits.toUpperCase().padStart(digits.length + 2, '0') : digits;
    text += `${written}${random.next() < 0.1 ? ';a="b"' : ''}\r\n${body.slice(at, at + size)}\r\n`;
    at += size;
  }
  return `${text}0\r\n${random.next() < 0.1 ? 'X-Trailer: 1\r\n' : ''}\r\n`;
}
