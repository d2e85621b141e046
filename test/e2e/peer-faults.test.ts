/** Faults seen in other gateways (a request lost, a model starved, an engine killed for nothing), each as a scenario here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type RunningGateway,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';
import { chatResult, sendChat } from '../fixtures/requests.ts';

const SIMULATOR = fileURLToPath(new URL('../../bin/vllm-sim.mjs', import.meta.url));
/** What the gateway starts as the engine: it tells the test its port, waits until that is taken, and then starts the real one. */
const LATE_ENGINE = `
const { spawn } = require('node:child_process');
const { existsSync, renameSync, writeFileSync } = require('node:fs');
const [port, file, simulator] = process.argv.slice(1);
writeFileSync(file + '.new', port);
renameSync(file + '.new', file);
const timer = setInterval(() => {
  if (!existsSync(file + '.taken')) return;
  clearInterval(timer);
  const args = [simulator, 'serve', 'other', '--port', port, '--host', '127.0.0.1', '--served-model-name', 'stranger'];
  spawn(process.execPath, args, { stdio: 'inherit' }).once('exit', (code) => process.exit(code ?? 1));
}, 10);
`;

/** Takes the port that the late engine names, and answers there as another model's server would. */
async function takePort(file: string): Promise<Server> {
  const port = await until('the engine has a port', () => readFile(file, 'utf8').catch(() => null));
  const server = createServer((request, response) => {
    const isList = request.url === '/v1/models';
    response.writeHead(isList || request.url === '/health' ? 200 : 418, {
      'content-type': 'application/json',
    });
    response.end(isList ? '{"object":"list","data":[{"id":"somebody-else","object":"model"}]}' : '{}');
  });
  await once(server.listen(Number(port), '127.0.0.1'), 'listening');
  await writeFile(`${file}.taken`, '');
  return server;
}

let gateway: RunningGateway;
let portFile = '';

before(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  portFile = join(directory, 'port');
  gateway = await startGateway({
    directory,
    config: simulatedConfig(
      {
        a: simulatedModel(),
        b: simulatedModel(),
        burst: simulatedModel({ loadSeconds: 0.5, keys: { max_concurrent: 4 } }),
        crashing: simulatedModel({ args: ['--sim-fault', 'crash@request:DIE'] }),
        breaking: simulatedModel({ args: ['--sim-fault', 'crash@midstream:3'] }),
        hanging: simulatedModel({ args: ['--sim-fault', 'probe-hang'], keys: { load_timeout: 1.5 } }),
        stubborn: simulatedModel({
          args: ['--sim-fault', 'ignore-sigterm', '--sim-fault-once', join(directory, 'stubborn')],
        }),
        lazy: simulatedModel({ loadSeconds: 1, keys: { inactivity_timeout: 60 } }),
        stranger: {
          engine: 'openai',
          command: [process.execPath, '-e', LATE_ENGINE, '{port}', portFile, SIMULATOR],
          memory_mib: 10_000,
        },
      },
      {
        devices: {
          source: 'simulated',
          simulated: [0, 1, 2].map((index) => ({ id: `sim-gpu-${index}`, memory_mib: 16_384 })),
        },
      },
    ),
  });
});

after(async () => {
  assert.equal(await gateway.stop(), 0);
  assert.deepEqual(gateway.errors, []);
});

test('a cold burst of 32 requests is served whole', async () => {
  const results = await Promise.all(Array.from({ length: 32 }, () => chatResult(gateway.url, 'burst')));
  assert.deepEqual(new Set(results.map(({ status }) => status)), new Set([200]));
  assert.equal(await gateway.metric('vllm_gateway_engine_moves_total{model="burst",move="start"}'), 1);
});

test('a probe that is accepted and never answered does not outlive the load timeout', async () => {
  const result = await chatResult(gateway.url, 'hanging');
  assert.equal(result.status, 503);
  assert.equal(result.code, 'start_failed');
  assert.match(result.message, /not ready within 1\.5 s/);
});

test('a stranger that holds the port is not taken for the engine, and is told', async () => {
  const asked = chatResult(gateway.url, 'stranger');
  const stranger = await takePort(portFile);
  try {
    const result = await asked;
    assert.equal(result.status, 503);
    assert.match(result.message, /somebody-else|taken by another process/);
  } finally {
    stranger.closeAllConnections();
    stranger.close();
  }
});

test('a crash before the headers is told, after one resend, as what it is', async () => {
  const result = await chatResult(gateway.url, 'crashing', { content: 'please DIE' });
  assert.equal(result.status, 502);
  assert.equal(result.code, 'engine_died_twice');
  const again = await chatResult(gateway.url, 'crashing', { content: 'please DIE' });
  assert.equal(again.code, 'poison_request');
  // Two deaths leave one more life: other requests are served.
  const other = await until('another request is served', async () => {
    const answer = await chatResult(gateway.url, 'crashing', { content: 'live' });
    return answer.status === 200 ? answer : null;
  });
  assert.equal(other.code, null);
});

test('a crash in mid-stream ends with an error frame, never with a clean end; two of the same request are enough', async () => {
  for (let time = 0; time < 2; time += 1) {
    const answer = await sendChat(gateway.url, 'breaking', { stream: true, tokens: 50 });
    assert.equal(answer.status, 200);
    const text = await answer.text().catch((error: unknown) => `broken off: ${String(error)}`);
    assert.doesNotMatch(text, /\[DONE\]/);
    assert.match(text, /engine_died|broken off/);
  }
  // The verdict on the second death may come a moment later than its error.
  const refused = await until('the request is refused', async () => {
    const answer = await sendChat(gateway.url, 'breaking', { stream: true, tokens: 50 });
    const text = await answer.text().catch(() => '');
    return answer.status === 200 ? null : text;
  });
  assert.match(refused, /poison_request/);
});

test('a request that meets a stopping engine waits for its end and is served by the next one', async () => {
  await chatResult(gateway.url, 'stubborn');
  const starts = () => gateway.metric('vllm_gateway_engine_moves_total{model="stubborn",move="start"}');
  const stopping = until('stubborn is being stopped', async () => {
    return (await gateway.status()).models.stubborn?.state === 'stopping';
  });
  // Three more models on three devices push it out; it stays until it is killed.
  const others = ['a', 'b', 'burst'].map((model) => chatResult(gateway.url, model));
  await stopping;
  const result = await chatResult(gateway.url, 'stubborn');
  assert.equal(result.status, 200);
  assert.equal(result.load, 'cold');
  assert.equal(await starts(), 2);
  assert.deepEqual(
    (await Promise.all(others)).map(({ status }) => status),
    [200, 200, 200],
  );
});

test('a load whose only waiter left is finished and kept for the retry', async () => {
  await until('lazy is cold', async () => {
    if ((await gateway.status()).models.lazy?.state === 'cold') return true;
    await Promise.all(['a', 'b', 'burst'].map((model) => chatResult(gateway.url, model)));
    return null;
  });
  const abort = new AbortController();
  const left = sendChat(gateway.url, 'lazy', { signal: abort.signal });
  await until('lazy starts', async () => (await gateway.status()).models.lazy?.state === 'starting');
  abort.abort();
  await assert.rejects(left);
  await until('lazy is awake', async () => (await gateway.status()).models.lazy?.state === 'awake');
  // Never served, and not unloaded for it.
  await pause(300);
  const retry = await chatResult(gateway.url, 'lazy');
  assert.equal(retry.status, 200);
  assert.equal(retry.load, 'hot');
});
