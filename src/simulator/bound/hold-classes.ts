/**
 * Classes of service times, rounded down: a residence lasts at least as long as the first request that it serves takes. Within a
 * class that time is one number, which keeps the hull of the programme exact.
 */
import { at } from './at.ts';

/** More classes round less and cost more. */
const CLASSES = 5;

export interface HoldClasses {
  /** Ascending; the class of a request is the last one that is not above its service time. */
  readonly holdsMs: readonly number[];
  /** Of each request, in the order of arrivals. */
  readonly classOf: Uint8Array;
}

export function holdClasses(servicesMs: Float64Array): HoldClasses {
  const sorted = servicesMs.toSorted();
  const holds = new Set<number>();
  for (let cls = 0; cls < CLASSES; cls += 1) {
    // The least of each fifth: nobody is rounded up.
    holds.add(at(sorted, Math.floor((cls * sorted.length) / CLASSES)));
  }
  const holdsMs = [...holds].sort((a, b) => a - b);
  const classOf = Uint8Array.from(servicesMs, (ms) => holdsMs.findLastIndex((hold) => hold <= ms));
  return { holdsMs, classOf };
}

/** Nothing is held: what any order of service allows. */
export function noHolds(servicesMs: Float64Array): HoldClasses {
  return { holdsMs: [0], classOf: new Uint8Array(servicesMs.length) };
}
