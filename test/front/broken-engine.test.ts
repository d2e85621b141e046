import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { startStuckListener } from '../fakes/stuck-listener.ts';
import { endpointFor, MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';

test('an engine that dies before its answer is replaced by one try on the next connection', async (context) => {
  const { client, engine, gate, ended } = await startFixture(context);
  engine.behaviour = (request) => {
    if (engine.requests.length === 1) request.reset();
    else request.json({ second: true });
  };
  const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(answer.body, '{"second":true}');
  const [end] = await ended(1);
  assert.equal(end?.attempts, 2);
  assert.match(gate.details('give_back')[0] ?? '', /^connection_lost: the connection broke/);
  assert.equal(engine.requests[0]?.body, engine.requests[1]?.body);
});

test('a request that loses its engine twice is refused with an honest 502', async (context) => {
  const { client, engine, gate } = await startFixture(context);
  engine.behaviour = (request) => request.socket.end();
  const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(answer.status, 502);
  assert.match(answer.body, /"code":"engine_died"/);
  assert.equal(engine.requests.length, 2);
  assert.equal(gate.runningCount, 0);
});

test('an engine that dies right after its head costs the client nothing', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => {
    if (engine.requests.length > 1) {
      request.json({ second: true });
      return;
    }
    request.raw('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n');
    request.socket.end();
  };
  const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(answer.body, '{"second":true}');
});

test('a request that reached no socket is given back as not sent, a limited number of times', async (context) => {
  const { client, gate, model, ended } = await startFixture(context);
  const closed = new FakeEngine();
  const port = await closed.listen();
  await closed.die();
  model.endpoint = endpointFor(port, 8);
  const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(answer.status, 502);
  assert.match(answer.body, /engine_unreachable/);
  assert.match(answer.body, /ECONNREFUSED/);
  assert.ok(gate.details('give_back').every((detail) => detail.startsWith('not_sent')));
  assert.equal(gate.details('give_back').length, 9);
  assert.deepEqual(gate.details('finish'), ['engine_error']);
  assert.equal((await ended(1))[0]?.outcome, 'engine_error');
});

test('requests on a closed endpoint are given back, not lost', async (context) => {
  const { client, gate, endpoint } = await startFixture(context);
  endpoint.close();
  const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(answer.status, 502);
  assert.match(gate.details('give_back')[0] ?? '', /^not_sent: the engine is stopping/);
});

for (const [path, pattern] of [
  [CHAT, /^data: \{.*"code":"engine_died".*\}\n\n$/],
  ['/v1/messages', /^event: error\ndata: \{.*"type":"error".*\}\n\n$/],
  ['/v1/responses', /^event: error\ndata: \{"type":"error".*"code":"engine_died".*\}\n\n$/],
] as const) {
  test(`a stream on ${path} whose engine dies ends with an error event and without a clean end`, async (context) => {
    const { client, engine, gate, ended } = await startFixture(context);
    engine.behaviour = (request) => request.startEvents().chunk('data: 1\n\n');
    const raw = await client();
    raw.post(path, { model: MODEL, stream: true });
    await raw.until((received) => received.includes('data: 1\n\n'));
    (await engine.request(0)).reset();
    const answer = await raw.answer();
    assert.ok(answer.body.startsWith('data: 1\n\n'));
    assert.match(answer.body.slice('data: 1\n\n'.length), pattern);
    assert.doesNotMatch(answer.body, /\[DONE\]|message_stop/);
    await raw.untilEnded();
    const [end] = await ended(1);
    assert.equal(end?.outcome, 'engine_error');
    assert.equal(end?.code, 'engine_died');
    assert.deepEqual(gate.details('finish'), ['engine_error']);
  });
}

