/** WebSockets and their engine's slot: held while data passes, given back at rest, and the ways in which they have to end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { endpointFor, MODEL } from './front-fixture.ts';
import { closedWith, nextMessage, refusedWith, startWebSocketFixture } from './web-socket-fixture.ts';

const IDLE_MS = 150;
/** Longer than any test. */
const NEVER_MS = 600_000;
const CUT = { code: 'drain_cut', parameters: { seconds: 1, model: MODEL } } as const;

test('at rest it holds no slot; data asks for one again, and counts are exact', async (context) => {
  const { open, gate, model, ended, engineSocket } = await startWebSocketFixture(context, {
    wsIdleTimeoutMs: IDLE_MS,
  });
  const client = await open();
  client.send('one');
  assert.equal(await nextMessage(client), 'one');
  await gate.until(() => gate.details('finish').length === 1);
  assert.equal(gate.runningCount, 0);
  // From the client, while its model has no slot: it waits, and nothing is lost.
  model.held = true;
  client.send('two');
  client.send('three');
  await gate.until(() => gate.waitingCount === 1);
  const messages: string[] = [];
  const both = new Promise<void>((resolve) => {
    client.on('message', (data: Buffer) => messages.push(data.toString()) === 2 && resolve());
  });
  model.held = false;
  gate.pump(MODEL);
  await both;
  assert.deepEqual(messages, ['two', 'three']);
  await gate.until(() => gate.details('finish').length === 2);
  // From the engine.
  const fourth = once(client, 'message');
  (await engineSocket()).socket.send('four');
  await fourth;
  assert.equal(gate.runningCount, 1);
  const closed = closedWith(client);
  client.close(1000);
  assert.equal((await closed).code, 1000);
  const ends = await ended(1);
  assert.equal(ends[0]?.outcome, 'answered');
  assert.equal(ends[0]?.attempts, 1);
  assert.deepEqual(gate.details('finish'), ['answered', 'answered', 'answered']);
  assert.equal(gate.details('admit').length, 3);
});

test('pings keep no slot and ask for none, and pass at rest', async (context) => {
  const { open, gate, engineSocket } = await startWebSocketFixture(context, { wsIdleTimeoutMs: IDLE_MS });
  const client = await open();
  const { socket } = await engineSocket();
  const pings = setInterval(() => {
    client.ping('c');
    socket.ping('e');
  }, IDLE_MS / 10);
  await gate.until(() => gate.details('finish').length === 1);
  await Promise.all([once(client, 'pong'), once(socket, 'pong')]);
  clearInterval(pings);
  assert.equal(gate.details('admit').length, 1);
  // Closing needs none either.
  const atEngine = (await engineSocket()).closed;
  client.close(1000, 'done');
  assert.deepEqual(await atEngine, { code: 1000, reason: 'done' });
  assert.equal(gate.details('admit').length, 1);
});

test('data that comes back to another engine closes it with 1012', async (context) => {
  const { open, gate, model, ended, engineSocket } = await startWebSocketFixture(context, {
    wsIdleTimeoutMs: IDLE_MS,
  });
  const client = await open();
  await gate.until(() => gate.details('finish').length === 1);
  // Nothing is connected to it.
  model.endpoint = endpointFor(1, 1);
  const closed = closedWith(client);
  const { closed: atEngine } = await engineSocket();
  client.send('again');
  assert.equal((await closed).code, 1012);
  assert.equal((await atEngine).code, 1001);
  assert.equal((await ended(1))[0]?.outcome, 'cut');
  assert.equal(gate.runningCount, 0);
});

test('data that is refused closes it with 1013', async (context) => {
  const { open, gate, model, ended } = await startWebSocketFixture(context, {
    wsIdleTimeoutMs: IDLE_MS,
    slots: 1,
    queueSize: 0,
  });
  const client = await open();
  await gate.until(() => gate.details('finish').length === 1);
  model.slots = 0;
  const closed = closedWith(client);
  client.send('again');
  const { code, reason } = await closed;
  assert.equal(code, 1013);
  assert.match(reason, /queue/);
  assert.equal((await ended(1))[0]?.code, 'queue_full');
});

