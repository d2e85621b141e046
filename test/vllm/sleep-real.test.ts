/**
 * Sleep and waking of real engines, driven by the scheduler. vLLM for processors does not start with --enable-sleep-mode
 * and frees nothing when it sleeps; it answers all of the routes. So a program before it takes the flag away, and the
 * gateway manages a simulated device of which nobody claims anything: it cannot tell whether memory came back, and
 * believes the engine. Of two engines one fits, so that each request of the other model is a sleep and a waking.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { exchange } from '../contract/http-exchange.ts';
import { processesNaming, type RunningGateway, startGateway, until } from '../fixtures/gateway.ts';
import { findEngine } from './real-gateway.ts';
import {
  ENGINE_MIB,
  findRealParts,
  realTest,
  simulatedDevicesConfig,
  withoutSwitch,
  writeWrapper,
} from './real-parts.ts';

/** The same model twice, so that both know the capital of France: one keeps its weights asleep, one reads them again. */
const LIGHT = 'one';
const DEEP = 'two';
const SLEEP_FLAG = '--enable-sleep-mode';

type Setting =
  | { readonly kind: 'running'; gateway: RunningGateway; readonly config: Record<string, unknown> }
  | { readonly kind: 'unavailable'; readonly reason: string };

let directory = '';
let setting: Setting = { kind: 'unavailable', reason: 'the gateway was not started' };

before(async () => {
  const parts = await findRealParts();
  if (parts.kind === 'unavailable') {
    setting = parts;
    return;
  }
  directory = await mkdtemp(join(tmpdir(), 'vg-sleep-'));
  const { vllm, models } = parts;
  const wrapper = await writeWrapper({ directory, name: 'vllm', vllm, steps: [withoutSwitch(SLEEP_FLAG)] });
  const model = { repo: models.smollm2, max_model_len: 1024, memory_mib: ENGINE_MIB };
  const config = simulatedDevicesConfig({
    executable: [wrapper],
    models: { [LIGHT]: model, [DEEP]: { ...model, sleep: 'level_2' } },
    devices: 1,
  });
  setting = { kind: 'running', gateway: await startGateway({ config }), config };
});

after(async () => {
  if (setting.kind === 'running') await setting.gateway.kill();
  if (directory !== '') await rm(directory, { recursive: true, force: true });
});

type Running = Extract<Setting, { readonly kind: 'running' }>;

function sleepTest(name: string, run: (running: Running) => Promise<void>): void {
  realTest<Running>(name, () => setting, run);
}

async function post(gateway: RunningGateway, path: string, body: object): Promise<Response> {
  return fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(240_000),
  });
}

