/**
 * The choice of victims where there are too many for an exact one: the step with the least loss per useful MiB is
 * taken until each device has enough. A step takes a candidate by one of its ways, or changes a member to a larger way
 * for the difference. Then members that turned out superfluous are dropped or changed back, the dearest first.
 *
 * What the result costs at most, beside the optimum O (dropping only makes it cheaper):
 * - On one device all that a step frees counts as useful. The order is then the one in which the fractional optimum
 *   takes steps, and all but the last step are part of that optimum: O + the last step.
 * - On several devices only what is still missing counts. With R_k missing in all before step k, some step of the
 *   optimum's has a price of at most O / R_k, because its members together would free R_k (what ways free together,
 *   counted up to the need, is submodular). So the steps cost at most O x sum of gain_k / R_k, which is
 *   O x (1 + ln(R_1 / R_last)): R_1 what is missing at first, R_last what is missing before the last step. In whole MiB
 *   never above 1 + ln(R_1); it is Wolsey's bound for covering (Combinatorica 2, 1982). "O + the last step" does not
 *   hold there: the price of covering one device says nothing about what the others still need.
 */
import type { WayOut } from './place.ts';
import type { ChosenVictim, VictimCandidate } from './victims.ts';

/** As `cheapestVictims`, with the ratios above. */
export function greedyVictims(
  candidates: readonly VictimCandidate[],
  neededMib: readonly number[],
): readonly ChosenVictim[] | null {
  const missingMib = Float64Array.from(neededMib);
  const members = candidates.map((candidate): Member => ({ candidate, way: null }));
  while (missingMib.some((mib) => mib > 0)) {
    const step = cheapestStep(members, missingMib);
    if (step === null) return null;
    change(step.member, step.way, missingMib);
  }
  trim(members, missingMib);
  return members.flatMap(({ candidate, way }) =>
    way === null ? [] : [{ resident: candidate.resident, way }],
  );
}

interface Member {
  readonly candidate: VictimCandidate;
  /** Null: it stays. */
  way: WayOut | null;
}

interface GreedyStep {
  readonly member: Member;
  readonly way: WayOut;
}

function cheapestStep(members: readonly Member[], missingMib: Float64Array): GreedyStep | null {
  let best: GreedyStep | null = null;
  let bestPrice = Number.POSITIVE_INFINITY;
  let bestUsefulMib = 0;
  for (const member of members) {
    for (const way of member.candidate.ways) {
      const moreMib = way.freesMib - (member.way?.freesMib ?? 0);
      if (moreMib <= 0) continue;
      const usefulMib = usefulOf(member.candidate, moreMib, missingMib);
      if (usefulMib === 0) continue;
      const price = (way.lossMs - (member.way?.lossMs ?? 0)) / usefulMib;
      if (price > bestPrice || (price === bestPrice && usefulMib <= bestUsefulMib)) continue;
      best = { member, way };
      bestPrice = price;
      bestUsefulMib = usefulMib;
    }
  }
  return best;
}

function usefulOf(candidate: VictimCandidate, moreMib: number, missingMib: Float64Array): number {
  if (missingMib.length === 1) return moreMib;
  let usefulMib = 0;
  for (const index of candidate.on) usefulMib += Math.max(0, Math.min(moreMib, missingMib[index] ?? 0));
  return usefulMib;
}

function change(member: Member, way: WayOut | null, missingMib: Float64Array): void {
  const moreMib = (way?.freesMib ?? 0) - (member.way?.freesMib ?? 0);
  for (const index of member.candidate.on) missingMib[index] = (missingMib[index] ?? 0) - moreMib;
  member.way = way;
}

/** Each member goes by the least way that still suffices, or stays. */
function trim(members: readonly Member[], missingMib: Float64Array): void {
  const dearestFirst = members.toSorted((a, b) => (b.way?.lossMs ?? 0) - (a.way?.lossMs ?? 0));
  for (const member of dearestFirst) {
    const takenMib = member.way?.freesMib ?? 0;
    for (const way of [null, ...member.candidate.ways]) {
      const lessMib = takenMib - (way?.freesMib ?? 0);
      if (lessMib <= 0) break;
      if (member.candidate.on.some((index) => (missingMib[index] ?? 0) + lessMib > 0)) continue;
      change(member, way, missingMib);
      break;
    }
  }
}
