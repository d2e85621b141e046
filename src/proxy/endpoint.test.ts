import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createServer as createTlsServer, setDefaultCACertificates } from 'node:tls';
import { FakeEngine } from '../../test/fakes/fake-engine.ts';
import { engineWithEndpoint } from '../../test/fakes/test-endpoint.ts';
import { createEndpoint } from './endpoint.ts';
import type { AnswerHandler, Endpoint, EndpointOptions, UpstreamRequest } from './endpoint-types.ts';
import type { TransportFault } from './transport-fault.ts';

const GET: UpstreamRequest = { method: 'GET', path: '/x', headers: ['x-a', '1'], body: null };

class Recorder implements AnswerHandler {
  body = '';
  heads = 0;
  fault: TransportFault | null = null;
  readonly done: Promise<this>;
  #resolve: (self: this) => void = () => undefined;
  /** Called when the answer is complete, before anybody who waits for it. */
  then_: (() => void) | null = null;

  constructor() {
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  onHead(): void {
    this.heads += 1;
  }

  onData(piece: Buffer): boolean {
    this.body += piece.toString();
    return true;
  }

  onComplete(): void {
    this.then_?.();
    this.#resolve(this);
  }

  onError(fault: TransportFault): void {
    this.fault = fault;
    this.#resolve(this);
  }
}

function start(context: TestContext, options: Partial<EndpointOptions> = {}) {
  return engineWithEndpoint(context, { connectionsMax: 2, ...options });
}

function send(endpoint: Endpoint, request: UpstreamRequest = GET): Recorder {
  const recorder = new Recorder();
  endpoint.send(request, recorder);
  return recorder;
}

test('requests one after the other share one connection, also when the next is sent from within the end of the last', async (context) => {
  const { engine, endpoint } = await start(context, { connectionsMax: 1 });
  for (let round = 0; round < 5; round++) assert.equal((await send(endpoint).done).body, '{"ok":true}');
  const first = new Recorder();
  const second = new Recorder();
  first.then_ = () => endpoint.send(GET, second);
  endpoint.send(GET, first);
  assert.equal((await second.done).body, '{"ok":true}');
  assert.equal(engine.connections, 1);
  assert.deepEqual(endpoint.counters, { connectionsCreated: 1, requestsSent: 7, poolWaits: 0 });
});

test('a request beyond the limit is not sent and is counted', async (context) => {
  const { engine, endpoint } = await start(context);
  engine.behaviour = () => undefined;
  send(endpoint);
  send(endpoint);
  const third = await send(endpoint).done;
  assert.deepEqual(third.fault, { kind: 'not_sent', detail: 'no free connection' });
  assert.equal(endpoint.counters.poolWaits, 1);
});

test('an aborted request frees its place at once, and hears nothing more', async (context) => {
  const { engine, endpoint } = await start(context, { connectionsMax: 1 });
  engine.behaviour = (request) => void (engine.requests.length === 1 ? undefined : request.json({}));
  const first = new Recorder();
  const transmission = endpoint.send(GET, first);
  const seen = await engine.request(0);
  transmission.abort(first);
  transmission.abort(first);
  const second = send(endpoint);
  await seen.closed;
  assert.equal((await second.done).body, '{}');
  transmission.abort(first);
  assert.equal(first.fault, null);
  assert.equal(endpoint.counters.poolWaits, 0);
});

test('idle connections end after their time, or earlier where the server says so', async (context) => {
  const { engine, endpoint } = await start(context, { keepAliveMs: 120 });
  await send(endpoint).done;
  await engine.requests[0]?.closed;
  const hinted = await start(context);
  hinted.engine.behaviour = (request) =>
    request.raw('HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 0\r\n\r\n');
  await send(hinted.endpoint).done;
  await hinted.engine.requests[0]?.closed;
});

test('an idle connection that the server ends is not used again', async (context) => {
  const { engine, endpoint } = await start(context);
  await send(endpoint).done;
  const { socket } = await engine.request(0);
  socket.end();
  await engine.requests[0]?.closed;
  assert.equal((await send(endpoint).done).body, '{"ok":true}');
  assert.equal(engine.connections, 2);
});

test('closing ends idle connections and lets busy ones finish', async (context) => {
  const { engine, endpoint } = await start(context);
  await send(endpoint).done;
  engine.behaviour = () => undefined;
  const busy = send(endpoint);
  const request = await engine.request(1);
  endpoint.close();
  const late = await send(endpoint).done;
  assert.equal(late.fault?.kind, 'not_sent');
  request.json({ last: true });
  assert.equal((await busy.done).body, '{"last":true}');
  await request.closed;
});

test('destroying ends busy connections with its cause', async (context) => {
  const { engine, endpoint } = await start(context);
  engine.behaviour = () => undefined;
  const busy = send(endpoint);
  await engine.request(0);
  endpoint.destroy(new Error('the engine was stopped'));
  assert.deepEqual((await busy.done).fault, { kind: 'connection_lost', detail: 'the engine was stopped' });
});

test('a Unix socket serves like a port', async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'endpoint-'));
  const engine = new FakeEngine();
  const socketPath = join(directory, 's');
  await engine.listen({ path: socketPath });
  const { endpoint } = await start(context, { address: { kind: 'unix', socketPath } });
  context.after(async () => {
    endpoint.destroy(new Error('over'));
    await engine.die();
    await rm(directory, { recursive: true });
  });
  const body = Buffer.from('{"a":1}');
  assert.equal(
    (await send(endpoint, { method: 'POST', path: '/y', headers: [], body }).done).body,
    '{"ok":true}',
  );
  const request = await engine.request(0);
  assert.equal(request.headers.get('host'), 'localhost');
  assert.equal(request.body, '{"a":1}');
});

