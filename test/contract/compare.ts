/**
 * Compares what the two sides saw in one case. A difference that the case names with a reason passes; an unnamed one fails,
 * and so does a named one that no longer shows.
 */
import type { CaseRecord, ContractCase } from './contract-case.ts';

export interface Comparison {
  /** Empty when the case holds. Each is a sentence with the lines in question. */
  readonly faults: readonly string[];
}

type Outcome = CaseRecord | { readonly failure: string } | undefined;

export function compareCase(one: ContractCase, simulated: Outcome, real: Outcome): Comparison {
  const faults: string[] = [];
  const take = (side: 'simulated' | 'real', outcome: Outcome): readonly string[] | null => {
    if (one.only !== undefined && one.only.side !== side) return null;
    if (outcome === undefined) faults.push(`the ${side} engine has no record of it`);
    else if ('failure' in outcome) faults.push(`the ${side} engine failed it: ${outcome.failure}`);
    else return outcome.lines;
    return null;
  };
  const left = take('simulated', simulated);
  const right = take('real', real);
  if (left !== null && right !== null) faults.push(...differences(one, left, right));
  return { faults };
}

function differences(one: ContractCase, simulated: readonly string[], real: readonly string[]): string[] {
  const allowed = one.differences ?? [];
  const used = new Set<RegExp>();
  const explained = (line: string): boolean => {
    const by = allowed.filter((difference) => difference.line.test(line));
    for (const difference of by) used.add(difference.line);
    return by.length > 0;
  };
  const { onlyLeft, onlyRight } = splitLines(simulated, real);
  const faults = [
    ...onlyRight.filter((line) => !explained(line)).map((line) => `only real:      ${line}`),
    ...onlyLeft.filter((line) => !explained(line)).map((line) => `only simulated: ${line}`),
  ];
  const hidden = (line: string): boolean => allowed.some((difference) => difference.line.test(line));
  if (faults.length === 0)
    faults.push(
      ...orderFault(
        simulated.filter((l) => !hidden(l)),
        real.filter((l) => !hidden(l)),
      ),
    );
  const stale = allowed.filter(({ line, isRace }) => isRace !== true && !used.has(line));
  faults.push(
    ...stale.map((difference) => `no longer differs, remove the exemption: ${difference.line.source}`),
  );
  return faults;
}

/** How a fresh record of the real engine differs from the kept one, races aside; empty when it does not. */
export function recordDrift(one: ContractCase, kept: Outcome, fresh: Outcome): string[] {
  if (one.only?.side === 'simulated' || fresh === undefined || 'failure' in fresh) return [];
  if (kept === undefined || 'failure' in kept) return ['the case is not in the record'];
  const races = (one.differences ?? []).filter((difference) => difference.isRace === true);
  const steady = (line: string): boolean => !races.some((race) => race.line.test(line));
  const { onlyLeft, onlyRight } = splitLines(kept.lines.filter(steady), fresh.lines.filter(steady));
  return [...onlyLeft.map((line) => `recorded: ${line}`), ...onlyRight.map((line) => `now:      ${line}`)];
}

/** The lines that one side has more often than the other. */
function splitLines(
  left: readonly string[],
  right: readonly string[],
): { onlyLeft: string[]; onlyRight: string[] } {
  const surplus = (from: readonly string[], other: readonly string[]): string[] => {
    const counts = new Map<string, number>();
    for (const line of other) counts.set(line, (counts.get(line) ?? 0) + 1);
    return from.filter((line) => {
      const count = counts.get(line) ?? 0;
      counts.set(line, count - 1);
      return count <= 0;
    });
  };
  return { onlyLeft: surplus(left, right), onlyRight: surplus(right, left) };
}

function orderFault(left: readonly string[], right: readonly string[]): string[] {
  const at = left.findIndex((line, index) => line !== right[index]);
  return at < 0 ? [] : [`the order differs from line ${at} on: simulated "${left[at]}", real "${right[at]}"`];
}
