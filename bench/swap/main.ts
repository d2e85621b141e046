/**
 * Swap overhead: what a request pays beyond the start of its engine, of eight start times as in peers.md.
 *  - `swap`: another model holds the only device and has been idle for a moment, so it is stopped, its memory is seen to
 *    come back, and the wanted one is started. Everything that is not the engine's own start counts.
 *  - `start`: the device is free.
 *
 *   npm run bench:swap
 */
import { setTimeout as pause } from 'node:timers/promises';
import { simulatedConfig, simulatedModel, startGateway } from '../../test/fixtures/gateway.ts';
import { sendChat } from '../../test/fixtures/requests.ts';

const START_SECONDS = [0.4, 0.7, 1.1, 1.5, 1.9, 2.3, 2.7, 3.1];
const ROUNDS = 3;
/** Longer than any linger of a model whose clients ask once. */
const IDLE_MS = 500;

const models = Object.fromEntries(
  START_SECONDS.map((seconds) => [`m${seconds}`, simulatedModel({ loadSeconds: seconds })]),
);
const gateway = await startGateway({
  config: simulatedConfig(models, { defaults: { inactivity_timeout: 4 } }),
});
const swapMs: number[] = [];
const startMs: number[] = [];
try {
  await (await sendChat(gateway.url, 'm0.4', { tokens: 1 })).arrayBuffer();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const seconds of [...START_SECONDS.slice(1), 0.4]) {
      await pause(IDLE_MS);
      swapMs.push(await overheadMs(seconds));
    }
  }
  for (const seconds of START_SECONDS) {
    await untilAllCold();
    startMs.push(await overheadMs(seconds));
  }
} finally {
  await gateway.stop();
}
process.stdout.write(`${JSON.stringify({ swap: summary(swapMs), start: summary(startMs) }, null, 1)}\n`);

async function overheadMs(startSeconds: number): Promise<number> {
  const sentMs = performance.now();
  const answer = await sendChat(gateway.url, `m${startSeconds}`, { tokens: 1 });
  await answer.arrayBuffer();
  return performance.now() - sentMs - startSeconds * 1000;
}

async function untilAllCold(): Promise<void> {
  for (;;) {
    const { models: states } = await gateway.status();
    if (Object.values(states).every(({ state }) => state === 'cold')) return;
    await pause(50);
  }
}

function summary(values: number[]): Record<string, number> {
  const sorted = [...values].sort((a, b) => a - b);
  const meanMs = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
  return {
    count: sorted.length,
    mean_ms: Math.round(meanMs),
    median_ms: Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0),
    max_ms: Math.round(sorted.at(-1) ?? 0),
  };
}
