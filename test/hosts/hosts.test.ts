/**
 * Simulated hosts under ten thousand random requests for thirty models each: the devices refuse whoever over-commits, as real
 * ones do, so a wrong size, a forgotten neighbour or a move at the wrong time ends an engine. None may end.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CARD_MIB, type HostPlan } from './host-plan.ts';
import { faultsOf, figures, type HostRun, runHost } from './host-run.ts';

interface Story {
  readonly plan: HostPlan;
  readonly requests: number;
  readonly bursts: number;
}

const cards = (count: number): readonly number[] => Array.from({ length: count }, () => CARD_MIB);

/** Small hosts get fewer requests: nearly each of their bursts is a swap. */
const STORIES: readonly Story[] = [
  {
    plan: { name: '1 x 24 GiB', devices: cards(1), hostMemoryMib: 49_152, seed: 1 },
    requests: 1_000,
    bursts: 8,
  },
  {
    plan: { name: '2 x 24 GiB', devices: cards(2), hostMemoryMib: 28_672, seed: 2 },
    requests: 2_000,
    bursts: 10,
  },
  {
    plan: {
      name: '2 x 24 GiB and 1 x 12 GiB',
      devices: [...cards(2), CARD_MIB / 2],
      hostMemoryMib: 32_768,
      seed: 3,
    },
    requests: 2_000,
    bursts: 10,
  },
  {
    plan: { name: '8 x 24 GiB', devices: cards(8), hostMemoryMib: 65_536, seed: 4 },
    requests: 5_000,
    bursts: 16,
  },
];

/** Far below what the runs need; a run without them would show nothing. */
const STARTS_LEAST = 30;

const runs: HostRun[] = [];

for (const { plan, requests, bursts } of STORIES) {
  test(`${plan.name}: ${requests} requests for thirty models, and no engine ends`, async () => {
    const run = await runHost(plan, { requests, bursts });
    console.log(figures(run));
    assert.deepEqual(faultsOf(run), []);
    assert.equal(run.crowd.answered + run.crowd.left, requests);
    assert.ok(run.moves.start >= STARTS_LEAST, `only ${run.moves.start} starts`);
    runs.push(run);
  });
}

test('taken together they slept, woke, and lost sleepers for want of host memory', () => {
  const sum = (of: (run: HostRun) => number): number => runs.reduce((total, run) => total + of(run), 0);
  assert.ok(sum(({ moves }) => moves.sleep) >= 10, 'hardly any engine slept');
  assert.ok(sum(({ moves }) => moves.wake) >= 3, 'hardly any engine woke');
  assert.ok(sum(({ hostStops }) => hostStops) >= 1, 'host memory was never short');
});

test('a sizing that forgets the overhead is caught', async () => {
  const plan: HostPlan = {
    name: 'the mutant',
    devices: cards(2),
    hostMemoryMib: 65_536,
    seed: 7,
    overheadLeast: 0.9,
  };
  // Without the share of each card that stays free, nothing hides what was forgotten.
  const keys = {
    scheduling: { budget_overhead_factor: 1, budget_overhead_mib: 0 },
    devices: { budget_fraction: 1 },
  };
  const run = await runHost(plan, { requests: 600, bursts: 10, keys });
  console.log(figures(run));
  // Corrections and learned sizes may heal it, so that requests are answered all the same; what has happened stays visible.
  assert.ok(run.verdict.outOfMemory.length > 0, 'no engine ran out of memory');
  assert.ok(run.verdict.ended.length > 0, 'no engine ended');
  assert.ok(run.verdict.mended.length > 0, 'no estimate was corrected');
  assert.ok(run.failedStarts > 0, 'no start failed');
  assert.ok(run.watched.overCommits.length > 0, 'no engine held more than was reserved for it');
  assert.ok(faultsOf(run).length > 0);
});
