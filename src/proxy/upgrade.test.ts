import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { FakeRequest } from '../../test/fakes/fake-engine.ts';
import { engineWithEndpoint } from '../../test/fakes/test-endpoint.ts';
import { UPGRADED_CONNECTIONS_MAX } from '../core/limits.ts';
import type { Endpoint, EndpointOptions, UpgradeHandler, UpstreamRequest } from './endpoint-types.ts';
import type { TransportFault } from './transport-fault.ts';

const UPGRADE: UpstreamRequest = {
  method: 'GET',
  path: '/v1/realtime',
  headers: ['connection', 'Upgrade', 'upgrade', 'websocket'],
  body: null,
};
const SWITCHING =
  'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nx-a: 1\r\n\r\n';

class Recorder implements UpgradeHandler {
  readonly calls: string[] = [];
  socket: Socket | null = null;
  first = '';
  body = '';
  fault: TransportFault | null = null;
  /** Its first terminal call. */
  readonly done: Promise<this>;
  #resolve: () => void = () => undefined;

  constructor() {
    this.done = new Promise((resolve) => {
      this.#resolve = () => resolve(this);
    });
  }

  onUpgraded(_text: string, rawHeaders: readonly string[], socket: Socket, first: Buffer): void {
    this.calls.push(`upgraded ${rawHeaders.join(' ')}`);
    this.socket = socket;
    this.first = first.toString();
    this.#resolve();
  }

  onLeaving(): void {
    this.calls.push('leaving');
  }

  onHead(status: number): void {
    this.calls.push(`head ${status}`);
  }

  onData(piece: Buffer): boolean {
    this.body += piece.toString();
    return true;
  }

  onComplete(): void {
    this.calls.push('complete');
    this.#resolve();
  }

  onError(fault: TransportFault): void {
    this.calls.push(`error ${fault.kind}`);
    this.fault = fault;
    this.#resolve();
  }
}

async function start(
  context: TestContext,
  behaviour: (request: FakeRequest) => void,
  options: Partial<EndpointOptions> = {},
) {
  const parts = await engineWithEndpoint(context, { connectionsMax: 2, ...options });
  parts.engine.behaviour = behaviour;
  return parts;
}

function upgrade(endpoint: Endpoint): Recorder {
  const recorder = new Recorder();
  endpoint.upgrade(UPGRADE, recorder);
  return recorder;
}

test('101 hands over the socket and what came behind it, however the head is cut', async (context) => {
  const { endpoint, engine } = await start(context, (request) => {
    request.raw('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching');
    setImmediate(() => request.raw(`${SWITCHING.slice('HTTP/1.1 101 Switching'.length)}frames`));
  });
  const { calls, socket, first } = await upgrade(endpoint).done;
  assert.deepEqual(calls, ['upgraded upgrade websocket connection upgrade x-a 1']);
  assert.ok(socket !== null && 'frames'.startsWith(first));
  assert.equal(engine.requests[0]?.headers.get('upgrade'), 'websocket');
  // From here on nothing of it is told.
  socket.destroy();
  await once(socket, 'close');
  assert.equal(calls.length, 1);
});

test('other answers pass whole: by length, in chunks, by the end of the connection', async (context) => {
  const answers = [
    'HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone',
    'HTTP/1.1 403 Forbidden\r\ntransfer-encoding: chunked\r\n\r\n4\r\ngone\r\n0\r\n\r\n',
    'HTTP/1.1 500 Oh\r\nconnection: close\r\n\r\ngone',
  ];
  const { endpoint } = await start(context, (request) => {
    const answer = answers.shift() ?? '';
    request.raw(answer);
    if (answers.length === 0) request.socket.end();
  });
  for (const status of [404, 403, 500]) {
    const { calls, body } = await upgrade(endpoint).done;
    assert.deepEqual(calls, [`head ${status}`, 'complete']);
    assert.equal(body, 'gone');
  }
});

test('what goes wrong is told once, by its kind', async (context) => {
  const cases: readonly [string, (request: FakeRequest) => void][] = [
    ['malformed', (request) => void request.raw('HTTP/1.1 101 Fine\r\nbad header: x\r\n\r\n')],
    ['connection_lost', (request) => request.reset()],
    ['connection_lost', (request) => void request.socket.end()],
    ['no_first_byte', () => undefined],
  ];
  for (const [kind, behaviour] of cases) {
    const { endpoint } = await start(context, behaviour, { firstByteTimeoutMs: 200 });
    const { calls } = await upgrade(endpoint).done;
    assert.deepEqual(calls, [`error ${kind}`]);
  }
  const { endpoint, engine } = await start(context, () => undefined);
  await engine.die();
  assert.deepEqual((await upgrade(endpoint).done).calls, ['error not_sent']);
});

test('an aborted one hears nothing, and its engine hears the end', async (context) => {
  const { endpoint, engine } = await start(context, () => undefined);
  const recorder = new Recorder();
  const transmission = endpoint.upgrade(UPGRADE, recorder);
  while (engine.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  transmission.abort(recorder);
  await engine.requests[0]?.closed;
  assert.deepEqual(recorder.calls, []);
});

test('an endpoint that closes tells those that are upgraded, and takes no more', async (context) => {
  const { endpoint } = await start(context, (request) => void request.raw(SWITCHING));
  const { calls, socket } = await upgrade(endpoint).done;
  endpoint.close();
  assert.equal(calls.at(-1), 'leaving');
  const late = upgrade(endpoint);
  assert.equal(late.fault?.kind, 'not_sent');
  assert.ok(socket !== null);
  endpoint.destroy(new Error('gone'));
  await once(socket, 'close');
});

test('upgraded connections take no place from requests', async (context) => {
  const { endpoint } = await start(context, (request) => {
    if (request.headers.has('upgrade')) request.raw(SWITCHING);
    else request.json({ ok: true });
  });
  for (let index = 0; index < 4; index++) await upgrade(endpoint).done;
  const recorder = new Recorder();
  endpoint.send({ ...UPGRADE, headers: [] }, recorder);
  assert.equal((await recorder.done).body, '{"ok":true}');
  assert.equal(endpoint.counters.poolWaits, 0);
});

test('beyond the limit none is opened', async (context) => {
  const { endpoint } = await start(context, () => undefined);
  for (let index = 0; index < UPGRADED_CONNECTIONS_MAX; index++) assert.equal(upgrade(endpoint).fault, null);
  assert.equal(upgrade(endpoint).fault?.kind, 'full');
});
