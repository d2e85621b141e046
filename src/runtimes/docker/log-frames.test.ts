import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogMessage } from './log-frames.ts';
import { createLogFrames, sinceOf } from './log-frames.ts';

function frame(stream: 1 | 2, text: string): Buffer {
  const head = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

const TIME = '2026-11-24T12:00:00.000000007Z';

test('frames are found wherever the bytes are cut', () => {
  const bytes = Buffer.concat([frame(1, `${TIME} one\n`), frame(2, `${TIME} zwö`), frame(1, 'bare\n')]);
  for (let size = 1; size <= bytes.length; size++) {
    const heard: LogMessage[] = [];
    const frames = createLogFrames((message) => heard.push(message));
    for (let at = 0; at < bytes.length; at += size) frames.push(bytes.subarray(at, at + size));
    assert.deepEqual(
      heard.map(({ stream, time, bytes: text }) => [stream, time, text.toString('utf8')]),
      [
        ['stdout', TIME, 'one\n'],
        ['stderr', TIME, 'zwö'],
        ['stdout', '', 'bare\n'],
      ],
    );
  }
});

test('bytes that are no frames are an error, not memory', () => {
  const frames = createLogFrames(() => undefined);
  assert.throws(() => frames.push(Buffer.alloc(8, 0xff)), /a log frame of/);
});

test('a time is asked for with its nanoseconds', () => {
  assert.equal(sinceOf('1970-01-01T00:01:40.000000007Z'), '100.000000007');
});
