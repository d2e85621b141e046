/** Two models on one card: nobody starves, and nobody swaps for every request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { chatResult } from '../fixtures/requests.ts';

const SHORTEST_MS = 7_000;
/** A machine under load takes longer for the same requests. */
const LONGEST_MS = 40_000;
const SERVED_MIN = 10;

/** Sends one request after the other, as long as `goesOn` says so, and counts them in `served`. */
async function closedLoop(
  url: string,
  model: string,
  served: Record<string, number>,
  goesOn: () => boolean,
): Promise<void> {
  while (goesOn()) {
    const { status } = await chatResult(url, model, { tokens: 20 });
    assert.equal(status, 200);
    served[model] = (served[model] ?? 0) + 1;
  }
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
    const began = performance.now();
    const served = { a: 0, b: 0 };
    const goesOn = (): boolean => {
      const tookMs = performance.now() - began;
      return tookMs < SHORTEST_MS || (served.b < SERVED_MIN && tookMs < LONGEST_MS);
    };
    await Promise.all(
      ['a', 'a', 'a', 'a', 'b'].map((model) => closedLoop(gateway.url, model, served, goesOn)),
    );
    const starts =
      (await gateway.metric('vllm_gateway_engine_moves_total{model="a",move="start"}')) +
      (await gateway.metric('vllm_gateway_engine_moves_total{model="b",move="start"}'));
    const total = served.a + served.b;
    assert.ok(served.b >= SERVED_MIN, `b was served ${served.b} times beside ${served.a}`);
    assert.ok(total > 8 * starts, `${total} requests with ${starts} starts`);
  } finally {
    await gateway.stop();
  }
});
