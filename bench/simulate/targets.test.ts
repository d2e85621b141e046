import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimulationStatistics } from '../../src/simulator/statistics/simulation-statistics.ts';
import { cellTable, targetTable } from './tables.ts';
import { type CellRun, geometricMean, judged } from './targets.ts';

const NOTHING = new SimulationStatistics(1).figures({ endMs: 1, decisions: 0, decisionNs: 0 });

function run(policy: string, mean: number, p99: number, changes: Partial<CellRun['figures']> = {}): CellRun {
  const not_ready_s = { mean, p50: 0, p95: 0, p99, max: p99 };
  return { policy, patienceS: null, figures: { ...NOTHING, not_ready_s, fairness: 2, ...changes } };
}

const CELL = { world: 'w', trace: 't', scale: 1, boundS: 1 } as const;

test('ours is compared with the best peer, with the best of all, and with the bound', () => {
  const found = judged({
    ...CELL,
    runs: [
      run('default', 4, 90, { fairness: 3 }),
      run('llama-swap', 10, 60),
      run('ollama', 20, 100),
      run('landlord', 2, 50, { queue_bounded: false }),
      { ...run('default', 1, 1, { served_share: 0.9 }), patienceS: 120 },
      { ...run('ollama', 1, 1, { served_share: 0.8 }), patienceS: 120 },
    ],
  });
  assert.ok(found !== null);
  const { bestPeer, worstBaseline, overloaded, fairnessRatio } = found;
  assert.deepEqual(
    [bestPeer, worstBaseline, overloaded, fairnessRatio],
    ['llama-swap', 'landlord', true, 1.5],
  );
  const ratios = [found.peerRatio, found.worstRatio, found.p99Ratio, found.boundRatio, found.servedAhead];
  assert.deepEqual(
    ratios.map((ratio) => Number(ratio?.toFixed(2))),
    [0.4, 2, 1.5, 4, 0.1],
  );
  const text = targetTable([found]);
  assert.match(text, /geometric: 0\.400/);
  assert.match(text, /waits less: 1 of 1 \(target: 0\); worst 2\.00 x landlord/);
});

test('without ours or without a peer nothing is judged', () => {
  assert.equal(judged({ ...CELL, runs: [run('default', 1, 1), run('landlord', 2, 2)] }), null);
  assert.equal(judged({ ...CELL, runs: [run('lru', 1, 1)] }), null);
  assert.match(targetTable([]), /No cell/);
});

test('a cell shows its runs', () => {
  const text = cellTable({ ...CELL, runs: [run('default', 4, 90), { ...run('lru', 1, 1), patienceS: 60 }] });
  assert.match(text, /^w, t, time x 1\n/);
  assert.match(text, /lru, 60 s +1\.00/);
  assert.match(text, /demand only: 1\.00 s$/);
});

test('geometric means', () => {
  assert.equal(geometricMean([0.5, 2]), 1);
  assert.ok(Math.abs(geometricMean([1, 10, 100]) - 10) < 1e-9);
});
