/** M of the original's document: what an operator of the gateway must be able to observe. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { type MetricsPage, scrape } from '../fixtures/metrics-page.ts';
import { beginChat, beginChats, chat, leaveAll, untilCounts } from '../fixtures/requests.ts';

const SEQUENTIAL = 60;
const RUNNING = 2;
const WAITING = 3;
const REFUSED = 5;
const OBSERVABLES = [
  'vllm_gateway_pool_waits_total',
  'vllm_gateway_pool_connections_created_total',
  'vllm_gateway_pool_connections_reused_total',
  'vllm_gateway_pool_requests_total',
  'vllm_gateway_queue_depth',
  'vllm_gateway_requests_running',
  'vllm_gateway_requests_total',
  'vllm_gateway_request_wait_seconds',
  'vllm_gateway_configuration_errors_total',
  'vllm_gateway_engine_moves_total',
  'vllm_gateway_engine_load_seconds',
];

/** Share of a model's requests that the queue refused, as a dashboard computes it. */
function rateOf429(page: MetricsPage): number {
  const requests = page.sum('vllm_gateway_requests_total', { model: 'a' });
  return page.sum('vllm_gateway_requests_total', { model: 'a', status: '429' }) / requests;
}

test('M: pool exhaustion, connection reuse, queue depth, 429 rate and configuration errors are observable', async () => {
  const model = simulatedModel({
    args: ['--sim-tokens-per-second', 5, '--sim-prefill-tokens-per-second', 0],
    keys: { max_concurrent: RUNNING, queue_size: WAITING },
  });
  const gateway = await startGateway({
    config: simulatedConfig({ a: model }),
    environment: { GATEWAY_MAX_QUEUE_SIZE: 'many' },
    args: ['--host', '127.0.0.1'],
  });
  try {
    for (let index = 0; index < SEQUENTIAL; index += 1) {
      assert.equal((await chat(gateway.url, 'a', { tokens: 1 })).status, 200);
    }
    let page = await scrape(gateway.url);
    for (const name of OBSERVABLES) assert.ok(page.has(name), name);
    assert.equal(rateOf429(page), 0);

    // The depth is the number of requests that really wait, at every step.
    const running = beginChats(RUNNING, gateway.url, 'a', { tokens: 'endless', stream: true });
    await untilCounts(gateway, 'a', { running: RUNNING, waiting: 0 });
    const waiting = [];
    for (let depth = 1; depth <= WAITING; depth += 1) {
      waiting.push(beginChat(gateway.url, 'a', { tokens: 'endless' }));
      await untilCounts(gateway, 'a', { running: RUNNING, waiting: depth });
      assert.equal((await scrape(gateway.url)).sum('vllm_gateway_queue_depth', { model: 'a' }), depth);
    }
    const refused = await Promise.all(Array.from({ length: REFUSED }, () => chat(gateway.url, 'a')));
    assert.deepEqual(
      refused.map(({ status }) => status),
      Array(REFUSED).fill(429),
    );
    page = await scrape(gateway.url);
    assert.equal(page.sum('vllm_gateway_requests_running', { model: 'a' }), RUNNING);
    const counted = { model: 'a', status: '429', code: 'queue_full', outcome: 'refused' };
    assert.equal(page.sum('vllm_gateway_requests_total', counted), REFUSED);
    assert.equal(rateOf429(page), REFUSED / (SEQUENTIAL + REFUSED));
    // In this order, or a freed slot would take one that still waits.
    await leaveAll(waiting);
    await untilCounts(gateway, 'a', { running: RUNNING, waiting: 0 });
    await leaveAll(running);
    await untilCounts(gateway, 'a', { running: 0, waiting: 0 });

    page = await scrape(gateway.url);
    assert.equal(page.sum('vllm_gateway_queue_depth', { model: 'a' }), 0);
    const sent = page.sum('vllm_gateway_pool_requests_total', { model: 'a' });
    const created = page.sum('vllm_gateway_pool_connections_created_total', { model: 'a' });
    const reused = page.sum('vllm_gateway_pool_connections_reused_total', { model: 'a' });
    assert.equal(page.sum('vllm_gateway_pool_waits_total', { model: 'a' }), 0);
    assert.ok(sent >= SEQUENTIAL + RUNNING);
    assert.equal(reused, sent - created);
    assert.ok(reused / sent > 0.9, `${reused} of ${sent}`);
    assert.equal(page.sum('vllm_gateway_engine_moves_total', { model: 'a', move: 'start' }), 1);
    assert.equal(page.sum('vllm_gateway_engine_load_seconds_count', { model: 'a' }), 1);
    // The wait of every request that got an engine was observed, be it zero.
    assert.equal(page.sum('vllm_gateway_request_wait_seconds_count', { model: 'a' }), SEQUENTIAL + RUNNING);

    assert.equal(page.sum('vllm_gateway_configuration_errors_total'), 1);
    const told = gateway.log.filter(({ msg }) => msg.startsWith('GATEWAY_MAX_QUEUE_SIZE="many"'));
    assert.equal(told.length, 1);
  } finally {
    await gateway.stop();
  }
});
