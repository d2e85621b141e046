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

type Cost = (run: ScenarioRun, rare: string) => number;
const longest: Cost = ({ waits }, rare) => waits.longestS(rare);
const mean: Cost = ({ figures }) => figures.not_ready_s.mean;

/** In what ours is at least so many times better than llama-swap. */
const BETTER: Readonly<Record<string, readonly [factor: number, cost: Cost]>> = {
  starvation: [5, longest],
  thrash: [3, ({ figures }) => figures.move_time_share],
  'ping-pong': [10, mean],
  'wide-4': [5, longest],
  'wide-8': [10, longest],
  'long-streams-cut': [8, longest],
  'long-streams-wait': [8, longest],
  'long-streams-two': [10, longest],
  'cold-burst': [22, ({ waits }) => waits.ends.refused],
  'whole-card': [2, mean],
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
    const llamaSwap = runs.get('llama-swap');
    assert.ok(ours !== undefined && llamaSwap !== undefined);
    assert.deepEqual(ours.broken, []);
    assert.equal(ours.figures.violations, 0);
    const better = BETTER[scenario.name];
    assert.ok(better !== undefined, `${scenario.name} says nothing of ours`);
    const [factor, cost] = better;
    const [oursIs, theirs] = [cost(ours, rare), cost(llamaSwap, rare)];
    assert.ok(factor * oursIs <= theirs, `${oursIs} is no ${factor}th of ${theirs}`);
  });
}
