import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import {
  processesNaming,
  runGatewayCommand,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';
import { chatResult, sendChat } from '../fixtures/requests.ts';

const slow = { a: simulatedModel({ args: ['--sim-tokens-per-second', '20'] }) };

// Mostly waiting: side by side they take a third of the time.
describe('the end of a gateway', { concurrency: 3 }, () => {
  test('on SIGTERM: not ready, still accepting, then draining, then gone with code 0', async () => {
    // The stream lasts as long as the delay, in which a busy machine gets to ask too.
    const gateway = await startGateway({
      config: simulatedConfig(slow, { server: { shutdown_delay: 3, shutdown_drain: 20 } }),
    });
    await until('ready', async () => (await fetch(`${gateway.url}/ready`)).status === 200);
    await chatResult(gateway.url, 'a');
    const stream = await sendChat(gateway.url, 'a', { stream: true, tokens: 60 });
    const ended = gateway.stop({ keep: true });
    await until('not ready', async () => (await fetch(`${gateway.url}/ready`)).status === 503);
    assert.equal((await fetch(`${gateway.url}/health`)).status, 200);
    assert.equal((await chatResult(gateway.url, 'a', { tokens: 1 })).status, 200);
    assert.match(await stream.text(), /\[DONE\]/);
    assert.equal(await ended, 0);
    assert.deepEqual(await processesNaming(gateway.directory), []);
    await gateway.kill();
  });

  test('what does not finish within the drain is cut with an error frame, and the exit code says so', async () => {
    const gateway = await startGateway({
      config: simulatedConfig(slow, { server: { shutdown_delay: 0, shutdown_drain: 0.5 } }),
    });
    await chatResult(gateway.url, 'a');
    const stream = await sendChat(gateway.url, 'a', { stream: true, tokens: 2000 });
    const text = stream.text().catch((error: unknown) => `broken off: ${String(error)}`);
    assert.equal(await gateway.stop(), 1);
    assert.doesNotMatch(await text, /\[DONE\]/);
    assert.match(await text, /shutting_down|broken off/);
  });

  test('--leave-engines leaves them, and the next gateway serves with them at once', async () => {
    const first = await startGateway({ config: simulatedConfig(slow), args: ['--leave-engines'] });
    await chatResult(first.url, 'a');
    assert.equal(await first.stop({ keep: true }), 0);
    const second = await startGateway({ config: simulatedConfig(slow), directory: first.directory });
    await until('ready', async () => (await fetch(`${second.url}/ready`)).status === 200);
    assert.equal((await chatResult(second.url, 'a')).load, 'hot');
    assert.equal(await second.stop(), 0);
  });

  test('--leave-engines in the middle of a launch ends, and whatever became of the engine is known', async () => {
    const config = simulatedConfig({ a: simulatedModel({ loadSeconds: 1 }) });
    const first = await startGateway({ config, args: ['--leave-engines'] });
    await until('ready', async () => (await fetch(`${first.url}/ready`)).status === 200);
    const asked = chatResult(first.url, 'a').catch(() => null);
    await until('it is being launched', () => first.log.some(({ msg }) => msg.startsWith('start a:')));
    await first.stop({ keep: true });
    await asked;
    const second = await startGateway({ config, directory: first.directory });
    assert.equal((await chatResult(second.url, 'a')).status, 200);
    // It was found as it started or, on a busy machine, when it had started; or nothing of it was begun.
    const started = await second.metric('vllm_gateway_engine_moves_total{model="a",move="start"}');
    let found = 0;
    for (const stage of ['starting', 'awake'])
      found += await second.metric(`vllm_gateway_engines_found_total{stage="${stage}"}`);
    assert.equal(await second.stop({ keep: true }), 0);
    assert.equal(started + found, 1);
    assert.deepEqual(await processesNaming(first.directory), []);
    await second.kill();
  });

  test('engines of a gateway that was killed are served on or ended by the next one, never left', async () => {
    const first = await startGateway({
      config: simulatedConfig({ a: simulatedModel(), b: simulatedModel() }),
    });
    await chatResult(first.url, 'a');
    await first.kill({ keep: true });
    // The model that it served is configured otherwise now, so its engine has no place.
    const second = await startGateway({
      config: simulatedConfig({ a: simulatedModel({ memoryMib: 9_000 }), b: simulatedModel() }),
      directory: first.directory,
    });
    await until('ready', async () => (await fetch(`${second.url}/ready`)).status === 200);
    assert.equal((await chatResult(second.url, 'b')).status, 200);
    assert.equal(await second.stop({ keep: true }), 0);
    assert.deepEqual(await processesNaming(first.directory), []);
    await second.kill();
  });

  test('an engine that ignores SIGTERM is killed and nothing of it is left', async () => {
    const gateway = await startGateway({
      config: simulatedConfig({ a: simulatedModel({ args: ['--sim-fault', 'ignore-sigterm'] }) }),
    });
    await chatResult(gateway.url, 'a');
    assert.equal(await gateway.stop({ keep: true }), 0);
    assert.deepEqual(await processesNaming(gateway.directory), []);
    await gateway.kill();
  });

  test('a second gateway on the same state directory refuses and names the first', async () => {
    const gateway = await startGateway({ config: simulatedConfig(slow) });
    const second = await runGatewayCommand([
      'serve',
      '--port',
      '0',
      '--state-directory',
      `${gateway.directory}/state`,
    ]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, new RegExp(`pid ${gateway.pid}`));
    await gateway.stop();
  });

  test('a port in use is told with the remedy', async () => {
    const gateway = await startGateway({ config: simulatedConfig(slow) });
    const port = new URL(gateway.url).port;
    const second = await runGatewayCommand([
      'serve',
      '--port',
      port,
      '--state-directory',
      `${gateway.directory}/other`,
    ]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /in use.*--port/);
    await gateway.stop();
  });

  test('a recorded run replays to the same effects', async () => {
    const first = await startGateway({
      config: simulatedConfig({ a: simulatedModel(), b: simulatedModel() }),
    });
    const record = `${first.directory}/run.jsonl`;
    await first.stop({ keep: true });
    const gateway = await startGateway({
      config: simulatedConfig({ a: simulatedModel(), b: simulatedModel() }),
      args: ['--record', record],
      directory: first.directory,
    });
    await Promise.all(['a', 'b', 'a', 'b'].map((model) => chatResult(gateway.url, model)));
    await pause(10);
    await gateway.stop({ keep: true });
    const replayed = await runGatewayCommand(['replay', record]);
    assert.equal(replayed.stdout.includes('lead to the same effects'), true, replayed.stdout);
    await gateway.kill();
  });

  test('the devices are named in the log, and what starts cost is known to the next gateway', async () => {
    const config = simulatedConfig({ a: simulatedModel({ loadSeconds: 0.4 }) });
    const first = await startGateway({ config });
    await chatResult(first.url, 'a');
    assert.ok(first.log.some(({ msg }) => /^device sim-gpu-0: .* 16384 MiB, of which 15564 MiB/.test(msg)));
    assert.equal(await first.stop({ keep: true }), 0);
    const second = await startGateway({ config, directory: first.directory });
    await until('ready', async () => (await fetch(`${second.url}/ready`)).status === 200);
    const { models } = await second.status();
    assert.ok((models.a?.start_seconds ?? 0) >= 0.4);
    assert.equal(await second.stop(), 0);
  });
});
