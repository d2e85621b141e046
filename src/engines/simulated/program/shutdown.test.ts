import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventFrames, type SimProcess, startVllmSim } from '../../../../test/fakes/vllm-sim.ts';
import { until } from '../../../../test/fakes/waiting.ts';

/** A stream of `tokens`, and what came of it; resolves `started` at its first token. */
function longStream(
  sim: SimProcess,
  tokens: number,
): { readonly started: Promise<void>; readonly text: Promise<string> } {
  let begun: () => void = () => {};
  const started = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const text = sim
    .request({
      path: '/v1/completions',
      body: { prompt: 'x', stream: true, max_tokens: tokens, ignore_eos: true },
      onChunk: begun,
    })
    .then((answer) => answer.text);
  return { started, text };
}

function finishReason(text: string): string | null | undefined {
  const frames = eventFrames(text).filter((frame) => frame.data !== '[DONE]');
  const last = JSON.parse(frames.at(-1)?.data ?? '{}') as { choices?: { finish_reason: string | null }[] };
  return last.choices?.[0]?.finish_reason;
}

test('SIGTERM without a timeout ends running streams with abort and exits with 0', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-tokens-per-second', '10'] });
  await sim.ready();
  const stream = longStream(sim, 1000);
  await stream.started;
  sim.child.kill('SIGTERM');
  assert.equal(finishReason(await stream.text), 'abort');
  assert.deepEqual(await sim.exit, { code: 0, signal: null });
});

test('with a timeout running streams finish, and what still arrives ends at once with abort', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-tokens-per-second', '20', '--shutdown-timeout', '20'] });
  await sim.ready();
  const stream = longStream(sim, 30);
  await stream.started;
  sim.child.kill('SIGTERM');
  await sim.line(/stopping engine client mode=drain timeout=20s/);
  const late = await sim.request({ path: '/v1/completions', body: { prompt: 'y' } });
  assert.equal(late.status, 200);
  assert.equal((late.json().choices as { finish_reason: string }[])[0]?.finish_reason, 'abort');
  assert.equal(finishReason(await stream.text), 'length');
  assert.deepEqual(await sim.exit, { code: 0, signal: null });
});

test('the engine core’s death: 500s, /health 503, then exit with code 0', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-time-scale', '0.2'] });
  const line = await sim.line(/\(EngineCore pid=\d+\)/);
  await sim.ready();
  process.kill(Number(/pid=(\d+)/.exec(line)?.[1]), 'SIGKILL');
  await until('it is unhealthy', async () => (await sim.request({ path: '/health' })).status === 503);
  const answer = await sim.request({ path: '/v1/completions', body: { prompt: 'x' } });
  assert.equal(answer.status, 500);
  assert.match(answer.text, /EngineCore encountered an issue/);
  assert.deepEqual(await sim.exit, { code: 0, signal: null });
});

test('VLLM_KEEP_ALIVE_ON_ENGINE_DEATH keeps the server up', async (t) => {
  const sim = startVllmSim(t, {
    args: ['--sim-time-scale', '0.001'],
    environment: { VLLM_KEEP_ALIVE_ON_ENGINE_DEATH: '1' },
  });
  const line = await sim.line(/\(EngineCore pid=\d+\)/);
  await sim.ready();
  process.kill(Number(/pid=(\d+)/.exec(line)?.[1]), 'SIGKILL');
  await until('it is unhealthy', async () => (await sim.request({ path: '/health' })).status === 503);
  assert.equal((await sim.request({ path: '/version' })).status, 200);
});
