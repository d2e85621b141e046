/** Never two answers to one request, never a wrong one, and no bytes beyond an answer's end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeRequest } from '../fakes/fake-engine.ts';
import { MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';
const BODY = { model: MODEL };

function statusLines(received: string): string[] {
  return received.match(/HTTP\/1\.1 \d+/g) ?? [];
}

test('a refused request gets no second answer for what follows in its body', async (context) => {
  const { client } = await startFixture(context);
  const raw = await client();
  raw.send(
    `POST ${CHAT} HTTP/1.1\r\nHost: g\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`,
  );
  await raw.until((received) => received.includes('}'));
  raw.send('ZZ\r\n');
  await raw.untilEnded();
  assert.deepEqual(statusLines(raw.received), ['HTTP/1.1 415']);
});

test('a refused request whose small body never comes is not told of a timeout as well', async (context) => {
  const server = { requestTimeoutMs: 200, headersTimeoutMs: 200 };
  const { client } = await startFixture(context, { server });
  const raw = await client();
  raw.send(`POST ${CHAT} HTTP/1.1\r\nHost: g\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\na`);
  await raw.untilEnded();
  assert.deepEqual(statusLines(raw.received), ['HTTP/1.1 415']);
});

test('an answer of ours in the making is not replaced by one to rubbish behind it', async (context) => {
  const { client, ended } = await startFixture(context);
  const raw = await client();
  raw.send('GET /metrics HTTP/1.1\r\nHost: g\r\n\r\n\x01\x02rubbish\r\n\r\n');
  await raw.untilEnded();
  assert.deepEqual(statusLines(raw.received), []);
  assert.equal((await ended(1)).length, 1);
});

test('what follows a wish for another protocol is not swallowed silently', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => request.json({ ok: true });
  const upgrade = 'Connection: Upgrade\r\nUpgrade: h2c\r\n';
  const text = JSON.stringify(BODY);
  for (const request of [
    `GET /health HTTP/1.1\r\nHost: g\r\n${upgrade}\r\n`,
    `POST ${CHAT} HTTP/1.1\r\nHost: g\r\n${upgrade}Content-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  ]) {
    const raw = await client();
    raw.send(`${request}GET /ready HTTP/1.1\r\nHost: g\r\n\r\n`);
    const answer = await raw.answer();
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('connection'), 'close');
    await raw.untilEnded();
    assert.equal(raw.received, '');
  }
});

test('an event stream with a declared length is broken off without further bytes', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) =>
    request.raw(
      'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 30\r\n\r\ndata: {"a":1}\n\n',
    );
  const raw = await client();
  raw.post(CHAT, BODY);
  await raw.until((received) => received.includes('data:'));
  (await engine.request(0)).reset();
  const answer = await raw.answer();
  assert.equal(answer.complete, false);
  assert.equal(answer.body, 'data: {"a":1}\n\n');
});

test('a stream that fails behind a pipelined request closes its connection too', async (context) => {
  const { client, engine, ended } = await startFixture(context);
  let first: FakeRequest | null = null;
  engine.behaviour = (request) => {
    if (first === null) first = request;
    else request.startEvents().chunk('data: 1\n\n').chunk('data: 2\n\n');
  };
  const raw = await client();
  raw.post(CHAT, BODY);
  const held = await engine.request(0);
  raw.post(CHAT, BODY);
  const streaming = await engine.request(1);
  while (engine.openConnections < 2) await new Promise((resolve) => setImmediate(resolve));
  // Its head goes out alone or with the first byte; both come before the next turn of the held heads.
  await new Promise((resolve) => setTimeout(resolve, 250));
  streaming.reset();
  await ended(1);
  held.json({ first: true });
  assert.equal((await raw.answer()).body, '{"first":true}');
  assert.match((await raw.answer()).body, /engine_died/);
  await raw.untilEnded();
});

test('an answer without content declares no length', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => request.raw('HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n');
  const answer = await (await client()).post(CHAT, BODY).answer();
  assert.equal(answer.status, 204);
  assert.equal(answer.headers.has('content-length'), false);
});

test('errors below /v1/messages are in their dialect before the route is known and after its time', async (context) => {
  const server = { requestTimeoutMs: 200, headersTimeoutMs: 200 };
  const { client } = await startFixture(context, { server });
  const coded = await (await client())
    .post('/v1/messages?beta=true', BODY, ['Content-Encoding: gzip'])
    .answer();
  assert.equal(JSON.parse(coded.body).type, 'error');
  const raw = await client();
  raw.send(
    'POST /v1/messages HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
  );
  const late = await raw.answer();
  assert.equal(late.status, 408);
  assert.equal(JSON.parse(late.body).type, 'error');
});

test('a Connection header cannot take the content type away', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => request.json({});
  const raw = await client();
  await raw.post(CHAT, BODY, ['Connection: content-type, x-mine', 'X-Mine: 1']).answer();
  const { headers } = await engine.request(0);
  assert.equal(headers.get('content-type'), 'application/json');
  assert.equal(headers.has('x-mine'), false);
});

test('keys of other services and headers that steer an engine stay here', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => request.json({});
  const names = ['api-key', 'x-goog-api-key', 'x-data-parallel-rank', 'x-original-url', 'x-rewrite-url'];
  await (await client())
    .post(
      CHAT,
      BODY,
      names.map((name) => `${name}: 1`),
    )
    .answer();
  const { headers } = await engine.request(0);
  for (const name of names) assert.equal(headers.has(name), false, name);
});

test('chunks of one byte are joined by the read', async (context) => {
  const { client, engine } = await startFixture(context);
  const piece = '1\r\na\r\n'.repeat(10_000);
  const rounds = 20;
  engine.behaviour = (request) => {
    request.startEvents();
    for (let round = 0; round < rounds; round++) request.raw(piece);
    request.endChunks();
  };
  const raw = await client();
  raw.post(CHAT, BODY);
  const received = await raw.until((text) => text.endsWith('\r\n0\r\n\r\n'));
  const chunks = received.match(/\r\n[0-9a-f]+\r\n/g) ?? [];
  assert.ok(chunks.length < rounds * 100, `${chunks.length} chunks`);
  assert.equal((await raw.answer()).body.length, rounds * 10_000);
});
