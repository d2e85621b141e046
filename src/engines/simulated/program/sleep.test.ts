import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type SimProcess, startVllmSim } from '../../../../test/fakes/vllm-sim.ts';
import { until } from '../../../../test/fakes/waiting.ts';
import { modelFixture } from '../../engine-fixtures.ts';
import { createEngineHttp } from '../../engine-http.ts';
import { createSimulatedEngine } from '../engine.ts';
import { type Ledger, prepareLedger } from '../ledger.ts';

interface Sleeper {
  readonly hostMib: () => number | undefined;
  readonly sim: SimProcess;
  readonly ledger: Ledger;
  usedMib(): number;
  post(path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }>;
}

/** 1000 MiB on a device of 2000, sleep mode on, unless `args` say otherwise. */
async function sleeper(
  t: TestContext,
  args: readonly string[] = ['--enable-sleep-mode'],
  hostMib: number | null = null,
): Promise<Sleeper> {
  const directory = mkdtempSync(join(tmpdir(), 'vsim-ledger-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const device = { id: 'sim-0', name: 'Simulated GPU', totalMib: 2000 };
  const ledger = prepareLedger(directory, [device], hostMib);
  const sim = startVllmSim(t, {
    args: [
      ...['--gpu-memory-utilization', '0.5', '--max-model-len', '1024'],
      ...['--sim-sleep-seconds', '0', '--sim-wake-seconds', '0', '--sim-sleep-residual-mib', '100'],
      ...args,
    ],
    environment: { VLLM_SIM_LEDGER: directory, VLLM_SERVER_DEV_MODE: '1' },
  });
  await sim.ready();
  return {
    sim,
    ledger,
    hostMib: () => ledger.host()?.usedMib,
    usedMib: () => ledger.read()[0]?.usedMib ?? -1,
    async post(path, body) {
      const answer = await sim.request({ method: 'POST', path, ...(body === undefined ? {} : { body }) });
      return { status: answer.status, body: answer.text === '' ? {} : answer.json() };
    },
  };
}

test('level 1: memory is given back but for a rest, and waking takes it again', async (t) => {
  const { sim, usedMib, post } = await sleeper(t);
  assert.equal(usedMib(), 1000);
  const before = await sim.chat('hello');
  assert.deepEqual((await post('/sleep?level=1')).body, { status: 'sleeping', level: 1 });
  assert.equal(usedMib(), 100);
  assert.match((await sim.request({ path: '/metrics' })).text, /sleep_state="weights_offloaded"} 1\.0/);
  assert.deepEqual((await sim.request({ path: '/is_sleeping' })).json(), { is_sleeping: true });
  assert.deepEqual((await post('/wake_up')).body, { status: 'awake', tags: null });
  assert.equal(usedMib(), 1000);
  assert.equal(await sim.chat('hello'), before);
  await sim.line(/It took [\d.]+ seconds to fall asleep\./);
  await sim.line(/Sleep mode freed 0\.88 GiB memory, 0\.10 GiB memory is still in use\./);
  await sim.line(/It took [\d.]+ seconds to wake up tags \{'weights', 'kv_cache'\}/);
});

test('asleep at level 1 the weights are on the host, and nothing of level 2 is', async (t) => {
  const { hostMib, post } = await sleeper(t, ['--enable-sleep-mode', '--sim-host-mib', '40'], 2000);
  assert.equal(hostMib(), 40);
  await post('/sleep?level=1');
  assert.equal(hostMib(), 40 + 750);
  await post('/wake_up?tags=weights');
  assert.equal(hostMib(), 40);
  await post('/wake_up?tags=kv_cache');
  await post('/sleep?level=2');
  assert.equal(hostMib(), 40);
});

test('a host without room for the weights kills the engine that wanted to sleep', async (t) => {
  const { sim, hostMib, usedMib, post } = await sleeper(t, ['--enable-sleep-mode'], 800);
  assert.equal(hostMib(), 150);
  const lines = sim.lines.length;
  await assert.rejects(post('/sleep?level=1'));
  assert.deepEqual(await sim.exit, { code: null, signal: 'SIGKILL' });
  await until('its memory is free', () => usedMib() === 0 && hostMib() === 0);
  assert.deepEqual(
    sim.lines.slice(lines).filter((line) => !line.includes('setting pause state')),
    [],
  );
});

test('the engine’s own port puts it to sleep and wakes it, at both levels', async (t) => {
  const { sim, usedMib } = await sleeper(t);
  const engine = createSimulatedEngine({});
  const http = createEngineHttp({ kind: 'unix', socketPath: sim.socketPath });
  const { signal } = new AbortController();
  const good = await sim.chat('hello');
  for (const level of [1, 2] as const) {
    const options = { level, timeoutMs: 30_000, signal };
    assert.deepEqual(await engine.sleep(http, options), { kind: 'done' });
    assert.deepEqual([await engine.isAsleep(http, 30_000), usedMib()], [true, 100]);
    assert.deepEqual(await engine.wake(http, options), { kind: 'done' });
    assert.deepEqual([await engine.isAsleep(http, 30_000), usedMib()], [false, 1000]);
    const model = modelFixture({ servedName: 'acme/small' });
    assert.deepEqual(await engine.warmUp(http, model, options), { kind: 'done' });
    assert.equal(await sim.chat('hello'), good);
  }
});

test('faults: a sleep that frees nothing, a waking that fails, and calls that hang', async (t) => {
  const asleep = ['--enable-sleep-mode', '--sim-fault'];
  const [broken, sleepless, wakeless] = await Promise.all([
    sleeper(t, [...asleep, 'sleep-frees-nothing', '--sim-fault', 'fail@wake']),
    sleeper(t, [...asleep, 'hang@sleep']),
    sleeper(t, [...asleep, 'hang@wake']),
  ]);
  assert.deepEqual((await broken.post('/sleep')).body, { status: 'sleeping', level: 1 });
  assert.equal(broken.usedMib(), 1000);
  const woken = await broken.post('/wake_up');
  assert.deepEqual([woken.status, broken.usedMib()], [500, 1000]);
  const hangs = async ({ sim }: Sleeper, path: string): Promise<void> => {
    const signal = AbortSignal.timeout(100);
    await assert.rejects(sim.request({ method: 'POST', path, signal }), { name: 'AbortError' });
  };
  await hangs(sleepless, '/sleep');
  assert.equal(sleepless.usedMib(), 1000);
  assert.equal((await wakeless.post('/sleep')).status, 200);
  await hangs(wakeless, '/wake_up');
  assert.equal(wakeless.usedMib(), 100);
});

test('trap: asleep it is healthy, and requests wait without an answer until it wakes', async (t) => {
  const { sim, post } = await sleeper(t);
  await post('/sleep');
  let answered = false;
  const waiting = sim.chat('hello').then((text) => {
    answered = true;
    return text;
  });
  await until('the request waits', async () =>
    /num_requests_waiting\{[^}]*} 1\.0/.test((await sim.request({ path: '/metrics' })).text),
  );
  assert.equal((await sim.request({ path: '/health' })).status, 200);
  assert.equal(answered, false);
  await post('/wake_up');
  assert.match(await waiting, /^[0-9a-f]{8}/);
});

