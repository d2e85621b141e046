/** Two models on one card: nobody starves, and nobody swaps for every request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { chatResult } from '../fixtures/requests.ts';

/** Sends one request after the other until the time is over; answers how many were served. */
async function closedLoop(url: string, model: string, untilMs: number): Promise<number> {
  let served = 0;
  while (Date.now() < untilMs) {
    const { status } = await chatResult(url, model, { tokens: 20 });
    assert.equal(status, 200);
    served += 1;
  }
  return served;
}

test('overlapping clients of one model do not starve another, and two closed loops do not thrash', async () => {
  const gateway = await startGateway({
    config: simulatedConfig({
      a: simulatedModel({ loadSeconds: 0.3 }),
      b: simulatedModel({ loadSeconds: 0.3 }),
    }),
  });
  try {
    await Promise.all(['a', 'b'].map((model) => chatResult(gateway.url, model)));
    const untilMs = Date.now() + 7_000;
    const loops = ['a', 'a', 'a', 'a', 'b'].map((model) => closedLoop(gateway.url, model, untilMs));
    const served = await Promise.all(loops);
    const starts =
      (await gateway.metric('vllm_gateway_engine_moves_total{model="a",move="start"}')) +
      (await gateway.metric('vllm_gateway_engine_moves_total{model="b",move="start"}'));
    const [, , , , servedB = 0] = served;
    const total = served.reduce((sum, count) => sum + count, 0);
    assert.ok(servedB >= 10, `b was served ${servedB} times beside ${total - servedB}`);
    assert.ok(total > 8 * starts, `${total} requests with ${starts} starts`);
  } finally {
    await gateway.stop();
  }
});
