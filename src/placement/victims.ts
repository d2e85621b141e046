/** Which engines have to go, and how, so that each of some devices gets enough. Pure arithmetic over given losses. */
import { exactVictims } from './exact-victims.ts';
import { greedyVictims } from './greedy-victims.ts';
import type { ResidentView, WayOut } from './place.ts';

export interface VictimCandidate {
  readonly resident: ResidentView;
  /** Positions, in the list of needs, of the devices on which it frees memory: at least one. */
  readonly on: readonly number[];
  /** At least one; those that free less first, each frees something, each costs more than the one before it. */
  readonly ways: readonly WayOut[];
}

export interface ChosenVictim {
  readonly resident: ResidentView;
  readonly way: WayOut;
}

/** Up to this many ways of all candidates together the cheapest set is found exactly. */
export const EXACT_CANDIDATES_MAX = 12;

/**
 * The candidates, each with one of its ways, that at the least loss in all free at least `neededMib[i]` on each device
 * i; null when all of them do not. A candidate on several devices frees on all of them and is paid once. Losses are not
 * negative. Exact up to `EXACT_CANDIDATES_MAX` ways, ties go to what frees less; beyond that greedy, with the ratios
 * that greedy-victims.ts states. No member is superfluous in either case.
 */
export function cheapestVictims(
  candidates: readonly VictimCandidate[],
  neededMib: readonly number[],
): readonly ChosenVictim[] | null {
  const wayCount = candidates.reduce((sum, candidate) => sum + candidate.ways.length, 0);
  return wayCount <= EXACT_CANDIDATES_MAX
    ? exactVictims(candidates, neededMib)
    : greedyVictims(candidates, neededMib);
}

/** The ways that can be part of a cheapest set: one that frees no more than another and costs no less cannot. */
export function worthwhileWays(ways: readonly WayOut[]): readonly WayOut[] {
  const [only] = ways;
  if (only !== undefined && ways.length === 1) return only.freesMib > 0 ? ways : [];
  const kept: WayOut[] = [];
  const largestFirst = ways.toReversed().sort((a, b) => b.freesMib - a.freesMib || a.lossMs - b.lossMs);
  for (const way of largestFirst) {
    if (way.freesMib <= 0) continue;
    const larger = kept.at(-1);
    if (larger === undefined || way.lossMs < larger.lossMs) kept.push(way);
  }
  return kept.reverse();
}

/** What they cost in all. */
export function lossOf(victims: readonly ChosenVictim[]): number {
  return victims.reduce((sum, victim) => sum + victim.way.lossMs, 0);
}
