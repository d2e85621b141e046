/**
 * Swap overhead: what a cold request pays beyond its engine's own start. Eight start times as in peers.md; the engine
 * tells when it began to serve, so the overhead is all that is ours: deciding, spawning, noticing readiness, proxying.
 *
 *   npm run bench:swap
 */

import { simulatedConfig, simulatedModel, startGateway } from '../../test/fixtures/gateway.ts';
import { sendChat } from '../../test/fixtures/requests.ts';

const START_SECONDS = [0.4, 0.7, 1.1, 1.5, 1.9, 2.3, 2.7, 3.1];
const ROUNDS = 3;

const models = Object.fromEntries(
  START_SECONDS.map((seconds) => [`m${seconds}`, simulatedModel({ loadSeconds: seconds })]),
);
const gateway = await startGateway({
  config: simulatedConfig(models, {
    devices: {
      source: 'simulated',
      simulated: START_SECONDS.map((_, index) => ({ id: `sim-gpu-${index}`, memory_mib: 16_384 })),
    },
    defaults: { inactivity_timeout: 1 },
  }),
});
const overheadsMs: number[] = [];
try {
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const seconds of START_SECONDS) overheadsMs.push(await overhead(`m${seconds}`, seconds));
  }
} finally {
  await gateway.stop();
}
overheadsMs.sort((a, b) => a - b);
const meanMs = overheadsMs.reduce((sum, value) => sum + value, 0) / overheadsMs.length;
const result = {
  starts: overheadsMs.length,
  mean_ms: Math.round(meanMs),
  median_ms: Math.round(overheadsMs[Math.floor(overheadsMs.length / 2)] ?? 0),
  max_ms: Math.round(overheadsMs.at(-1) ?? 0),
};
process.stdout.write(`${JSON.stringify(result)}\n`);

/** Waits until the model is cold again, sends one request and takes off the engine's own start. */
async function overhead(model: string, startSeconds: number): Promise<number> {
  for (;;) {
    const { models: states } = await gateway.status();
    if (states[model]?.state === 'cold') break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const sentMs = performance.now();
  const answer = await sendChat(gateway.url, model, { tokens: 1 });
  await answer.arrayBuffer();
  return performance.now() - sentMs - startSeconds * 1000;
}
