/**
 * The moments at which a model may become ready in a best schedule. Everything that it pays is piecewise linear in that
 * moment, so a least cost lies where a piece begins:
 *
 * - at arrivals, where the waits grow faster;
 * - at edges of buckets, and so that the load begins at one, or the first request's service ends at one;
 * - where the service ends at a later arrival, which then is served too;
 * - for loads on demand: as soon as the request that asks for it allows.
 */
import { at } from './at.ts';
import type { BoundModel } from './bound-model.ts';
import type { HoldClasses } from './hold-classes.ts';
import type { TimeGrid } from './prices.ts';

/** Just after an arrival its request is one of those that waited. */
const RIGHT_AFTER_MS = 1e-5;

export type Variant = 'demand' | 'clairvoyant';

export interface ReadyTimes {
  /** Ascending. */
  readonly ms: Float64Array;
  /** Bits of the hold classes to try at each; the bit above all classes: no hold. */
  readonly classes: Uint16Array;
}

export function readyTimes(
  { arrivalsMs, firstColdMs, laterColdMs, sleep }: BoundModel,
  { holdsMs, classOf }: HoldClasses,
  { bucketMs, buckets }: TimeGrid,
  variant: Variant,
): ReadyTimes {
  const all = (2 << holdsMs.length) - 1;
  const noHold = 1 << holdsMs.length;
  const firstMs = variant === 'demand' ? at(arrivalsMs, 0) + firstColdMs : firstColdMs;
  const points = new Map<number, number>();
  const add = (ms: number, classes: number): void => {
    // Nothing is ready before its first start could be, whatever it is for.
    if (ms >= firstMs) points.set(ms, (points.get(ms) ?? 0) | classes);
  };
  const loads = sleep === null ? [laterColdMs] : [laterColdMs, sleep.wakeMs];
  for (let edge = 0; edge <= buckets; edge += 1) {
    const edgeMs = edge * bucketMs;
    add(edgeMs, all);
    for (const load of [firstColdMs, ...loads]) add(edgeMs + load, all);
    for (const [cls, hold] of holdsMs.entries()) add(edgeMs - hold, 1 << cls);
  }
  add(firstMs, all);
  for (let index = 0; index < arrivalsMs.length; index += 1) {
    const arrivalMs = at(arrivalsMs, index);
    add(arrivalMs, all);
    for (const [cls, hold] of holdsMs.entries()) add(arrivalMs - hold, 1 << cls);
    const own = 1 << at(classOf, index);
    const asked = variant === 'demand' ? own : 0;
    if (variant === 'clairvoyant') add(arrivalMs + RIGHT_AFTER_MS, own);
    for (const load of loads) add(arrivalMs + load, asked | noHold);
  }
  const ms = Float64Array.from(points.keys()).sort();
  return { ms, classes: Uint16Array.from(ms, (time) => points.get(time) ?? 0) };
}
