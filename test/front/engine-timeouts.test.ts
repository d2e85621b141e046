/** `first_byte_timeout` and `stream_idle_timeout` of a model, seen from a client. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeRequest } from '../fakes/fake-engine.ts';
import { MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';
const LONG_MS = 60_000;

/** Calls `say` every `everyMs` until the request's connection is closed or `say` answers false. */
function repeat(request: FakeRequest, everyMs: number, say: () => boolean): void {
  const timer = setInterval(() => {
    if (request.socket.destroyed || !say()) clearInterval(timer);
  }, everyMs);
  request.socket.once('close', () => clearInterval(timer));
}

test('an engine that does not begin its answer is a 504 which names the setting, and is sent to no more', async (context) => {
  const endpoint = { firstByteTimeoutMs: 150, streamIdleTimeoutMs: LONG_MS };
  const { client, engine, ended, gate } = await startFixture(context, { endpoint });
  engine.behaviour = () => undefined;
  const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(answer.status, 504);
  const { error } = JSON.parse(answer.body);
  assert.equal(error.code, 'engine_timeout');
  assert.match(error.message, /within 0\.2 s \(`first_byte_timeout`\)/);
  await engine.requests[0]?.closed;
  assert.equal((await ended(1))[0]?.outcome, 'engine_error');
  assert.equal(engine.requests.length, 1);
  assert.deepEqual(gate.details('finish'), ['engine_error']);
});

test('heads and informational answers are no first byte, whatever the time between bytes may be', async (context) => {
  const endpoint = { firstByteTimeoutMs: 300, streamIdleTimeoutMs: LONG_MS };
  const { client, engine } = await startFixture(context, { endpoint });
  engine.behaviour = (request) =>
    repeat(request, 40, () => request.raw('HTTP/1.1 102 Processing\r\n\r\n') !== undefined);
  const interim = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(interim.status, 504);
  engine.behaviour = (request) => request.startEvents();
  const stream = await (await client()).post(CHAT, { model: MODEL, stream: true }).answer();
  assert.equal(stream.status, 200);
  assert.match(stream.body, /^data: \{.*engine_timeout.*\}\n\n$/);
  assert.match(stream.body, /`first_byte_timeout`/);
});

test('a first event that is slow is judged by the time to the first byte, not by the time between bytes', async (context) => {
  const endpoint = { firstByteTimeoutMs: LONG_MS, streamIdleTimeoutMs: 100 };
  const { client, engine } = await startFixture(context, { endpoint });
  engine.behaviour = (request) => {
    request.startEvents();
    setTimeout(() => request.chunk('data: late\n\n').endChunks(), 500);
  };
  const answer = await (await client()).post(CHAT, { model: MODEL, stream: true }).answer();
  assert.equal(answer.body, 'data: late\n\n');
  assert.equal(answer.complete, true);
});

test('a stream that falls silent ends with an error event which names the setting', async (context) => {
  const endpoint = { firstByteTimeoutMs: LONG_MS, streamIdleTimeoutMs: 150 };
  const { client, engine, ended } = await startFixture(context, { endpoint });
  engine.behaviour = (request) => request.startEvents().chunk('data: 1\n\n');
  const raw = await client();
  const answer = await raw.post(CHAT, { model: MODEL, stream: true }).answer();
  assert.match(answer.body, /^data: 1\n\ndata: \{.*engine_timeout.*\}\n\n$/);
  assert.match(answer.body, /`stream_idle_timeout`/);
  await raw.untilEnded();
  await engine.requests[0]?.closed;
  const [end] = await ended(1);
  assert.equal(end?.outcome, 'engine_error');
  assert.equal(end?.code, 'engine_timeout');
});

test('an answer that is no stream and falls silent is seen as broken', async (context) => {
  const endpoint = { firstByteTimeoutMs: LONG_MS, streamIdleTimeoutMs: 150 };
  const { client, engine, ended } = await startFixture(context, { endpoint });
  engine.behaviour = (request) => request.raw('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf');
  const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(answer.body, 'half');
  assert.equal(answer.complete, false);
  assert.equal((await ended(1))[0]?.code, 'engine_timeout');
});

test('comments of the engine keep its stream alive', async (context) => {
  const endpoint = { firstByteTimeoutMs: 400, streamIdleTimeoutMs: 400 };
  const { client, engine } = await startFixture(context, { endpoint });
  engine.behaviour = (request) => {
    request.startEvents();
    let left = 30;
    repeat(request, 40, () => {
      if (--left > 0) request.chunk(': keep-alive\n\n');
      else request.chunk('data: 1\n\n').endChunks();
      return left > 0;
    });
  };
  const answer = await (await client()).post(CHAT, { model: MODEL, stream: true }).answer();
  assert.equal(answer.complete, true);
  assert.match(answer.body, /^(: keep-alive\n\n)+data: 1\n\n$/);
});

test('a client that takes nothing for a while is not the silence of its engine', async (context) => {
  const endpoint = { firstByteTimeoutMs: 150, streamIdleTimeoutMs: 150 };
  const { client, engine, ended } = await startFixture(context, { endpoint });
  const size = 32 * 1024 * 1024;
  engine.behaviour = (request) =>
    request.raw(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`).raw(Buffer.alloc(size, 'y'));
  const raw = await client();
  raw.socket.pause();
  raw.post(CHAT, { model: MODEL });
  const { socket } = await engine.request(0);
  // Both must be over: the engine has been stopped for longer than its limit, with most of the answer unsent.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  assert.ok(socket.writableLength > 0 && !socket.destroyed);
  raw.socket.resume();
  const answer = await raw.answer();
  assert.equal(answer.complete, true);
  assert.equal(answer.body.length, size);
  assert.equal((await ended(1))[0]?.outcome, 'answered');
});
