/** WebSockets through a whole gateway, with engines that come, sleep and go. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import {
  type RunningGateway,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';
import { chat } from '../fixtures/requests.ts';

type Event = Readonly<Record<string, unknown>> & { readonly type: string };

const IDLE_S = 0.3;
const AUDIO = Buffer.alloc(6400, 7).toString('base64');

interface Session {
  readonly socket: WebSocket;
  readonly load: Promise<string | undefined>;
  /** Sends audio and gives back its transcript. */
  transcribe(model: string): Promise<string>;
  /** The code that it was closed with. */
  readonly closed: Promise<number>;
}

function dial(context: TestContext, gateway: RunningGateway, model: string): Session {
  const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/v1/realtime?model=${model}`);
  context.after(() => socket.terminate());
  socket.on('error', () => undefined);
  const load = once(socket, 'upgrade').then(([response]) => response.headers['x-load'] as string | undefined);
  load.catch(() => undefined);
  return {
    socket,
    load,
    closed: new Promise((resolve) => {
      socket.once('close', resolve);
    }),
    async transcribe(served) {
      const done = new Promise<string>((resolve) => {
        socket.on('message', (data) => {
          const event = JSON.parse(String(data)) as Event;
          if (event.type === 'transcription.done') resolve(String(event['text']));
        });
      });
      for (const event of [
        { type: 'session.update', model: served },
        { type: 'input_audio_buffer.append', audio: AUDIO },
        { type: 'input_audio_buffer.commit', final: true },
      ]) {
        socket.send(JSON.stringify(event));
      }
      return done;
    },
  };
}

async function open(context: TestContext, gateway: RunningGateway, model: string): Promise<Session> {
  const session = dial(context, gateway, model);
  await once(session.socket, 'open');
  return session;
}

function listener(keys: Readonly<Record<string, unknown>> = {}) {
  return simulatedModel({ keys: { ws_idle_timeout: IDLE_S, ...keys } });
}

async function runningOf(gateway: RunningGateway, model: string): Promise<number> {
  const { models } = await gateway.status();
  return models[model]?.running ?? -1;
}

async function withGateway(
  models: Readonly<Record<string, unknown>>,
  use: (gateway: RunningGateway) => Promise<void>,
): Promise<void> {
  const gateway = await startGateway({ config: simulatedConfig(models) });
  try {
    await use(gateway);
  } finally {
    await gateway.stop();
  }
  assert.deepEqual(gateway.errors, []);
}

test('it waits for a cold engine, rests, is used again, and gives way with 1012 to another model', async (context) => {
  await withGateway({ a: listener(), b: simulatedModel() }, async (gateway) => {
    const session = await open(context, gateway, 'a');
    assert.equal(await session.load, 'cold');
    const first = await session.transcribe('a');
    assert.ok(first.length > 10);
    await until('it rests', async () => (await runningOf(gateway, 'a')) === 0);
    // Nobody else came: the same connection goes on.
    assert.equal(await session.transcribe('a'), first);
    await until('it rests again', async () => (await runningOf(gateway, 'a')) === 0);
    assert.equal(session.socket.readyState, WebSocket.OPEN);
    await chat(gateway.url, 'b');
    assert.equal(await session.closed, 1012);
    const { models } = await gateway.status();
    assert.equal(models['a']?.running, 0);
    assert.equal(
      await gateway.metric('vllm_gateway_requests_total{model="a",outcome="cut",status="101",code=""}'),
      1,
    );
    // And back again.
    const again = await open(context, gateway, 'a');
    assert.equal(await again.load, 'cold');
    again.socket.close(1000);
    assert.equal(await again.closed, 1000);
  });
});

test('a busy one is cut at the end of the drain, so that the other model gets its turn', async (context) => {
  const models = {
    a: listener({ drain_timeout: 0.5, ws_idle_timeout: 600 }),
    b: simulatedModel(),
  };
  await withGateway(models, async (gateway) => {
    const session = await open(context, gateway, 'a');
    await session.transcribe('a');
    assert.equal(await runningOf(gateway, 'a'), 1);
    const answer = chat(gateway.url, 'b');
    assert.equal(await session.closed, 1012);
    await answer;
    assert.equal(await runningOf(gateway, 'a'), 0);
  });
});

test('one that leaves while its engine starts leaves the queue', async (context) => {
  await withGateway({ a: simulatedModel({ loadSeconds: 30 }) }, async (gateway) => {
    const { socket } = dial(context, gateway, 'a');
    await until('it waits', async () => (await gateway.status()).models['a']?.waiting === 1);
    socket.terminate();
    await until('it has left', async () => (await gateway.status()).models['a']?.waiting === 0);
  });
});

test('at the shutdown one at rest is closed with 1001 at once, and the gateway ends well', async (context) => {
  const gateway = await startGateway({ config: simulatedConfig({ a: listener() }) });
  const session = await open(context, gateway, 'a');
  await session.transcribe('a');
  await until('it rests', async () => (await runningOf(gateway, 'a')) === 0);
  const [code, exit] = await Promise.all([session.closed, gateway.stop()]);
  assert.equal(code, 1001);
  assert.equal(exit, 0);
});
