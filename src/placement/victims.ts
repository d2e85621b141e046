/** Which engines on one device have to go. Pure arithmetic over what the caller says each would cost. */

export interface VictimCandidate {
  readonly name: string;
  readonly memoryMib: number;
  /** What losing it costs; any unit, additive. */
  readonly cost: number;
}

/** Up to this many candidates every subset is looked at; beyond, the greedy order by cost per MiB decides. */
export const EXACT_CANDIDATES_MAX = 12;

/**
 * The cheapest set of candidates that together free at least `neededMib`; null when all of them do not.
 * Ties go to the set that frees less. Exact up to `EXACT_CANDIDATES_MAX` candidates. Beyond that: greedy by cost per
 * MiB, then members that turned out superfluous are dropped, dearest first. All members but the last one taken cost no
 * more than the fractional optimum, so the sum is at most the optimum plus that one member.
 */
export function cheapestVictims(
  candidates: readonly VictimCandidate[],
  neededMib: number,
): readonly VictimCandidate[] | null {
  if (neededMib <= 0) return [];
  let totalMib = 0;
  for (const candidate of candidates) totalMib += candidate.memoryMib;
  if (totalMib < neededMib) return null;
  return candidates.length <= EXACT_CANDIDATES_MAX
    ? exactVictims(candidates, neededMib)
    : greedyVictims(candidates, neededMib);
}

function exactVictims(candidates: readonly VictimCandidate[], neededMib: number): readonly VictimCandidate[] {
  let best: readonly VictimCandidate[] = candidates;
  let bestCost = Number.POSITIVE_INFINITY;
  let bestFreedMib = Number.POSITIVE_INFINITY;
  for (let mask = 1; mask < 1 << candidates.length; mask += 1) {
    const chosen = candidates.filter((_, index) => (mask & (1 << index)) !== 0);
    const freedMib = chosen.reduce((sum, candidate) => sum + candidate.memoryMib, 0);
    if (freedMib < neededMib) continue;
    const cost = chosen.reduce((sum, candidate) => sum + candidate.cost, 0);
    if (cost < bestCost || (cost === bestCost && freedMib < bestFreedMib)) {
      best = chosen;
      bestCost = cost;
      bestFreedMib = freedMib;
    }
  }
  return best;
}

function greedyVictims(
  candidates: readonly VictimCandidate[],
  neededMib: number,
): readonly VictimCandidate[] {
  const byDensity = [...candidates].sort(
    (a, b) => a.cost / a.memoryMib - b.cost / b.memoryMib || b.memoryMib - a.memoryMib,
  );
  const chosen: VictimCandidate[] = [];
  let freedMib = 0;
  for (const candidate of byDensity) {
    if (freedMib >= neededMib) break;
    chosen.push(candidate);
    freedMib += candidate.memoryMib;
  }
  for (const candidate of [...chosen].sort((a, b) => b.cost - a.cost)) {
    if (freedMib - candidate.memoryMib < neededMib) continue;
    chosen.splice(chosen.indexOf(candidate), 1);
    freedMib -= candidate.memoryMib;
  }
  return chosen;
}