test('trap: a bare wake after level 2 serves garbage, the three steps serve the model', async (t) => {
  const { sim, post } = await sleeper(t);
  const good = await sim.chat('hello');
  await post('/sleep?level=2');
  assert.equal((await post('/wake_up')).body.status, 'awake');
  assert.notEqual(await sim.chat('hello'), good);
  await post('/sleep?level=2');
  assert.deepEqual((await post('/wake_up?tags=weights')).body, { status: 'sleeping', tags: ['weights'] });
  assert.deepEqual((await post('/collective_rpc', { method: 'reload_weights' })).body, { results: [null] });
  assert.equal((await post('/wake_up?tags=kv_cache')).body.status, 'awake');
  assert.equal(await sim.chat('hello'), good);
});

test('trap: sleeping while asleep keeps the level, though the metric changes', async (t) => {
  const { sim, post } = await sleeper(t);
  const good = await sim.chat('hello');
  await post('/sleep?level=1');
  assert.equal((await post('/sleep?level=2')).status, 200);
  assert.match((await sim.request({ path: '/metrics' })).text, /sleep_state="discard_all"} 1\.0/);
  await post('/wake_up');
  assert.equal(await sim.chat('hello'), good);
  await sim.line(/Executor is already sleeping\./);
});

test('trap: a tag that is not asleep wakes nothing and answers 200', async (t) => {
  const { usedMib, post } = await sleeper(t);
  await post('/sleep');
  const answer = await post('/wake_up?tags=no-such-tag');
  assert.deepEqual([answer.status, answer.body.status], [200, 'sleeping']);
  assert.equal(usedMib(), 100);
  assert.deepEqual((await post('/wake_up?tags=weights&tags=kv_cache')).body.status, 'awake');
});

