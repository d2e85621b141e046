/** Ways to break a request, from single bytes to the tricks by which requests are smuggled past a proxy. */
import type { Prng } from '../../src/core/prng.ts';
import { pick } from './valid-request.ts';

type Mutation = (bytes: string, random: Prng) => string;

const SHARP_BYTES = [
  '\r',
  '\n',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '\x0b',
  '\x7f',
  '\xff',
  '0',
  '\r\n',
  '\r\n\r\n',
];
const HEADERS = [
  'Content-Length: 0',
  'Content-Length: 5',
  'Content-Length: +5',
  'Content-Length: 0x5',
  'Content-Length: 5, 5',
  'Content-Length: 1e1',
  'Content-Length: -1',
  'Content-Length:',
  'Content-Length: 99999999999999999999',
  'Content-Length : 5',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding:\tchunked',
  'Transfer-Encoding: chunked\t',
  'Transfer-Encoding: "chunked"',
  'Transfer-Encoding:\x0bchunked',
  'Transfer-Encoding : chunked',
  ' Transfer-Encoding: chunked',
  'TRANSFER-ENCODING: Chunked',
  'X: y\nTransfer-Encoding: chunked',
  'X: y\rTransfer-Encoding: chunked',
  'X: y\r\n Transfer-Encoding: chunked',
  'Host: other',
  'Host:',
  'Authorization: a\r\nAuthorization: b',
  'Connection: close',
  'Connection: close, x-fuzz',
  'Connection: content-length',
  'Connection: upgrade\r\nUpgrade: websocket',
  'Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA',
  'Expect: 100-continue',
  'Expect: something',
  'X-Original-URL: /sleep',
  'X-Request-Id: second',
  'Trailer: Content-Length',
  'Upgrade: tls/1.0',
  ': nameless',
  'no colon',
  'X-\xe9: 1',
  'X-Zero: a\0b',
  `X-Long: ${'l'.repeat(20_000)}`,
];
const CHUNK_SIZES = [
  '0',
  '-1',
  '+3',
  '0x3',
  '3 ',
  ' 3',
  '3\t',
  '',
  'g',
  'ffffffff',
  'fffffffffffffffff',
  '3;\n',
  '00',
];
const START_LINES = [
  'GET / HTTP/1.1',
  'GET  /health HTTP/1.1',
  'GET /health HTTP/1.1 ',
  'GET /health',
  'GET /health HTTP/2.0',
  'GET /health HTTP/1.9',
  'GET /health http/1.1',
  'get /health HTTP/1.1',
  'GET\t/health HTTP/1.1',
  'GET http://other/health HTTP/1.1',
  'OPTIONS * HTTP/1.1',
  'CONNECT a:1 HTTP/1.1',
  'PRI * HTTP/2.0',
  'POST /sleep HTTP/1.1',
  'TRACE /health HTTP/1.1',
  'GET /v1/models/%00 HTTP/1.1',
  'GET /a#b HTTP/1.1',
  ' GET /health HTTP/1.1',
];

function at(bytes: string, random: Prng, within = bytes.length): number {
  return random.integer(Math.max(1, within));
}

/** The place of one line end in the first head. */
function lineEnd(bytes: string, random: Prng): number {
  const ends = [...bytes.slice(0, headEnd(bytes)).matchAll(/\r\n/g)].map(({ index }) => index);
  return ends.length === 0 ? 0 : pick(random, ends);
}

function headEnd(bytes: string): number {
  const end = bytes.indexOf('\r\n\r\n');
  return end < 0 ? bytes.length : end + 2;
}

function spliced(bytes: string, from: number, removed: number, added: string): string {
  return bytes.slice(0, from) + added + bytes.slice(from + removed);
}

const MUTATIONS: readonly Mutation[] = [
  // Bytes.
  (bytes, random) => spliced(bytes, at(bytes, random), 1, String.fromCharCode(random.integer(256))),
  (bytes, random) => spliced(bytes, at(bytes, random, headEnd(bytes)), 1, pick(random, SHARP_BYTES)),
  (bytes, random) => spliced(bytes, at(bytes, random, headEnd(bytes)), 0, pick(random, SHARP_BYTES)),
  (bytes, random) => spliced(bytes, at(bytes, random), 1 + random.integer(20), ''),
  (bytes, random) => {
    const from = at(bytes, random);
    return spliced(bytes, from, 0, bytes.slice(from, from + 1 + random.integer(40)));
  },
  // Headers.
  (bytes, random) => spliced(bytes, lineEnd(bytes, random), 0, `\r\n${pick(random, HEADERS)}`),
  (bytes, random) => spliced(bytes, lineEnd(bytes, random), 0, `\r\n${pick(random, HEADERS)}`),
  (bytes, random) =>
    spliced(bytes, lineEnd(bytes, random), 2, pick(random, ['\n', '\r', '\r\r\n', '\n\r', '\r\n '])),
  (bytes, random) => {
    const from = lineEnd(bytes, random);
    const next = bytes.indexOf('\r\n', from + 2);
    const line = bytes.slice(from, Math.max(from, next));
    return random.next() < 0.5 ? spliced(bytes, from, 0, line) : spliced(bytes, from, line.length, '');
  },
  (bytes, random) => bytes.replace(/: /, pick(random, [':', ' : ', ':\t', ': \r\n ', ':  '])),
  (bytes, random) => {
    const from = bytes.indexOf('\r\n');
    return spliced(bytes, 0, Math.max(0, from), pick(random, START_LINES));
  },
  (bytes, random) =>
    spliced(
      bytes,
      lineEnd(bytes, random),
      0,
      '\r\nx: y'.repeat(1 + random.integer(random.next() < 0.1 ? 5_000 : 50)),
    ),
  // Framing.
  (bytes, random) =>
    bytes.replace(/(content-length: *)(\d+)/i, (_all, name: string, size: string) => {
      const length = Number(size) + pick(random, [-1, 1, 2, -2, 40, -40]);
      return name + pick(random, [String(length), `0${size}`, ` ${size} `, `${size},${size}`, `${size}\0`]);
    }),
  (bytes, random) =>
    bytes.replace(
      /\r\n\r\n([0-9a-f]+)/i,
      (_all, size: string) =>
        `\r\n\r\n${pick(random, [...CHUNK_SIZES, `${size};${'e'.repeat(30)}`, `0${size}`])}`,
    ),
  (bytes, random) => {
    const ends = [...bytes.matchAll(/\r\n/g)].map(({ index }) => index);
    return ends.length === 0
      ? bytes
      : spliced(bytes, pick(random, ends), 2, pick(random, ['\n', '\r', '', '\r\n\r\n', 'XX']));
  },
  (bytes, random) =>
    bytes.replace(
      /0\r\n\r\n$/,
      pick(random, ['0\r\nContent-Length: 9\r\n\r\n', '0\r\n', '0\n\n', '00\r\n\r\n', '0\r\nbad\r\n\r\n']),
    ),
  (bytes, random) =>
    bytes + pick(random, ['\r\n', 'GET', '0\r\n\r\n', '\0', 'G / HTTP/1.1\r\n\r\n', '\r\n\r\n\r\n']),
  // Cutting.
  (bytes, random) => bytes.slice(0, at(bytes, random)),
  (bytes, random) => bytes.slice(at(bytes, random)),
];

/** One to three breaks; now and then none of them does anything. */
export function mutated(bytes: string, random: Prng): string {
  let text = bytes;
  for (let count = 1 + random.integer(3); count > 0; count--) text = pick(random, MUTATIONS)(text, random);
  return text;
}
