/** WebSockets through the front: bytes and ends pass as they are. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WebSocket as WsClient } from 'ws';
import { createStaticKeys, parseKeys } from '../../src/access/static-keys.ts';
import { TlsFiles } from '../../src/http/tls-files.ts';
import { MODEL } from './front-fixture.ts';
import { closedWith, nextMessage, refusedWith, startWebSocketFixture } from './web-socket-fixture.ts';

const MIB = 1024 * 1024;

test('text, binary, large and many small messages are echoed, in order, with both clients', async (context) => {
  const { open, url, ended, gate, front } = await startWebSocketFixture(context);
  const client = await open();
  client.send('grüß');
  assert.equal(await nextMessage(client), 'grüß');
  const large = Buffer.alloc(MIB, 'x');
  client.send(large);
  const [echoed, isBinary] = (await once(client, 'message')) as [Buffer, boolean];
  assert.ok(isBinary && echoed.equals(large));
  const seen: string[] = [];
  const all = new Promise<void>((resolve) => {
    client.on('message', (data: Buffer) => seen.push(data.toString()) === 1000 && resolve());
  });
  for (let index = 0; index < 1000; index++) client.send(String(index));
  await all;
  assert.deepEqual(
    seen,
    Array.from({ length: 1000 }, (_, index) => String(index)),
  );
  const closed = closedWith(client);
  client.close(1000);
  assert.equal((await closed).code, 1000);

  const plain = new WebSocket(url);
  await once(plain, 'open');
  plain.send('from Node');
  const [event] = (await once(plain, 'message')) as [MessageEvent];
  assert.equal(event.data, 'from Node');
  plain.close(1000);
  await once(plain, 'close');

  const ends = await ended(2);
  assert.equal(front.activeRequests, 0);
  assert.equal(gate.runningCount, 0);
  const [first] = ends;
  assert.equal(first?.label, '/v1/realtime');
  assert.equal(first?.outcome, 'answered');
  assert.equal(first?.status, 101);
  assert.equal(first?.model, MODEL);
  assert.ok((first?.requestBytes ?? 0) > MIB && (first?.responseBytes ?? 0) > MIB);
  assert.deepEqual(gate.details('finish'), ['answered', 'answered']);
});

test('codes and reasons of closing pass in both directions', async (context) => {
  const { open, engineSocket, ended } = await startWebSocketFixture(context);
  const first = await open();
  const atEngine = await engineSocket(0);
  first.close(3001, 'enough');
  assert.deepEqual(await atEngine.closed, { code: 3001, reason: 'enough' });
  const second = await open();
  const closed = closedWith(second);
  (await engineSocket(1)).socket.close(4002, 'no more');
  assert.deepEqual(await closed, { code: 4002, reason: 'no more' });
  assert.deepEqual(
    (await ended(2)).map(({ outcome }) => outcome),
    ['answered', 'answered'],
  );
});

test('a broken connection breaks the other one', async (context) => {
  const { open, engineSocket, ended, gate } = await startWebSocketFixture(context);
  const first = await open();
  const closed = closedWith(first);
  const { socket } = await engineSocket(0);
  // The connection itself, without a word of closing.
  (socket as unknown as { _socket: { resetAndDestroy(): void } })._socket.resetAndDestroy();
  assert.equal((await closed).code, 1006);
  const second = await open();
  const atEngine = await engineSocket(1);
  (second as unknown as { _socket: { resetAndDestroy(): void } })._socket.resetAndDestroy();
  assert.equal((await atEngine.closed).code, 1006);
  assert.deepEqual(
    (await ended(2)).map(({ outcome }) => outcome),
    ['engine_error', 'client_left'],
  );
  assert.deepEqual(gate.details('finish'), ['engine_error', 'client_left']);
});

test('permessage-deflate is agreed on between the two, and compressed frames pass', async (context) => {
  const { open, engineSocket } = await startWebSocketFixture(context, {
    ws: { perMessageDeflate: { threshold: 0 } },
  });
  const client = await open({ perMessageDeflate: { threshold: 0 } });
  assert.match(client.extensions, /permessage-deflate/);
  assert.match((await engineSocket()).socket.extensions, /permessage-deflate/);
  const text = 'the same again '.repeat(10_000);
  client.send(text);
  assert.equal(await nextMessage(client), text);
});

test('refusals before the upgrade are ordinary answers', async (context) => {
  const parsed = parseKeys('alice: secret-key-1\n');
  assert.ok(parsed.ok);
  const { dial, gate, model, ended, client, engineSockets } = await startWebSocketFixture(context, {
    keys: createStaticKeys(parsed.value),
    queueSize: 0,
    slots: 1,
  });
  const headers = { authorization: 'Bearer secret-key-1' };
  const noKey = await refusedWith(dial());
  assert.equal(noKey.status, 401);
  assert.equal(JSON.parse(noKey.body).error.code, 'key_missing');
  assert.equal(noKey.headers.connection, 'close');

  const raw = await client();
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Authorization: Bearer secret-key-1'];
  const handshake = [...upgrade, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='];
  const unknown = await raw.get('/v1/realtime?model=m2', handshake).answer();
  assert.equal(unknown.status, 404);
  assert.equal(JSON.parse(unknown.body).error.code, 'model_not_found');
  assert.ok(unknown.complete);

  const unnamed = await (await client()).get('/v1/realtime', handshake).answer();
  assert.equal(JSON.parse(unnamed.body).error.code, 'model_unnamed');
  const impatient = await (await client())
    .get(`/v1/realtime?model=${MODEL}`, [...handshake, 'X-Queue-Timeout: soon'])
    .answer();
  assert.equal(impatient.status, 400);
  const own = await (await client()).get('/health', handshake).answer();
  assert.equal(own.status, 400);
  const old = await (await client())
    .get(`/v1/realtime?model=${MODEL}`, [...upgrade, 'Sec-WebSocket-Version: 8', 'Sec-WebSocket-Key: A'])
    .answer();
  assert.equal(old.status, 400);
  assert.equal(old.headers.get('sec-websocket-version'), '13');
  const forbidden = await (await client()).get(`/engines/${MODEL}/sleep`, handshake).answer();
  assert.equal(forbidden.status, 403);
  // Behind a request that is under way nothing of another protocol can begin.
  const behind = await client();
  behind.post('/v1/chat/completions', { model: MODEL }, upgrade.slice(2));
  behind.get(`/v1/realtime?model=${MODEL}`, handshake);
  assert.equal((await ended(8)).at(-1)?.code, 'request_malformed');
  behind.close();
  await gate.until(() => gate.details('finish').length === 1);

  const holder = dial({ headers });
  await once(holder, 'open');
  const full = await refusedWith(dial({ headers }));
  assert.equal(full.status, 429);
  assert.equal(full.headers['x-model'], MODEL);
  assert.equal(full.headers['retry-after'], '3');
  model.held = true;
  model.queueSize = 10;
  const waiting = dial({ headers });
  const refused = refusedWith(waiting);
  await gate.until(() => gate.waitingCount === 1);
  gate.refuseWaiting(MODEL, { code: 'queue_timeout', parameters: { model: MODEL, seconds: 1, why: 'x' } });
  assert.equal((await refused).status, 503);
  assert.equal(engineSockets.length, 1);
  const outcomes = (await ended(11)).map(({ outcome }) => outcome);
  assert.deepEqual(outcomes, [...Array(8).fill('refused'), 'client_left', 'refused', 'refused']);
});

test('a key among the protocols lets its browser in and never reaches the engine', async (context) => {
  const parsed = parseKeys('alice: secret-key-1\n');
  assert.ok(parsed.ok);
  const { open, dial, engineSocket, ended } = await startWebSocketFixture(context, {
    keys: createStaticKeys(parsed.value),
    // As vLLM: it chooses none.
    ws: { handleProtocols: () => false },
  });
  const client = await open({ protocols: ['realtime', 'openai-insecure-api-key.secret-key-1', 'beta.v1'] });
  assert.equal(client.protocol, 'realtime');
  const { request } = await engineSocket();
  assert.equal(request.headers['sec-websocket-protocol'], 'realtime, beta.v1');
  assert.equal(JSON.stringify(request.rawHeaders).includes('secret'), false);
  const wrong = dial({ protocols: ['realtime', 'openai-insecure-api-key.wrong-key-1'] });
  assert.equal((await refusedWith(wrong)).status, 401);
  client.close();
  const ends = await ended(2);
  assert.ok(ends.some(({ principal }) => principal === 'alice'));
});

test("an engine's other answer passes as an ordinary one", async (context) => {
  const { dial, ended, gate } = await startWebSocketFixture(context, {
    answer: (response) => {
      response.writeHead(403, { 'x-engine': 'yes', 'content-type': 'text/plain' });
      response.write('not ');
      response.end('here');
    },
  });
  const { status, headers, body } = await refusedWith(dial());
  assert.equal(status, 403);
  assert.equal(headers['x-engine'], 'yes');
  assert.equal(headers['x-model'], MODEL);
  assert.equal(body, 'not here');
  const [end] = await ended(1);
  assert.equal(end?.outcome, 'answered');
  assert.equal(end?.status, 403);
  assert.equal(end?.responseBytes, 8);
  assert.deepEqual(gate.details('finish'), ['answered']);
});

test('it waits for its engine like any other request, and may leave meanwhile', async (context) => {
  const { dial, gate, model, ended, front, engineSockets } = await startWebSocketFixture(context);
  model.held = true;
  const leaver = dial();
  await gate.until(() => gate.waitingCount === 1);
  leaver.terminate();
  await gate.until(() => gate.details('leave').length === 1);
  assert.equal((await ended(1))[0]?.outcome, 'left_waiting');
  model.load = 'cold';
  const waiter = dial();
  await gate.until(() => gate.waitingCount === 1);
  const opened = once(waiter, 'open');
  const upgraded = once(waiter, 'upgrade') as Promise<[{ headers: Record<string, string> }]>;
  model.held = false;
  gate.pump(MODEL);
  await opened;
  const [{ headers }] = await upgraded;
  assert.equal(headers['x-load'], 'cold');
  assert.equal(headers['x-model'], MODEL);
  assert.ok(Number(headers['x-queue-wait-ms']) >= 0);
  assert.equal(engineSockets.length, 1);
  waiter.close();
  await ended(2);
  assert.equal(front.activeRequests, 0);
});

test('a client that takes nothing stops its engine, and loses nothing', async (context) => {
  const total = 64 * MIB;
  const piece = Buffer.alloc(64 * 1024, 'y');
  const { open, engineSocket } = await startWebSocketFixture(context, {
    onSocket: (socket) => {
      for (let sent = 0; sent < total; sent += piece.length) socket.send(piece);
    },
  });
  const client = await open();
  client.pause();
  const { socket } = await engineSocket();
  // What the kernels and the two buffers hold has left the engine; the rest stays with it.
  let before = -1;
  while (socket.bufferedAmount !== before) {
    before = socket.bufferedAmount;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert.ok(before > total / 4, `${before} bytes wait at the engine`);
  let received = 0;
  const all = new Promise<void>((resolve) => {
    client.on('message', (data: Buffer) => {
      received += data.length;
      if (received === total) resolve();
    });
  });
  client.resume();
  await all;
});

test('bytes that are no frames crash nothing, and the count goes back to zero', async (context) => {
  const { client, ended, front, gate } = await startWebSocketFixture(context);
  const handshake = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  ];
  const hostile = [
    Buffer.alloc(1000, 0xff),
    Buffer.from([0x81, 0xff, ...Array<number>(8).fill(0xff)]),
    Buffer.from([0x89, 0x7e, 0xff, 0xff, 1, 2, 3]),
    Buffer.from([0xf3]),
    Buffer.from([0x88, 0x02, 0x00, 0x00]),
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  ];
  for (const bytes of hostile) {
    const raw = await client();
    raw.get(`/v1/realtime?model=${MODEL}`, handshake);
    await raw.until((received) => received.includes('\r\n\r\n'));
    raw.send(bytes);
    raw.socket.end();
    await raw.untilEnded();
  }
  const early = await client();
  early.get(`/v1/realtime?model=${MODEL}`, handshake).send(Buffer.from([0x81, 0x80, 0, 0, 0, 0]));
  const received = await early.until((text) => text.includes('\r\n\r\n') && text.length > 200);
  assert.match(received, /^HTTP\/1\.1 101 /);
  early.close();
  await ended(hostile.length + 1);
  assert.equal(front.activeRequests, 0);
  assert.equal(gate.runningCount, 0);
});

test('over TLS and over a Unix socket', async (context) => {
  const { front, ended, engineSocket } = await startWebSocketFixture(context);
  const file = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
  const tls = await TlsFiles.open({ certFile: file('localhost.crt'), keyFile: file('localhost.key') });
  assert.ok(tls.ok);
  const { port } = await front.listen('127.0.0.1', 0, tls.value);
  const directory = await mkdtemp(join(tmpdir(), 'vg-ws-'));
  context.after(() => rm(directory, { recursive: true, force: true }));
  await front.listenOnSocket(join(directory, 's'));
  const urls = [
    `wss://127.0.0.1:${port}/v1/realtime?model=${MODEL}`,
    `ws+unix://${join(directory, 's')}:/v1/realtime?model=${MODEL}`,
  ];
  for (const [index, url] of urls.entries()) {
    const client = new WsClient(url, { rejectUnauthorized: false });
    await once(client, 'open');
    client.send('hello');
    assert.equal(await nextMessage(client), 'hello');
    const closed = closedWith(client);
    const { socket } = await engineSocket(index);
    // An abnormal end, as abnormal as these transports can tell it.
    socket.terminate();
    assert.equal((await closed).code, 1006);
  }
  assert.equal((await ended(2)).length, 2);
});
