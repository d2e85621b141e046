/** The early 200 of streams that wait: when it comes, what it tells, how it ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COLLECTED_BYTES_MAX } from '../../src/proxy/collected-answer.ts';
import { MODEL } from './front-fixture.ts';
import {
  CHAT,
  COMMENTS,
  comments,
  DONE,
  release,
  STREAM,
  serveStream,
  startWaiting,
} from './waiting-stream.ts';

test('after progress_after the head and a first comment, then one every ten seconds, then the engine', async (context) => {
  const waiting = await startWaiting(context);
  const { clock, raw, gate, ended } = waiting;
  clock.advanceTo(4_999);
  assert.equal(raw.received, '');
  clock.advanceTo(5_000);
  await raw.until((text) => comments(text).length === 1);
  gate.waitEstimate = { ...gate.waitEstimate, readyInMs: 5_000 };
  clock.advanceTo(14_999);
  clock.advanceTo(15_000);
  await raw.until((text) => comments(text).length === 2);
  serveStream(waiting);
  release(waiting);
  const answer = await raw.answer();
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  assert.equal(answer.headers.get('cache-control'), 'no-cache');
  assert.equal(answer.headers.get('x-accel-buffering'), 'no');
  assert.equal(answer.headers.get('x-model'), MODEL);
  assert.match(answer.headers.get('x-request-id') ?? '', /^req-/);
  assert.ok(answer.complete);
  const [first, second, third, ...more] = comments(answer.body);
  assert.deepEqual(first, {
    phase: 'starting',
    percent: 20,
    ready_in_s: 20,
    basis: 'measured',
    why: 'it is starting (loading weights), 20 s to go',
  });
  assert.equal(second?.percent, 75);
  assert.equal(second?.ready_in_s, 5);
  assert.equal(third?.phase, 'answering');
  assert.equal(third?.load, 'cold');
  assert.equal(typeof third?.queue_wait_ms, 'number');
  assert.equal(more.length, 0);
  assert.ok(answer.body.endsWith(DONE));
  const [end] = await ended(1);
  assert.equal(end?.status, 200);
  assert.equal(end?.outcome, 'answered');
  assert.equal(end?.responseBytes, Buffer.byteLength(answer.body));
  assert.equal(clock.pendingCount, 0);
  // The connection stays usable.
  waiting.engine.behaviour = (request) => request.json({ next: true });
  assert.equal((await raw.post(CHAT, { model: MODEL }).answer()).body, '{"next":true}');
});

test('without opting in, for what is no stream and where the request says off, nothing is sent', async (context) => {
  for (const [headers, body, configured] of [
    [[], STREAM, 'off'],
    [COMMENTS, { model: MODEL }, 'off'],
    [['X-Progress: off'], STREAM, 'comments'],
  ] as const) {
    const waiting = await startWaiting(context, headers, { progress: { progress: configured } }, CHAT, body);
    waiting.clock.advanceTo(600_000);
    assert.equal(waiting.clock.pendingCount, 0);
    waiting.engine.behaviour = (request) => request.json({ error: { message: 'bad' } }, 400);
    release(waiting);
    const answer = await waiting.raw.answer();
    assert.equal(answer.status, 400);
    assert.equal(answer.body, '{"error":{"message":"bad"}}');
  }
});

test('a model may opt in for its streams, and who is served sooner sees no difference', async (context) => {
  const waiting = await startWaiting(context, [], {
    progress: { progress: 'comments', progressAfterMs: 2_000 },
  });
  waiting.clock.advanceTo(1_999);
  serveStream(waiting);
  release(waiting);
  const answer = await waiting.raw.answer();
  assert.equal(answer.body, DONE);
  assert.equal(answer.headers.get('x-load'), 'cold');
  assert.equal(waiting.clock.pendingCount, 0);
});

test('what is not known is said to be not known', async (context) => {
  const waiting = await startWaiting(context);
  const { gate, clock, raw } = waiting;
  gate.waitEstimate = { ...gate.waitEstimate, readyInMs: null, why: 'gpu-0 is held by a foreign program' };
  clock.advanceTo(5_000);
  const [first] = comments(await raw.until((text) => comments(text).length === 1));
  assert.equal(first?.percent, null);
  assert.equal(first?.ready_in_s, null);
  assert.match(String(first?.why), /nobody can tell/);
});

test('a refusal after the early head is an error event, and the connection ends', async (context) => {
  for (const [path, event, codeOf] of [
    [CHAT, '', (data: ErrorData) => data.error.code],
    ['/v1/responses', 'event: error\n', (data: ErrorData) => data.code],
    ['/v1/messages', 'event: error\n', (data: ErrorData) => data.error.code],
  ] as const) {
    const waiting = await startWaiting(context, COMMENTS, {}, path);
    waiting.clock.advanceTo(5_000);
    waiting.gate.refuseWaiting(MODEL, {
      code: 'queue_timeout',
      parameters: { model: MODEL, seconds: 5, why: 'it is starting' },
      retryAfterS: 7,
    });
    const answer = await waiting.raw.answer();
    const [, data] = answer.body.split(`\n\n${event}data: `);
    const parsed = JSON.parse(data ?? '') as ErrorData;
    assert.equal(codeOf(parsed), 'queue_timeout');
    assert.equal(parsed.error.status, 503);
    assert.equal(parsed.retry_after_seconds, 7);
    assert.equal(await waiting.raw.untilEnded(), 'fin');
    const [end] = await waiting.ended(1);
    assert.equal(end?.outcome, 'refused');
    assert.equal(end?.status, 200);
    assert.equal(end?.code, 'queue_timeout');
    assert.equal(waiting.clock.pendingCount, 0);
  }
});

interface ErrorData {
  readonly code?: unknown;
  readonly error: {
    readonly code: unknown;
    readonly message: string;
    readonly status: number;
    readonly type: string;
  };
  readonly origin: string;
  readonly retry_after_seconds?: number;
}

function errorOf(body: string): ErrorData {
  const at = body.lastIndexOf('data: ');
  return JSON.parse(body.slice(at + 6)) as ErrorData;
}

test("an engine's error answer after the early head is an error event with its status, code and message", async (context) => {
  for (const [status, value, expected] of [
    [
      400,
      { error: { message: 'too long', type: 'BadRequestError', param: null, code: 400 } },
      ['too long', 400],
    ],
    [503, { detail: 'overloaded' }, ['overloaded', 503]],
    [500, 'no object', ['"no object"', 500]],
  ] as const) {
    const waiting = await startWaiting(context);
    waiting.clock.advanceTo(5_000);
    waiting.engine.behaviour = (request) => request.json(value, status);
    release(waiting);
    const answer = await waiting.raw.answer();
    const { error, origin } = errorOf(answer.body);
    assert.deepEqual([error.message, error.code], expected);
    assert.equal(error.status, status);
    assert.equal(origin, 'engine');
    assert.equal(await waiting.raw.untilEnded(), 'fin');
    const [end] = await waiting.ended(1);
    assert.equal(end?.outcome, 'stream_error');
    assert.deepEqual(waiting.gate.details('finish'), ['answered']);
  }
});

test('an error body without an end is read up to its limit', async (context) => {
  const waiting = await startWaiting(context);
  waiting.clock.advanceTo(5_000);
  const piece = 'x'.repeat(64 * 1024);
  waiting.engine.behaviour = (request) => {
    request.raw('HTTP/1.1 500 No\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n');
    for (let sent = 0; sent <= COLLECTED_BYTES_MAX; sent += piece.length) request.chunk(piece);
  };
  release(waiting);
  const { error } = errorOf((await waiting.raw.answer()).body);
  assert.equal(error.status, 500);
  assert.ok(error.message.length < 5_000);
  await waiting.engine.requests[0]?.closed;
});

test('a whole JSON answer to a stream comes as one event, anything else as an error', async (context) => {
  const json = await startWaiting(context);
  json.clock.advanceTo(5_000);
  json.engine.behaviour = (request) =>
    request.raw(
      'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"a":\r\n"b" }',
    );
  release(json);
  const answer = await json.raw.answer();
  assert.ok(answer.body.endsWith('\n\ndata: {"a": "b" }\n\ndata: [DONE]\n\n'), answer.body);
  assert.equal((await json.ended(1))[0]?.outcome, 'answered');

  const html = await startWaiting(context);
  html.clock.advanceTo(5_000);
  html.engine.behaviour = (request) =>
    request.raw('HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<hr>');
  release(html);
  const { error } = errorOf((await html.raw.answer()).body);
  assert.equal(error.code, 'engine_bad_answer');
  assert.match(error.message, /text\/html/);
});

test('an engine that dies before its first byte: the stream is resent, and told of it; dead twice, an error event', async (context) => {
  const waiting = await startWaiting(context);
  const { clock, engine, gate, model, raw } = waiting;
  clock.advanceTo(5_000);
  engine.behaviour = (request) => {
    model.held = true;
    request.startEvents();
    setImmediate(() => request.reset());
  };
  release(waiting);
  await gate.until(
    ({ waitingCount, events }) => waitingCount === 1 && events.some(({ kind }) => kind === 'give_back'),
  );
  clock.advanceTo(15_000);
  serveStream(waiting);
  release(waiting);
  const answer = await raw.answer();
  assert.deepEqual(
    comments(answer.body).map(({ phase }) => phase),
    ['starting', 'answering', 'starting', 'answering'],
  );
  assert.ok(answer.body.endsWith(DONE));
  assert.equal((await waiting.ended(1))[0]?.attempts, 2);

  const dying = await startWaiting(context);
  dying.clock.advanceTo(5_000);
  dying.engine.behaviour = (request) => request.reset();
  release(dying);
  assert.equal(errorOf((await dying.raw.answer()).body).error.code, 'engine_died');
  assert.equal((await dying.ended(1))[0]?.outcome, 'refused');
});

test('an engine that dies in mid-stream after an early head', async (context) => {
  const waiting = await startWaiting(context);
  waiting.clock.advanceTo(5_000);
  waiting.engine.behaviour = (request) => {
    request.startEvents().chunk('data: {"half');
    setImmediate(() => request.reset());
  };
  release(waiting);
  const answer = await waiting.raw.answer();
  assert.match(answer.body, /data: \{"half\n\ndata: \{"error"/);
  assert.equal(errorOf(answer.body).error.code, 'engine_died');
  assert.equal(await waiting.raw.untilEnded(), 'fin');
});

test('reasoning: valid chat chunks, the role first; comments on other routes', async (context) => {
  const chat = await startWaiting(context, ['X-Progress: reasoning']);
  chat.clock.advanceTo(5_000);
  await chat.raw.until((text) => text.includes('reasoning'));
  chat.clock.advanceTo(15_000);
  serveStream(chat);
  release(chat);
  const { body } = await chat.raw.answer();
  const chunks = [...body.matchAll(/^data: (\{.*\})$/gm)].map(
    ([, text]) => JSON.parse(text ?? '') as ChatChunk,
  );
  const [role, first, second, own] = chunks;
  assert.deepEqual(role?.choices[0]?.delta, { role: 'assistant', content: '' });
  for (const chunk of [role, first, second]) {
    assert.equal(chunk?.object, 'chat.completion.chunk');
    assert.equal(chunk.id, role?.id);
    assert.equal(chunk.created, role?.created);
    assert.equal(chunk.model, MODEL);
    assert.equal(chunk.choices[0]?.index, 0);
    assert.equal(chunk.choices[0]?.finish_reason, null);
  }
  assert.match(
    first?.choices[0]?.delta.reasoning_content ?? '',
    /^m1: starting, 20 %, ready in about 20 s \(.*\)\n$/,
  );
  assert.equal(first?.choices[0]?.delta.reasoning, first?.choices[0]?.delta.reasoning_content);
  assert.deepEqual(own, { choices: [] });

  for (const path of ['/v1/responses', '/v1/messages', '/v1/completions']) {
    const other = await startWaiting(context, ['X-Progress: reasoning'], {}, path);
    other.clock.advanceTo(5_000);
    const [first] = comments(await other.raw.until((text) => comments(text).length === 1));
    assert.equal(first?.phase, 'starting');
  }
});

interface ChatChunk {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: { readonly reasoning_content?: string; readonly reasoning?: string };
    readonly finish_reason: null;
  }[];
}
