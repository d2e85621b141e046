import assert from 'node:assert/strict';
import type { Writable } from 'node:stream';
import { test } from 'node:test';
import * as ws from 'ws';
import { closeFrame } from './close-frame.ts';

/** The types do not know it. */
const { Receiver } = ws as unknown as { Receiver: new (options: { isServer: boolean }) => Writable };

/** What `ws` reads in a frame. */
function received(frame: Buffer, isServer: boolean): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const receiver = new Receiver({ isServer });
    receiver.on('conclude', (code: number, reason: Buffer) => resolve([code, reason.toString()]));
    receiver.on('error', reject);
    receiver.write(frame);
  });
}

test('a close frame is read by ws as it was meant, masked and not', async () => {
  for (const masked of [false, true]) {
    assert.deepEqual(await received(closeFrame({ code: 1012, text: 'wörds' }, masked), masked), [
      1012,
      'wörds',
    ]);
    assert.deepEqual(await received(closeFrame({ code: 1001, text: '' }, masked), masked), [1001, '']);
  }
});

test('words that do not fit are cut between characters', async () => {
  const [, text] = await received(closeFrame({ code: 1012, text: `a${'é'.repeat(100)}` }, false), false);
  assert.equal(text, `a${'é'.repeat(61)}`);
});
