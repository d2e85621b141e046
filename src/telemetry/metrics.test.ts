import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { renderMetricsDocs } from '../../tools/generate-metrics-docs.ts';
import { GatewayMetrics, type ObservedRequest } from './metrics.ts';

const END: ObservedRequest = {
  model: 'a',
  label: '/v1/chat/completions',
  outcome: 'answered',
  status: 200,
  code: null,
  load: 'hot',
  waitMs: 4,
  ttfbMs: 30,
  durationMs: 2_000,
  streamErrors: 0,
};

function create(): GatewayMetrics {
  return new GatewayMetrics(
    () => 0,
    () => [{ model: 'a', state: 'awake', waiting: 3, running: 2, reservedMib: 1000 }],
  );
}

test('requests are counted by outcome, status and code, and their times in cumulative buckets', async () => {
  const metrics = create();
  metrics.requestEnded(END);
  metrics.requestEnded(END);
  metrics.requestEnded({
    ...END,
    outcome: 'refused',
    status: 429,
    code: 'queue_full',
    load: null,
    ttfbMs: null,
  });
  const text = await metrics.text();
  assert.match(text, /^vllm_gateway_requests_total\{model="a",outcome="answered",status="200",code=""\} 2$/m);
  assert.match(
    text,
    /^vllm_gateway_requests_total\{model="a",outcome="refused",status="429",code="queue_full"\} 1$/m,
  );
  assert.match(text, /^vllm_gateway_request_wait_seconds_bucket\{.*le="0\.005".*\} 2$/m);
  assert.match(text, /^vllm_gateway_request_first_byte_seconds_bucket\{.*le="0\.025".*\} 0$/m);
  assert.match(text, /^vllm_gateway_request_first_byte_seconds_bucket\{.*le="0\.05".*\} 2$/m);
  assert.match(text, /^vllm_gateway_request_duration_seconds_count\{model="a"\} 3$/m);
  assert.match(text, /^vllm_gateway_request_duration_seconds_sum\{model="a"\} 6$/m);
});

test('requests are counted by route', async () => {
  const metrics = create();
  for (const label of ['/v1/chat/completions', '/v2/embed', '/v2/embed'])
    metrics.requestEnded({ ...END, label });
  const text = await metrics.text();
  assert.match(text, /^vllm_gateway_route_requests_total\{model="a",route="\/v1\/chat\/completions"\} 1$/m);
  assert.match(text, /^vllm_gateway_route_requests_total\{model="a",route="\/v2\/embed"\} 2$/m);
});

test("errors within engines' streams are counted by model", async () => {
  const metrics = create();
  metrics.requestEnded(END);
  metrics.requestEnded({ ...END, outcome: 'stream_error', streamErrors: 2 });
  metrics.requestEnded({ ...END, outcome: 'client_left', streamErrors: 1 });
  assert.match(await metrics.text(), /^vllm_gateway_stream_errors_total\{model="a"\} 3$/m);
});

test('gauges show queues, slots and states', async () => {
  const text = await create().text();
  assert.match(text, /^vllm_gateway_queue_depth\{model="a"\} 3$/m);
  assert.match(text, /^vllm_gateway_requests_running\{model="a"\} 2$/m);
  assert.match(text, /^vllm_gateway_model_state\{model="a",state="awake"\} 1$/m);
  assert.match(text, /^vllm_gateway_model_state\{model="a",state="cold"\} 0$/m);
  assert.match(text, /^vllm_gateway_configuration_errors_total 0$/m);
});

test('connections are added up over all engines that a model has had', async () => {
  const metrics = create();
  for (let engine = 0; engine < 10; engine += 1) {
    metrics.poolOpened('a', { connectionsCreated: 1, requestsSent: 10, poolWaits: 0 });
  }
  assert.deepEqual(metrics.pool('a'), { created: 10, sent: 100, waits: 0 });
  assert.match(await metrics.text(), /^vllm_gateway_pool_connections_reused_total\{model="a"\} 90$/m);
});

test('starts end as ready or with their cause', async () => {
  const metrics = create();
  const start = { kind: 'start', model: 'a', deviceIds: [], memoryMibPerDevice: 1, reason: '' } as const;
  const timer = { kind: 'timer', key: 'a' } as const;
  metrics.observed(timer, [{ ...start, launchId: 'x-1' }]);
  metrics.observed({ kind: 'ready', model: 'a', launchId: 'x-1', contextLength: null }, []);
  metrics.observed(timer, [{ ...start, launchId: 'x-2' }]);
  const failure = { cause: 'out_of_memory', text: '', retryable: true };
  metrics.observed({ kind: 'exited', model: 'a', launchId: 'x-2', failure }, []);
  const text = await metrics.text();
  assert.match(text, /^vllm_gateway_engine_moves_total\{model="a",move="start"\} 2$/m);
  assert.match(text, /^vllm_gateway_engine_starts_ended_total\{model="a",result="ready"\} 1$/m);
  assert.match(text, /^vllm_gateway_engine_starts_ended_total\{model="a",result="out_of_memory"\} 1$/m);
  assert.match(text, /^vllm_gateway_engine_load_seconds_count\{model="a"\} 1$/m);
});

test('docs/metrics.md is what `node tools/generate-metrics-docs.ts` writes, and every name of ours stands there', async () => {
  const text = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  assert.equal(text, await renderMetricsDocs());
  const source = await readFile(new URL('metrics.ts', import.meta.url), 'utf8');
  const named = [...source.matchAll(/'(vllm_gateway_\w*[a-z])'/g)].map(([, name]) => name);
  const documented = [...text.matchAll(/^\| `(vllm_gateway_\w+)` /gm)].map(([, name]) => name);
  assert.deepEqual(documented.toSorted(), named.toSorted());
});
