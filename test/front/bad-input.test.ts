import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStaticKeys, parseKeys } from '../../src/access/static-keys.ts';
import { MODEL, startFixture } from './front-fixture.ts';
import type { RawAnswer } from './raw-client.ts';

const CHAT = '/v1/chat/completions';
const JSON_TYPE = 'Content-Type: application/json';

function assertError(answer: RawAnswer, status: number, code: string): void {
  assert.equal(answer.status, status, answer.body);
  const body = JSON.parse(answer.body);
  assert.equal(body.error.code, code);
  assert.equal(body.origin, 'gateway');
  assert.equal(body.request_id, answer.headers.get('x-request-id'));
}

const bodies: readonly (readonly [string, string | Buffer, number, string])[] = [
  ['not JSON', 'hello', 400, 'body_not_json'],
  ['an array', '["model"]', 400, 'body_not_json'],
  ['cut JSON', '{"model":"m1"', 400, 'body_not_json'],
  ['something after the object', '{"model":"m1"} x', 400, 'body_not_json'],
  ['no model', '{"messages":[]}', 400, 'model_missing'],
  ['a model that is a number', '{"model":1}', 400, 'model_not_string'],
  ['a model that is null', '{"model":null}', 400, 'model_not_string'],
  ['two models', '{"model":"m1","model":"m2"}', 400, 'model_duplicate'],
  ['two models, one escaped', '{"model":"m1","mod\\u0065l":"m2"}', 400, 'model_duplicate'],
  ['an unknown model', '{"model":"m2"}', 404, 'model_not_found'],
  ['UTF-16', Buffer.from('\ufeff{"model":"m1"}', 'utf16le'), 400, 'body_not_utf8'],
  ['Latin-1', Buffer.from('{"model":"m1","x":"é"}', 'latin1'), 400, 'body_not_utf8'],
];

test('bodies that name no model clearly are refused, and the connection stays usable', async (context) => {
  const { client, engine, gate } = await startFixture(context);
  const raw = await client();
  for (const [what, body, status, code] of bodies) {
    const bytes = Buffer.from(body as string);
    raw
      .send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nContent-Length: ${bytes.length}\r\n\r\n`)
      .send(bytes);
    const answer = await raw.answer();
    assertError(answer, status, code);
    assert.equal(answer.headers.get('x-should-retry'), 'false', what);
  }
  assert.equal((await raw.post(CHAT, { model: MODEL }).answer()).status, 200);
  assert.equal(engine.requests.length, 1);
  assert.equal(gate.details('admit').length, 1);
});

const heads: readonly (readonly [string, string, number, string])[] = [
  ['an unknown path', 'GET /nothing HTTP/1.1\r\nHost: x', 404, 'route_not_found'],
  ['a wrong method', `GET ${CHAT} HTTP/1.1\r\nHost: x`, 405, 'method_not_allowed'],
  ['no body', `POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}`, 400, 'body_missing'],
  [
    'a form',
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n\r\n{}`,
    415,
    'content_type',
  ],
  ['no content type', `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`, 415, 'content_type'],
  [
    'a compressed body',
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}`,
    415,
    'body_encoding',
  ],
  ['two hosts', 'GET /health HTTP/1.1\r\nHost: x\r\nHost: y', 400, 'request_ambiguous'],
  ['no host', 'GET /health HTTP/1.1\r\nX-A: b', 400, 'request_malformed'],
  [
    'two keys',
    'GET /health HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b',
    400,
    'request_ambiguous',
  ],
  [
    'another transfer coding',
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n`,
    400,
    'request_malformed',
  ],
  [
    'an absolute target with another host',
    'GET http://y/health HTTP/1.1\r\nHost: x',
    400,
    'request_ambiguous',
  ],
  [
    'GET with a body',
    'GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}',
    400,
    'request_malformed',
  ],
  [
    'an expectation we do not have',
    'GET /health HTTP/1.1\r\nHost: x\r\nExpect: coffee',
    417,
    'expectation_failed',
  ],
  [
    'half a WebSocket',
    'GET /v1/realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket',
    400,
    'request_malformed',
  ],
  ['a tunnel', 'CONNECT x:1 HTTP/1.1\r\nHost: x', 501, 'upgrade_unsupported'],
  [
    'an engine switch',
    `POST /engines/${MODEL}/%73leep HTTP/1.1\r\nHost: x\r\nContent-Length: 0`,
    403,
    'route_forbidden',
  ],
];

test('requests that node:http lets through and we do not are refused clearly', async (context) => {
  const { client, engine } = await startFixture(context);
  for (const [what, head, status, code] of heads) {
    const raw = await client();
    const answer = await raw.send(`${head}\r\n\r\n`).answer(what === 'HEAD' ? 'HEAD' : 'POST');
    assertError(answer, status, code);
    assert.ok(answer.complete, what);
    raw.close();
  }
  assert.equal(engine.requests.length, 0);
});

