/** R5 of the original's document: the last-request time and the idle monitor agree. */
import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { RequestId } from '../../src/core/ids.ts';
import { createPrng } from '../../src/core/prng.ts';
import { simulatedConfig, simulatedModel, startGateway, until } from '../fixtures/gateway.ts';
import { beginChat, chat, isCompleteStream } from '../fixtures/requests.ts';
import { type RecordedStep, readRunRecord } from '../fixtures/run-record.ts';

const IDLE_S = 0.4;
/** The original looked every 60 s; a timer is late only as far as the machine is. */
const LATE_MS_MAX = 3_000;
const GAPS = 8;

test('R5: a model is never stopped while, or just after, it served, and stopped when it has been idle long enough', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  const record = join(directory, 'run.jsonl');
  const model = simulatedModel({
    args: ['--sim-tokens-per-second', 10, '--sim-prefill-tokens-per-second', 0],
    keys: { inactivity_timeout: IDLE_S },
  });
  const gateway = await startGateway({
    directory,
    config: simulatedConfig({ a: model }),
    args: ['--record', record],
  });
  const state = async (): Promise<string | undefined> => (await gateway.status()).models['a']?.state;
  try {
    // A stream of five times the limit: awake to its last byte.
    const stream = beginChat(gateway.url, 'a', { tokens: 20, stream: true });
    const end = await stream.ending;
    assert.ok(end.kind === 'answered' && isCompleteStream(end.answer.text));
    await until('it is stopped after its idle time', async () => (await state()) === 'cold');
    // Requests that come at about the moment of the stop are served, by the old engine or a new one.
    const random = createPrng(5);
    for (let gap = 0; gap < GAPS; gap += 1) {
      assert.equal((await chat(gateway.url, 'a', { tokens: 1 })).status, 200);
      await pause(IDLE_S * 1000 * (0.9 + random.next() * 0.2));
    }
    await until('it is stopped at last', async () => (await state()) === 'cold');
    assert.deepEqual((await gateway.status()).active_containers, {});
  } finally {
    await gateway.stop({ keep: true });
  }
  const steps = await readRunRecord(record);
  await gateway.kill();
  assertStopsAreIdle(steps);
  assert.deepEqual(gateway.errors, []);
});

/** Follows the requests through the record: every stop for idleness came when nothing ran, and at its time. */
function assertStopsAreIdle(steps: readonly RecordedStep[]): void {
  const open = new Set<RequestId>();
  let lastUseMs = Number.NEGATIVE_INFINITY;
  let stops = 0;
  for (const { atMs, event, effects } of steps) {
    if (event.kind === 'arrived') open.add(event.requestId);
    if (event.kind === 'finished' || event.kind === 'left') {
      open.delete(event.requestId);
      lastUseMs = atMs;
    }
    for (const effect of effects) {
      if (effect.kind !== 'stop' || !effect.reason.includes('idle')) continue;
      stops += 1;
      assert.equal(open.size, 0, 'stopped while a request was there');
      const idleMs = atMs - lastUseMs;
      assert.ok(idleMs >= IDLE_S * 1000, `stopped ${idleMs} ms after it served`);
      assert.ok(idleMs < IDLE_S * 1000 + LATE_MS_MAX, `stopped only ${idleMs} ms after it served`);
    }
  }
  assert.ok(stops >= 2, `${stops} stops for idleness`);
}
