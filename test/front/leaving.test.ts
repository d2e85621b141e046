import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startStuckListener } from '../fakes/stuck-listener.ts';
import { endpointFor, MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';

test('a client that leaves while its body is read ends without a trace at the gate', async (context) => {
  const { client, ended, gate } = await startFixture(context);
  const raw = await client();
  raw.send(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"model"`,
  );
  raw.socket.end();
  const [end] = await ended(1);
  assert.equal(end?.outcome, 'left_waiting');
  assert.deepEqual(gate.events, []);
});

test('a client that leaves while it waits leaves the queue at once', async (context) => {
  const { client, ended, gate, model, front } = await startFixture(context);
  model.held = true;
  for (const leave of ['close', 'reset', 'half-close'] as const) {
    const raw = await client();
    raw.post(CHAT, { model: MODEL });
    await gate.until(() => gate.waitingCount === 1);
    if (leave === 'close') raw.socket.destroy();
    else if (leave === 'reset') raw.socket.resetAndDestroy();
    else raw.socket.end();
    await gate.until(() => gate.waitingCount === 0);
  }
  const ends = await ended(3);
  assert.deepEqual(
    ends.map((end) => end.outcome),
    ['left_waiting', 'left_waiting', 'left_waiting'],
  );
  assert.equal(front.activeRequests, 0);
});

test('a client that leaves before the first byte closes the connection to the engine', async (context) => {
  const { client, ended, engine, gate } = await startFixture(context);
  engine.behaviour = () => undefined;
  const raw = await client();
  raw.post(CHAT, { model: MODEL });
  const request = await engine.request(0);
  raw.close();
  await request.closed;
  const [end] = await ended(1);
  assert.equal(end?.outcome, 'client_left');
  assert.deepEqual(gate.details('finish'), ['client_left']);
});

test('a client that leaves in mid-stream closes the connection to the engine', async (context) => {
  const { client, ended, engine, gate } = await startFixture(context);
  engine.behaviour = (request) => request.startEvents().chunk('data: 1\n\n');
  const raw = await client();
  raw.post(CHAT, { model: MODEL, stream: true });
  await raw.until((received) => received.includes('data: 1'));
  raw.close();
  await (await engine.request(0)).closed;
  await ended(1);
  assert.deepEqual(gate.details('finish'), ['client_left']);
});

test('a client that leaves while the engine is being connected to is never sent', async (context) => {
  const { client, ended, gate, model } = await startFixture(context);
  const stuck = await startStuckListener();
  const nowhere = endpointFor(stuck.port, 8, { connectionsMax: 1 });
  context.after(() => {
    nowhere.destroy(new Error('over'));
    return stuck.close();
  });
  model.endpoint = nowhere;
  for (let round = 1; round <= 3; round++) {
    const raw = await client();
    raw.post(CHAT, { model: MODEL });
    await gate.until(() => gate.details('grant').length === round);
    raw.close();
    await ended(round);
  }
  assert.equal(nowhere.counters.poolWaits, 0);
  assert.equal(gate.runningCount, 0);
});

test('a stalled client pauses the engine, holds little, and is cut', async (context) => {
  const { client, ended, engine, gate } = await startFixture(context, {
    server: { clientStallTimeoutMs: 300 },
  });
  const chunk = `data: ${'x'.repeat(16_000)}\n\n`;
  let written = 0;
  engine.behaviour = (request) => {
    request.startEvents();
    const pour = (): void => {
      while (!request.socket.destroyed && written < 64 * 1024 * 1024) {
        request.chunk(chunk);
        written += chunk.length;
        if (request.socket.writableNeedDrain) {
          request.socket.once('drain', pour);
          return;
        }
      }
    };
    pour();
  };
  const raw = await client();
  raw.socket.pause();
  raw.post(CHAT, { model: MODEL, stream: true });
  await (await engine.request(0)).closed;
  const [end] = await ended(1);
  assert.equal(end?.outcome, 'client_stalled');
  assert.deepEqual(gate.details('finish'), ['client_stalled']);
  assert.ok(written < 32 * 1024 * 1024, `the engine was not paused: it wrote ${written} bytes`);
});

test('a client that begins to read late gets everything', async (context) => {
  const { client, ended, engine } = await startFixture(context);
  const size = 8 * 1024 * 1024;
  engine.behaviour = (request) =>
    request.raw(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`).raw(Buffer.alloc(size, 'y'));
  const raw = await client();
  raw.socket.pause();
  raw.post(CHAT, { model: MODEL });
  await engine.request(0);
  raw.socket.resume();
  const answer = await raw.answer();
  assert.equal(answer.complete, true);
  assert.equal(answer.body.length, size);
  assert.equal((await ended(1))[0]?.outcome, 'answered');
});

test('a slot is given back once, and the next waiting request gets it', async (context) => {
  const { client, engine, gate } = await startFixture(context, { slots: 1 });
  engine.behaviour = (request) =>
    void (request.body.includes('first') ? undefined : request.json({ served: true }));
  const first = await client();
  first.post(CHAT, { model: MODEL, name: 'first' });
  await engine.request(0);
  const second = await client();
  second.post(CHAT, { model: MODEL });
  await gate.until(() => gate.waitingCount === 1);
  first.close();
  assert.equal((await second.answer()).body, '{"served":true}');
  assert.deepEqual(gate.details('finish'), ['client_left', 'answered']);
});