const parserFaults: readonly (readonly [string, string])[] = [
  ['two lengths', `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
  [
    'length and chunks',
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  ['a folded header', 'GET /health HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n 2\r\n\r\n'],
  ['no HTTP', 'hello there\r\n\r\n'],
  ['a bare line feed in the head', 'GET /health HTTP/1.1\r\nHost: x\nX-A: 1\r\n\r\n'],
];

test('what the parser refuses gets a 400 in our shape and the connection ends', async (context) => {
  const { client } = await startFixture(context);
  for (const [what, bytes] of parserFaults) {
    const raw = await client();
    const answer = await raw.send(bytes).answer();
    assertError(answer, 400, 'request_malformed');
    assert.equal(answer.headers.get('connection'), 'close', what);
    assert.equal(await raw.untilEnded(), 'fin', what);
  }
});

test('a bad chunk size in a body gets a 400 with the id of its request', async (context) => {
  const { client, ended } = await startFixture(context);
  const raw = await client();
  raw.send(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n${JSON_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
  );
  const answer = await raw.answer();
  assertError(answer, 400, 'request_malformed');
  assert.equal(answer.headers.get('x-request-id'), 'mine');
  const [end] = await ended(1);
  assert.equal(end?.status, 400);
  assert.equal(end?.outcome, 'refused');
});

test('header floods are refused with 431, by size and not by count', async (context) => {
  const { client } = await startFixture(context);
  const flood = await client();
  const answer = await flood.get('/health', [`X-Big: ${'a'.repeat(20_000)}`]).answer();
  assertError(answer, 431, 'headers_too_large');
  const many = await client();
  const lines = Array.from({ length: 1500 }, (_, index) => `a${index}:`);
  const counted = await many
    .get('/health', [...lines, 'Authorization: Bearer a', 'Authorization: Bearer b'])
    .answer();
  assertError(counted, 400, 'request_ambiguous');
});

test('bodies beyond the limit get a 413 that arrives, declared or chunked, while the client still sends', async (context) => {
  const { client, engine, front } = await startFixture(context);
  const declared = await client();
  declared.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nContent-Length: 104857600\r\n\r\n`);
  declared.send(Buffer.alloc(512 * 1024, ' '));
  assertError(await declared.answer(), 413, 'body_too_large');
  declared.socket.end();
  assert.equal(await declared.untilEnded(), 'fin');

  const chunked = await client();
  chunked.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n`);
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65536, ' '), Buffer.from('\r\n')]);
  for (let sent = 0; sent < 40; sent++) chunked.send(chunk);
  const answer = await chunked.answer();
  assertError(answer, 413, 'body_too_large');
  assert.equal(answer.headers.get('connection'), 'close');
  chunked.send('0\r\n\r\n');
  assert.equal(await chunked.untilEnded(), 'fin');
  assert.equal(engine.requests.length, 0);
  assert.equal(front.activeRequests, 0);
});

test('a client that was promised no 100 Continue is not asked for its body', async (context) => {
  const { client } = await startFixture(context);
  const raw = await client();
  raw.send(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n${JSON_TYPE}\r\nContent-Length: 104857600\r\n\r\n`,
  );
  const answer = await raw.answer();
  assertError(answer, 413, 'body_too_large');
  assert.equal(answer.headers.get('connection'), 'close');
});

test('slow clients are ended with 408, in their head and in their body', async (context) => {
  const { client, ended } = await startFixture(context, {
    server: { headersTimeoutMs: 150, requestTimeoutMs: 400 },
  });
  const head = await client();
  head.send('GET /health HTTP/1.1\r\nHost:');
  assertError(await head.answer(), 408, 'headers_timeout');
  assert.equal(await head.untilEnded(), 'fin');
  const body = await client();
  body.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\n${JSON_TYPE}\r\nContent-Length: 10\r\n\r\n{`);
  assertError(await body.answer(), 408, 'body_timeout');
  assert.equal(await body.untilEnded(), 'fin');
  const [end] = await ended(1);
  assert.equal(end?.code, 'body_timeout');
});

test('keys are demanded everywhere but on the probes, and never reach the engine', async (context) => {
  const entries = parseKeys('ops: correct-horse-battery');
  assert.ok(entries.ok);
  const { client, engine } = await startFixture(context, { keys: createStaticKeys(entries.value) });
  const raw = await client();
  for (const path of ['/health', '/ready']) assert.equal((await raw.get(path).answer()).status, 200);
  for (const path of ['/v1/models', '/metrics', '/gateway/status', '/nothing']) {
    assertError(await raw.get(path).answer(), 401, 'key_missing');
  }
  assertError(
    await raw.post(CHAT, { model: MODEL }, ['Authorization: Bearer wrong-key-here']).answer(),
    401,
    'key_invalid',
  );
  const answer = await raw.post(CHAT, { model: MODEL }, ['X-Api-Key: correct-horse-battery']).answer();
  assert.equal(answer.status, 200);
  assert.equal(engine.requests.length, 1);
  assert.equal(engine.requests[0]?.headers.get('x-api-key'), undefined);
});

test('errors on Anthropic routes have the shape that its clients read', async (context) => {
  const { client } = await startFixture(context);
  const answer = await (await client()).post('/v1/messages', { model: 'nobody' }).answer();
  const body = JSON.parse(answer.body);
  assert.equal(answer.status, 404);
  assert.equal(body.type, 'error');
  assert.equal(body.error.type, 'not_found_error');
});

test('request ids that could break a header or a log are replaced', async (context) => {
  const { client } = await startFixture(context);
  const raw = await client();
  for (const id of ['a b', 'é', 'x'.repeat(129), '']) {
    const answer = await raw.get('/health', [`X-Request-Id: ${id}`]).answer();
    assert.match(answer.headers.get('x-request-id') ?? '', /^req-\w+-\w+$/);
  }
});
