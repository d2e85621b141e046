/** Clients that take nothing, and connections that only trickle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeRequest } from '../fakes/fake-engine.ts';
import { MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';
const BODY = { model: MODEL };
const SERVER = { clientStallTimeoutMs: 300 };

/** Sends chunks for as long as they are taken. */
function pour(request: FakeRequest): void {
  request.startEvents();
  const more = (): void => {
    while (!request.socket.destroyed) {
      request.chunk('x'.repeat(60_000));
      if (!request.socket.writableNeedDrain) continue;
      request.socket.once('drain', more);
      return;
    }
  };
  more();
}

test('what a client sends does not save it while it takes nothing', async (context) => {
  const { client, engine, ended } = await startFixture(context, { server: SERVER });
  engine.behaviour = pour;
  const raw = await client();
  raw.socket.pause();
  raw.post(CHAT, BODY);
  const trickle = setInterval(() => raw.send('\r\n'), 50);
  context.after(() => clearInterval(trickle));
  await (await engine.request(0)).closed;
  assert.equal((await ended(1))[0]?.outcome, 'client_stalled');
});

test('the end of an answer that nobody takes is cut too', async (context) => {
  const { client, engine, ended } = await startFixture(context, { server: SERVER });
  const size = 8 * 1024 * 1024;
  engine.behaviour = (request) =>
    request.raw(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`).raw(Buffer.alloc(size, 'b'));
  const raw = await client();
  raw.socket.pause();
  raw.post(CHAT, BODY);
  const trickle = setInterval(() => raw.send('\r\n'), 50);
  context.after(() => clearInterval(trickle));
  await ended(1);
  await new Promise<void>((resolve) =>
    raw.socket.once('error', () => resolve()).once('close', () => resolve()),
  );
});

test('an answer behind a pipelined one that nobody takes is cut with it', async (context) => {
  const { client, engine, ended, gate } = await startFixture(context, { server: SERVER });
  let first: FakeRequest | null = null;
  engine.behaviour = (request) => {
    if (first === null) first = request;
    else pour(request);
  };
  const raw = await client();
  raw.socket.pause();
  raw.post(CHAT, BODY).post(CHAT, BODY);
  await engine.request(1);
  const size = 8 * 1024 * 1024;
  (await engine.request(0))
    .raw(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`)
    .raw(Buffer.alloc(size, 'b'));
  await (await engine.request(1)).closed;
  const ends = await ended(2);
  assert(ends.some((end) => end.outcome === 'client_stalled'));
  assert.equal(gate.runningCount, 0);
});

test('our own answers wait no longer for a client than those of engines', async (context) => {
  const { client } = await startFixture(context, { server: SERVER });
  const raw = await client();
  raw.socket.pause();
  const closed = new Promise<void>((resolve) =>
    raw.socket.once('error', () => resolve()).once('close', () => resolve()),
  );
  const requests = 'GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(500);
  const more = setInterval(() => raw.send(requests), 10);
  context.after(() => clearInterval(more));
  await closed;
});

test('a client that takes bytes slowly is not cut', async (context) => {
  const { client, engine, ended } = await startFixture(context, { server: SERVER });
  const size = 6 * 1024 * 1024;
  engine.behaviour = (request) =>
    request.raw(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`).raw(Buffer.alloc(size, 'b'));
  const raw = await client();
  raw.post(CHAT, BODY);
  let taken = 0;
  raw.socket.on('data', (data: Buffer) => {
    taken += data.length;
    if (taken > size) return;
    raw.socket.pause();
    setTimeout(() => raw.socket.resume(), 10);
  });
  const answer = await raw.answer();
  assert.equal(answer.body.length, size);
  assert.equal((await ended(1))[0]?.outcome, 'answered');
});

test('an idle connection ends although line ends trickle in', async (context) => {
  const server = { keepAliveTimeoutMs: 200, headersTimeoutMs: 200 };
  const { client } = await startFixture(context, { server });
  const raw = await client();
  await raw.get('/health').answer('GET');
  const trickle = setInterval(() => raw.send('\r\n'), 20);
  context.after(() => clearInterval(trickle));
  await raw.untilEnded();
});