test('a POST without a body says so, a GET does not', async (context) => {
  const { engine, endpoint } = await start(context);
  await send(endpoint, { ...GET, method: 'POST' }).done;
  await send(endpoint).done;
  assert.equal(engine.requests[0]?.headers.get('content-length'), '0');
  assert.equal(engine.requests[1]?.headers.get('content-length'), undefined);
});

test('https servers are spoken to when their certificate is trusted, and not when it is not', async (context) => {
  const pem = async (name: string) =>
    readFile(new URL(`../../test/fixtures/tls/${name}`, import.meta.url), 'utf8');
  const certificate = await pem('localhost.crt');
  const server = createTlsServer({ cert: certificate, key: await pem('localhost.key') }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecure'));
  }).listen(0, '127.0.0.1');
  server.on('tlsClientError', () => undefined);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { endpoint } = await start(context, {
    address: { kind: 'url', baseUrl: `https://localhost:${port}` },
  });
  context.after(() => {
    endpoint.destroy(new Error('over'));
    server.close();
  });
  const refused = await send(endpoint).done;
  assert.equal(refused.fault?.kind, 'not_sent');
  assert.match(refused.fault?.detail ?? '', /self-signed certificate/);
  setDefaultCACertificates([certificate]);
  assert.equal((await send(endpoint).done).body, 'secure');
});

test('requests that are given up one after the other make an endpoint mute, any byte of an answer makes it heard', async (context) => {
  let mutes = 0;
  const { engine, endpoint } = await start(context, { firstByteTimeoutMs: 400, onMute: () => (mutes += 1) });
  // Heads alone say nothing: a server sends them before anything has been computed.
  engine.behaviour = (request) => request.raw('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n');
  const giveUp = async (index: number): Promise<void> => {
    const recorder = new Recorder();
    const transmission = endpoint.send(GET, recorder);
    await engine.request(index);
    await new Promise((resolve) => setTimeout(resolve, 120));
    transmission.abort(recorder);
    assert.equal(recorder.fault, null);
  };
  let count = 0;
  while (!endpoint.isMute) {
    await giveUp(count);
    count += 1;
    assert.ok(count < 100);
  }
  assert.equal(mutes, 1);
  assert.ok(count >= 2);
  engine.behaviour = (request) => request.json({});
  await send(endpoint).done;
  assert.equal(endpoint.isMute, false);
  assert.equal(mutes, 1);
});

test('headers that HTTP cannot carry are refused when the endpoint is made', () => {
  const address = { kind: 'tcp', host: '127.0.0.1', port: 1 } as const;
  const options = {
    address,
    connectionsMax: 1,
    keepAliveMs: 1,
    connectTimeoutMs: 1,
    firstByteTimeoutMs: 1,
    streamIdleTimeoutMs: 1,
    pathPrefix: '',
  };
  assert.throws(
    () => createEndpoint({ ...options, headers: { authorization: 'a\r\nx: y' } }),
    /HTTP cannot carry/,
  );
});