test('an engine that gives way closes those at rest and those that wait for a slot with 1012', async (context) => {
  const { open, gate, model, endpoint, ended, engineSocket, front } = await startWebSocketFixture(context, {
    wsIdleTimeoutMs: IDLE_MS,
  });
  const resting = await open();
  await gate.until(() => gate.details('finish').length === 1);
  model.held = true;
  resting.send('held');
  await gate.until(() => gate.waitingCount === 1);
  const closed = closedWith(resting);
  endpoint.close();
  assert.equal((await closed).code, 1012);
  assert.equal((await (await engineSocket()).closed).code, 1001);
  await ended(1);
  assert.equal(gate.waitingCount, 0);
  assert.equal(front.activeRequests, 0);
});

test('cut at the end of a drain: 1012 behind the frame that is under way, and the slot is free at once', async (context) => {
  const { open, gate, ended, engineSocket } = await startWebSocketFixture(context);
  const client = await open();
  const { socket, closed: atEngine } = await engineSocket();
  const raw = (socket as unknown as { _socket: Socket })._socket;
  const ping = once(client, 'ping');
  // A whole ping, then the first half of a text frame.
  raw.write(Buffer.from([0x89, 0x00, 0x81, 0x04, 0x61, 0x62]));
  await ping;
  const message = nextMessage(client);
  const closed = closedWith(client);
  gate.cutRunning(MODEL, CUT);
  assert.equal(gate.runningCount, 0);
  raw.write('cd');
  assert.equal(await message, 'abcd');
  const { code, reason } = await closed;
  assert.equal(code, 1012);
  assert.match(reason, /other models wait/);
  assert.equal((await atEngine).code, 1001);
  const [end] = await ended(1);
  assert.equal(end?.outcome, 'cut');
  assert.equal(end?.code, 'drain_cut');
  assert.deepEqual(gate.details('finish'), ['cut']);
});

test('peers that do not take part in closing are gone at its limit', async (context) => {
  const { client, gate, ended, engineSocket, front } = await startWebSocketFixture(context);
  const raw = await client();
  raw.get(`/v1/realtime?model=${MODEL}`, [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  ]);
  await raw.until((received) => received.includes('\r\n\r\n'));
  (await engineSocket()).socket.pause();
  // In the middle of a frame, for ever.
  raw.send(Buffer.from([0x81, 0xfe, 0x10]));
  gate.cutRunning(MODEL, CUT);
  await raw.untilEnded();
  assert.equal((await ended(1))[0]?.outcome, 'cut');
  assert.equal(front.activeRequests, 0);
});

test('a cut before 101 sends it back to its queue', async (context) => {
  const { dial, gate, model, ended } = await startWebSocketFixture(context, { answer: () => undefined });
  const client = dial();
  await gate.until(() => gate.runningCount === 1);
  model.held = true;
  gate.cutRunning(MODEL, CUT);
  assert.equal(gate.waitingCount, 1);
  const refused = refusedWith(client);
  gate.refuseWaiting(MODEL, { code: 'shutting_down', parameters: {} });
  assert.equal((await refused).status, 503);
  assert.equal((await ended(1))[0]?.attempts, 1);
});

test('shutdown: those at rest end at once with 1001, the others when they rest or at the end', async (context) => {
  const { open, gate, front, ended, engineSocket } = await startWebSocketFixture(context, {
    wsIdleTimeoutMs: IDLE_MS,
  });
  const resting = await open();
  await gate.until(() => gate.details('finish').length === 1);
  const busy = await open();
  const restingClosed = closedWith(resting);
  const drained = front.drain();
  assert.equal((await restingClosed).code, 1001);
  assert.equal((await closedWith(busy)).code, 1001);
  assert.equal((await (await engineSocket()).closed).code, 1001);
  await drained;
  await ended(2);
});

