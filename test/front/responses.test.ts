/** Responses that an engine has stored: asked for where they were made, and held while they are made in the background. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../fixtures/gateway.ts';
import { MODEL, startFixture } from './front-fixture.ts';

const HOST = 'Host: x\r\nContent-Type: application/json\r\n';

function create(fields: Readonly<Record<string, unknown>> = {}): string {
  const body = JSON.stringify({ model: MODEL, input: 'hello', ...fields });
  return `POST /v1/responses HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n\r\n${body}`;
}

function post(path: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`;
}

function codeOf(body: string): string {
  return (JSON.parse(body) as { error: { code: string } }).error.code;
}

test('a response is asked for at the engine that made it, while that lives', async (context) => {
  const fixture = await startFixture(context, { responsesStore: true });
  const { client, engine, gate, model } = fixture;
  const raw = await client();
  engine.behaviour = (request) => request.json({ id: 'resp_1', path: request.path, output: [] });
  const made = await raw.send(create()).answer();
  assert.equal(made.body, '{"id":"resp_1","path":"/v1/responses","output":[]}');
  const asked = await raw.get('/v1/responses/resp_1?stream=true&starting_after=3').answer('GET');
  assert.equal(asked.status, 200);
  assert.equal((await engine.request(1)).path, '/v1/responses/resp_1?stream=true&starting_after=3');
  assert.equal(asked.headers.get('x-model'), MODEL);
  assert.equal((await raw.send(post('/v1/responses/resp_1/cancel')).answer()).status, 200);
  assert.equal((await engine.request(2)).path, '/v1/responses/resp_1/cancel');
  const gone = await raw.send('DELETE /v1/responses/resp_1 HTTP/1.1\r\nHost: x\r\n\r\n').answer();
  assert.equal(gone.status, 200);
  assert.equal((await engine.request(3)).method, 'DELETE');
  const next = await raw.send(create({ previous_response_id: 'resp_1' })).answer();
  assert.equal(next.status, 200);

  const before = engine.requests.length;
  model.launchId = `${MODEL}-2`;
  for (const request of [
    'GET /v1/responses/resp_1 HTTP/1.1\r\nHost: x\r\n\r\n',
    post('/v1/responses/resp_1/cancel'),
    create({ previous_response_id: 'resp_1' }),
  ]) {
    const { status, body } = await raw.send(request).answer();
    assert.deepEqual([status, codeOf(body)], [404, 'response_not_found'], request);
    assert.match(body, /the engine of `m1` that made it has ended/);
  }
  assert.equal(engine.requests.length, before, 'no engine was asked');
  assert.equal(gate.runningCount, 0);
});

test('an engine that ends while the request waits for it does not lead to another one’s answer', async (context) => {
  const fixture = await startFixture(context, { responsesStore: true });
  const { client, engine, gate, model } = fixture;
  const raw = await client();
  engine.behaviour = (request) => request.json({ id: 'resp_1' });
  await raw.send(create()).answer();
  model.held = true;
  raw.get('/v1/responses/resp_1');
  await gate.until(({ waitingCount }) => waitingCount === 1);
  model.launchId = `${MODEL}-2`;
  model.held = false;
  gate.pump(MODEL);
  const { status, body } = await raw.answer('GET');
  assert.deepEqual([status, codeOf(body)], [404, 'response_not_found']);
  assert.equal(gate.runningCount, 0);
  assert.equal(engine.requests.length, 1);
});

test('the id of a stream is learned from its first event, whatever its pieces', async (context) => {
  const { client, engine } = await startFixture(context, { responsesStore: true });
  const raw = await client();
  engine.behaviour = (request) => {
    request.startEvents();
    request.chunk('event: response.created\nda').chunk('ta: {"response":{"id":"resp');
    request.chunk('_7"},"type":"response.created"}\n\n').endChunks();
  };
  await raw.send(create({ stream: true })).answer();
  engine.behaviour = (request) => request.json({ id: 'resp_7' });
  assert.equal((await raw.get('/v1/responses/resp_7').answer('GET')).status, 200);
});

test('what is not known is 404 in their dialect, unless the client names a model that keeps responses', async (context) => {
  const fixture = await startFixture(context, { responsesStore: true });
  const { client, engine } = fixture;
  const raw = await client();
  const unknown = await raw.get('/v1/responses/resp_9').answer('GET');
  assert.equal(unknown.status, 404);
  const { error } = JSON.parse(unknown.body) as { error: { code: string; message: string } };
  assert.equal(error.code, 'response_not_found');
  assert.match(error.message, /remembers none of that id; with the header `X-Model`/);
  assert.equal((await raw.get(`/v1/responses/resp_9?model=${MODEL}`).answer('GET')).status, 200);
  assert.equal((await engine.request(0)).path, `/v1/responses/resp_9?model=${MODEL}`);
  const misnamed = await raw.get('/v1/responses/resp_9', ['X-Model: other']).answer('GET');
  assert.equal(codeOf(misnamed.body), 'model_not_found');
  fixture.engineState = 'gone';
  const cold = await raw.get('/v1/responses/resp_9', [`X-Model: ${MODEL}`]).answer('GET');
  assert.match(cold.body, /`m1` has no engine now/);
});

test('a model that keeps no responses learns nothing and makes none in the background', async (context) => {
  const { client, engine } = await startFixture(context);
  const raw = await client();
  engine.behaviour = (request) => request.json({ id: 'resp_1' });
  assert.equal((await raw.send(create({ background: false })).answer()).status, 200);
  assert.equal((await raw.get('/v1/responses/resp_1').answer('GET')).status, 404);
  const kept = await raw.get('/v1/responses/resp_1', [`X-Model: ${MODEL}`]).answer('GET');
  assert.match(kept.body, /`responses_store` is off/);
  for (const value of [true, 1, 'true']) {
    const { status, body } = await raw.send(create({ background: value })).answer();
    assert.deepEqual([status, codeOf(body)], [400, 'background_off'], `${value}`);
  }
  const chat = JSON.stringify({ model: MODEL, messages: [], background: true });
  const other = `POST /v1/chat/completions HTTP/1.1\r\n${HOST}Content-Length: ${chat.length}\r\n\r\n${chat}`;
  assert.equal((await raw.send(other).answer()).status, 200, 'other routes are the engine’s to judge');
});

test('a background response holds its lease until its engine says that it is done', async (context) => {
  const fixture = await startFixture(context, { responsesStore: true, slots: 1 });
  const { client, engine, gate, background, backgroundEnds } = fixture;
  let status = 'queued';
  engine.behaviour = (request) => request.json({ id: 'resp_1', status });
  const raw = await client();
  await raw.send(create({ background: true })).answer();
  assert.deepEqual([gate.runningCount, background.size], [1, 1]);
  assert.equal(background.counts().get(MODEL), 1);
  status = 'in_progress';
  await engine.request(2);
  assert.equal(gate.runningCount, 1);
  fixture.engineState = 'draining';
  const asked = await raw.get('/v1/responses/resp_1').answer('GET');
  assert.equal(
    JSON.parse(asked.body).status,
    'in_progress',
    'it does not wait for the slot that it is itself',
  );
  status = 'completed';
  await gate.until(({ runningCount }) => runningCount === 0);
  assert.deepEqual(gate.details('finish'), ['answered']);
  assert.deepEqual(
    backgroundEnds.map(({ responseId, end }) => [responseId, end]),
    [['resp_1', { outcome: 'answered', status: 'completed' }]],
  );
  assert.equal(background.size, 0);
});

test('a background stream goes on when its client leaves, and is cancelled by the cut', async (context) => {
  const { client, engine, gate, backgroundEnds } = await startFixture(context, { responsesStore: true });
  engine.behaviour = (request) => {
    if (request.method === 'GET') request.json({ id: 'resp_1', status: 'in_progress' });
    else if (request.path.endsWith('/cancel')) request.json({ id: 'resp_1', status: 'cancelled' });
    else request.startEvents().chunk('event: response.created\ndata: {"response":{"id":"resp_1"}}\n\n');
  };
  const raw = await client();
  raw.send(create({ background: true, stream: true }));
  await raw.until((received) => received.includes('resp_1'));
  raw.close();
  await gate.until(({ events }) => events.some(({ kind }) => kind === 'hand_over'));
  assert.equal(gate.runningCount, 1);
  gate.cutRunning(MODEL, { code: 'drain_cut', parameters: { model: MODEL, seconds: 1 } });
  await gate.until(({ runningCount }) => runningCount === 0);
  assert.deepEqual(gate.details('finish'), ['cut']);
  assert.ok(
    engine.requests.some(({ method, path }) => method === 'POST' && path === '/v1/responses/resp_1/cancel'),
  );
  assert.deepEqual(
    backgroundEnds.map(({ end }) => end.status),
    ['cancelled'],
  );
});

test('a background response is cancelled after its time, and its askers are told', async (context) => {
  const fixture = await startFixture(context, { responsesStore: true, backgroundTimeoutMs: 600 });
  const { client, engine, gate } = fixture;
  engine.behaviour = (request) => {
    if (request.path.includes('stream')) request.startEvents().chunk('event: a\ndata: {}\n\n');
    else request.json({ id: 'resp_1', status: 'in_progress' });
  };
  const raw = await client();
  await raw.send(create({ background: true })).answer();
  fixture.engineState = 'ending';
  const asked = await raw.get('/v1/responses/resp_1?stream=true').answer('GET');
  assert.match(asked.body, /background_timeout/);
  await gate.until(({ runningCount }) => runningCount === 0);
  assert.deepEqual(gate.details('finish'), ['cut']);
  assert.ok(engine.requests.some(({ path }) => path.endsWith('/cancel')));
});

test('an engine that says nothing of it any more is not held for ever', async (context) => {
  const { client, engine, gate, backgroundEnds } = await startFixture(context, { responsesStore: true });
  engine.behaviour = (request) => request.json({ id: 'resp_1' });
  const raw = await client();
  await raw.send(create({ background: true })).answer();
  engine.behaviour = (request) => request.json({ error: {} }, 500);
  await until('it is let go', () => gate.runningCount === 0);
  assert.deepEqual(gate.details('finish'), ['engine_error']);
  assert.equal(engine.requests.length, 6, 'five questions');
  assert.equal(backgroundEnds.length, 1);
});
