import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ErrorFrames } from './error-frames.ts';

/** Counts through one buffer that is overwritten after each piece, as a connection's is. */
function countIn(text: string, cuts: readonly number[] = []): number {
  const frames = new ErrorFrames();
  const bytes = Buffer.from(text);
  const shared = Buffer.alloc(Math.max(1, bytes.length));
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((one, other) => one - other);
  let at = 0;
  for (const end of [...ends, bytes.length]) {
    bytes.copy(shared, 0, at, end);
    frames.look(shared.subarray(0, end - at));
    shared.fill(0x22);
    at = end;
  }
  return frames.count;
}

const errors: readonly string[] = [
  'data: {"error": {"message": "x", "type": "InternalServerError", "param": null, "code": 500}}\n\n',
  'data: {"error":{"message":"x"}}\n\n',
  'data:{ "error" : "out of memory"}\n\n',
  'data: {"error":{}}\r\n\r\n',
  'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"x"}}\n\n',
  'event:error\r\ndata: {"error":{}}\r\n\r\n',
  'event: response.failed\ndata: {"type":"response.failed","response":{}}\n\n',
  'id: 7\nevent: error\ndata: {"error":{}}\ndata: {"error":{}}\n\n',
];

const harmless: readonly string[] = [
  'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"data: {\\"error\\": {"}}]}\n\n',
  'data: {"id":"1","error":{"message":"not the first key"}}\n\n',
  'data: {"error":null,"choices":[]}\n\n',
  'data: {"errors":{}}\n\n',
  'data: [DONE]\n\n',
  'data: {"error"\n\n',
  ': keep-alive\n\n',
  ': event: error\n\n',
  ' event: error\n\n',
  'event: errors\ndata: {}\n\n',
  'event: response.failed.not\ndata: {}\n\n',
  'event: response.completed\ndata: {"response":{"error":null}}\n\n',
  `data: {${' '.repeat(100)}"error":{}}\n\n`,
  `data: {"text":"${'x'.repeat(300)}event: error"}\n\n`,
  'data\n\n',
  'e\n\n',
  '\n\n',
  'event: message_start\ndata: {"type":"message_start","message":{}}\n\n',
];

test('what engines write as an error is one, and nothing else is', () => {
  for (const event of errors) assert.equal(countIn(event), 1, event);
  for (const event of harmless) assert.equal(countIn(event), 0, event);
});

test('each error event counts once', () => {
  assert.equal(countIn(errors.join('')), errors.length);
  assert.equal(countIn(errors.join(harmless.join(''))), errors.length);
});

test('the count is the same however the stream is cut', () => {
  const event = fc.oneof(
    fc.constantFrom(...errors).map((text) => [text, 1] as const),
    fc.constantFrom(...harmless).map((text) => [text, 0] as const),
  );
  const stream = fc.array(event, { maxLength: 12 });
  fc.assert(
    fc.property(stream, fc.array(fc.nat(4000), { maxLength: 40 }), (events, cuts) => {
      const text = events.map(([part]) => part).join('');
      const expected = events.reduce((sum, [, count]) => sum + count, 0);
      assert.equal(countIn(text, cuts), expected);
      assert.equal(
        countIn(
          text,
          Array.from({ length: Buffer.byteLength(text) }, (_, at) => at),
        ),
        expected,
      );
    }),
    { numRuns: 500 },
  );
});

test('any bytes count alike whole and in pieces', () => {
  const part = fc.constantFrom(
    'data:',
    ' ',
    '{',
    '"error"',
    ':',
    '{}',
    'null',
    '\n',
    '\r',
    '\r\n',
    'event:',
    'error',
    'response.failed',
    'x'.repeat(50),
    '\u00e9',
  );
  const text = fc.array(part, { maxLength: 40 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.array(fc.nat(2000), { maxLength: 30 }), (bytes, cuts) => {
      assert.equal(countIn(bytes, cuts), countIn(bytes));
    }),
    { numRuns: 3000 },
  );
});
