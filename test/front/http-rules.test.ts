/** What HTTP asks of a server beyond one request and one answer. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { FakeRequest } from '../fakes/fake-engine.ts';
import { until } from '../fixtures/gateway.ts';
import { MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';
const JSON_TYPE = 'Content-Type: application/json';
const BODY = JSON.stringify({ model: MODEL });
const HELD_BYTES_MAX = 256 * 1024;

test('HTTP/1.0: the connection ends with the answer, or stays where that was asked for', async (context) => {
  const { client, engine } = await startFixture(context);
  const head = (more: string): string =>
    `POST ${CHAT} HTTP/1.0\r\n${JSON_TYPE}\r\n${more}Content-Length: ${BODY.length}\r\n\r\n${BODY}`;
  const plain = await client();
  const first = await plain.send(head('')).answer();
  assert.equal(first.body, '{"ok":true}');
  assert.equal(first.headers.get('connection'), 'close');
  assert.equal(await plain.untilEnded(), 'fin');

  const kept = await client();
  for (let n = 0; n < 2; n++) {
    const answer = await kept.send(head('Connection: keep-alive\r\n')).answer();
    assert.equal(answer.headers.get('connection'), 'keep-alive');
  }
  // A body without a length can only end with the connection.
  engine.behaviour = (request) => request.startEvents().chunk('data: 1\n\n').endChunks();
  const streamed = await kept.send(head('Connection: keep-alive\r\n')).answer();
  assert.equal(streamed.headers.get('transfer-encoding'), undefined);
  assert.equal(streamed.body, 'data: 1\n\n');
  assert.ok(streamed.complete);
});

test('100 Continue comes before the body is sent, and one answer after it', async (context) => {
  const { client } = await startFixture(context);
  const raw = await client();
  raw.send(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nExpect: 100-Continue\r\nContent-Length: ${BODY.length}\r\n\r\n`,
  );
  assert.equal(await raw.until((text) => text.includes('\r\n\r\n')), 'HTTP/1.1 100 Continue\r\n\r\n');
  assert.equal((await raw.send(BODY).answer()).status, 200);
  // HTTP/1.0 knows no such thing: it is ignored.
  const old = await client();
  const answer = await old
    .send(
      `POST ${CHAT} HTTP/1.0\r\n${JSON_TYPE}\r\nExpect: 100-continue\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
    )
    .answer();
  assert.equal(answer.status, 200);
  assert.doesNotMatch(old.received, /100 Continue/);
});

test('100 Continue behind a pipelined request comes in its turn, and never within an answer', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = () => undefined;
  const raw = await client();
  const head = (length: number): string =>
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;
  raw.post(CHAT, { model: MODEL }).send(head(BODY.length));
  (await engine.request(0)).json({ n: 0 });
  assert.equal((await raw.answer()).body, '{"n":0}');
  assert.equal(await raw.until((text) => text.includes('\r\n\r\n')), 'HTTP/1.1 100 Continue\r\n\r\n');
  raw.send(BODY);
  (await engine.request(1)).json({ n: 1 });
  assert.equal((await raw.answer()).body, '{"n":1}');

  // Refused while it waits for its turn: its answer is not torn apart by a 100 Continue.
  raw.post(CHAT, { model: MODEL }).send(`${head(2)}{}`);
  (await engine.request(2)).json({ n: 2 });
  assert.equal((await raw.answer()).body, '{"n":2}');
  await raw.until((text) => text.includes('model_missing'));
  assert.match(raw.received, /^HTTP\/1\.1 400 .*\r\n\r\n\{"error":[^\r\n]*$/s);
});

test('what comes behind the last request of a connection is neither served nor in its way', async (context) => {
  const { client, engine, ended } = await startFixture(context);
  engine.behaviour = () => undefined;
  const raw = await client();
  raw.post(CHAT, { model: MODEL }, ['Connection: close']).post(CHAT, { model: MODEL });
  const first = await engine.request(0);
  raw.send('more');
  first.json({ first: true });
  assert.equal((await raw.answer()).body, '{"first":true}');
  assert.equal(await raw.untilEnded(), 'fin');
  assert.equal(raw.received, '');

  // Refused with the end of the connection, while its body is still to come.
  const refused = await client();
  refused.send(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  );
  refused.post(CHAT, { model: MODEL });
  assert.equal((await refused.answer()).status, 400);
  refused.socket.end();
  await refused.untilEnded();
  assert.equal(refused.received, '');
  await ended(2);
  assert.equal(engine.requests.length, 1);
});

test('an error about a later request never overtakes an answer before it', async (context) => {
  const { client } = await startFixture(context);
  const raw = await client();
  const probe = 'GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: p\r\n\r\n';
  const broken = `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nX-Request-Id: b\r\n${JSON_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`;
  raw.send(`${probe}${probe}${probe}${broken}`);
  await raw.untilEnded();
  const ids = [...raw.received.matchAll(/x-request-id: (\w+)/g)].map(([, id]) => id);
  assert.ok(ids.length > 0 && ids.slice(0, 3).every((id) => id === 'p'), ids.join());
});

test('trailers, TE and what Connection names end at the gateway, on both sides', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) =>
    request
      .raw(
        'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n',
      )
      .raw('2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n');
  const raw = await client();
  const size = BODY.length.toString(16);
  raw.send(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nTE: trailers\r\nTrailer: X-Sum\r\nX-Mine: 1\r\nX-Other: 2\r\nConnection: te, X-Mine\r\nTransfer-Encoding: chunked\r\n\r\n${size};ext=1\r\n${BODY}\r\n0\r\nX-Sum: 9\r\n\r\n`,
  );
  const answer = await raw.answer();
  assert.equal(answer.body, 'ok');
  for (const name of ['x-hop', 'trailer', 'x-sum']) assert.equal(answer.headers.get(name), undefined, name);
  assert.equal(answer.headers.get('x-end'), '2');
  const { headers, body } = await engine.request(0);
  assert.equal(body, BODY);
  for (const name of ['te', 'trailer', 'x-sum', 'x-mine', 'transfer-encoding', 'forwarded'])
    assert.equal(headers.get(name), undefined, name);
  assert.equal(headers.get('x-other'), '2');
  assert.equal((await raw.post(CHAT, { model: MODEL }).answer()).status, 200, 'nothing of it is left over');
});

test('what a proxy of ours tells of the client reaches engine and log; what a client tells does not', async (context) => {
  const claims = [
    'X-Forwarded-For: 6.6.6.6',
    'Forwarded: for=6.6.6.6',
    'X-Forwarded-Prefix: /x',
    'Via: 1.1 a',
  ];
  for (const trustedHops of [0, 1]) {
    const { client, engine, ended } = await startFixture(context, { server: { trustedHops } });
    await (await client()).post(CHAT, { model: MODEL }, claims).answer();
    const { headers } = await engine.request(0);
    assert.equal(headers.get('x-forwarded-for'), trustedHops === 0 ? '127.0.0.1' : '6.6.6.6, 127.0.0.1');
    assert.equal(headers.get('x-forwarded-proto'), 'http');
    assert.equal(headers.get('x-forwarded-host'), 'gateway');
    for (const name of ['forwarded', 'x-forwarded-prefix', 'via']) assert.equal(headers.get(name), undefined);
    assert.equal((await ended(1))[0]?.clientAddress, trustedHops === 0 ? '127.0.0.1' : '6.6.6.6');
  }
});

test('heads that are too large or no HTTP are refused in the dialect of their path', async (context) => {
  const { client } = await startFixture(context);
  const large = `X-Big: ${'a'.repeat(20_000)}`;
  const anthropic = await (await client()).post('/v1/messages', '{}', [large]).answer();
  assert.equal(anthropic.status, 431);
  assert.equal(JSON.parse(anthropic.body).type, 'error');
  const openai = await (await client()).post(CHAT, '{}', [large]).answer();
  assert.equal(JSON.parse(openai.body).type, undefined);
  const folded = 'POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n 2\r\n\r\n';
  const malformed = await (await client()).send(folded).answer();
  assert.equal(malformed.status, 400);
  assert.equal(JSON.parse(malformed.body).type, 'error');
});

test('a body that trickles is ended with 408 in its dialect; one that comes fast enough is not', async (context) => {
  // Twenty seconds of the front's time pass in a fifth of ours, and its timer runs every 50 ms.
  const server = { uploadBytesPerSMin: 1000, clientStallTimeoutMs: 200, requestTimeoutMs: 600_000 };
  const { client, engine, ended } = await startFixture(context, { server, clockSpeed: 100 });
  const raw = await client();
  raw.send(`POST /v1/messages HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nContent-Length: 100000\r\n\r\n{`);
  const trickle = setInterval(() => raw.send(' '), 5);
  context.after(() => clearInterval(trickle));
  const answer = await raw.answer();
  clearInterval(trickle);
  assert.equal(answer.status, 408);
  assert.equal(answer.headers.get('connection'), 'close');
  const { type, error } = JSON.parse(answer.body);
  assert.deepEqual([type, error.code], ['error', 'body_too_slow']);
  raw.socket.end();
  assert.equal(await raw.untilEnded(), 'fin');
  assert.equal((await ended(1))[0]?.code, 'body_too_slow');

  const fast = await client();
  const text = JSON.stringify({ model: MODEL, pad: 'x'.repeat(1_000_000) });
  fast.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nContent-Length: ${text.length}\r\n\r\n`);
  for (let at = 0; at < text.length; at += 50_000) {
    fast.send(text.slice(at, at + 50_000));
    await pause(20);
  }
  assert.equal((await fast.answer()).status, 200);
  assert.equal(engine.requests.length, 1);
});

/** Writes for as long as the engine's own socket takes it. */
function pour(request: FakeRequest, piece: string): void {
  request.startEvents();
  const more = (): void => {
    while (!request.socket.destroyed) {
      request.chunk(piece);
      if (!request.socket.writableNeedDrain) continue;
      request.socket.once('drain', more);
      return;
    }
  };
  more();
}

