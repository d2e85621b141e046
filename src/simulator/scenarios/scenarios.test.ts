/** Prints every scenario under every policy, and holds ours to what design.md promises (docs/scenarios.md). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runScenario, type ScenarioRun } from './scenario.ts';
import { SCENARIOS } from './scenarios.ts';

const OURS = 'default';
const BASELINES = ['llama-swap', 'lru', 'lru-sleep', 'ollama', 'landlord'];

function line(policy: string, { figures, waits, waiting, swapping }: ScenarioRun, rare: string): string {
  const { moves, not_ready_s: notReady } = figures;
  return [
    policy,
    notReady.mean.toFixed(1),
    notReady.p99.toFixed(0),
    waits.meanS(rare).toFixed(0),
    waits.longestS(rare).toFixed(0),
    moves.start + moves.wake,
    `${(100 * figures.move_time_share).toFixed(0)} %`,
    `${waits.ends.answered}/${waits.ends.refused}/${waits.ends.left}`,
    waiting.worst.share.toFixed(2),
    swapping.worstMoves.toFixed(2),
  ].join(' | ');
}

/** Whom the scenario is about. */
const RARE: Readonly<Record<string, string>> = {
  'wide-4': 'wide',
  'wide-8': 'wide',
  'whole-card': 'whole',
  'cold-burst': 'a',
};

for (const scenario of SCENARIOS) {
  test(`${scenario.name}: ours keeps both bounds`, async (context) => {
    const rare = RARE[scenario.name] ?? 'b';
    context.diagnostic(`${scenario.name} (${rare})`);
    const runs = new Map<string, ScenarioRun>();
    for (const policy of [OURS, ...BASELINES]) {
      const run = await runScenario(scenario, policy);
      runs.set(policy, run);
      context.diagnostic(line(policy, run, rare));
    }
    const ours = runs.get(OURS);
    assert.ok(ours !== undefined);
    assert.deepEqual(ours.broken, []);
    assert.equal(ours.figures.violations, 0);
  });
}
