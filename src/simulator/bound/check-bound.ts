/** Whether a simulated run is one that the bound allows. A run below it means that one of the two is wrong. */
import type { Bound } from './bound.ts';

export interface BoundedRun {
  /** Mean over all requests of their `not_ready` waits, in seconds. */
  readonly notReadyMeanS: number;
  /** Requests that the run counts. */
  readonly requests: number;
  /** Whether its scheduler loads models that nobody waits for. */
  readonly loadsAhead: boolean;
}

/** What clocks and averages may lose. */
const TOLERANCE_S = 1e-6;

/**
 * What is wrong, in words; null: the run is at or above the bound. Only for what the bound holds for (bound.ts): no faults, no
 * patience, open loop, every request served, the same world, trace, time scale and seed.
 */
export function checkAgainstBound(
  { notReadyMeanS, requests, loadsAhead }: BoundedRun,
  bound: Pick<Bound, 'requests' | 'demand_s' | 'clairvoyant_s'>,
): string | null {
  if (requests !== bound.requests)
    return `the run has ${requests} requests, and the bound is of ${bound.requests}: they cannot be compared`;
  const [name, least] = loadsAhead
    ? (['clairvoyant', bound.clairvoyant_s] as const)
    : (['demand', bound.demand_s] as const);
  if (notReadyMeanS >= least - TOLERANCE_S) return null;
  return `the run waited ${notReadyMeanS} s for models on average, less than the ${name} bound of ${least} s`;
}
