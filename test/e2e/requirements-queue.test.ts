/** R4 and T3 of the original's document: the queue's counter, with its numbers 50 at once, 200 waiting, 50 cancelled. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type RunningGateway, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { scrape } from '../fixtures/metrics-page.ts';
import {
  type BegunChat,
  beginChats,
  chat,
  leaveAll,
  sendChat,
  untilCounts,
  untilEnginesIdle,
} from '../fixtures/requests.ts';

const RUNNING = 50;
const QUEUE = 200;
const CANCELLED = 50;

let gateway: RunningGateway;

before(async () => {
  const model = simulatedModel({
    memoryMib: 4_000,
    args: ['--sim-tokens-per-second', 4, '--sim-prefill-tokens-per-second', 0],
    keys: { max_num_seqs: 64 },
  });
  gateway = await startGateway({ config: simulatedConfig({ a: model, b: model }) });
});

after(() => gateway.stop());

/** The counter as all its observers see it: the original's key, ours, and the gauges. */
async function assertCounts(model: string, running: number, waiting: number): Promise<void> {
  await untilCounts(gateway, model, { running, waiting });
  const { queue_status, active_containers } = await gateway.status();
  assert.deepEqual(queue_status[model], { queue_depth: waiting, max_concurrent: 50, max_queue_size: 200 });
  assert.equal(active_containers[model]?.active_requests, running);
  const page = await scrape(gateway.url);
  assert.equal(page.sum('vllm_gateway_queue_depth', { model }), waiting);
  assert.equal(page.sum('vllm_gateway_requests_running', { model }), running);
}

/** One more than the queue takes: refused with the headers and keys that the original's clients read. */
async function assertQueueFull(model: string): Promise<void> {
  const answer = await chat(gateway.url, model);
  assert.equal(answer.status, 429);
  assert.equal(answer.headers.get('x-queue-depth'), String(QUEUE));
  assert.equal(answer.headers.get('x-queue-max-size'), String(QUEUE));
  const retryAfterS = Number(answer.headers.get('retry-after'));
  assert.ok(Number.isInteger(retryAfterS) && retryAfterS >= 1 && retryAfterS <= 60);
  const body = JSON.parse(answer.text) as Readonly<Record<string, unknown>>;
  const { error, details, queue_depth, max_queue_size, retry_after_seconds } = body;
  assert.equal((error as { readonly code: unknown }).code, 'queue_full');
  assert.equal(typeof details, 'string');
  assert.deepEqual({ queue_depth, max_queue_size }, { queue_depth: QUEUE, max_queue_size: QUEUE });
  assert.ok(typeof retry_after_seconds === 'number' && retry_after_seconds >= 0);
}

interface Filled {
  readonly running: readonly BegunChat[];
  readonly waiting: readonly BegunChat[];
}

/** Fills the slots, then the queue in two parts; arrivals across connections have no order within a part. */
async function fill(model: string, first: number): Promise<Filled> {
  const long = { tokens: 'endless', stream: true } as const;
  const running = beginChats(RUNNING, gateway.url, model, long);
  await untilCounts(gateway, model, { running: RUNNING, waiting: 0 });
  const head = beginChats(first, gateway.url, model, long);
  await untilCounts(gateway, model, { running: RUNNING, waiting: first });
  const tail = beginChats(QUEUE - first, gateway.url, model, { tokens: 1 });
  await assertCounts(model, RUNNING, QUEUE);
  return { running, waiting: [...head, ...tail] };
}

async function assertAnswered(chats: readonly BegunChat[]): Promise<void> {
  for (const { ending } of chats) {
    const end = await ending;
    assert.ok(end.kind === 'answered' && end.answer.status === 200);
  }
}

test('T3: of 200 queued requests 50 are cancelled while they are processed; the counter stays exact, later requests work', async () => {
  const { running, waiting } = await fill('a', CANCELLED);
  await assertQueueFull('a');
  // The next fifty take their slots and stay, so that the counts stand still to be compared.
  await leaveAll(running);
  await assertCounts('a', RUNNING, QUEUE - CANCELLED);
  const refill = beginChats(CANCELLED, gateway.url, 'a', { tokens: 1 });
  await assertCounts('a', RUNNING, QUEUE);
  await assertQueueFull('a');
  const [head, tail] = [waiting.slice(0, CANCELLED), waiting.slice(CANCELLED)];
  await leaveAll(head);
  await assertAnswered([...tail, ...refill]);
  await assertCounts('a', 0, 0);
  await untilEnginesIdle(gateway);
  const later = await chat(gateway.url, 'a', { tokens: 2 });
  assert.equal(later.status, 200);
  assert.equal(later.headers.get('x-queue-depth'), '0');
  const page = await scrape(gateway.url);
  const ended = (outcome: string): number => page.sum('vllm_gateway_requests_total', { model: 'a', outcome });
  assert.equal(ended('client_left'), 2 * CANCELLED);
  assert.equal(ended('answered'), QUEUE + 1);
  assert.equal(ended('refused'), 2);
  assert.equal(ended('left_waiting'), 0);
  assert.deepEqual(gateway.errors, []);
});

test('R4: the counter survives cancellation in every state and is never given back twice', async () => {
  // While the model loads: nothing runs yet, everything waits.
  const loading = beginChats(20, gateway.url, 'b', { tokens: 1 });
  await untilCounts(gateway, 'b', { running: 0, waiting: 20 });
  await leaveAll(loading.slice(0, 10));
  await untilCounts(gateway, 'b', { running: 0, waiting: 10 });
  await assertAnswered(loading.slice(10));
  await assertCounts('b', 0, 0);

  const { running, waiting } = await fill('b', 0);
  // In the queue.
  await leaveAll(waiting.slice(0, CANCELLED));
  await assertCounts('b', RUNNING, QUEUE - CANCELLED);
  // In both places at once, each more than once.
  for (const one of [...running, ...waiting.slice(CANCELLED, 100)]) {
    one.leave();
    one.leave();
  }
  await assertAnswered(waiting.slice(100));
  await assertCounts('b', 0, 0);
  // Before the first byte of an answer that is no stream: the engine works, the client has seen nothing.
  const silent = beginChats(RUNNING, gateway.url, 'b', { tokens: 'endless' });
  await assertCounts('b', RUNNING, 0);
  await leaveAll(silent);
  await assertCounts('b', 0, 0);
  // At the answer's end, where leaving and ending meet.
  for (let round = 0; round < 10; round += 1) {
    const controller = new AbortController();
    const response = await sendChat(gateway.url, 'b', { tokens: 1, stream: true, signal: controller.signal });
    const reader = response.body?.getReader();
    await reader?.read();
    controller.abort();
    await reader?.read().catch(() => null);
  }
  await assertCounts('b', 0, 0);
  await untilEnginesIdle(gateway);
  // No slot was lost or won: exactly fifty run, the next one waits.
  const again = beginChats(RUNNING + 1, gateway.url, 'b', { tokens: 'endless', stream: true });
  await assertCounts('b', RUNNING, 1);
  await leaveAll(again);
  await assertCounts('b', 0, 0);
  assert.deepEqual(gateway.errors, []);
});