test('trap: without sleep mode nothing is freed, and requests wait all the same', async (t) => {
  const { sim, usedMib, post } = await sleeper(t, []);
  assert.equal((await post('/sleep')).status, 200);
  assert.equal(usedMib(), 1000);
  assert.deepEqual((await sim.request({ path: '/is_sleeping' })).json(), { is_sleeping: true });
});

test('waking without room is an out-of-memory 500, and works when there is room again', async (t) => {
  const { usedMib, post, ledger } = await sleeper(t);
  await post('/sleep');
  assert.equal(
    ledger.claim(process.pid, 'neighbour', [{ deviceId: 'sim-0', usedMib: 1500 }]).kind,
    'claimed',
  );
  const failed = await post('/wake_up');
  assert.equal(failed.status, 500);
  assert.match(JSON.stringify(failed.body), /Call to wake_up method failed: CUDA out of memory/);
  ledger.release(process.pid);
  assert.equal((await post('/wake_up')).body.status, 'awake');
  assert.equal(usedMib(), 1000);
});

test('sleep ends running requests with abort, and with mode=wait lets them finish', async (t) => {
  const { sim, post } = await sleeper(t, ['--enable-sleep-mode', '--sim-tokens-per-second', '50']);
  const finish = async (mode: string): Promise<string | undefined> => {
    const running = sim.request({
      path: '/v1/chat/completions',
      body: { messages: [{ role: 'user', content: 'x' }], max_tokens: 10, ignore_eos: true },
    });
    await until('it runs', async () =>
      /num_requests_running\{[^}]*} 1\.0/.test((await sim.request({ path: '/metrics' })).text),
    );
    assert.equal((await post(`/sleep?mode=${mode}`)).status, 200);
    await post('/wake_up');
    return ((await running).json().choices as { finish_reason: string }[])[0]?.finish_reason;
  };
  assert.equal(await finish('abort'), 'abort');
  assert.equal(await finish('wait'), 'length');
});

test('level 0 pauses and frees nothing; scheduling is its tag', async (t) => {
  const { sim, usedMib, post } = await sleeper(t);
  await post('/sleep?level=0');
  assert.equal(usedMib(), 1000);
  assert.deepEqual((await sim.request({ path: '/is_sleeping' })).json(), { is_sleeping: true });
  assert.equal((await post('/wake_up?tags=scheduling')).body.status, 'awake');
  assert.match(await sim.chat('hello'), /^[0-9a-f]{8}/);
});

test('a level or mode that does not exist is 400', async (t) => {
  const { post } = await sleeper(t);
  for (const query of ['level=3', 'level=-1', 'level=x', 'mode=sometimes']) {
    assert.equal((await post(`/sleep?${query}`)).status, 400, query);
  }
});

test('pause holds new requests back until resume', async (t) => {
  const { sim, post } = await sleeper(t);
  assert.deepEqual((await post('/pause')).body, { status: 'paused' });
  assert.deepEqual((await sim.request({ path: '/is_paused' })).json(), { is_paused: true });
  const waiting = sim.chat('hello');
  await until('the request waits', async () =>
    /num_requests_waiting\{[^}]*} 1\.0/.test((await sim.request({ path: '/metrics' })).text),
  );
  assert.deepEqual((await post('/abort_requests', { request_ids: [] })).body, {
    status: 'aborted',
    aborted: 1,
  });
  assert.deepEqual((await post('/resume')).body, { status: 'resumed' });
  assert.equal(await waiting, '');
});
