/** Both bounds of scheduler/design.md hold for production, and their checkers catch whoever breaks them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createScheduler, type Scheduler } from '../../scheduler/scheduler.ts';
import type { SwapPolicy } from '../../scheduler/swap-policy.ts';
import { TURNS } from '../../scheduler/turns-policy.ts';
import { llamaSwap } from '../policies/llama-swap.ts';
import type { SimulatedRequest } from '../request-source.ts';
import { simulate, testCosts, testRequest, testWorld } from '../simulation-fixtures.ts';
import { SwappingChecker } from './swapping-checker.ts';
import { WaitingChecker } from './waiting-checker.ts';

const ONE_DEVICE = testWorld();
const TWO_DEVICES = testWorld({
  devices: [0, 1].map((index) => ({ id: `gpu-${index}`, memoryMib: 12_000, budgetFraction: 0.9 })),
  sleep: true,
  palette: [testCosts({ maxConcurrent: 2 })],
});

interface Checked {
  readonly waiting: WaitingChecker;
  readonly swapping: SwappingChecker;
  readonly waits: readonly string[];
  readonly swaps: readonly string[];
}

async function check(
  requests: readonly SimulatedRequest[],
  scheduler: Scheduler,
  world = ONE_DEVICE,
): Promise<Checked> {
  const waits: string[] = [];
  const swaps: string[] = [];
  const waiting = new WaitingChecker({ report: (text) => waits.push(text), everyPolicy: true });
  const swapping = new SwappingChecker((text) => swaps.push(text), true);
  const patienceMs = 4 * 3_600_000;
  await simulate(requests, { world, scheduler, patienceMs, observers: [waiting, swapping] });
  return { waiting, swapping, waits, swaps };
}

/** Requests one after the other, for the models in turn. */
function turns(count: number, gapMs: number, models: string): SimulatedRequest[] {
  return Array.from({ length: count }, (_, index) =>
    testRequest(index * gapMs, models.charAt(index % models.length)),
  );
}

/** The device is busy with a, b and c all the time; d wants it once. */
const BUSY = turns(8_000, 900, 'abc').map((request, index) =>
  index === 100 ? { ...request, model: 'd' } : request,
);

test('production keeps both bounds, on one device and on two', async () => {
  let worstMoves = 0;
  for (const world of [ONE_DEVICE, TWO_DEVICES]) {
    for (const requests of [BUSY, turns(400, 3_000, 'abcde')]) {
      const { waits, swaps, swapping, waiting } = await check(requests, createScheduler(), world);
      assert.deepEqual([...waits, ...swaps], []);
      assert.ok(swapping.worstMoves < 0.81, `${swapping.worstMoves} moves`);
      assert.ok(waiting.worst.share > 0);
      worstMoves = Math.max(worstMoves, swapping.worstMoves);
      assert.deepEqual([...waiting.suspended.keys()], []);
    }
  }
  // There was something to be measured.
  assert.ok(worstMoves > 0.5);
});

/** Its models get devices only when nobody else wants any. */
function starver(starved: string): SwapPolicy {
  return {
    name: TURNS.name,
    rebalance: (d) => {
      const model = d.state.models.get(starved);
      const isHidden =
        model !== undefined &&
        [...d.state.models.values()].some(
          (other) => other !== model && (other.queue.size > 0 || other.running.size > 0),
        );
      const contends = isHidden && d.state.contenders.delete(model);
      TURNS.rebalance(d);
      if (!contends) return;
      d.state.contenders.add(model);
      model.reviewAtMs = Number.POSITIVE_INFINITY;
    },
  };
}

test('waiting: whoever passes over one model for ever is caught', async () => {
  for (const world of [ONE_DEVICE, TWO_DEVICES]) {
    const { waits, swaps } = await check(BUSY, createScheduler(starver('d')), world);
    assert.match(waits.join('\n'), /^d has waited \d+ s for devices, and the bound is \d+ s/);
    assert.deepEqual(swaps, []);
  }
});

/** It keeps no turns and pays for nothing. */
const THRASHER: SwapPolicy = {
  name: TURNS.name,
  rebalance: (d) => {
    const { scheduling } = d.state;
    d.state.moveBudgets.clear();
    d.state.scheduling = { ...scheduling, switchShare: 0.999 };
    TURNS.rebalance(d);
    d.state.scheduling = scheduling;
  },
};

test('swapping: whoever keeps no turns is caught', async () => {
  for (const world of [ONE_DEVICE, TWO_DEVICES]) {
    const { swaps, swapping } = await check(turns(400, 3_000, 'abcde'), createScheduler(THRASHER), world);
    assert.match(swaps.join('\n'), /^moves that took gpu-0 from models in use exceed 0.2 of its time by/);
    assert.ok(swapping.worstMoves > 5, `${swapping.worstMoves} moves`);
  }
});

test('llama-swap breaks both', async () => {
  const starving = await check(turns(20_000, 900, 'aaaaaaaaaaaaaaaaaaab'), createScheduler(llamaSwap));
  assert.match(starving.waits.join('\n'), /^b has waited \d+ s for devices/);
  const thrashing = await check(turns(400, 3_000, 'ab'), createScheduler(llamaSwap));
  assert.match(thrashing.swaps.join('\n'), /^moves that took gpu-0/);
});

test('waiting: a broken assumption is named, and nothing is reported meanwhile', async () => {
  let isFaulty = true;
  const waits: string[] = [];
  const waiting = new WaitingChecker({
    report: (text) => waits.push(text),
    voidBy: () => (isFaulty ? 'a fault' : null),
  });
  const scheduler = createScheduler(starver('d'));
  const world = TWO_DEVICES;
  const options = { world, scheduler, patienceMs: 4 * 3_600_000, observers: [waiting] };
  await simulate(BUSY, options);
  assert.deepEqual(waits, []);
  assert.ok((waiting.suspended.get('a fault') ?? 0) > 1_000);
  isFaulty = false;
  await simulate(BUSY, options);
  assert.match(waits.join('\n'), /^d has waited/);
});