/** Asks the model; answers how its engine was brought up. */
async function askForParis(gateway: RunningGateway, model: string): Promise<string | null> {
  const messages = [{ role: 'user', content: 'What is the capital of France?' }];
  const answer = await post(gateway, '/v1/chat/completions', {
    model,
    messages,
    temperature: 0,
    max_tokens: 12,
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  assert.match(text, /Paris/);
  return answer.headers.get('x-load');
}

async function stateOf(gateway: RunningGateway, model: string): Promise<string | undefined> {
  return (await gateway.status()).models[model]?.state;
}

async function engineOf(
  gateway: RunningGateway,
  model: string,
): Promise<{ pid: number; socketPath: string }> {
  const engine = await findEngine(gateway, model);
  assert.ok(engine !== null, `no engine of ${model} runs`);
  return engine;
}

/** What the engine itself says. */
async function isSleeping(gateway: RunningGateway, model: string): Promise<unknown> {
  const { socketPath } = await engineOf(gateway, model);
  const { body } = await exchange({ socketPath }, { method: 'GET', path: '/is_sleeping' });
  return JSON.parse(body).is_sleeping;
}

function moves(gateway: RunningGateway, model: string, move: string): Promise<number> {
  return gateway.metric(`vllm_gateway_engine_moves_total{model="${model}",move="${move}"}`);
}

/** Of the first and only engine of each model. */
const pids = new Map<string, number>();
const outputs = new Map<string, string>();

sleepTest('the engine that gives way sleeps, and its process lives', async ({ gateway }) => {
  assert.equal(await askForParis(gateway, LIGHT), 'cold');
  pids.set(LIGHT, (await engineOf(gateway, LIGHT)).pid);
  assert.equal(await isSleeping(gateway, LIGHT), false);
  assert.equal(await askForParis(gateway, DEEP), 'cold');
  pids.set(DEEP, (await engineOf(gateway, DEEP)).pid);
  assert.equal(await stateOf(gateway, LIGHT), 'asleep');
  assert.equal(await isSleeping(gateway, LIGHT), true);
  assert.equal((await engineOf(gateway, LIGHT)).pid, pids.get(LIGHT));
  for (const { msg, model, output } of gateway.log)
    if (msg === 'engine launched') outputs.set(String(model), String(output));
});

sleepTest('its tokenizer answers while it sleeps, and wakes nobody', async ({ gateway }) => {
  const answer = await post(gateway, '/tokenize', { model: LIGHT, prompt: 'Paris is a city' });
  const body = (await answer.json()) as { readonly count: number };
  assert.equal(answer.status, 200);
  assert.equal(body.count, 4);
  assert.equal(await stateOf(gateway, LIGHT), 'asleep');
  assert.equal(await isSleeping(gateway, LIGHT), true);
  assert.equal(await stateOf(gateway, DEEP), 'awake');
  assert.equal(await moves(gateway, LIGHT, 'wake'), 0);
});

sleepTest('requests wake both, there and back, in the processes that they had', async ({ gateway }) => {
  for (let round = 0; round < 3; round++) {
    assert.equal(await askForParis(gateway, LIGHT), 'wake');
    assert.equal(await stateOf(gateway, DEEP), 'asleep');
    assert.equal(await isSleeping(gateway, DEEP), true);
    assert.equal(await askForParis(gateway, DEEP), 'wake');
    assert.equal(await isSleeping(gateway, LIGHT), true);
  }
  for (const model of [LIGHT, DEEP]) {
    assert.equal((await engineOf(gateway, model)).pid, pids.get(model));
    assert.equal(await moves(gateway, model, 'start'), 1);
    assert.equal(await moves(gateway, model, 'stop'), 0);
  }
});

sleepTest('clients of both at once are all served', async ({ gateway }) => {
  const client = async (model: string): Promise<void> => {
    for (let count = 0; count < 3; count++) await askForParis(gateway, model);
  };
  await Promise.all([LIGHT, DEEP, LIGHT, DEEP].map(client));
});

sleepTest('a gateway that takes over a sleeping engine knows it, and wakes it', async (running) => {
  const { gateway, config } = running;
  await askForParis(gateway, DEEP);
  assert.equal(await stateOf(gateway, LIGHT), 'asleep');
  await gateway.kill({ keep: true });
  running.gateway = await startGateway({ config, directory: gateway.directory });
  // Each engine is told as soon as it has answered; only when the gateway is ready all have.
  await until('it has taken over', async () => (await fetch(`${running.gateway.url}/ready`)).status === 200);
  assert.equal(await stateOf(running.gateway, DEEP), 'awake');
  assert.equal(await stateOf(running.gateway, LIGHT), 'asleep');
  assert.equal(await askForParis(running.gateway, LIGHT), 'wake');
  assert.equal((await engineOf(running.gateway, LIGHT)).pid, pids.get(LIGHT));
});

/** Requests that an engine answered, in order, as its server logged them. */
async function requestsOf(model: string): Promise<readonly string[]> {
  const output = await readFile(outputs.get(model) ?? '', 'utf8');
  return [...output.matchAll(/"(?:GET|POST) (\S+) HTTP/g)].map((match) => match[1] ?? '');
}

/** Our own looks, and the gateway's, which change nothing. */
const ASKED_BY_LOOKERS: ReadonlySet<string> = new Set(['/is_sleeping', '/health', '/v1/models']);
const ALLOWED_ASLEEP =
  /^\/(wake_up|is_sleeping|collective_rpc|reset_prefix_cache|tokenize|health|v1\/models)\b/;

sleepTest('no engine was asked anything while it slept, and level 2 woke in its order', async () => {
  for (const model of [LIGHT, DEEP]) {
    const requests = await requestsOf(model);
    let asleep = false;
    for (const path of requests) {
      if (path.startsWith('/sleep')) asleep = true;
      else if (path === '/wake_up' || path === '/wake_up?tags=kv_cache') asleep = false;
      else if (asleep) assert.match(path, ALLOWED_ASLEEP, `${model}: ${requests.join(' ')}`);
    }
    assert.ok(requests.filter((path) => path.startsWith('/sleep')).length >= 4);
  }
  const deep = (await requestsOf(DEEP)).filter((path) => !ASKED_BY_LOOKERS.has(path));
  const from = deep.indexOf('/sleep?level=2&mode=abort');
  assert.deepEqual(deep.slice(from, from + 6), [
    '/sleep?level=2&mode=abort',
    '/wake_up?tags=weights',
    '/collective_rpc',
    '/wake_up?tags=kv_cache',
    '/reset_prefix_cache',
    '/v1/completions',
  ]);
});

sleepTest('the gateway ends sleeping engines too', async ({ gateway }) => {
  assert.equal(await gateway.stop({ keep: true }), 0);
  assert.deepEqual(await processesNaming(gateway.directory), []);
});
