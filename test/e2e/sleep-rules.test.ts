/** Engines that give way by sleeping: what clients see of it, and what happens when sleeping or waking goes wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startWithDearStarts } from '../fixtures/dear-starts.ts';
import { type RunningGateway, simulatedModel, until } from '../fixtures/gateway.ts';
import { scrape } from '../fixtures/metrics-page.ts';
import { chat, engineMetric } from '../fixtures/requests.ts';

const DEAR_S = 30;
const QUICK = ['--sim-sleep-seconds', '0.02', '--sim-wake-seconds', '0.02', '--sim-tokens-per-second', '0'];

function sleeper(keys: Readonly<Record<string, unknown>> = {}, args: readonly (string | number)[] = []) {
  return simulatedModel({ memoryMib: 10_000, loadSeconds: 0.05, args: [...QUICK, ...args], keys });
}

/** Devices of 16 GiB, each a pool of its own, on which one model of 10 GiB is awake at a time. */
function machine(
  models: Readonly<Record<string, unknown>>,
  pools: readonly string[] = ['p'],
  devices: Readonly<Record<string, unknown>> = {},
) {
  return {
    server: { shutdown_delay: 0, shutdown_drain: 5 },
    pools: Object.fromEntries(pools.map((pool) => [pool, [`gpu-${pool}`]])),
    devices: {
      source: 'simulated',
      simulated: pools.map((pool) => ({ id: `gpu-${pool}`, memory_mib: 16_384 })),
      ...devices,
    },
    models,
  };
}

interface SleepStatus {
  readonly models: Readonly<Record<string, { readonly state: string; readonly host_mib: number | null }>>;
  readonly host_memory: { readonly budget_mib: number | null } | null;
}

async function statusOf(gateway: RunningGateway): Promise<SleepStatus> {
  return (await gateway.status()) as unknown as SleepStatus;
}

/** Until the host was read nobody sleeps. */
async function begin(
  config: Readonly<Record<string, unknown>>,
  startSeconds: Readonly<Record<string, number>>,
): Promise<RunningGateway> {
  const gateway = await startWithDearStarts(config, startSeconds);
  const isKnown = async () => typeof (await statusOf(gateway)).host_memory?.budget_mib === 'number';
  await until('the host is read', isKnown).catch(async (error: unknown) => {
    await gateway.stop();
    throw error;
  });
  return gateway;
}

async function statesOf(gateway: RunningGateway): Promise<Readonly<Record<string, string>>> {
  const { models } = await statusOf(gateway);
  return Object.fromEntries(Object.entries(models).map(([name, { state }]) => [name, state]));
}

async function answerOf(gateway: RunningGateway, model: string): Promise<string> {
  const { status, text } = await chat(gateway.url, model, { content: `Hello, ${model}`, tokens: 12 });
  assert.equal(status, 200, text);
  const { choices } = JSON.parse(text) as { choices: { message: { content: string } }[] };
  return choices[0]?.message.content ?? '';
}

async function movesOf(gateway: RunningGateway, model: string) {
  const page = await scrape(gateway.url);
  const count = (move: string) => page.sum('vllm_gateway_engine_moves_total', { model, move });
  return { starts: count('start'), stops: count('stop'), sleeps: count('sleep'), wakes: count('wake') };
}

