import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { startVllmSim } from '../../../../test/fakes/vllm-sim.ts';

type Event = Readonly<Record<string, unknown>> & { readonly type: string };

/** A session of one server, whose events are read one by one. */
async function session(t: TestContext, socketPath: string, path = '/v1/realtime') {
  const socket = new WebSocket(`ws+unix://${socketPath}:${path}`);
  t.after(() => socket.terminate());
  const events: Event[] = [];
  const waiters: (() => void)[] = [];
  socket.on('message', (data) => {
    events.push(JSON.parse(String(data)) as Event);
    for (const waiter of waiters.splice(0)) waiter();
  });
  await once(socket, 'open');
  const next = async (): Promise<Event> => {
    for (;;) {
      const event = events.shift();
      if (event !== undefined) return event;
      await new Promise<void>((resolve) => waiters.push(resolve));
    }
  };
  const send = (event: object): void => socket.send(JSON.stringify(event));
  /** Deltas joined, and the event that ends them. */
  const transcript = async (): Promise<readonly [string, Event]> => {
    let joined = '';
    for (;;) {
      const event = await next();
      if (event.type !== 'transcription.delta') return [joined, event];
      joined += String(event['delta']);
    }
  };
  return { socket, next, send, transcript };
}

test('a realtime session is created, validates its model, and transcribes what was committed', async (t) => {
  const sim = startVllmSim(t, { args: ['--served-model-name', 'ear'] });
  await sim.ready();
  const { socket, next, send, transcript } = await session(t, sim.socketPath);
  const created = await next();
  assert.equal(created.type, 'session.created');
  assert.match(String(created['id']), /^sess-/);
  send({ type: 'input_audio_buffer.commit', final: true });
  assert.equal((await next())['code'], 'model_not_validated');
  send({ type: 'session.update', model: 'other' });
  assert.equal((await next())['code'], 'model_not_found');
  socket.send('{');
  assert.equal((await next())['code'], 'invalid_json');
  send({ type: 'dance' });
  assert.equal((await next())['code'], 'unknown_event');

  send({ type: 'session.update', model: 'ear' });
  // Begins; there is nothing to transcribe yet.
  send({ type: 'input_audio_buffer.commit' });
  send({ type: 'input_audio_buffer.append', audio: Buffer.alloc(6400, 1).toString('base64') });
  send({ type: 'input_audio_buffer.commit', final: true });
  const [joined, done] = await transcript();
  assert.equal(done.type, 'transcription.done');
  assert.equal(done['text'], joined);
  assert.ok(joined.length > 10);
  assert.equal((done['usage'] as { prompt_tokens: number }).prompt_tokens, 3);
  // Other audio, other words.
  send({ type: 'input_audio_buffer.append', audio: Buffer.alloc(6400, 2).toString('base64') });
  send({ type: 'input_audio_buffer.commit', final: true });
  assert.notEqual((await transcript())[0], joined);

  sim.child.kill('SIGTERM');
  const [code] = (await once(socket, 'close')) as [number];
  assert.equal(code, 1012);
  assert.equal((await sim.exit).code, 0);
});

test('other paths and other tasks have no WebSocket', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-task', 'embed'] });
  await sim.ready();
  for (const path of ['/v1/realtime', '/elsewhere']) {
    const socket = new WebSocket(`ws+unix://${sim.socketPath}:${path}`);
    const [error] = (await once(socket, 'error')) as [Error];
    assert.match(error.message, /403/);
  }
});
