/** Waiting beside what is told: old clients, pipelining, leaving, and the headers that say how to wait. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/core/virtual-clock.ts';
import { MODEL, startFixture } from './front-fixture.ts';
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

test('HTTP/1.0: the early answer ends with its connection', async (context) => {
  const clock = new VirtualClock();
  const fixture = await startFixture(context, { clock });
  fixture.model.held = true;
  const raw = await fixture.client();
  const body = JSON.stringify(STREAM);
  raw.send(
    `POST ${CHAT} HTTP/1.0\r\nContent-Type: application/json\r\nX-Progress: comments\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await fixture.gate.until((gate) => gate.waitingCount === 1);
  clock.advanceTo(5_000);
  await raw.until((text) => comments(text).length === 1);
  serveStream(fixture);
  release(fixture);
  assert.equal(await raw.untilEnded(), 'fin');
  assert.ok(!/transfer-encoding/i.test(raw.received));
  assert.ok(raw.received.endsWith(DONE), raw.received);
});

test('pipelined: the head comes when its turn has come', async (context) => {
  const waiting = await startWaiting(context, []);
  const { clock, raw, gate, engine } = waiting;
  raw.post(CHAT, STREAM, COMMENTS);
  await gate.until(({ waitingCount }) => waitingCount === 2);
  clock.advanceTo(60_000);
  assert.equal(raw.received, '');
  waiting.model.slots = 1;
  engine.behaviour = (request) => {
    waiting.model.held = true;
    request.json({ first: true });
  };
  release(waiting);
  assert.equal((await raw.answer()).body, '{"first":true}');
  await waiting.ended(1);
  clock.advanceTo(61_000);
  await raw.until((text) => comments(text).length === 1);
  serveStream(waiting);
  release(waiting);
  assert.ok((await raw.answer()).body.endsWith(DONE));
});

test('the headers of waiting: bounded, refused by name where they are nonsense, and never forwarded', async (context) => {
  const { client, gate, engine } = await startFixture(context, { server: { queueTimeoutMaxMs: 60_000 } });
  const admitted: (number | undefined)[] = [];
  const admit = gate.admit.bind(gate);
  gate.admit = (admission, waiter) => {
    admitted.push(admission.queueTimeoutMs);
    return admit(admission, waiter);
  };
  const raw = await client();
  for (const value of ['0', '2.5', '60', '3600']) {
    const headers = [`X-Queue-Timeout: ${value}`, 'X-Progress: comments'];
    assert.equal((await raw.post(CHAT, STREAM, headers).answer()).status, 200);
  }
  await raw.post(CHAT, STREAM).answer();
  assert.deepEqual(admitted, [0, 2_500, 60_000, 60_000, undefined]);
  for (const request of engine.requests) {
    assert.ok(!request.headers.has('x-queue-timeout'));
    assert.ok(!request.headers.has('x-progress'));
  }
  for (const header of [
    'X-Queue-Timeout: soon',
    'X-Queue-Timeout: -1',
    'X-Queue-Timeout: 1e3',
    'X-Progress: yes',
  ]) {
    const answer = await (await client()).post(CHAT, STREAM, [header]).answer();
    assert.equal(answer.status, 400);
    assert.ok(answer.body.includes(header.split(':')[0] ?? ''), answer.body);
  }
  assert.equal(admitted.length, 5);
});

test('every error of a known model says the model, the wait and that there was no engine', async (context) => {
  const waiting = await startWaiting(context, []);
  waiting.clock.advanceTo(1_234);
  waiting.gate.refuseWaiting(MODEL, { code: 'shutting_down', parameters: {} });
  const { headers } = await waiting.raw.answer();
  assert.equal(headers.get('x-model'), MODEL);
  assert.equal(headers.get('x-load'), 'none');
  assert.equal(headers.get('x-queue-wait-ms'), '1234');
  assert.match(headers.get('x-request-id') ?? '', /^req-/);
});

test('a client that leaves during the frames is noticed at once', async (context) => {
  const waiting = await startWaiting(context);
  waiting.clock.advanceTo(5_000);
  await waiting.raw.until((text) => comments(text).length === 1);
  waiting.raw.close();
  await waiting.gate.until((gate) => gate.waitingCount === 0);
  const [end] = await waiting.ended(1);
  assert.equal(end?.outcome, 'left_waiting');
  assert.equal(waiting.clock.pendingCount, 0);
});
