/** What scripts of web pages may do with a gateway that lists their origin, and OPTIONS as everybody may ask it. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createStaticKeys, parseKeys } from '../../src/access/static-keys.ts';
import { type FixtureOptions, MODEL, startFixture } from './front-fixture.ts';
import type { RawAnswer } from './raw-client.ts';

const CHAT = '/v1/chat/completions';
const PAGE = 'https://chat.example.org';
const OTHER = 'https://evil.example';
const BODY = { model: MODEL };
const CORS_NAMES = /^access-control-/;

const start = (context: TestContext, options: FixtureOptions = {}) =>
  startFixture(context, {
    ...options,
    server: { corsOrigins: [PAGE, 'http://localhost:5173'], ...options.server },
  });

function corsOf(answer: RawAnswer): Record<string, string> {
  return Object.fromEntries([...answer.headers].filter(([name]) => CORS_NAMES.test(name) || name === 'vary'));
}

function assertReadable(answer: RawAnswer, what: string): void {
  assert.equal(answer.headers.get('access-control-allow-origin'), PAGE, what);
  assert.equal(answer.headers.get('vary'), 'Origin', what);
  assert.equal(answer.headers.has('access-control-allow-credentials'), false, what);
  const exposed = answer.headers.get('access-control-expose-headers')?.split(', ') ?? [];
  for (const name of ['X-Request-Id', 'X-Model', 'X-Queue-Wait-Ms', 'X-Load', 'Retry-After']) {
    assert(exposed.includes(name), `${what}: ${name}`);
  }
}

function optionsText(path: string, headers: readonly string[]): string {
  return [`OPTIONS ${path} HTTP/1.1`, 'Host: localhost', ...headers, '', ''].join('\r\n');
}

test('a page of a listed origin reads answers, streams and errors; the engine has no say in it', async (context) => {
  const { client, engine } = await start(context);
  const raw = await client();
  const engineSays =
    'access-control-allow-origin: *\r\nAccess-Control-Allow-Credentials: true\r\nvary: Origin\r\n';
  engine.behaviour = (request) =>
    request.raw(
      `HTTP/1.1 200 OK\r\n${engineSays}content-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
    );
  const answer = await raw.post(CHAT, BODY, [`Origin: ${PAGE}`]).answer();
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('access-control-allow-origin'), PAGE);
  assert.equal(answer.headers.has('access-control-allow-credentials'), false);
  assert.equal(answer.headers.get('vary'), 'Origin, Origin');

  engine.behaviour = (request) => request.startEvents().chunk('data: {}\n\n').endChunks();
  assertReadable(await raw.post(CHAT, { ...BODY, stream: true }, [`Origin: ${PAGE}`]).answer(), 'a stream');
  for (const [what, path, body] of [
    ['an unknown model', CHAT, { model: 'nobody' }],
    ['a forbidden route', '/sleep', BODY],
    ['an unknown route', '/gateway/x', BODY],
    ['broken JSON', CHAT, '{'],
  ] as const) {
    const refused = await raw.post(path, body, [`Origin: ${PAGE}`]).answer();
    assert(refused.status >= 400, what);
    assertReadable(refused, what);
  }
  assertReadable(await raw.get('/v1/models', [`Origin: ${PAGE}`]).answer(), 'the list of models');
});

test('answers beside the response carry it too: a bad head, and a body that is no HTTP', async (context) => {
  const { client } = await start(context);
  const twice = (await client()).send(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nHost: y\r\nOrigin: ${PAGE}\r\nContent-Length: 0\r\n\r\n`,
  );
  assertReadable(await twice.answer(), 'a repeated header');
  const head = `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nOrigin: ${PAGE}\r\nContent-Type: application/json\r\n`;
  const broken = (await client()).send(`${head}Transfer-Encoding: chunked\r\n\r\nZZ\r\n`);
  const answer = await broken.answer();
  assert.equal(answer.status, 400);
  assertReadable(answer, 'a bad chunk');
});

test('other origins get nothing but `Vary`, and start no engine', async (context) => {
  const { client, engine, gate } = await start(context);
  engine.behaviour = (request) => request.json({});
  const raw = await client();
  for (const origin of [OTHER, 'null', `${PAGE}.evil.example`, `${PAGE}:8443`, PAGE.toUpperCase()]) {
    const refused = await raw.post(CHAT, BODY, [`Origin: ${origin}`]).answer();
    assert.match(refused.body, /"code":"page_forbidden"/, origin);
    assert.deepEqual(corsOf(refused), { vary: 'Origin' }, origin);
    const preflight = optionsText(CHAT, [`Origin: ${origin}`, 'Access-Control-Request-Method: POST']);
    assert.deepEqual(corsOf(await raw.send(preflight).answer()), { vary: 'Origin' }, origin);
  }
  assert.deepEqual(gate.events, []);
  assert.deepEqual(corsOf(await raw.post(CHAT, BODY).answer()), { vary: 'Origin' });
});

test('a preflight is answered without a key: methods of the route, headers asked for, and an age', async (context) => {
  const entries = parseKeys('a-long-key\n');
  assert(entries.ok);
  const { client, gate } = await start(context, { keys: createStaticKeys(entries.value) });
  const raw = await client();
  const asked = 'authorization, content-type,x-stainless-arch';
  const preflight = (path: string, more: readonly string[] = []): string =>
    optionsText(path, [`Origin: ${PAGE}`, 'Access-Control-Request-Method: POST', ...more]);
  const answer = await raw.send(preflight(CHAT, [`Access-Control-Request-Headers: ${asked}`])).answer();
  assert.equal(answer.status, 204);
  assertReadable(answer, 'preflight');
  assert.equal(answer.headers.get('access-control-allow-methods'), 'POST');
  assert.equal(answer.headers.get('access-control-allow-headers'), asked);
  assert.equal(answer.headers.get('access-control-max-age'), '7200');
  assert.equal(answer.body, '');
  const below = await raw.send(preflight(`/engines/${MODEL}/metrics`)).answer();
  assert.equal(below.headers.get('access-control-allow-methods'), 'GET, HEAD, POST, PUT, PATCH, DELETE');
  assert.equal(below.headers.has('access-control-allow-headers'), false);
  for (const odd of ['a b', 'x;y', `x${',x'.repeat(3000)}`]) {
    const refused = await raw.send(preflight(CHAT, [`Access-Control-Request-Headers: ${odd}`])).answer();
    assert.equal(refused.headers.has('access-control-allow-headers'), false, odd.slice(0, 20));
  }
  assert.deepEqual(gate.events, []);
});

test('without origins nothing is said about pages, whatever the engine says', async (context) => {
  const { client, engine } = await startFixture(context);
  const raw = await client();
  engine.behaviour = (request) =>
    request.raw('HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncontent-length: 2\r\n\r\n{}');
  assert.deepEqual(corsOf(await raw.post(CHAT, BODY).answer()), {});
  const preflight = optionsText(CHAT, [`Origin: ${PAGE}`, 'Access-Control-Request-Method: POST']);
  const answer = await raw.send(preflight).answer();
  assert.deepEqual([answer.status, corsOf(answer)], [204, {}]);
});

test('OPTIONS says what is allowed, of the server and of each route', async (context) => {
  const { client, gate, ended } = await startFixture(context);
  const raw = await client();
  for (const [path, allow] of [
    ['*', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
    [CHAT, 'POST, OPTIONS'],
    ['/v1/models', 'GET, HEAD, OPTIONS'],
    [`/engines/${MODEL}/version`, 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
  ] as const) {
    const answer = await raw.send(optionsText(path, [])).answer();
    assert.deepEqual([answer.status, answer.headers.get('allow'), answer.body], [204, allow, ''], path);
    assert.match(answer.headers.get('x-request-id') ?? '', /^req-/);
  }
  const star = await raw.get('*').answer();
  assert.equal(star.status, 400, 'only OPTIONS has that target');
  const [first] = await ended(4);
  assert.deepEqual([first?.label, first?.outcome, first?.status], ['options', 'own', 204]);
  assert.deepEqual(gate.events, []);
});