/** The front's side of a connection, and what Node and we hold for its client. */
interface Watched {
  readonly socket: Socket;
  largest: number;
}

test('at most 256 KiB are held for a client that does not read, whatever the engine pours', async (context) => {
  const watched: Watched[] = [];
  const { client, engine, port } = await startFixture(context, { slots: 64 });
  const note = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    if (socket.localPort === port) watched.push({ socket, largest: 0 });
  };
  subscribe('net.server.socket', note);
  context.after(() => unsubscribe('net.server.socket', note));
  const measure = (): void => {
    for (const one of watched) one.largest = Math.max(one.largest, one.socket.writableLength);
  };
  for (const piece of ['data: 1\n\n', 'x'.repeat(1000), 'x'.repeat(60_000), 'x'.repeat(2_000_000)]) {
    engine.behaviour = (request) => pour(request, piece);
    const raw = await client();
    raw.socket.pause();
    raw.post(CHAT, { model: MODEL, stream: true });
    const request = await engine.request(engine.requests.length);
    let still = 0;
    let last = -1;
    await until('the engine stands still', () => {
      measure();
      const sent = request.socket.bytesWritten - request.socket.writableLength;
      still = sent === last && sent > 0 ? still + 1 : 0;
      last = sent;
      return still > 10;
    });
    raw.close();
    await request.closed;
  }
  assert.equal(watched.length, 4);
  for (const { largest } of watched) {
    assert.ok(largest > 0, 'the client was behind');
    assert.ok(largest <= HELD_BYTES_MAX, `${largest} bytes were held`);
  }
});
