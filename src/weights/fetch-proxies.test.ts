import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { readModelFacts } from '../readers/model-reader.ts';
import { fetchWorld, putModel } from './weights-fetcher.fixture.ts';

type OnConnect = (socket: Duplex, target: string) => void;

interface Proxy {
  readonly host: string;
  close(): Promise<void>;
}

/** Every way through it is asked for by CONNECT. */
async function startProxy(t: TestContext, onConnect: OnConnect): Promise<Proxy> {
  const server: Server = createServer();
  const sockets = new Set<Duplex>();
  server.on('connect', (request, socket: Duplex) => {
    sockets.add(socket);
    onConnect(
      socket.on('error', () => {}),
      request.url ?? '',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  t.after(close);
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

const tunnel: OnConnect = (socket, target) => {
  const [host = '', port = ''] = target.split(':');
  const there = connect(Number(port), host, () => {
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    socket.pipe(there).pipe(socket);
  });
  there.on('error', () => socket.destroy());
  socket.on('close', () => there.destroy());
};

function refuseWith(status: number): OnConnect {
  return (socket) => socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
}

/** Each with what the gateway's reader of models says of the same proxy. */
async function throughProxy(t: TestContext, host: string) {
  const world = await fetchWorld(t);
  putModel(world.hub);
  const environment = { HTTP_PROXY: `http://user:secret@${host}` };
  const result = await world.fetch({ environment });
  const read = await readModelFacts('acme/small', {
    environment: { HOME: world.home, HF_ENDPOINT: world.hub.endpoint, ...environment },
    stateDirectory: null,
    timeLimitMs: 20_000,
  });
  return { world, result, read };
}

test('through a proxy that lets pass, a model is fetched', async (t) => {
  const proxy = await startProxy(t, tunnel);
  const { result } = await throughProxy(t, proxy.host);
  assert.equal(result.kind, 'ready', JSON.stringify(result));
});

test('a proxy that refuses is told by its name, and not tried again', async (t) => {
  for (const [status, text] of [
    [407, /^the proxy http:\/\/127\.0\.0\.1:\d+ refused \(407\): .*HTTPS_PROXY/],
    [403, /^the proxy http:\/\/127\.0\.0\.1:\d+ refused to connect to 127\.0\.0\.1:\d+ \(403\)$/],
  ] as const) {
    let asked = 0;
    const proxy = await startProxy(t, (socket, target) => {
      asked += 1;
      refuseWith(status)(socket, target);
    });
    const { world, result, read } = await throughProxy(t, proxy.host);
    assert.ok(result.kind === 'failed' && !result.failure.retryable, JSON.stringify(result));
    assert.equal(result.failure.cause, 'repository_unreachable');
    assert.match(result.failure.text, text);
    assert.doesNotMatch(result.failure.text, /secret/);
    assert.ok(!read.ok);
    assert.match(read.error.text, text);
    assert.equal(asked, 2, 'one for the fetch, one for the reading');
    assert.deepEqual(world.hub.requests, []);
  }
});

test('a proxy that is down, breaks off, has no way or is silent is named instead of the hub, and tried again', async (t) => {
  const cases: readonly (readonly [OnConnect | null, RegExp])[] = [
    [null, /^the proxy http:\/\/127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\)$/],
    [(socket) => socket.destroy(), /^the proxy http:\/\/127\.0\.0\.1:\d+ broke the connection off$/],
    [refuseWith(502), /^the proxy http:\/\/127\.0\.0\.1:\d+ has no connection to 127\.0\.0\.1:\d+ \(502\)$/],
  ];
  for (const [onConnect, text] of cases) {
    const proxy = await startProxy(t, onConnect ?? (() => {}));
    if (onConnect === null) await proxy.close();
    const { result, read } = await throughProxy(t, proxy.host);
    assert.ok(result.kind === 'failed' && result.failure.retryable, JSON.stringify(result));
    assert.match(result.failure.text, text);
    assert.ok(!read.ok);
    assert.match(read.error.text, text);
  }
  const silent = await startProxy(t, () => {});
  const world = await fetchWorld(t);
  const result = await world.fetch(
    { environment: { HTTP_PROXY: `http://${silent.host}` } },
    { limits: { stallTimeoutMs: 50, questionTriesMax: 2 } },
  );
  assert.ok(result.kind === 'failed' && result.failure.retryable);
  assert.match(result.failure.text, /^the proxy .* accepted a request and did not answer$/);
});

test('a fetch that we end while a proxy is silent is told as ended', async (t) => {
  const asked = Promise.withResolvers<void>();
  const proxy = await startProxy(t, () => asked.resolve());
  const world = await fetchWorld(t);
  const ended = new AbortController();
  const fetching = world.fetch(
    { environment: { HTTP_PROXY: `http://${proxy.host}` } },
    { signal: ended.signal, limits: { stallTimeoutMs: 60_000 } },
  );
  await asked.promise;
  ended.abort();
  const result = await fetching;
  assert.ok(result.kind === 'failed' && result.failure.retryable);
  assert.equal(result.failure.text, 'the fetch of acme/small was ended');
});
