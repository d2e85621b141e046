/** What the public clients do with our errors: how often they try again, and how long they wait before it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type RunningGateway, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { scrape } from '../fixtures/metrics-page.ts';
import { type BegunChat, beginChat, leaveAll, untilCounts } from '../fixtures/requests.ts';
import { type Attempt, SDK_CLIENTS } from '../fixtures/sdk-clients.ts';

/** A client that waits 60 s for a start of 90 s, at a scale of 1 to 20. */
const TIMEOUT_MS = 3_000;
const START_S = 4.5;
/** Timers may fire a little before the time that another clock measures. */
const CLOCK_MS = 20;

let gateway: RunningGateway;
let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vg-once-'));
  const models: Record<string, unknown> = {};
  const devices: { id: string; memory_mib: number }[] = [];
  const pools: Record<string, string[]> = {};
  const add = (name: string, model: Record<string, unknown>): void => {
    // A card for each model: starts on one card wait for each other.
    devices.push({ id: `sim-${name}`, memory_mib: 16_384 });
    pools[name] = [`sim-${name}`];
    models[name] = { ...model, pool: name };
  };
  for (const { name } of SDK_CLIENTS) {
    const fault = (word: string) => ['--sim-fault', word];
    const once = ['--sim-fault-once', join(directory, name)];
    add(`${name}-late`, simulatedModel({ loadSeconds: START_S }));
    add(`${name}-gated`, simulatedModel({ args: fault('fail@start:gated') }));
    add(`${name}-huge`, simulatedModel({ memoryMib: 20_000 }));
    add(`${name}-crash`, simulatedModel({ args: [...fault('crash@loading'), ...once] }));
    add(`${name}-narrow`, simulatedModel({ keys: { max_concurrent: 1, queue_size: 1 } }));
  }
  const server = { shutdown_delay: 0, shutdown_drain: 5 };
  gateway = await startGateway({
    config: { server, devices: { source: 'simulated', simulated: devices }, pools, models },
  });
});

after(async () => {
  await gateway.stop();
  await rm(directory, { recursive: true, force: true });
});

/** The pause before the second attempt is at least what the first answer asked for. */
function assertRetryAfterKept([first, second]: readonly Attempt[]): void {
  const asked = Number(first?.headers?.get('retry-after'));
  assert.ok(Number.isInteger(asked) && asked >= 1 && asked <= 60, `Retry-After: ${asked}`);
  const waitedMs = (second?.sentMs ?? 0) - (first?.endedMs ?? 0);
  assert.ok(waitedMs >= asked * 1000 - CLOCK_MS, `waited ${waitedMs} ms instead of ${asked} s`);
}

function statuses(attempts: readonly Attempt[]): readonly (number | null)[] {
  return attempts.map(({ status }) => status);
}

for (const sdk of SDK_CLIENTS) {
  describe(`${sdk.name}:`, { concurrency: true }, () => {
    test('a client with a shorter timeout than the start is served on its second try, by one start', async () => {
      const model = `${sdk.name}-late`;
      const { answer, attempts } = sdk.ask(gateway.url, model, { timeoutMs: TIMEOUT_MS });
      assert.notEqual(await answer, '');
      assert.deepEqual(statuses(attempts), [null, 200]);
      const [first, second] = attempts;
      const gaveUpMs = (first?.endedMs ?? 0) - (first?.sentMs ?? 0);
      assert.ok(gaveUpMs >= TIMEOUT_MS - CLOCK_MS, `the first try ended after ${gaveUpMs} ms`);
      assert.equal(second?.headers?.get('x-load'), 'cold');
      const page = await scrape(gateway.url);
      assert.equal(page.sum('vllm_gateway_engine_moves_total', { model, move: 'start' }), 1);
      assert.equal(page.sum('vllm_gateway_requests_total', { model, outcome: 'left_waiting' }), 1);
      assert.equal(page.sum('vllm_gateway_requests_total', { model, outcome: 'answered' }), 1);
    });

    test('a start that no retry can mend is tried exactly once', async () => {
      const { answer, attempts } = sdk.ask(gateway.url, `${sdk.name}-gated`, { maxRetries: 3 });
      await assert.rejects(answer, /start_failed_for_good|cannot start/);
      assert.deepEqual(statuses(attempts), [503]);
      assert.equal(attempts[0]?.headers?.get('x-should-retry'), 'false');
      assert.equal(attempts[0]?.headers?.get('retry-after'), null);
    });

    test('a model that never fits is tried exactly once', async () => {
      const { answer, attempts } = sdk.ask(gateway.url, `${sdk.name}-huge`, { maxRetries: 3 });
      await assert.rejects(answer, /can never be loaded here/);
      assert.deepEqual(statuses(attempts), [503]);
      assert.equal(attempts[0]?.headers?.get('x-should-retry'), 'false');
    });

    test('an unknown model is tried exactly once', async () => {
      const { answer, attempts } = sdk.ask(gateway.url, 'absent', { maxRetries: 3 });
      await assert.rejects(answer, /does not exist/);
      assert.deepEqual(statuses(attempts), [404]);
    });

    test('a start that crashed is tried again after Retry-After, and then served', async () => {
      const { answer, attempts } = sdk.ask(gateway.url, `${sdk.name}-crash`);
      assert.notEqual(await answer, '');
      assert.deepEqual(statuses(attempts), [503, 200]);
      assert.equal(attempts[0]?.headers?.get('x-should-retry'), null);
      assertRetryAfterKept(attempts);
    });

    test('a full queue is tried again after Retry-After, and then served', async () => {
      const model = `${sdk.name}-narrow`;
      const occupying: BegunChat[] = [beginChat(gateway.url, model, { tokens: 'endless', stream: true })];
      await untilCounts(gateway, model, { running: 1, waiting: 0 });
      occupying.push(beginChat(gateway.url, model, { tokens: 'endless' }));
      await untilCounts(gateway, model, { running: 1, waiting: 1 });
      const onStatus = (status: number): void => {
        if (status === 429) for (const one of occupying) one.leave();
      };
      const { answer, attempts } = sdk.ask(gateway.url, model, { onStatus });
      assert.notEqual(await answer, '');
      assert.deepEqual(statuses(attempts), [429, 200]);
      assertRetryAfterKept(attempts);
      await leaveAll(occupying);
      await untilCounts(gateway, model, { running: 0, waiting: 0 });
    });
  });
}
