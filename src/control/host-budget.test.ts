import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HostMemory } from '../devices/device.ts';
import { hostBudgetMib } from './host-budget.ts';

function host(totalMib: number, usedMib: number, ...ours: readonly number[]): HostMemory {
  return { totalMib, usedMib, launches: new Map(ours.map((mib, at) => [`l-${at}`, mib])) };
}

const CASES: readonly (readonly [string, HostMemory, number | null, number, number])[] = [
  ['an idle host gives all but the floor', host(64_000, 0), null, 8_000, 56_000],
  ['what others use is not to be had', host(64_000, 20_000), null, 8_000, 36_000],
  ['what we use ourselves is', host(64_000, 30_000, 6_000, 4_000), null, 8_000, 36_000],
  ['a limit below the rest', host(64_000, 0), 10_000, 8_000, 10_000],
  ['a limit above the rest', host(64_000, 40_000), 50_000, 8_000, 16_000],
  ['a limit of nothing', host(64_000, 0), 0, 0, 0],
  ['a full host', host(64_000, 60_000), null, 8_000, 0],
  ['a floor above the host', host(4_000, 0), null, 8_000, 0],
  ['engines that count shared pages twice', host(64_000, 10_000, 8_000, 8_000), null, 8_000, 56_000],
];

for (const [title, memory, limitMib, floorMib, expected] of CASES) {
  test(`host budget: ${title}`, () => {
    assert.equal(hostBudgetMib({ host: memory, limitMib, floorMib }), expected);
  });
}

test('an engine of ours that grows does not change the budget, a stranger that grows takes from it', () => {
  const mib = fc.integer({ min: 0, max: 1_000_000 });
  fc.assert(
    fc.property(mib, mib, mib, mib, mib, (totalMib, foreignMib, oursMib, floorMib, growthMib) => {
      const budget = (foreign: number, ours: number): number =>
        hostBudgetMib({ host: host(totalMib, foreign + ours, ours), limitMib: null, floorMib });
      const before = budget(foreignMib, oursMib);
      assert.equal(budget(foreignMib, oursMib + growthMib), before);
      assert.equal(budget(foreignMib + growthMib, oursMib), Math.max(0, before - growthMib));
      assert.ok(before >= 0 && before <= Math.max(0, totalMib - floorMib));
    }),
  );
});
