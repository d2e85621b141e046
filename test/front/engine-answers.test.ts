/** Answers that are unusual but right pass as they are; answers that break off are seen to have done so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { FakeRequest } from '../fakes/fake-engine.ts';
import { MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';
const EVENTS = 'content-type: text/event-stream\r\n';

/** Answers the first request with these bytes and a FIN, and others as usual. */
function endingWith(bytes: string): (request: FakeRequest) => void {
  return (request) => {
    request.raw(bytes);
    // Later than the bytes, so that they are read by themselves.
    setTimeout(() => request.socket.end(), 20);
  };
}

const early: readonly (readonly [string, string, RegExp])[] = [
  ['less than its length', 'content-length: 100\r\n\r\nhalf', /^half$/],
  ['chunks without their end', 'transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n', /^half$/],
  ['half a chunk', 'transfer-encoding: chunked\r\n\r\n8\r\nhalf', /^half$/],
  ['no end of its trailers', 'transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n', /^half$/],
  [
    'a stream without its end',
    `${EVENTS}transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n`,
    /^data: 1\n\ndata: \{.*"code":"engine_died".*\}\n\n$/,
  ],
];

for (const [what, rest, expected] of early) {
  test(`an engine that closes in order after ${what} has broken off`, async (context) => {
    const { client, engine, ended, gate } = await startFixture(context);
    engine.behaviour = endingWith(`HTTP/1.1 200 OK\r\n${rest}`);
    const raw = await client();
    const answer = await raw.post(CHAT, { model: MODEL, stream: true }).answer();
    assert.match(answer.body, expected);
    // A stream ends with its error event, everything else in the open.
    assert.equal(answer.complete, rest.startsWith(EVENTS));
    await raw.untilEnded();
    assert.equal((await ended(1))[0]?.outcome, 'engine_error');
    assert.deepEqual(gate.details('finish'), ['engine_error']);
    assert.equal(engine.requests.length, 1);
  });
}

test('an answer that ends with its connection is complete after a FIN and broken after a reset', async (context) => {
  const { client, engine, ended } = await startFixture(context);
  engine.behaviour = endingWith('HTTP/1.0 200 OK\r\n\r\nall of it');
  const whole = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.deepEqual([whole.body, whole.complete], ['all of it', true]);
  engine.behaviour = (request) => request.raw('HTTP/1.0 200 OK\r\n\r\nhalf');
  const raw = await client();
  raw.post(CHAT, { model: MODEL });
  await raw.until((received) => received.includes('half'));
  (await engine.request(1)).reset();
  assert.equal((await raw.answer()).complete, false);
  const ends = await ended(2);
  assert.deepEqual(
    ends.map((end) => end.outcome),
    ['answered', 'engine_error'],
  );
});

test('HTTP/1.0 and `connection: close` end the connection after the answer, `keep-alive` in 1.0 does not', async (context) => {
  const { client, engine } = await startFixture(context);
  const raw = await client();
  const heads = [
    ['HTTP/1.0 200 OK\r\n', 1],
    ['HTTP/1.1 200 OK\r\nconnection: close\r\n', 2],
    ['HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n', 3],
    ['HTTP/1.1 200 OK\r\n', 3],
    ['HTTP/1.1 200 OK\r\n', 3],
  ] as const;
  for (const [head, connections] of heads) {
    engine.behaviour = (request) => request.raw(`${head}content-length: 2\r\n\r\nok`);
    const answer = await raw.post(CHAT, { model: MODEL }).answer();
    assert.equal(answer.body, 'ok');
    assert.notEqual(answer.headers.get('connection'), 'close');
    assert.equal(engine.connections, connections);
  }
});

test('trailers and chunk extensions end here, the body passes', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) =>
    request.raw(
      'HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n5;x=1\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n',
    );
  const raw = await client();
  raw.post(CHAT, { model: MODEL });
  await raw.until((received) => received.endsWith('0\r\n\r\n'));
  assert.doesNotMatch(raw.received, /x-sum|x=1/);
  assert.equal((await raw.answer()).body, 'hello');
  assert.equal((await raw.post(CHAT, { model: MODEL }).answer()).complete, true);
  assert.equal(engine.connections, 1);
});

test('up to 16 informational answers of any kind are dropped, more are malformed', async (context) => {
  const { client, engine } = await startFixture(context);
  const raw = await client();
  const interim = ['100 Continue', '102 Processing', '103 Early Hints', '199 Whatever'].map(
    (line) => `HTTP/1.1 ${line}\r\nlink: </x>\r\n\r\n`,
  );
  engine.behaviour = (request) => request.raw(interim.join('').repeat(4)).json({ ok: true });
  const answer = await raw.post(CHAT, { model: MODEL }).answer();
  assert.deepEqual([answer.status, answer.body], [200, '{"ok":true}']);
  engine.behaviour = (request) => request.raw(`${interim[0]}`.repeat(17)).json({ ok: true });
  const flooded = await raw.post(CHAT, { model: MODEL }).answer();
  assert.equal(flooded.status, 502);
  assert.match(flooded.body, /more than 16 interim answers/);
});

test('headers of an engine beyond the limit are refused with the limit named', async (context) => {
  const { client, engine } = await startFixture(context);
  const raw = await client();
  const head = (bytes: number): string =>
    `HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-large: ${'x'.repeat(bytes)}\r\n\r\nok`;
  engine.behaviour = (request) => request.raw(head(60_000));
  const passed = await raw.post(CHAT, { model: MODEL }).answer();
  assert.equal(passed.headers.get('x-large')?.length, 60_000);
  engine.behaviour = (request) => request.raw(head(66_000));
  const refused = await raw.post(CHAT, { model: MODEL }).answer();
  assert.equal(refused.status, 502);
  assert.match(refused.body, /its headers exceed 64 KiB/);
});

const ANSWER = JSON.stringify({ text: 'z'.repeat(5_000) });

test('compressed answers pass as they are, streams too', async (context) => {
  const { port, engine } = await startFixture(context);
  const events = `data: ${ANSWER}\n\n`.repeat(3);
  for (const [type, text] of [
    ['application/json', ANSWER],
    ['text/event-stream', events],
  ] as const) {
    const bytes = gzipSync(text);
    engine.behaviour = (request) => {
      request.raw(
        `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n`,
      );
      for (let at = 0; at < bytes.length; at += 20) {
        const piece = bytes.subarray(at, at + 20);
        request
          .raw(`${piece.length.toString(16)}\r\n`)
          .raw(piece)
          .raw('\r\n');
      }
      request.endChunks();
    };
    const answer = await fetch(`http://127.0.0.1:${port}${CHAT}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: MODEL }),
    });
    assert.equal(answer.headers.get('content-encoding'), 'gzip');
    assert.equal(await answer.text(), text);
  }
});

test('a compressed stream that breaks gets no event of ours among its bytes, and is seen as broken', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) =>
    request.raw(
      `HTTP/1.1 200 OK\r\n${EVENTS}content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n`,
    );
  const raw = await client();
  raw.post(CHAT, { model: MODEL, stream: true });
  await raw.until((received) => received.includes('half'));
  (await engine.request(0)).reset();
  const answer = await raw.answer();
  assert.deepEqual([answer.body, answer.complete], ['half', false]);
  assert.equal(answer.headers.get('x-accel-buffering'), 'no');
});
