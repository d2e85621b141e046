/** R1 and T1 of the original's document: three models with fifty requests at once each, and their connections. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type RunningGateway, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { scrape } from '../fixtures/metrics-page.ts';
import {
  beginChats,
  chat,
  engineMetric,
  isCompleteStream,
  untilCounts,
  untilEnginesIdle,
} from '../fixtures/requests.ts';

const MODELS = ['a', 'b', 'c'] as const;
const CONCURRENT = 50;
/** Of each of the fifty clients of a model; with fewer than ten even perfect reuse is below 90 %. */
const ROUNDS = 14;
/** GATEWAY_MAX_CONCURRENT x GATEWAY_MAX_MODELS_CONCURRENT. */
const POOL = 150;

let gateway: RunningGateway;

before(async () => {
  const model = simulatedModel({
    memoryMib: 4_000,
    args: ['--sim-tokens-per-second', 10, '--sim-prefill-tokens-per-second', 0],
    keys: { max_num_seqs: 64 },
  });
  gateway = await startGateway({ config: simulatedConfig({ a: model, b: model, c: model }) });
});

after(() => gateway.stop());

test('T1: 3 models x 50 concurrent requests all succeed', async () => {
  // Loaded one after the other, because they share a device; then every answer takes three seconds.
  for (const model of MODELS) assert.equal((await chat(gateway.url, model, { tokens: 1 })).status, 200);
  const waves = MODELS.map((model) =>
    beginChats(CONCURRENT, gateway.url, model, { tokens: 30, stream: true }),
  );
  // All 150 are at their engines at the same time: none waits for a connection or a slot.
  for (const model of MODELS) await untilCounts(gateway, model, { running: CONCURRENT, waiting: 0 });
  assert.equal(await engineMetric(gateway, 'vllm:num_requests_running'), POOL);
  for (const { ending } of waves.flat()) {
    const end = await ending;
    assert.equal(end.kind, 'answered');
    assert.equal(end.kind === 'answered' && end.answer.status, 200);
    assert.ok(end.kind === 'answered' && isCompleteStream(end.answer.text));
  }
  await untilEnginesIdle(gateway);
});

test('R1: the pool is as large as all models may use, never exhausted, and reuses over 90 % of its connections', async () => {
  const clientOf = async (model: string, client: number): Promise<void> => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const content = `client ${client} in round ${round}`;
      const answer = await chat(gateway.url, model, { content, tokens: 1 });
      assert.equal(answer.status, 200, answer.text);
    }
  };
  await Promise.all(
    MODELS.flatMap((model) => Array.from({ length: CONCURRENT }, (_, client) => clientOf(model, client))),
  );
  const page = await scrape(gateway.url);
  for (const model of MODELS) {
    const created = page.sum('vllm_gateway_pool_connections_created_total', { model });
    const sent = page.sum('vllm_gateway_pool_requests_total', { model });
    const reused = page.sum('vllm_gateway_pool_connections_reused_total', { model });
    assert.equal(sent, 1 + CONCURRENT * (ROUNDS + 1), `requests of ${model}`);
    assert.ok(created >= CONCURRENT && created <= CONCURRENT + 4, `${model} opened ${created} connections`);
    assert.equal(reused, sent - created);
    assert.ok(reused / sent > 0.9, `${model} reused ${reused} of ${sent}`);
    assert.equal(page.sum('vllm_gateway_pool_waits_total', { model }), 0);
  }
  const answered = page.sum('vllm_gateway_requests_total', { status: '200', outcome: 'answered' });
  assert.equal(answered, MODELS.length + POOL * (ROUNDS + 1));
  const line = `HTTP Client Pool: max_connections=${POOL}, max_keepalive_connections=${POOL}`;
  assert.ok(gateway.log.some(({ msg }) => msg === line));
  assert.deepEqual(gateway.errors, []);
});
