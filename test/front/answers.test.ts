import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';

test('an answer passes with its status, reason, headers and bytes, beside our own headers', async (context) => {
  const { client, engine, ended } = await startFixture(context);
  engine.behaviour = (request) =>
    request.raw(
      'HTTP/1.1 418 I am a Teapot\r\nX-Engine: One\r\nx-engine: two\r\nConnection: keep-alive, X-Gone\r\nX-Gone: 1\r\nServer: uvicorn\r\nDate: Tue, 24 Nov 2026 00:00:00 GMT\r\nContent-Length: 7\r\n\r\n{"e":1}',
    );
  const raw = await client();
  const answer = await raw.post(CHAT, { model: MODEL }, ['X-Request-Id: abc-1']).answer();
  assert.equal(answer.status, 418);
  assert.equal(answer.statusText, 'I am a Teapot');
  assert.equal(answer.body, '{"e":1}');
  assert.equal(answer.headers.get('x-engine'), 'One, two');
  assert.equal(answer.headers.get('server'), 'uvicorn');
  assert.equal(answer.headers.get('date'), 'Tue, 24 Nov 2026 00:00:00 GMT');
  assert.equal(answer.headers.get('x-gone'), undefined);
  assert.equal(answer.headers.get('x-request-id'), 'abc-1');
  assert.equal(answer.headers.get('x-model'), MODEL);
  assert.equal(answer.headers.get('x-load'), 'hot');
  assert.match(answer.headers.get('x-queue-wait-ms') ?? '', /^\d+$/);
  assert.equal(answer.headers.get('x-queue-depth'), '0');
  const [end] = await ended(1);
  assert.equal(end?.outcome, 'answered');
  assert.equal(end?.status, 418);
  assert.equal(end?.responseBytes, 7);
});

test('the engine gets the same bytes, our request id, and neither the key nor hop-by-hop headers', async (context) => {
  const { client, engine } = await startFixture(context);
  const body = ' {"stream": false,\t"model":"m1", "x":"\\u00e9é"} ';
  const headers = [
    'Authorization: Bearer secret',
    'X-Api-Key: secret',
    'Connection: close, X-Hop',
    'X-Hop: 1',
    'X-Mine: 2',
  ];
  await (await client()).post(`${CHAT}?a=b`, body, headers).answer();
  const request = await engine.request(0);
  assert.equal(request.method, 'POST');
  assert.equal(request.path, `${CHAT}?a=b`);
  assert.equal(request.body, body);
  assert.match(request.headers.get('x-request-id') ?? '', /^req-/);
  assert.equal(request.headers.get('x-mine'), '2');
  for (const name of ['authorization', 'x-api-key', 'connection', 'x-hop'])
    assert.equal(request.headers.get(name), undefined);
});

test('a client that asks for close gets it, and one that does not keeps its connection', async (context) => {
  const { client } = await startFixture(context);
  const raw = await client();
  for (let round = 0; round < 3; round++) {
    const answer = await raw.post(CHAT, { model: MODEL }).answer();
    assert.equal(answer.headers.get('connection'), 'keep-alive');
  }
  const last = await raw.post(CHAT, { model: MODEL }, ['Connection: close']).answer();
  assert.equal(last.headers.get('connection'), 'close');
  assert.equal(await raw.untilEnded(), 'fin');
});

test('an event stream is passed event by event with buffering switched off', async (context) => {
  const { client, engine, ended } = await startFixture(context);
  engine.behaviour = (request) => request.startEvents().chunk('data: 1\n\n');
  const raw = await client();
  raw.post(CHAT, { model: MODEL, stream: true });
  const first = await raw.until((received) => received.includes('data: 1\n\n'));
  assert.match(first, /\r\nx-accel-buffering: no\r\n/i);
  const request = await engine.request(0);
  for (let event = 2; event < 20; event++) {
    request.chunk(`data: ${event}\n\n`);
    await raw.until((received) => received.includes(`data: ${event}\n\n`));
  }
  request.chunk('data: [DONE]\n\n').endChunks();
  const answer = await raw.answer();
  assert.equal(answer.complete, true);
  assert.ok(answer.body.endsWith('data: 19\n\ndata: [DONE]\n\n'));
  const [end] = await ended(1);
  assert.equal(end?.streamed, true);
  assert.equal(end?.responseBytes, Buffer.byteLength(answer.body));
});

test('the head of a stream goes out by itself when no event follows it', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => request.startEvents();
  const raw = await client();
  raw.post(CHAT, { model: MODEL, stream: true });
  await raw.until((received) => received.includes('\r\n\r\n'));
  (await engine.request(0)).chunk('data: late\n\n').endChunks();
  assert.equal((await raw.answer()).body, 'data: late\n\n');
});

test('answers without a body have none: 204, 304 and HEAD', async (context) => {
  const { client, engine } = await startFixture(context);
  const raw = await client();
  engine.behaviour = (request) => request.raw('HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n');
  assert.equal((await raw.post(CHAT, { model: MODEL }).answer()).status, 204);
  engine.behaviour = (request) =>
    request.raw('HTTP/1.1 304 Not Modified\r\netag: "1"\r\ncontent-length: 9\r\n\r\n');
  assert.equal((await raw.post(CHAT, { model: MODEL }).answer()).headers.get('etag'), '"1"');
  engine.behaviour = (request) => request.raw('HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n');
  raw.send(`HEAD /engines/${MODEL}/version HTTP/1.1\r\nHost: x\r\n\r\n`);
  const head = await raw.answer('HEAD');
  assert.equal(head.headers.get('content-length'), '1234');
  engine.behaviour = (request) => request.json({ last: true });
  assert.equal((await raw.post(CHAT, { model: MODEL }).answer()).body, '{"last":true}');
  // The 304 and the answer to HEAD announced bodies; a server that sends one nevertheless would spoil the next answer.
  assert.equal(engine.connections, 3);
});

