import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { FakeEngine, FakeRequest } from '../../test/fakes/fake-engine.ts';
import { endpointAt, engineWithEndpoint } from '../../test/fakes/test-endpoint.ts';
import type { AnswerHandler, Endpoint, UpstreamRequest } from './endpoint-types.ts';
import type { TransportFault } from './transport-fault.ts';

const POST: UpstreamRequest = { method: 'POST', path: '/x', headers: [], body: Buffer.from('{}') };

/** Calls one of its hooks, if any, at each event; `done` resolves with the body or the fault. */
class Recorder implements AnswerHandler {
  readonly done: Promise<string | TransportFault>;
  #resolve: (result: string | TransportFault) => void = () => undefined;
  #body = '';
  readonly #hooks: Partial<AnswerHandler>;

  constructor(hooks: Partial<AnswerHandler> = {}) {
    this.#hooks = hooks;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  onHead(status: number, statusText: string, rawHeaders: readonly string[]): void {
    this.#hooks.onHead?.(status, statusText, rawHeaders);
  }

  onData(piece: Buffer): boolean {
    this.#body += piece.toString();
    return this.#hooks.onData?.(piece) ?? true;
  }

  onComplete(): void {
    this.#resolve(this.#body);
    this.#hooks.onComplete?.();
  }

  onError(fault: TransportFault): void {
    this.#resolve(fault);
    this.#hooks.onError?.(fault);
  }
}

/** Makes this many idle connections. */
async function warm(engine: FakeEngine, endpoint: Endpoint, count: number): Promise<void> {
  const { behaviour } = engine;
  const held: FakeRequest[] = [];
  engine.behaviour = (request) => void held.push(request);
  const recorders = Array.from({ length: count }, () => new Recorder());
  for (const recorder of recorders) endpoint.send(POST, recorder);
  await engine.request(count - 1);
  for (const request of held) request.json({});
  for (const recorder of recorders) assert.equal(await recorder.done, '{}');
  engine.behaviour = behaviour;
}

/** Sends again once, from within the loss of the first, as the gate does. */
function sendTwice(endpoint: Endpoint): Promise<string | TransportFault> {
  const second = new Recorder();
  endpoint.send(POST, new Recorder({ onError: () => void endpoint.send(POST, second) }));
  return second.done;
}

test('after an idle connection was found lost, the next try goes out on a new one', async (context) => {
  const { engine, endpoint } = await engineWithEndpoint(context);
  const served = new Set<Socket>();
  engine.behaviour = (request) => {
    if (served.has(request.socket)) request.socket.destroy();
    else request.json({ fresh: true });
    served.add(request.socket);
  };
  await warm(engine, endpoint, 3);
  for (const request of engine.requests) served.add(request.socket);
  assert.equal(await sendTwice(endpoint), '{"fresh":true}');
  assert.equal(engine.connections, 4);
});

test('a loss after the first bytes of an answer, or on a new connection, leaves idle connections alone', async (context) => {
  const { engine, endpoint } = await engineWithEndpoint(context);
  await warm(engine, endpoint, 2);
  engine.behaviour = (request) => {
    request.raw('HTTP/1.1 200 OK\r\n');
    setImmediate(() => request.socket.end());
  };
  const cut = new Recorder();
  endpoint.send(POST, cut);
  assert.equal(((await cut.done) as TransportFault).kind, 'connection_lost');
  engine.behaviour = (request) => request.json({ again: true });
  const next = new Recorder();
  endpoint.send(POST, next);
  assert.equal(await next.done, '{"again":true}');
  assert.equal(engine.connections, 2);
});

