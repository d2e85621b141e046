/**
 * The exact choice of victims: every combination of ways is looked at, except those that cannot be better.
 *  1. A branch ends as soon as each device has enough: more victims only cost more.
 *  2. It is given up when all that is left to take does not suffice on some device,
 *  3. or when even at the best price per MiB that is left the missing memory costs more than the best set so far.
 * Twelve single ways are at most 2^12 combinations, six engines with two ways each 3^6.
 */
import type { ChosenVictim, VictimCandidate } from './victims.ts';

/** Rounding of a price must not give up a set that is exactly as good. */
const ROUNDING = 1e-9;

/** As `cheapestVictims`; the time grows exponentially with the number of ways. */
export function exactVictims(
  candidates: readonly VictimCandidate[],
  neededMib: readonly number[],
): readonly ChosenVictim[] | null {
  const search = new Search(candidates, neededMib);
  search.visit(0, 0, 0);
  return search.best;
}

class Search {
  best: readonly ChosenVictim[] | null = null;
  #bestLoss = Number.POSITIVE_INFINITY;
  #bestFreedMib = Number.POSITIVE_INFINITY;
  /** Cheapest price per MiB first: good sets are found early, and the price of what is left is that of the next. */
  readonly #steps: readonly Step[];
  /** One row per depth, written on the way down: what is added and taken off again would leave rounding behind. */
  readonly #missingMib: readonly Float64Array[];
  readonly #taken: ChosenVictim[] = [];

  constructor(candidates: readonly VictimCandidate[], neededMib: readonly number[]) {
    const steps = candidates
      .map((candidate) => ({ candidate, price: bestPrice(candidate), reachMib: neededMib.map(() => 0) }))
      .sort((a, b) => (a.price === b.price ? 0 : a.price < b.price ? -1 : 1));
    const reachMib = neededMib.map(() => 0);
    for (const step of steps.toReversed()) {
      const largest = step.candidate.ways.at(-1)?.freesMib ?? 0;
      for (const index of step.candidate.on) reachMib[index] = (reachMib[index] ?? 0) + largest;
      step.reachMib = [...reachMib];
    }
    this.#steps = steps;
    this.#missingMib = [...steps, null].map(() => Float64Array.from(neededMib));
  }

  visit(depth: number, lossMs: number, freedMib: number): void {
    const missing = this.#missingMib[depth];
    if (missing === undefined) return;
    let leftMib = 0;
    for (const mib of missing) if (mib > 0) leftMib += mib;
    if (leftMib === 0) {
      this.#record(lossMs, freedMib);
      return;
    }
    const step = this.#steps[depth];
    const below = this.#missingMib[depth + 1];
    if (step === undefined || below === undefined) return;
    for (let index = 0; index < missing.length; index += 1) {
      if ((missing[index] ?? 0) > (step.reachMib[index] ?? 0)) return;
    }
    if ((lossMs + leftMib * step.price) * (1 - ROUNDING) > this.#bestLoss) return;
    const { resident, on, ways } = step.candidate;
    // A larger way adds nothing once the smaller one suffices on all its devices.
    let useful = on.some((index) => (missing[index] ?? 0) > 0);
    for (const way of ways) {
      if (!useful) break;
      below.set(missing);
      useful = false;
      for (const index of on) {
        const stillMib = (missing[index] ?? 0) - way.freesMib;
        below[index] = stillMib;
        useful ||= stillMib > 0;
      }
      this.#taken.push({ resident, way });
      this.visit(depth + 1, lossMs + way.lossMs, freedMib + way.freesMib * on.length);
      this.#taken.pop();
    }
    below.set(missing);
    this.visit(depth + 1, lossMs, freedMib);
  }

  #record(lossMs: number, freedMib: number): void {
    if (lossMs > this.#bestLoss || (lossMs === this.#bestLoss && freedMib >= this.#bestFreedMib)) return;
    this.best = [...this.#taken];
    this.#bestLoss = lossMs;
    this.#bestFreedMib = freedMib;
  }
}

interface Step {
  readonly candidate: VictimCandidate;
  /** The least loss per MiB of any of its ways, all its devices counted. */
  readonly price: number;
  /** What it and all after it free at most, on each device. */
  readonly reachMib: readonly number[];
}

function bestPrice(candidate: VictimCandidate): number {
  return Math.min(...candidate.ways.map((way) => way.lossMs / (way.freesMib * candidate.on.length)));
}
