/** Kept connections that the engine ends, and defects of ours at the end of an answer. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { FakeRequest } from '../fakes/fake-engine.ts';
import { type Fixture, MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';

/** A fixture whose endpoint keeps this many idle connections; gives the engine's ends of them. */
async function startWarm(context: TestContext, count: number): Promise<[Fixture, Socket[]]> {
  const fixture = await startFixture(context);
  const { client, engine } = fixture;
  const held: FakeRequest[] = [];
  engine.behaviour = (request) => void held.push(request);
  const clients = await Promise.all(Array.from({ length: count }, () => client()));
  for (const raw of clients) raw.post(CHAT, { model: MODEL });
  await engine.request(count - 1);
  for (const request of held) request.json({ warm: true });
  for (const raw of clients) assert.equal((await raw.answer()).status, 200);
  assert.equal(engine.connections, count);
  return [fixture, held.map((request) => request.socket)];
}

for (const count of [1, 2, 3]) {
  test(`${count} kept connections that the engine ends together cost the client nothing`, async (context) => {
    const [{ client, engine, gate }, sockets] = await startWarm(context, count);
    engine.behaviour = (request) => request.json({ fresh: true });
    const raw = await client();
    raw.post(CHAT, { model: MODEL });
    for (const socket of sockets) socket.removeAllListeners('data').destroy();
    const answer = await raw.answer();
    assert.equal(answer.status, 200);
    assert.equal(answer.body, '{"fresh":true}');
    assert.ok(gate.details('give_back').length <= 1);
  });

  test(`${count} kept connections that the engine ends when they are used again cost one resend`, async (context) => {
    const [{ client, engine, gate }, sockets] = await startWarm(context, count);
    engine.behaviour = (request) => {
      if (sockets.includes(request.socket)) request.socket.destroy();
      else request.json({ fresh: true });
    };
    const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
    assert.equal(answer.status, 200);
    assert.equal(answer.body, '{"fresh":true}');
    assert.equal(gate.details('give_back').length, 1);
    assert.equal(engine.connections, count + 1);
  });
}

test('what the gate throws at the end of an answer surfaces as an uncaught exception', async (context) => {
  const { client, gate } = await startFixture(context);
  const uncaught = new Promise<Error>((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
  context.after(() => process.setUncaughtExceptionCaptureCallback(null));
  const finish = gate.finish.bind(gate);
  const thrown = new Error('an invariant is broken');
  gate.finish = (id, outcome) => {
    finish(id, outcome);
    throw thrown;
  };
  const raw = await client();
  raw.post(CHAT, { model: MODEL });
  assert.equal(await uncaught, thrown);
  gate.finish = finish;
});

test('a head with line feeds alone is refused at once', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => request.raw('HTTP/1.1 200 OK\ncontent-length: 2\n\nok');
  const answer = await (await client()).post(CHAT, { model: MODEL }).answer();
  assert.equal(answer.status, 502);
  assert.match(answer.body, /"code":"engine_bad_answer"/);
});

test('bytes behind a trailer that ends with a line feed alone never become the answer to the next request', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => {
    if (engine.requests.length > 1) return void request.json({ own: true });
    request.raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX\n');
    setImmediate(() => request.raw('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil'));
  };
  const first = await client();
  first.post(CHAT, { model: MODEL });
  await first.untilEnded();
  const second = await client();
  assert.equal((await second.post(CHAT, { model: MODEL }).answer()).body, '{"own":true}');
});
