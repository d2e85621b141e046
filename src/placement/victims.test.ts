import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrng } from '../core/prng.ts';
import { cheapestVictims, EXACT_CANDIDATES_MAX, type VictimCandidate } from './victims.ts';

function total(victims: readonly VictimCandidate[], key: 'cost' | 'memoryMib'): number {
  return victims.reduce((sum, victim) => sum + victim[key], 0);
}

/** The least cost by recursion over take and leave; shares nothing with the code under test. */
function leastCost(candidates: readonly VictimCandidate[], neededMib: number): number {
  const [first, ...rest] = candidates;
  if (neededMib <= 0) return 0;
  if (first === undefined) return Number.POSITIVE_INFINITY;
  return Math.min(leastCost(rest, neededMib), first.cost + leastCost(rest, neededMib - first.memoryMib));
}

function randomCandidates(seed: number, count: number): VictimCandidate[] {
  const prng = createPrng(seed);
  return Array.from({ length: count }, (_, index) => ({
    name: `m${index}`,
    memoryMib: 1 + prng.integer(20),
    cost: prng.integer(50),
  }));
}

test('up to twelve candidates the cheapest set is exact', () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const candidates = randomCandidates(seed, 1 + (seed % EXACT_CANDIDATES_MAX));
    const neededMib = 1 + (seed % 60);
    const chosen = cheapestVictims(candidates, neededMib);
    const best = leastCost(candidates, neededMib);
    if (chosen === null) assert.equal(best, Number.POSITIVE_INFINITY);
    else {
      assert.ok(total(chosen, 'memoryMib') >= neededMib);
      assert.equal(total(chosen, 'cost'), best, `seed ${seed}`);
    }
  }
});

test('beyond twelve the greedy set is within the optimum plus one member', () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const candidates = randomCandidates(seed, 16);
    const neededMib = 20 + (seed % 60);
    const chosen = cheapestVictims(candidates, neededMib);
    assert.ok(chosen !== null && total(chosen, 'memoryMib') >= neededMib);
    const dearest = Math.max(...candidates.map(({ cost }) => cost));
    assert.ok(total(chosen, 'cost') <= leastCost(candidates, neededMib) + dearest, `seed ${seed}`);
  }
});

test('nothing is taken when nothing is needed, and null says that all of them do not suffice', () => {
  const candidates = [{ name: 'a', memoryMib: 10, cost: 1 }];
  assert.deepEqual(cheapestVictims(candidates, 0), []);
  assert.equal(cheapestVictims(candidates, 11), null);
});
