import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventFrames, type SimProcess, startVllmSim } from '../../../../test/fakes/vllm-sim.ts';
import { until } from '../../../../test/fakes/waiting.ts';

const STREAM = {
  path: '/v1/completions',
  body: { prompt: 'x', stream: true, max_tokens: 50, ignore_eos: true },
};

async function serving(t: Parameters<typeof startVllmSim>[0], ...faults: string[]): Promise<SimProcess> {
  const sim = startVllmSim(t, { args: faults.flatMap((fault) => ['--sim-fault', fault]) });
  await sim.ready();
  return sim;
}

test('reset@midstream breaks the connection after so many chunks', async (t) => {
  const sim = await serving(t, 'reset@midstream:2');
  let text = '';
  await assert.rejects(
    sim.request({
      ...STREAM,
      onChunk: (chunk) => {
        text += chunk;
      },
    }),
    { code: 'ECONNRESET' },
  );
  assert.ok(eventFrames(text).length <= 2);
  assert.equal((await sim.request({ path: '/health' })).status, 200);
});

test('error-frame@midstream sends vLLM’s error frame and [DONE]', async (t) => {
  const sim = await serving(t, 'error-frame@midstream:2');
  const frames = eventFrames((await sim.request(STREAM)).text);
  assert.equal(frames.length, 4);
  const { error } = JSON.parse(frames[2]?.data ?? '{}') as { error?: { code: number; type: string } };
  assert.deepEqual([error?.code, error?.type], [500, 'InternalServerError']);
  assert.equal(frames[3]?.data, '[DONE]');
});

test('crash@midstream and crash@request kill the process and its engine core', async (t) => {
  const streaming = await serving(t, 'crash@midstream:2');
  await assert.rejects(streaming.request(STREAM));
  assert.deepEqual(await streaming.exit, { code: null, signal: 'SIGSEGV' });
  const poisoned = await serving(t, 'crash@request:poison pill');
  assert.match(await poisoned.chat('harmless'), /^[0-9a-f]{8}/);
  await assert.rejects(poisoned.chat('a poison pill'));
  assert.deepEqual(await poisoned.exit, { code: null, signal: 'SIGSEGV' });
});

test('core-death@request answers 500 and the server follows with code 0', async (t) => {
  const sim = startVllmSim(t, {
    args: ['--sim-fault', 'core-death@request:bad', '--sim-time-scale', '0.01'],
  });
  await sim.ready();
  const answer = await sim.request({ path: '/v1/completions', body: { prompt: 'bad' } });
  assert.equal(answer.status, 500);
  assert.deepEqual(await sim.exit, { code: 0, signal: null });
});

test('exit0@serving ends a serving engine with code 0', async (t) => {
  const sim = await serving(t, 'exit0@serving:0.05');
  assert.deepEqual(await sim.exit, { code: 0, signal: null });
});

test('late@ready listens and answers 503 for a while', async (t) => {
  const [late, soon] = await Promise.all([serving(t, 'late@ready:600'), serving(t, 'late@ready:0.2')]);
  assert.equal((await late.request({ path: '/health' })).status, 503);
  await until('it is healthy', async () => (await soon.request({ path: '/health' })).status === 200);
});

test('probe-hang accepts and never answers', async (t) => {
  const sim = await serving(t, 'probe-hang');
  await assert.rejects(sim.request({ path: '/health', signal: AbortSignal.timeout(200) }), {
    name: 'AbortError',
  });
});

test('malformed@answer breaks HTTP itself', async (t) => {
  for (const kind of ['chunk', 'header', 'length']) {
    const sim = await serving(t, `malformed@answer:${kind}`);
    await assert.rejects(sim.chat('x'), { code: /^(HPE_.*|ECONNRESET)$/ }, kind);
    assert.equal((await sim.request({ path: '/health' })).status, 200);
  }
});

test('ignore-sigterm leaves only SIGKILL', async (t) => {
  const sim = await serving(t, 'ignore-sigterm');
  sim.child.kill('SIGTERM');
  assert.match(await sim.chat('still here'), /^[0-9a-f]{8}/);
  sim.child.kill('SIGKILL');
  assert.deepEqual(await sim.exit, { code: null, signal: 'SIGKILL' });
});

test('fail@sleep answers 500; slow-wake and oom@wake show when it wakes', async (t) => {
  const environment = { VLLM_SERVER_DEV_MODE: '1' };
  const args = ['--sim-sleep-seconds', '0', '--sim-wake-seconds', '0'];
  const failing = startVllmSim(t, { environment, args: [...args, '--sim-fault', 'fail@sleep'] });
  await failing.ready();
  const slept = await failing.request({ method: 'POST', path: '/sleep' });
  assert.equal(slept.status, 500);
  assert.match(slept.text, /Call to sleep method failed: Memory usage increased after sleeping\./);
  const broken = startVllmSim(t, { environment, args: [...args, '--sim-fault', 'oom@wake'] });
  await broken.ready();
  assert.equal((await broken.request({ method: 'POST', path: '/sleep' })).status, 200);
  const woken = await broken.request({ method: 'POST', path: '/wake_up' });
  assert.equal(woken.status, 500);
  assert.match(woken.text, /Call to wake_up method failed: CUDA Error: out of memory/);
});

test('a fault that does not exist is refused', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-fault', 'earthquake'] });
  assert.deepEqual(await sim.exit, { code: 2, signal: null });
  assert.match(sim.lines.join('\n'), /argument --sim-fault: invalid choice: 'earthquake'/);
});
