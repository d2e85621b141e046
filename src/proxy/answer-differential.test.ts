/** Our parser beside those of Node and undici: the same bytes, the same answer; and what ours takes, Node takes too. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as nodeRequest } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { Agent, request as undiciRequest } from 'undici';
import { AnswerParser, type AnswerSink } from './answer-parser.ts';
import { MalformedAnswer } from './transport-fault.ts';

interface Read {
  readonly status: number;
  readonly statusText: string;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

/** What the engine sends next, in these pieces; then it closes. */
let pieces: readonly Buffer[] = [];
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.once('data', async () => {
    for (const piece of pieces) {
      socket.write(piece);
      // Separate reads at the other end, mostly.
      await new Promise(setImmediate);
    }
    socket.end();
  });
});
const agent = new Agent({ pipelining: 0, keepAliveTimeout: 1 });
let port = 0;

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});

after(async () => {
  await agent.destroy();
  server.close();
});

function cut(text: string, cuts: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text, 'latin1');
  const ends = [...new Set(cuts.map((at) => at % (bytes.length + 1))), bytes.length].sort((a, b) => a - b);
  let from = 0;
  return ends.flatMap((end) => {
    const piece = bytes.subarray(from, end);
    from = end;
    return piece.length > 0 ? [piece] : [];
  });
}

/** Null: refused, or not complete when the connection ended. */
function ours(parts: readonly Buffer[], method: string): Read | null {
  const read = { status: 0, statusText: '', rawHeaders: [] as readonly string[], body: '' };
  const sink: AnswerSink = {
    onHead: (status, statusText, rawHeaders) => Object.assign(read, { status, statusText, rawHeaders }),
    onData: (piece) => {
      read.body += piece.toString('latin1');
    },
  };
  const parser = new AnswerParser(sink);
  parser.begin(method);
  try {
    for (const part of parts) if (parser.execute(part)) return read;
  } catch (error) {
    assert.ok(error instanceof MalformedAnswer);
    return null;
  }
  return parser.endOfConnection() ? read : null;
}

function nodes(parts: readonly Buffer[], method: string): Promise<Read | null> {
  pieces = parts;
  return new Promise((resolve) => {
    const asked = nodeRequest({ port, host: '127.0.0.1', method, path: '/', agent: false }, (answer) => {
      const { statusCode = 0, statusMessage = '', rawHeaders } = answer;
      let body = '';
      answer.setEncoding('latin1');
      answer.on('data', (piece) => {
        body += piece;
      });
      answer.on('error', () => resolve(null));
      answer.on('close', () =>
        resolve(answer.complete ? { status: statusCode, statusText: statusMessage, rawHeaders, body } : null),
      );
    });
    asked.on('error', () => resolve(null));
    asked.on('upgrade', (_answer, socket) => {
      socket.destroy();
      resolve(null);
    });
    asked.end();
  });
}

async function undicis(parts: readonly Buffer[], method: 'GET' | 'HEAD'): Promise<Read | null> {
  pieces = parts;
  try {
    const answer = await undiciRequest(`http://127.0.0.1:${port}/`, { method, dispatcher: agent });
    const { statusCode: status, statusText, headers } = answer;
    const body = Buffer.from(await answer.body.arrayBuffer()).toString('latin1');
    // It keeps blanks behind values, which are none of them.
    const rawHeaders = Object.entries(headers).flatMap(([name, value]) => [
      name,
      [value]
        .flat()
        .map((one) => one?.trim())
        .join(),
    ]);
    return { status, statusText, rawHeaders, body };
  } catch {
    return null;
  }
}

/** Headers as undici gives them: lower-case, repeated ones together. */
function joined(read: Read): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let index = 0; index + 1 < read.rawHeaders.length; index += 2) {
    const name = String(read.rawHeaders[index]).toLowerCase();
    const value = String(read.rawHeaders[index + 1]);
    headers[name] = Object.hasOwn(headers, name) ? `${headers[name]},${value}` : value;
  }
  return headers;
}

