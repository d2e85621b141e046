import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SimulatedRequest } from '../request-source.ts';
import type { SimulationOptions } from '../simulation.ts';
import { simulate, testCosts, testRequest, testWorld } from '../simulation-fixtures.ts';
import type { RequestTimes } from '../simulation-observer.ts';
import { SimulationStatistics } from './simulation-statistics.ts';

async function figuresOf(requests: readonly SimulatedRequest[], options: Partial<SimulationOptions> = {}) {
  const statistics = new SimulationStatistics(options.world?.devices.length ?? 1);
  const { end } = await simulate(requests, { ...options, observers: [statistics] });
  return statistics.figures(end);
}

test('a wait is split: before the engine was ready, and with all its slots taken', async () => {
  const world = testWorld({ palette: [testCosts({ maxConcurrent: 2 })] });
  // The first waits 10 s for the start and runs until 12; the second runs from 10.5 to 12.5; the third waits until 12.
  const requests = [0, 10_500, 10_600, 20_000].map((atMs) => testRequest(atMs, 'a'));
  const figures = await figuresOf(requests, { world });
  assert.deepEqual(
    [figures.wait_s.mean, figures.not_ready_s.mean, figures.engine_full_s.mean],
    [2.85, 2.5, 0.35],
  );
  assert.deepEqual([figures.wait_s.max, figures.not_ready_s.max, figures.engine_full_s.max], [10, 10, 1.4]);
  assert.deepEqual([figures.requests, figures.served, figures.left, figures.refused], [4, 4, 0, 0]);
  assert.deepEqual(figures.moves, { start: 1, wake: 0, sleep: 0, stop: 0 });
  // 10 s of 22.
  assert.equal(figures.move_time_share, 0.4545);
  assert.deepEqual(figures.quarters_wait_s, [10, 0, 1.4, 0]);
  assert.equal(figures.queue_bounded, true);
  assert.equal(figures.violations, 0);
});

test('a wait may have both parts: slots taken before and after it were not ready', async () => {
  const world = testWorld({ palette: [testCosts({ maxConcurrent: 1 })] });
  // One slot: the start takes 10 s, then each of the others waits for those before it.
  const figures = await figuresOf(
    [0, 0, 0].map((atMs) => testRequest(atMs, 'a')),
    { world },
  );
  assert.deepEqual(figures.wait_s.max, 14);
  assert.deepEqual(figures.not_ready_s.max, 10);
  assert.deepEqual(figures.engine_full_s.max, 4);
  assert.deepEqual(figures.slow, { over_10_s: 0.6667, over_60_s: 0 });
});

test('fairness is the worst mean over the median; moves and drains are shares of all devices', async () => {
  const world = testWorld({
    devices: ['gpu-0', 'gpu-1'].map((id) => ({ id, memoryMib: 12_000, budgetFraction: 0.9 })),
  });
  // a and b find a device each and wait 10 s; c waits until a has ended (at 14), is stopped (2 s) and c is started (10 s).
  const requests = [testRequest(0, 'a', 300), testRequest(0, 'b', 9_000), testRequest(11_000, 'c')];
  const figures = await figuresOf(requests, { world });
  assert.equal(figures.worst_model, 'c');
  assert.equal(figures.worst_model_wait_s, figures.wait_s.max);
  assert.equal(figures.fairness, Number((figures.wait_s.max / 10).toPrecision(4)));
  assert.deepEqual(figures.moves, { start: 3, wake: 0, sleep: 0, stop: 1 });
  const endS = figures.simulated_hours * 3600;
  assert.ok(Math.abs(figures.move_time_share - 32 / (2 * endS)) < 1e-3, `${figures.move_time_share}`);
});

test('whoever leaves has waited until then, and is not served', async () => {
  const requests = [testRequest(0, 'a'), testRequest(9_000, 'a')];
  const figures = await figuresOf(requests, { patienceMs: 5_000 });
  assert.deepEqual([figures.served, figures.left, figures.served_share], [1, 1, 0.5]);
  assert.deepEqual([figures.wait_s.max, figures.wait_s.mean], [5, 3]);
  assert.deepEqual([figures.served_within_10_s, figures.served_within_60_s], [0.5, 0.5]);
});

test('violations are counted, and the first ones told', () => {
  const statistics = new SimulationStatistics(1);
  for (let index = 0; index < 30; index += 1) statistics.violated(`broken ${index}`, 1_500);
  const figures = statistics.figures({ endMs: 2_000, decisions: 4, decisionNs: 10_000 });
  assert.equal(figures.violations, 30);
  assert.equal(figures.violation_texts.length, 20);
  assert.equal(figures.violation_texts[0], 'at 1.500 s: broken 0');
  assert.deepEqual([figures.decisions, figures.decision_us], [4, 2.5]);
});

test('a queue that grows is told', () => {
  const statistics = new SimulationStatistics(1);
  for (let id = 0; id < 8; id += 1) {
    const times: RequestTimes = { id, request: testRequest(0, 'a'), arrivedMs: 0, dispatchedMs: null };
    statistics.arrived(times);
    statistics.dispatched({ ...times, dispatchedMs: id * 1000 }, id * 1000);
    statistics.ended(times, 'answered', id * 1000);
  }
  const figures = statistics.figures({ endMs: 8_000, decisions: 1, decisionNs: 1 });
  assert.deepEqual(figures.quarters_wait_s, [0.5, 2.5, 4.5, 6.5]);
  assert.equal(figures.queue_bounded, false);
});
