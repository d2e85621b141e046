import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LOG_LINE_CHARS_MAX } from '../../core/limits.ts';
import { createLineSplitter } from './line-splitter.ts';

function split(chunks: readonly Uint8Array[]): readonly string[] {
  const lines: string[] = [];
  const splitter = createLineSplitter((line) => lines.push(line));
  for (const chunk of chunks) splitter.push(chunk);
  splitter.flush();
  return lines;
}

test('lines end with a newline or a carriage return, blank ones are left out', () => {
  assert.deepEqual(split([Buffer.from('a\r\n\n  \rb\rc 10%\rc 20%\n d')]), [
    'a',
    'b',
    'c 10%',
    'c 20%',
    ' d',
  ]);
});

test('a line that never ends is kept to its limit, and the next one is whole again', () => {
  const lines = split([
    ...Array.from({ length: 50 }, () => Buffer.alloc(1000, 'x')),
    Buffer.from('\nnext\n'),
  ]);
  assert.deepEqual(
    lines.map((line) => line.length),
    [LOG_LINE_CHARS_MAX, 4],
  );
});

test('where the reader cuts makes no difference, also inside a character', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('é', '💥', 'a', '\n', '\r', ' ', '漢'), { maxLength: 40 }),
      fc.array(fc.nat(160)),
      (parts, cuts) => {
        const bytes = Buffer.from(parts.join(''));
        const places = [...new Set(cuts.map((cut) => Math.min(cut, bytes.length)))].sort((a, b) => a - b);
        const chunks = [0, ...places].map((from, index) =>
          bytes.subarray(from, places[index] ?? bytes.length),
        );
        assert.deepEqual(split(chunks), split([bytes]));
      },
    ),
  );
});