test('chunked and endless answers reach HTTP/1.0 clients, ended by the connection', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) =>
    request.raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n').chunk('ab').chunk('cd').endChunks();
  const body = JSON.stringify({ model: MODEL });
  const send = `POST ${CHAT} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const one = await (await client()).send(send).answer();
  assert.equal(one.body, 'abcd');
  assert.equal(one.complete, true);
  assert.equal(one.headers.get('transfer-encoding'), undefined);
  engine.behaviour = (request) => {
    request.raw('HTTP/1.0 200 OK\r\n\r\nendless');
    request.socket.end();
  };
  const other = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(other.body, 'endless');
  assert.equal(other.complete, true);
});

test('interim answers of the engine are dropped, 100 included', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) =>
    request
      .raw('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n')
      .json({ real: true });
  const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(answer.status, 200);
  assert.equal(answer.body, '{"real":true}');
});

test('large bodies pass unharmed in both directions', async (context) => {
  const { client, engine } = await startFixture(context);
  const text = 'é0123456789'.repeat(60_000);
  engine.behaviour = (request) =>
    request
      .raw(`HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(request.body)}\r\n\r\n`)
      .raw(Buffer.from(request.body));
  const raw = await client();
  const sent = JSON.stringify({ model: MODEL, text });
  assert.equal((await raw.post(CHAT, sent).answer()).body, sent);
  engine.behaviour = (request) =>
    request.raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n').chunk(request.body).endChunks();
  assert.equal((await raw.post(CHAT, sent).answer()).body, sent);
});

test('a chunked request body is taken and sent with its length', async (context) => {
  const { client, engine } = await startFixture(context);
  const raw = await client();
  raw.send(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  for (const part of ['{"mod', 'el":"m', '1"}']) raw.send(`${part.length.toString(16)}\r\n${part}\r\n`);
  raw.send('0\r\n\r\n');
  assert.equal((await raw.answer()).status, 200);
  const request = await engine.request(0);
  assert.equal(request.body, '{"model":"m1"}');
  assert.equal(request.headers.get('transfer-encoding'), undefined);
});

test('a client that waits for 100 Continue gets it', async (context) => {
  const { client } = await startFixture(context);
  const raw = await client();
  const body = JSON.stringify({ model: MODEL });
  raw.send(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  await raw.until((received) => received.startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
  assert.equal((await raw.send(body).answer()).status, 200);
});

test('more than nine in ten requests use a connection again, and never more than the limit exist', async (context) => {
  const { client, engine, endpoint, gate } = await startFixture(context, { slots: 4 });
  const clients = await Promise.all(Array.from({ length: 12 }, () => client()));
  await Promise.all(
    clients.map(async (raw) => {
      for (let round = 0; round < 25; round++) {
        const answer = await raw.post(CHAT, { model: MODEL }).answer();
        assert.equal(answer.status, 200);
      }
    }),
  );
  assert.equal(endpoint.counters.requestsSent, 300);
  assert.equal(endpoint.counters.poolWaits, 0);
  assert.ok(endpoint.counters.connectionsCreated <= endpoint.options.connectionsMax);
  assert.ok(endpoint.counters.connectionsCreated < 30);
  assert.equal(engine.connections, endpoint.counters.connectionsCreated);
  assert.equal(gate.runningCount, 0);
});

test('bodies are spliced where the served name and defaults demand it', async (context) => {
  const { client, engine } = await startFixture(context, {
    servedName: 'org/served',
    requestDefaults: { temperature: 0.5 },
  });
  await (await client()).post(CHAT, '{"model":"m1","n":1}').answer();
  assert.deepEqual(JSON.parse((await engine.request(0)).body), {
    model: 'org/served',
    n: 1,
    temperature: 0.5,
  });
});

test('any method and body reach an engine below /engines/ and by X-Model', async (context) => {
  const { client, engine } = await startFixture(context, { responsesStore: true });
  const raw = await client();
  await raw.get(`/engines/${MODEL}/version?x=1`).answer('GET');
  assert.equal((await engine.request(0)).path, '/version?x=1');
  await raw
    .send(
      `PUT /engines/${MODEL}/files/a HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc`,
    )
    .answer();
  const put = await engine.request(1);
  assert.equal(`${put.method} ${put.path} ${put.body}`, 'PUT /files/a abc');
  await raw.get('/v1/responses/resp_1', [`X-Model: ${MODEL}`]).answer('GET');
  assert.equal((await engine.request(2)).path, '/v1/responses/resp_1');
  const parts = '--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n';
  const multipart = (path: string, extra = '') =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n${extra}Content-Length: ${parts.length}\r\n\r\n${parts}`;
  await raw.send(multipart('/v1/audio/transcriptions', `X-Model: ${MODEL}\r\n`)).answer();
  assert.equal((await engine.request(3)).body, parts);
  const unnamed = await raw.send(multipart('/v1/audio/transcriptions')).answer();
  assert.equal(unnamed.status, 400);
  assert.match(unnamed.body, /model_missing/);
});
