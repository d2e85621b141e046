import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrng } from '../core/prng.ts';
import type { WayOut } from './place.ts';
import {
  type ChosenVictim,
  cheapestVictims,
  EXACT_CANDIDATES_MAX,
  lossOf,
  type VictimCandidate,
  worthwhileWays,
} from './victims.ts';
import { resident, sleep, stop } from './view-fixtures.ts';

/** The least loss by recursion over stay and all ways; shares nothing with the code under test. */
function leastLoss(candidates: readonly VictimCandidate[], neededMib: readonly number[]): number {
  const [first, ...rest] = candidates;
  if (neededMib.every((mib) => mib <= 0)) return 0;
  if (first === undefined) return Number.POSITIVE_INFINITY;
  const going = first.ways.map((way) => {
    const left = neededMib.map((mib, index) => (first.on.includes(index) ? mib - way.freesMib : mib));
    return way.lossMs + leastLoss(rest, left);
  });
  return Math.min(leastLoss(rest, neededMib), ...going);
}

function freedMib(
  victims: readonly ChosenVictim[],
  candidates: readonly VictimCandidate[],
  index: number,
): number {
  return victims
    .filter((victim) =>
      candidates.some(({ resident: { model }, on }) => model === victim.resident.model && on.includes(index)),
    )
    .reduce((sum, victim) => sum + victim.way.freesMib, 0);
}

function dearestStep(candidates: readonly VictimCandidate[]): number {
  return Math.max(...candidates.flatMap(({ ways }) => ways.map((way) => way.lossMs)));
}

function randomCandidates(seed: number, wayCount: number, deviceCount: number): VictimCandidate[] {
  const prng = createPrng(seed);
  const candidates: VictimCandidate[] = [];
  for (let left = wayCount; left > 0; left -= candidates.at(-1)?.ways.length ?? left) {
    const asleep = sleep(1 + prng.integer(10), prng.integer(30));
    const stopped = stop(asleep.freesMib + 1 + prng.integer(10), asleep.lossMs + 1 + prng.integer(30));
    const first = prng.integer(deviceCount);
    const on = prng.integer(2) === 0 ? [first] : [...new Set([first, prng.integer(deviceCount)])];
    const ways: readonly WayOut[] = left > 1 && prng.integer(3) > 0 ? [asleep, stopped] : [stopped];
    candidates.push({ resident: resident(`m${left}`), on, ways });
  }
  return candidates;
}

function needs(seed: number, deviceCount: number): number[] {
  const prng = createPrng(-seed);
  return Array.from({ length: deviceCount }, () => prng.integer(45));
}

/** Checks what holds for any choice; null where all of them do not suffice. */
function chosenLoss(candidates: readonly VictimCandidate[], neededMib: readonly number[]): number | null {
  const chosen = cheapestVictims(candidates, neededMib);
  if (chosen === null) return null;
  const enough = (victims: readonly ChosenVictim[]): boolean =>
    neededMib.every((mib, index) => freedMib(victims, candidates, index) >= mib);
  assert.ok(enough(chosen));
  for (const spared of chosen) assert.ok(!enough(chosen.filter((victim) => victim !== spared)));
  return lossOf(chosen);
}

test('up to twelve ways the cheapest set is exact, on one device and on several', () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const deviceCount = 1 + (seed % 4);
    const candidates = randomCandidates(seed, 1 + (seed % EXACT_CANDIDATES_MAX), deviceCount);
    const neededMib = needs(seed, deviceCount);
    const loss = chosenLoss(candidates, neededMib);
    assert.equal(loss ?? Number.POSITIVE_INFINITY, leastLoss(candidates, neededMib), `seed ${seed}`);
  }
});

test('beyond twelve ways on one device the greedy set is within the optimum plus its last step', () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const candidates = randomCandidates(seed, 16, 1);
    const neededMib = [20 + (seed % 60)];
    const best = leastLoss(candidates, neededMib);
    const loss = chosenLoss(candidates, neededMib);
    assert.ok(loss !== null && loss <= best + dearestStep(candidates), `seed ${seed}`);
  }
});

test('beyond twelve ways on several devices the greedy set is within the optimum times 1 + ln of what is missing', () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const candidates = randomCandidates(seed, 15, 3);
    const neededMib = needs(seed, 3);
    const best = leastLoss(candidates, neededMib);
    const loss = chosenLoss(candidates, neededMib);
    const missingMib = neededMib.reduce((sum, mib) => sum + mib, 0);
    if (loss === null) assert.equal(best, Number.POSITIVE_INFINITY);
    else assert.ok(loss <= best * (1 + Math.log(missingMib)), `seed ${seed}: ${loss} for ${best}`);
  }
});

test('nothing is taken when nothing is needed, and null says that all of them do not suffice', () => {
  const candidates = [{ resident: resident('a'), on: [0], ways: [stop(10, 1)] }];
  assert.deepEqual(cheapestVictims(candidates, [0]), []);
  assert.equal(cheapestVictims(candidates, [11]), null);
  const many = Array.from({ length: 13 }, () => candidates).flat();
  assert.deepEqual(cheapestVictims(many, [0]), []);
  assert.equal(cheapestVictims(many, [131]), null);
});

test('a loss without limit is taken only where nothing else suffices', () => {
  const dear = { resident: resident('dear'), on: [0], ways: [stop(10, Number.POSITIVE_INFINITY)] };
  const cheap = { resident: resident('cheap'), on: [0], ways: [stop(10, 5)] };
  assert.deepEqual(
    cheapestVictims([dear, cheap], [10])?.map((victim) => victim.resident.model),
    ['cheap'],
  );
  assert.equal(cheapestVictims([dear, cheap], [20])?.length, 2);
});

test('ways that free no more and cost no less than another are left out', () => {
  const names = (ways: readonly WayOut[]): string[] => worthwhileWays(ways).map((way) => way.how);
  assert.deepEqual(names([sleep(5, 1), stop(10, 2)]), ['sleep', 'stop']);
  assert.deepEqual(names([sleep(5, 2), stop(10, 2)]), ['stop']);
  assert.deepEqual(names([sleep(10, 1), stop(10, 2)]), ['sleep']);
  assert.deepEqual(names([sleep(10, 2), stop(10, 2)]), ['stop']);
  assert.deepEqual(names([sleep(0, 0), stop(10, 2)]), ['stop']);
});
