import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AnswerParser, type AnswerSink, MalformedAnswer } from './answer-parser.ts';

class Recorder implements AnswerSink {
  status = 0;
  statusText = '';
  rawHeaders: readonly string[] = [];
  body = '';
  heads = 0;

  onHead(status: number, statusText: string, rawHeaders: readonly string[]): void {
    this.heads += 1;
    this.status = status;
    this.statusText = statusText;
    this.rawHeaders = rawHeaders;
  }

  onData(piece: Buffer): void {
    this.body += piece.toString('latin1');
  }
}

type Outcome =
  | { readonly kind: 'malformed'; readonly message: string }
  | {
      readonly kind: 'complete' | 'open';
      readonly status: number;
      readonly statusText: string;
      readonly rawHeaders: readonly string[];
      readonly body: string;
      readonly reusable: boolean;
    };

/** Parses `text` in pieces that end at `cuts`, through one buffer that is overwritten as a connection does. */
function parse(text: string, cuts: readonly number[] = [], method = 'POST'): Outcome {
  const recorder = new Recorder();
  const parser = new AnswerParser(recorder);
  parser.begin(method);
  const bytes = Buffer.from(text, 'latin1');
  const shared = Buffer.alloc(Math.max(1, bytes.length));
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((one, other) => one - other);
  let at = 0;
  let complete = false;
  let reusable = true;
  try {
    for (const end of [...ends, bytes.length]) {
      if (end === at) continue;
      // Bytes behind the end of an answer make its connection unusable, in whichever read they come.
      if (complete) reusable = false;
      else {
        bytes.copy(shared, 0, at, end);
        complete = parser.execute(shared.subarray(0, end - at));
        shared.fill(0x23);
      }
      at = end;
    }
  } catch (error) {
    assert.ok(error instanceof MalformedAnswer);
    return { kind: 'malformed', message: error.message };
  }
  const { status, statusText, rawHeaders, body } = recorder;
  return {
    kind: complete ? 'complete' : 'open',
    status,
    statusText,
    rawHeaders,
    body,
    reusable: reusable && parser.reusable,
  };
}

const whole: readonly (readonly [
  string,
  string,
  Partial<Extract<Outcome, { kind: 'complete' | 'open' }>>,
])[] = [
  [
    'a length',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    { kind: 'complete', body: 'hello', reusable: true },
  ],
  ['no body', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', { kind: 'complete', body: '' }],
  ['no reason', 'HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n', { kind: 'complete', statusText: '' }],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n', { kind: 'complete', status: 204, reusable: true }],
  ['304 with a length', 'HTTP/1.1 304 X\r\ncontent-length: 5\r\n\r\n', { kind: 'complete', body: '' }],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok', { kind: 'complete', reusable: false }],
  [
    'HTTP/1.0 kept alive',
    'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\ncontent-length: 2\r\n\r\nok',
    { reusable: true },
  ],
  [
    'close',
    'HTTP/1.1 200 OK\r\nConnection: x, Close\r\ncontent-length: 2\r\n\r\nok',
    { kind: 'complete', reusable: false },
  ],
  ['until the end', 'HTTP/1.1 200 OK\r\n\r\nabc', { kind: 'open', body: 'abc', reusable: false }],
  [
    'chunks',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x="y"\r\n0123456789\r\n0\r\n\r\n',
    { kind: 'complete', body: 'abc0123456789', reusable: true },
  ],
  [
    'trailers',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n000\r\nx-t: 1\r\ny: 2\r\n\r\n',
    { kind: 'complete', body: 'a' },
  ],
  [
    'interim answers',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 201 Made\r\ncontent-length: 1\r\n\r\nx',
    { kind: 'complete', status: 201, body: 'x' },
  ],
  [
    'more than the answer',
    'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n',
    { kind: 'complete', body: 'x', reusable: false },
  ],
  [
    'spaces around values',
    'HTTP/1.1 200 OK\r\nX-A: \t b c \r\nx-empty:\r\ncontent-length: 0\r\n\r\n',
    { rawHeaders: ['X-A', 'b c', 'x-empty', '', 'content-length', '0'] },
  ],
];

for (const [what, text, expected] of whole) {
  test(`an answer is read: ${what}`, () => {
    const outcome = parse(text);
    for (const [key, value] of Object.entries(expected))
      assert.deepEqual(outcome[key as keyof Outcome], value, key);
  });
}

const malformed: readonly string[] = [
  'HTTP/2 200 OK\r\n\r\n',
  'HTTP/1.1  200 OK\r\n\r\n',
  'HTTP/1.1 099 X\r\n\r\n',
  'ICY 200 OK\r\n\r\n',
  'HTTP/1.1 101 Switching\r\n\r\n',
  'HTTP/1.1 200 OK\r\n: x\r\n\r\n',
  'HTTP/1.1 200 OK\r\na b: x\r\n\r\n',
  'HTTP/1.1 200 OK\r\na : x\r\n\r\n',
  'HTTP/1.1 200 OK\r\na: x\r\n folded\r\n\r\n',
  'HTTP/1.1 200 OK\r\na: x\rb: y\r\n\r\n',
  'HTTP/1.1 200 OK\r\na: \0\r\n\r\n',
  'HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\nx',
  'HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\nx',
  'HTTP/1.1 200 OK\r\ncontent-length: 0x1\r\n\r\nx',
  'HTTP/1.1 200 OK\r\ncontent-length: 1\r\nContent-Length: 1\r\n\r\nx',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n 1\r\n',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1 \r\na\r\n',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\na\r\n',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1111111111111\r\n',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;\nx\r\na',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\n',
  `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n${'x: y\r\n'.repeat(4000)}\r\n`,
  `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}`,
];

test('malformed answers are refused, however they are cut', () => {
  for (const text of malformed) {
    assert.equal(parse(text).kind, 'malformed', JSON.stringify(text.slice(0, 100)));
    const everyByte = Array.from({ length: Math.min(text.length, 300) }, (_, index) => index);
    assert.equal(parse(text, everyByte).kind, 'malformed', JSON.stringify(text.slice(0, 100)));
  }
});

test('the answer to HEAD has no body', () => {
  const outcome = parse('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n', [], 'HEAD');
  assert.equal(outcome.kind, 'complete');
});

test('an answer is the same however its bytes are cut into reads', () => {
  const texts = [...whole.map(([, text]) => text), ...malformed.filter((text) => text.length < 1000)];
  const noise = fc.array(
    fc.constantFrom(
      '\r\n',
      '\r',
      '\n',
      '0',
      'a',
      ';',
      ':',
      ' ',
      'HTTP/1.1 200 OK',
      '\r\n\r\n',
      'content-length: 3',
    ),
  );
  const text = fc.oneof(
    fc.constantFrom(...texts),
    fc
      .tuple(fc.constantFrom(...texts), fc.nat(200), noise)
      .map(([base, at, parts]) => base.slice(0, at) + parts.join('') + base.slice(at)),
  );
  fc.assert(
    fc.property(text, fc.array(fc.nat(400), { maxLength: 12 }), (answer, cuts) => {
      const once = parse(answer);
      const often = parse(answer, cuts);
      // What stands in a body before a fault is found may differ in length, nothing else.
      if (once.kind === 'malformed' || often.kind === 'malformed') assert.equal(often.kind, once.kind);
      else assert.deepEqual(often, once);
    }),
    { numRuns: 3000 },
  );
});
