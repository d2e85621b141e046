import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PIPELINED_REQUESTS_MAX } from '../../src/http/exchange.ts';
import { MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';

test('pipelined requests are answered in order, whichever engine answers first', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => {
    const { n } = JSON.parse(request.body);
    if (n === 0) return;
    if (n === 2) request.startEvents().chunk(`data: ${n}\n\n`).chunk('data: x\n\n').endChunks();
    else request.json({ n });
    if (n === 3) engine.requests.find((other) => other.body.includes('"n":0'))?.json({ n: 0 });
  };
  const raw = await client();
  for (let n = 0; n < 4; n++) raw.post(CHAT, { model: MODEL, n });
  assert.equal((await raw.answer()).body, '{"n":0}');
  assert.equal((await raw.answer()).body, '{"n":1}');
  assert.equal((await raw.answer()).body, 'data: 2\n\ndata: x\n\n');
  assert.equal((await raw.answer()).body, '{"n":3}');
});

test('a large answer behind a waiting one pauses its engine instead of filling memory', async (context) => {
  const { client, engine } = await startFixture(context);
  const size = 24 * 1024 * 1024;
  engine.behaviour = (request) => {
    if (!request.body.includes('large')) return;
    request.raw(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`).raw(Buffer.alloc(size, 'z'));
  };
  const raw = await client();
  raw.post(CHAT, { model: MODEL }).post(CHAT, { model: MODEL, kind: 'large' });
  const large = await engine.request(1);
  const before = await settledLength(() => large.socket.writableLength);
  assert.ok(before > size / 2, `${size - before} bytes were taken from the engine`);
  (await engine.request(0)).json({ first: true });
  assert.equal((await raw.answer()).body, '{"first":true}');
  assert.equal((await raw.answer()).body.length, size);
});

test('more pipelined requests than the limit are refused and end the connection', async (context) => {
  const { client, engine, gate } = await startFixture(context, { slots: 64 });
  engine.behaviour = () => undefined;
  const raw = await client();
  for (let n = 0; n < PIPELINED_REQUESTS_MAX + 1; n++) raw.post(CHAT, { model: MODEL, n });
  await engine.request(PIPELINED_REQUESTS_MAX - 1);
  for (const request of engine.requests) request.json({});
  for (let n = 0; n < PIPELINED_REQUESTS_MAX; n++) assert.equal((await raw.answer()).status, 200);
  const refused = await raw.answer();
  assert.equal(refused.status, 400);
  assert.match(refused.body, /at once on one connection/);
  assert.equal(gate.details('admit').length, PIPELINED_REQUESTS_MAX);
});

test('leaving with pipelined requests open ends all of them', async (context) => {
  const { client, engine, gate, ended, front } = await startFixture(context, { slots: 2 });
  engine.behaviour = () => undefined;
  const raw = await client();
  for (let n = 0; n < 4; n++) raw.post(CHAT, { model: MODEL, n });
  await engine.request(1);
  await gate.until(() => gate.waitingCount === 2);
  raw.close();
  await ended(4);
  assert.equal(gate.runningCount, 0);
  assert.equal(gate.waitingCount, 0);
  assert.equal(front.activeRequests, 0);
});

test('rubbish behind a request that is being answered ends the connection and nothing else', async (context) => {
  const { client, engine, ended } = await startFixture(context);
  engine.behaviour = () => undefined;
  const raw = await client();
  raw.post(CHAT, { model: MODEL });
  const request = await engine.request(0);
  raw.send('rubbish\r\n\r\n');
  await raw.untilEnded();
  await request.closed;
  assert.equal((await ended(1))[0]?.outcome, 'client_left');
  engine.behaviour = (next) => next.json({ ok: true });
  assert.equal((await (await client()).post(CHAT, { model: MODEL }).answer()).status, 200);
});

test('our own routes answer GET and HEAD', async (context) => {
  const { client, ended } = await startFixture(context);
  const raw = await client();
  const models = JSON.parse((await raw.get('/v1/models').answer()).body);
  assert.equal(models.object, 'list');
  assert.deepEqual(models.data[0], {
    id: MODEL,
    object: 'model',
    created: 1,
    owned_by: 'vllm-gateway',
    parent: null,
    state: 'awake',
    max_model_len: 4096,
    context_length: 4096,
  });
  assert.equal(JSON.parse((await raw.get(`/v1/models/${MODEL}`).answer()).body).id, MODEL);
  const unknown = await raw.get('/v1/models/m2').answer();
  assert.equal(unknown.status, 404);
  assert.match(unknown.body, /model_not_found/);
  assert.equal((await raw.get('/health').answer()).body, '{"status":"ok"}');
  assert.equal((await raw.get('/ready').answer()).body, '{"status":"ready"}');
  const metrics = await raw.get('/metrics').answer();
  assert.equal(metrics.body, 'up 1\n');
  assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.equal((await raw.get('/gateway/status').answer()).body, '{"queue_status":{}}');
  const head = await raw.send('HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n').answer('HEAD');
  assert.equal(head.headers.get('content-length'), '15');
  assert.equal(
    (await ended(8)).every((end) => end.outcome === 'own'),
    true,
  );
});

test('draining lets running requests end and closes their connections; closing ends everything', async (context) => {
  const { client, engine, front, ended } = await startFixture(context);
  engine.behaviour = () => undefined;
  const idle = await client();
  await idle.get('/health').answer();
  const running = await client();
  running.post(CHAT, { model: MODEL });
  const request = await engine.request(0);
  const drained = front.drain();
  assert.equal(await idle.untilEnded(), 'fin');
  request.json({ last: true });
  const answer = await running.answer();
  assert.equal(answer.headers.get('connection'), 'close');
  assert.equal(await running.untilEnded(), 'fin');
  await drained;
  assert.equal((await ended(2)).length, 2);
});

test('closing ends a running request and gives its slot back', async (context) => {
  const { client, engine, front, gate } = await startFixture(context);
  engine.behaviour = (request) => request.startEvents().chunk('data: 1\n\n');
  const raw = await client();
  raw.post(CHAT, { model: MODEL, stream: true });
  await raw.until((received) => received.includes('data: 1'));
  await front.close();
  await (await engine.request(0)).closed;
  assert.equal(gate.runningCount, 0);
  assert.equal(front.activeRequests, 0);
});

/** Waits until a number has stood still for a while: nothing tells when a paused socket has taken its last byte. */
async function settledLength(read: () => number): Promise<number> {
  let last = -1;
  let still = 0;
  while (still < 10) {
    const now = read();
    still = now === last ? still + 1 : 0;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return last;
}