test('closing the front ends what passes data with 1001', async (context) => {
  const { open, gate, front, ended } = await startWebSocketFixture(context, { wsIdleTimeoutMs: NEVER_MS });
  const client = await open();
  const closed = closedWith(client);
  await front.close();
  assert.equal((await closed).code, 1001);
  assert.equal((await ended(1))[0]?.outcome, 'cut');
  assert.deepEqual(gate.details('finish'), ['cut']);
});

test('one peer that ends without the other is not kept for ever', async (context) => {
  const { open, ended, engineSocket, gate, front } = await startWebSocketFixture(context, {
    wsIdleTimeoutMs: IDLE_MS,
  });
  const client = await open();
  const { socket } = await engineSocket();
  const atEngine = (socket as unknown as { _socket: Socket })._socket;
  // An engine that does not end what its peer has ended.
  atEngine.removeAllListeners('end');
  const heard = once(atEngine, 'end');
  (client as unknown as { _socket: Socket })._socket.end();
  await heard;
  assert.equal(gate.runningCount, 1);
  assert.equal((await ended(1))[0]?.outcome, 'answered');
  assert.equal(front.activeRequests, 0);
});

test('at rest a frame in single bytes between pings waits from its first byte on, and arrives whole', async (context) => {
  const { client, gate, model, engineSocket } = await startWebSocketFixture(context, {
    wsIdleTimeoutMs: IDLE_MS,
    onSocket: () => undefined,
  });
  const raw = await client();
  raw.get(`/v1/realtime?model=${MODEL}`, [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  ]);
  await gate.until(() => gate.details('finish').length === 1);
  model.held = true;
  const { socket } = await engineSocket();
  const ping = once(socket, 'ping');
  // A masked ping, the text `abc` in two fragments, a close frame.
  const frames = [
    [0x89, 0x80, 0, 0, 0, 0],
    [0x01, 0x82, 0, 0, 0, 0, 0x61, 0x62],
    [0x80, 0x81, 0, 0, 0, 0, 0x63],
    [0x88, 0x80, 0, 0, 0, 0],
  ].flat();
  for (const byte of frames) {
    raw.send(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ping;
  await gate.until(() => gate.waitingCount === 1);
  const message = nextMessage(socket);
  const closed = closedWith(socket);
  model.held = false;
  gate.pump(MODEL);
  assert.equal(await message, 'abc');
  assert.equal((await closed).code, 1005);
  assert.equal(gate.details('admit').length, 2);
});

test('the end of a client behind held data comes after it', async (context) => {
  const { open, gate, model, engineSocket, ended } = await startWebSocketFixture(context, {
    wsIdleTimeoutMs: IDLE_MS,
    onSocket: () => undefined,
  });
  const client = await open();
  await gate.until(() => gate.details('finish').length === 1);
  model.held = true;
  const { socket, closed } = await engineSocket();
  const message = nextMessage(socket);
  client.send('last words');
  client.close(3000, 'bye');
  await gate.until(() => gate.waitingCount === 1);
  model.held = false;
  gate.pump(MODEL);
  assert.equal(await message, 'last words');
  assert.deepEqual(await closed, { code: 3000, reason: 'bye' });
  assert.equal((await ended(1))[0]?.outcome, 'answered');
});

test('at rest a peer that ends or closes is not kept by one that does neither', async (context) => {
  const { open, ended, engineSocket, gate } = await startWebSocketFixture(context, {
    wsIdleTimeoutMs: IDLE_MS,
  });
  for (const [index, leave] of [
    (socket: Socket) => socket.end(),
    // A close frame, and silence.
    (socket: Socket) => socket.write(Buffer.from([0x88, 0x80, 0, 0, 0, 0])),
  ].entries()) {
    const client = await open();
    const { socket } = await engineSocket(index);
    const atEngine = (socket as unknown as { _socket: Socket })._socket;
    atEngine.removeAllListeners('end');
    // Nothing is read as frames there any more.
    atEngine.removeAllListeners('data');
    atEngine.on('data', () => undefined);
    await gate.until(() => gate.details('finish').length === index + 1);
    leave((client as unknown as { _socket: Socket })._socket);
    assert.equal((await ended(index + 1))[index]?.outcome, 'answered');
  }
  assert.equal(gate.details('admit').length, 2);
});
