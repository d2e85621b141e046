/** T4 of the original's document: 100 requests of which 50 disconnect at random moments and in random ways. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { createPrng, type Prng } from '../../src/core/prng.ts';
import {
  type RunningGateway,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';
import { scrape } from '../fixtures/metrics-page.ts';
import { beginChats, chat, chatBody, leaveAll, untilCounts, untilEnginesIdle } from '../fixtures/requests.ts';

const REQUESTS = 100;
const DISCONNECTS = 50;
const SLOTS = 20;
const SEED = 4;
/** From before the engine is ready until after it has begun to answer. */
const LEAVE_WITHIN_MS = 2_000;

/** Ways of leaving: in an orderly way, by a reset, or with the body half sent. */
const WAYS = ['close', 'reset', 'half_body'] as const;
type Way = (typeof WAYS)[number];

let gateway: RunningGateway;

before(async () => {
  // Fewer slots than requests, and a load that the first ones must wait for: clients leave in every state.
  const model = simulatedModel({
    loadSeconds: 0.5,
    args: ['--sim-tokens-per-second', 20, '--sim-prefill-tokens-per-second', 0],
    keys: { max_concurrent: SLOTS, max_num_seqs: 10 },
  });
  gateway = await startGateway({ config: simulatedConfig({ a: model }) });
});

after(() => gateway.stop());

/** A client on a bare socket, because no HTTP library leaves in the middle of its own request. */
async function disconnecting(url: string, way: Way, stream: boolean, afterMs: number): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {
    // A reset shows here, too.
  });
  const body = JSON.stringify(chatBody('a', { tokens: 'endless', stream }));
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  // What is written is read by the gateway even when a reset follows; before, it could not know of this client.
  await new Promise<unknown>((written) =>
    socket.write(head + (way === 'half_body' ? body.slice(0, body.length / 2) : body), written),
  );
  socket.resume();
  await pause(afterMs);
  await closed(socket, way);
}

function closed(socket: Socket, way: Way): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
    if (way === 'reset') socket.resetAndDestroy();
    else socket.destroy();
  });
}

/** `count` of `total` places, by chance. */
function chosen(random: Prng, count: number, total: number): ReadonlySet<number> {
  const places = Array.from({ length: total }, (_, index) => index);
  for (let index = total - 1; index > 0; index -= 1) {
    const other = random.integer(index + 1);
    [places[index], places[other]] = [places[other] ?? 0, places[index] ?? 0];
  }
  return new Set(places.slice(0, count));
}

test('T4: of 100 requests 50 disconnect at random; nothing leaks and the rest succeed', async () => {
  const random = createPrng(SEED);
  const leaving = chosen(random, DISCONNECTS, REQUESTS);
  const ways = { close: 0, reset: 0, half_body: 0 };
  const staying: Promise<number>[] = [];
  const gone: Promise<void>[] = [];
  for (let index = 0; index < REQUESTS; index += 1) {
    const stream = random.next() < 0.5;
    if (!leaving.has(index)) {
      const tokens = 1 + random.integer(8);
      staying.push(chat(gateway.url, 'a', { tokens, stream }).then(({ status }) => status));
      continue;
    }
    const way = WAYS[random.integer(WAYS.length)] ?? 'close';
    ways[way] += 1;
    gone.push(disconnecting(gateway.url, way, stream, random.next() * LEAVE_WITHIN_MS));
  }
  await Promise.all(gone);
  assert.deepEqual(await Promise.all(staying), Array(REQUESTS - DISCONNECTS).fill(200));
  await untilCounts(gateway, 'a', { running: 0, waiting: 0 });
  await untilEnginesIdle(gateway);

  const { queue_status, active_containers } = await gateway.status();
  assert.equal(queue_status['a']?.queue_depth, 0);
  assert.equal(active_containers['a']?.active_requests, 0);
  // Who left with half a body had not named its model yet, and was in no queue whose count would tell of its end.
  await until('all who left with half a body are counted', async () => {
    const halves = { model: '', outcome: 'left_waiting' };
    return (await scrape(gateway.url)).sum('vllm_gateway_requests_total', halves) === ways.half_body;
  });
  const page = await scrape(gateway.url);
  const ended = (labels: Record<string, string>): number => page.sum('vllm_gateway_requests_total', labels);
  assert.equal(ended({ model: 'a', outcome: 'answered', status: '200' }), REQUESTS - DISCONNECTS);
  const left = ended({ model: 'a', outcome: 'client_left' }) + ended({ model: 'a', outcome: 'left_waiting' });
  assert.equal(left, ways.close + ways.reset);
  assert.ok(Math.min(...Object.values(ways)) > 0, JSON.stringify(ways));
  assert.equal(page.sum('vllm_gateway_queue_depth', { model: 'a' }), 0);
  assert.equal(page.sum('vllm_gateway_requests_running', { model: 'a' }), 0);
  assert.equal(page.sum('vllm_gateway_pool_waits_total'), 0);
  // All slots are there again: as many at once, and none waits.
  const again = beginChats(SLOTS, gateway.url, 'a', { tokens: 'endless', stream: true });
  await untilCounts(gateway, 'a', { running: SLOTS, waiting: 0 });
  await leaveAll(again);
  assert.deepEqual(gateway.errors, []);
});