for (const event of ['onHead', 'onData', 'onComplete', 'onError'] as const) {
  test(`what ${event} of a handler throws is not swallowed`, async (context) => {
    const { engine, endpoint } = await engineWithEndpoint(context);
    if (event === 'onError') engine.behaviour = (request) => request.raw('nonsense');
    const uncaught = new Promise<Error>((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
    context.after(() => process.setUncaughtExceptionCaptureCallback(null));
    const thrown = new Error(`from ${event}`);
    const fail = (): never => {
      throw thrown;
    };
    endpoint.send(POST, new Recorder({ [event]: fail }));
    assert.equal(await uncaught, thrown);
  });
}

/** Reads requests 64 KiB at a time with a pause between, and answers when it has `bytes` of body. */
async function startSlowReader(context: TestContext, bytes: number, pauseMs: number): Promise<Endpoint> {
  const directory = await mkdtemp(join(tmpdir(), 'connection-'));
  const socketPath = join(directory, 's');
  const server = createServer({ highWaterMark: 64 * 1024 }, (socket) => {
    let read = 0;
    socket.on('error', () => socket.destroy());
    socket.on('data', (piece) => {
      read += piece.length;
      if (read >= bytes) {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
        return;
      }
      socket.pause();
      if (pauseMs < Number.POSITIVE_INFINITY) setTimeout(() => socket.resume(), pauseMs);
    });
  }).listen(socketPath);
  await once(server, 'listening');
  const endpoint = endpointAt({ kind: 'unix', socketPath }, { firstByteTimeoutMs: 400 });
  context.after(async () => {
    endpoint.destroy(new Error('over'));
    server.close();
    await rm(directory, { recursive: true });
  });
  return endpoint;
}

test('a long upload that the engine reads slowly is no silence', async (context) => {
  const bytes = 4 * 1024 * 1024;
  const endpoint = await startSlowReader(context, bytes, 15);
  const recorder = new Recorder();
  const startedMs = performance.now();
  endpoint.send({ ...POST, body: Buffer.alloc(bytes, 'a') }, recorder);
  assert.equal(await recorder.done, 'ok');
  // Otherwise this would show nothing.
  assert.ok(performance.now() - startedMs > 2 * endpoint.options.firstByteTimeoutMs);
});

test('an upload that the engine stops reading ends as silence', async (context) => {
  const bytes = 4 * 1024 * 1024;
  const endpoint = await startSlowReader(context, bytes, Number.POSITIVE_INFINITY);
  const recorder = new Recorder();
  endpoint.send({ ...POST, body: Buffer.alloc(bytes, 'a') }, recorder);
  assert.equal(((await recorder.done) as TransportFault).kind, 'no_first_byte');
});

test('a large body arrives as it is, and its memory is free with the answer', async (context) => {
  const { engine, endpoint } = await engineWithEndpoint(context);
  const whole = Buffer.alloc(3 * 1024 * 1024 + 7);
  for (let at = 0; at < whole.length; at++) whole[at] = 0x61 + (at % 23);
  for (let round = 0; round < 2; round++) {
    const body = Buffer.from(whole);
    const recorder = new Recorder();
    endpoint.send({ ...POST, body }, recorder);
    assert.equal(await recorder.done, '{"ok":true}');
    assert.ok(engine.requests[round]?.body === whole.toString());
    assert.equal(body.length, 0);
  }
  assert.equal(engine.connections, 1);
});

test('interim answers are no sign of life, and only so many are taken', async (context) => {
  const { engine, endpoint } = await engineWithEndpoint(context, { firstByteTimeoutMs: 150 });
  engine.behaviour = (request) => {
    const timer = setInterval(() => {
      if (request.socket.destroyed) clearInterval(timer);
      else request.raw('HTTP/1.1 102 Processing\r\n\r\n');
    }, 40);
    request.socket.once('close', () => clearInterval(timer));
  };
  const silent = new Recorder();
  endpoint.send(POST, silent);
  assert.equal(((await silent.done) as TransportFault).kind, 'no_first_byte');
  engine.behaviour = (request) => request.raw('HTTP/1.1 102 Processing\r\n\r\n'.repeat(17));
  const flooded = new Recorder();
  endpoint.send(POST, flooded);
  assert.deepEqual(await flooded.done, { kind: 'malformed', detail: 'more than 16 interim answers' });
});