test('an event that is cut in the middle is closed before the error event', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => request.startEvents().chunk('data: {"half":');
  const raw = await client();
  raw.post(CHAT, { model: MODEL, stream: true });
  await raw.until((received) => received.includes('half'));
  (await engine.request(0)).reset();
  assert.match((await raw.answer()).body, /^data: \{"half":\n\ndata: \{.*engine_died/);
});

test('an answer that is no stream and breaks off is seen as broken, with a length and chunked', async (context) => {
  const { client, engine, ended } = await startFixture(context);
  const heads = ['content-length: 100\r\n\r\nhalf', 'transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n'];
  for (const [index, head] of heads.entries()) {
    engine.behaviour = (request) => request.raw(`HTTP/1.1 200 OK\r\n${head}`);
    const raw = await client();
    raw.post(CHAT, { model: MODEL });
    await raw.until((received) => received.includes('half'));
    (await engine.request(index)).reset();
    const answer = await raw.answer();
    assert.equal(answer.complete, false);
    assert.equal((await ended(index + 1))[index]?.outcome, 'engine_error');
  }
});

test('an HTTP/1.0 client sees a broken endless answer as a reset', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) =>
    request.raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n');
  const raw = await client();
  const body = JSON.stringify({ model: MODEL });
  raw.send(
    `POST ${CHAT} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await raw.until((received) => received.includes('half'));
  (await engine.request(0)).reset();
  assert.equal(await raw.untilEnded(), 'reset');
});

const malformed: readonly (readonly [string, string])[] = [
  ['no HTTP at all', 'hello\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['HTTP/2 in clear', 'PRI * HTTP/2.0\r\n\r\n'],
  ['a header without a colon', 'HTTP/1.1 200 OK\r\nnonsense\r\n\r\n'],
  ['a folded header', 'HTTP/1.1 200 OK\r\nx-a: 1\r\n two\r\n\r\n'],
  ['a bare line feed', 'HTTP/1.1 200 OK\r\nx-a: 1\nx-b: 2\r\ncontent-length: 0\r\n\r\n'],
  ['a control character', 'HTTP/1.1 200 OK\r\nx-a: \x01\r\ncontent-length: 0\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx'],
  ['a length that is no number', 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n'],
  [
    'length and chunks',
    'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['an unknown coding', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['a chunk size that is no number', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
  ['an upgrade nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n'],
  ['headers beyond the limit', `HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(70_000)}\r\n\r\n`],
];

test('malformed answers become an honest 502 and cost only their connection', async (context) => {
  const { client, engine, ended, gate } = await startFixture(context);
  const raw = await client();
  for (const [index, [what, bytes]] of malformed.entries()) {
    engine.behaviour = (request) => request.raw(bytes);
    const answer = await raw.post(CHAT, { model: MODEL }).answer();
    assert.equal(answer.status, 502, what);
    assert.match(answer.body, /"code":"engine_bad_answer"/, what);
    assert.equal((await ended(index + 1))[index]?.outcome, 'engine_error');
    await engine.requests[index]?.closed;
  }
  engine.behaviour = (request) => request.json({ fine: true });
  assert.equal((await raw.post(CHAT, { model: MODEL }).answer()).status, 200);
  assert.equal(gate.runningCount, 0);
});

test('broken chunking in mid-stream ends the stream with an error event', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => request.startEvents().chunk('data: 1\n\n');
  const raw = await client();
  raw.post(CHAT, { model: MODEL, stream: true });
  await raw.until((received) => received.includes('data: 1\n\n'));
  (await engine.request(0)).raw('5\r\nabcdefgh');
  assert.match((await raw.answer()).body, /^data: 1\n\nabcde\n\ndata: \{.*engine_bad_answer/);
});

test("bytes after an answer are nobody's: the answer counts, the connection does not", async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => {
    if (engine.requests.length === 1) {
      request.raw(
        'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil',
      );
    } else {
      request.json({ own: true });
    }
  };
  const raw = await client();
  assert.equal((await raw.post(CHAT, { model: MODEL }).answer()).body, 'ok');
  assert.equal((await raw.post(CHAT, { model: MODEL }).answer()).body, '{"own":true}');
  assert.equal(engine.connections, 2);
});

test('a connection that cannot be made in time is given back as not sent', async (context) => {
  const { client, gate, model } = await startFixture(context);
  const stuck = await startStuckListener();
  context.after(() => stuck.close());
  model.endpoint = endpointFor(stuck.port, 8, { connectTimeoutMs: 50 });
  const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(answer.status, 502);
  assert.equal(gate.details('give_back')[0], 'not_sent: no connection (timed out)');
});

test('an answer that comes before the request was read completely is passed, and its connection ended', async (context) => {
  const { client, model } = await startFixture(context);
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', () => {
      socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig');
      socket.pause();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const endpoint = endpointFor(typeof address === 'object' ? (address?.port ?? 0) : 0, 8);
  context.after(() => {
    endpoint.destroy(new Error('over'));
    server.close();
  });
  model.endpoint = endpoint;
  const answer = await (await client()).post(CHAT, { model: MODEL, text: 'z'.repeat(1_900_000) }).answer();
  assert.equal(answer.status, 413);
  assert.equal(answer.body, 'big');
});

test('a cut before the first byte goes back to the queue, in mid-stream it ends with an error event', async (context) => {
  const { client, engine, gate, model } = await startFixture(context);
  const refusal = { code: 'drain_cut', parameters: { seconds: 120, model: MODEL } } as const;
  engine.behaviour = () => undefined;
  const waiting = await client();
  waiting.post(CHAT, { model: MODEL });
  const first = await engine.request(0);
  model.held = true;
  gate.cutRunning(MODEL, refusal);
  await first.closed;
  assert.match(gate.details('give_back')[0] ?? '', /^cut: /);
  engine.behaviour = (request) => request.json({ later: true });
  model.held = false;
  gate.pump(MODEL);
  assert.equal((await waiting.answer()).body, '{"later":true}');

  engine.behaviour = (request) => request.startEvents().chunk('data: 1\n\n');
  const streaming = await client();
  streaming.post(CHAT, { model: MODEL, stream: true });
  await streaming.until((received) => received.includes('data: 1\n\n'));
  gate.cutRunning(MODEL, refusal);
  assert.match((await streaming.answer()).body, /^data: 1\n\ndata: \{.*drain_cut/);
  await engine.requests[2]?.closed;
  assert.deepEqual(gate.details('finish'), ['answered', 'cut']);
});

test('refusals of the gate reach the client with their headers and keys', async (context) => {
  const { client, gate, model } = await startFixture(context);
  model.held = true;
  const raw = await client();
  raw.post(CHAT, { model: MODEL });
  await gate.until(() => gate.waitingCount === 1);
  gate.refuseWaiting(MODEL, {
    code: 'queue_full',
    parameters: { model: MODEL, depth: 200, limit: 200 },
    retryAfterS: 90,
    beside: { queue_depth: 200 },
    headers: { 'x-queue-depth': '200' },
  });
  const answer = await raw.answer();
  assert.equal(answer.status, 429);
  assert.equal(answer.headers.get('retry-after'), '60');
  assert.equal(answer.headers.get('x-queue-depth'), '200');
  assert.equal(JSON.parse(answer.body).queue_depth, 200);
});