test('engines that are slow to start sleep instead of being stopped, and answer rightly when woken', async () => {
  const models = { one: sleeper(), two: sleeper({ sleep: 'level_2', warm_up: false }) };
  const gateway = await begin(machine(models), { one: DEAR_S, two: DEAR_S });
  try {
    const first = [await answerOf(gateway, 'one'), await answerOf(gateway, 'two')];
    assert.deepEqual(await statesOf(gateway), { one: 'asleep', two: 'awake' });
    const tokenized = await fetch(`${gateway.url}/tokenize`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'one', prompt: 'some words' }),
    });
    assert.equal(tokenized.status, 200);
    assert.match(await tokenized.text(), /"count":/);
    assert.deepEqual(await statesOf(gateway), { one: 'asleep', two: 'awake' }, 'nobody was moved for it');
    const label = (model: string) => `model_name="${model}"`;
    const served = (model: string) => engineMetric(gateway, 'vllm:request_success_total', label(model));
    const [oneServed, twoServed] = [await served('one'), await served('two')];
    assert.equal(await answerOf(gateway, 'one'), first[0], 'woken from level 1');
    assert.deepEqual(await statesOf(gateway), { one: 'awake', two: 'asleep' });
    assert.equal((await served('one')) - oneServed, 2, 'the client’s request, and before it one of ours');
    assert.equal(await answerOf(gateway, 'two'), first[1], 'woken from level 2, where weights are read anew');
    assert.equal((await served('two')) - twoServed, 1, 'warm_up is off');
    const { one } = (await statusOf(gateway)).models;
    assert.ok((one?.host_mib ?? 0) > 7_500, 'its weights are in host memory');
    assert.deepEqual(await movesOf(gateway, 'one'), { starts: 1, stops: 0, sleeps: 2, wakes: 1 });
    assert.deepEqual(await movesOf(gateway, 'two'), { starts: 1, stops: 0, sleeps: 1, wakes: 1 });
  } finally {
    await gateway.stop();
  }
});

test('whatever goes wrong with sleeping or waking, the next request is answered by a fresh engine', async () => {
  const faults = ['sleep-frees-nothing', 'fail@sleep', 'oom@wake', 'fail@wake'];
  const pools = faults.map((_fault, index) => `p${index}`);
  const models: Record<string, unknown> = {};
  for (const [index, pool] of pools.entries()) {
    models[`faulty-${pool}`] = sleeper({ pool }, ['--sim-fault', faults[index] ?? '']);
    models[`other-${pool}`] = sleeper({ pool });
  }
  const dear = Object.fromEntries(Object.keys(models).map((name) => [name, DEAR_S]));
  const gateway = await begin(machine(models, pools), dear);
  try {
    await Promise.all(
      pools.map(async (pool, index) => {
        const told = faults[index];
        const before = await answerOf(gateway, `faulty-${pool}`);
        await answerOf(gateway, `other-${pool}`);
        assert.equal(await answerOf(gateway, `faulty-${pool}`), before, told);
        const { starts, sleeps } = await movesOf(gateway, `faulty-${pool}`);
        assert.deepEqual({ starts, sleeps }, { starts: 2, sleeps: 1 }, told);
      }),
    );
    const failures = gateway.log.filter(({ level }) => level >= 50).map(({ msg }) => msg);
    for (const pattern of [
      /faulty-p0 could not be put to sleep: it says that it sleeps, and freed only 0 of \d+ MiB on gpu-p0/,
      /faulty-p1 could not be put to sleep: .*500/,
      /faulty-p2 did not wake: .*out of memory/,
      /faulty-p3 did not wake: .*500/,
    ])
      assert.ok(
        failures.some((text) => pattern.test(text)),
        `${pattern} in ${failures.join('\n')}`,
      );
  } finally {
    await gateway.stop();
  }
});

test('when host memory is short the sleeper that is worth least there is stopped', async () => {
  const models = { dear: sleeper(), cheap: sleeper(), third: sleeper(), fourth: sleeper() };
  // Room for two sleepers of 7.5 GiB, and not for the estimate of a third.
  const devices = { simulated_host_memory_mib: 24_000, host_memory_floor_mib: 500 };
  const gateway = await begin(machine(models, ['p'], devices), {
    dear: 300,
    cheap: 10,
    third: DEAR_S,
    fourth: DEAR_S,
  });
  try {
    for (const name of ['dear', 'cheap', 'third']) await answerOf(gateway, name);
    assert.deepEqual(await statesOf(gateway), {
      dear: 'asleep',
      cheap: 'asleep',
      third: 'awake',
      fourth: 'cold',
    });
    await answerOf(gateway, 'fourth');
    await until('one of the sleepers is gone', async () => (await statesOf(gateway))['cheap'] === 'cold');
    const { dear, third } = await statesOf(gateway);
    assert.deepEqual({ dear, third }, { dear: 'asleep', third: 'asleep' });
  } finally {
    await gateway.stop();
  }
});