const reason = fc.constantFrom('OK', '', 'Not Found', 'a b  c', "I'm a teapot", 'caf\xe9');
const status = fc.constantFrom(200, 200, 200, 201, 204, 304, 400, 404, 418, 429, 500, 503, 599);
const header = fc.constantFrom(
  'Content-Type: application/json',
  'content-type: text/event-stream; charset=utf-8',
  'x-request-id:\tabc \t',
  'x-empty:',
  'X-Latin: \xe9\xff',
  'set-cookie: a=b; c',
  'set-cookie: d=e',
  'vary: a',
  'Content-Encoding: gzip',
  `x-long: ${'v'.repeat(3000)}`,
);
const text = fc.string({ unit: fc.constantFrom('a', '\r\n', '0\r\n\r\n', '\0', '\xff', 'data: x\n\n') });
const interim = fc.constantFrom('', '', '', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n');

/** Right in every way: each kind of framing, each kind of case and blank that HTTP allows. */
function wellFormed(method: string): fc.Arbitrary<string> {
  const chunk = fc.tuple(text, fc.constantFrom('', '', ';x', ';x=1', ';x="y z"'), fc.boolean());
  const trailers = fc.constantFrom('', 'x-trailer: 1\r\n', 'a:\r\nb: c\r\n');
  const body = fc.oneof(
    text.map((bytes) => [`Content-Length: ${bytes.length}`, bytes] as const),
    text.map((bytes) => ['connection: close', bytes] as const),
    fc.tuple(fc.array(chunk), trailers).map(([chunks, last]) => {
      const written = chunks.filter(([bytes]) => bytes.length > 0).map((parts) => chunkText(...parts));
      return ['Transfer-Encoding: chunked', `${written.join('')}0\r\n${last}\r\n`] as const;
    }),
  );
  return fc
    .tuple(interim, status, reason, fc.array(header, { maxLength: 6 }), body)
    .map(([before, code, phrase, headers, [framing, bytes]]) => {
      const lines = [...headers, framing].map((line) => `${line}\r\n`).join('');
      const hasBody = method !== 'HEAD' && code !== 204 && code !== 304;
      return `${before}HTTP/1.1 ${code} ${phrase}\r\n${lines}\r\n${hasBody ? bytes : ''}`;
    });
}

function chunkText(bytes: string, extension: string, isUpper: boolean): string {
  const size = bytes.length.toString(16);
  return `${isUpper ? `0${size.toUpperCase()}` : size}${extension}\r\n${bytes}\r\n`;
}

const cuts = fc.array(fc.nat(5000), { maxLength: 8 });

for (const method of ['GET', 'HEAD'] as const) {
  test(`a well-formed answer to ${method} is the same for our parser, for Node and for undici, however it is cut`, async () => {
    await fc.assert(
      fc.asyncProperty(wellFormed(method), cuts, async (answer, at) => {
        const parts = cut(answer, at);
        const read = ours(parts, method);
        assert.ok(read !== null, 'refused');
        assert.deepEqual(await nodes(parts, method), read);
        const others = await undicis(parts, method);
        if (others === null) {
          // It waits for the body of a 304, which has none however long it says that it would be.
          assert.ok(read.status === 304 || read.status === 204, 'refused by undici');
          return;
        }
        assert.deepEqual(joined(others), joined(read));
        assert.equal(others.status, read.status);
        assert.equal(others.body, read.body);
      }),
      { numRuns: 200 },
    );
  });
}

test('what is wrong in one place is refused, or read as Node reads it: never mended in a way of our own', async () => {
  const damage = fc.constantFrom(
    '',
    '\r',
    '\n',
    '\r\n',
    ' ',
    '\0',
    ':',
    '0',
    'f',
    ';',
    'HTTP/1.1 200 OK\r\n',
  );
  const damaged = fc
    .tuple(wellFormed('GET'), fc.nat(400), fc.nat(3), damage)
    .map(([answer, at, taken, put]) => answer.slice(0, at) + put + answer.slice(at + taken));
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(damaged, cuts, async (answer, at) => {
      const parts = cut(answer, at);
      const read = ours(parts, 'GET');
      if (read === null) {
        refused += 1;
        return;
      }
      const others = await nodes(parts, 'GET');
      // Node may refuse more; where both read something, it is the same.
      if (others !== null) assert.deepEqual(others, read);
    }),
    { numRuns: 600 },
  );
  assert.ok(refused > 0);
});
