/**
 * The programme of one model without hulls, and at any moments: each is tried against all earlier leavings. Models that never have more
 * requests than slots only.
 */
import { at } from './at.ts';
import type { BoundModel } from './bound-model.ts';
import { EarlyStarts } from './early-starts.ts';
import { type HoldClasses, holdClasses, noHolds } from './hold-classes.ts';
import type { ProgramOptions } from './model-program.ts';
import type { ModelShares, TimeGrid } from './prices.ts';
import { ModelRents } from './rents.ts';

type Way = 'sleep' | 'stop';

interface Leaving {
  readonly way: Way;
  readonly served: number;
  cost: number;
}

export function naiveCost(
  model: BoundModel,
  shares: ModelShares,
  grid: TimeGrid,
  { variant, holds }: ProgramOptions,
  prices: Float64Array,
  timesMs: readonly number[],
): number {
  const rents = new ModelRents(grid);
  rents.charge(model, shares, prices);
  const { servicesMs, firstColdMs, laterColdMs, sleep } = model;
  const arrivals = [...model.arrivalsMs];
  const classes: HoldClasses = holds ? holdClasses(servicesMs) : noHolds(servicesMs);
  const holdOf = (index: number): number => classes.holdsMs[at(classes.classOf, index)] ?? 0;
  const early = variant === 'clairvoyant' ? new EarlyStarts(model, grid) : null;
  early?.prepare(rents);
  const servedMs = arrivals.map((_, count) =>
    Math.max(...arrivals.slice(0, count + 1).map((ms, i) => (holds ? ms + at(servicesMs, i) : ms))),
  );
  const ways: readonly Way[] = sleep === null ? ['stop'] : ['sleep', 'stop'];
  const leave = (way: Way, ms: number): number =>
    way === 'sleep' ? rents.sleepFrom(ms) : rents.stopFrom(ms);
  const leavings: Leaving[] = [];
  const addLeaving = (way: Way, served: number, cost: number): void => {
    const known = leavings.find((leaving) => leaving.way === way && leaving.served === served);
    if (known === undefined) leavings.push({ way, served, cost });
    else known.cost = Math.min(known.cost, cost);
  };
  const arriving = arrivals.map(() => Number.POSITIVE_INFINITY);
  let awake = Number.POSITIVE_INFINITY;
  let end = Number.POSITIVE_INFINITY;
  let arrived = 0;
  const arriveBefore = (ms: number): void => {
    for (; arrived < arrivals.length && (arrivals[arrived] ?? 0) < ms; arrived += 1) {
      awake = Math.min(awake, arriving[arrived] ?? 0);
      const freeMs = servedMs[arrived] ?? 0;
      for (const way of ways) addLeaving(way, arrived + 1, awake + leave(way, freeMs));
      if (arrived + 1 === arrivals.length) end = Math.min(end, awake + rents.awake(freeMs));
    }
  };
  const becomeReady = (cost: number, heldMs: number): void => {
    let count = arrived;
    while (count < arrivals.length && (arrivals[count] ?? 0) <= heldMs + 1e-6) count += 1;
    if (cost >= awake && heldMs >= (servedMs[count - 1] ?? 0)) return;
    for (const way of ways) {
      for (let served = arrived; served <= count; served += 1)
        addLeaving(way, served, cost + leave(way, heldMs));
    }
    if (count === arrivals.length) end = Math.min(end, cost + rents.awake(heldMs));
    else arriving[count] = Math.min(arriving[count] ?? 0, cost);
  };
  for (const readyMs of timesMs) {
    arriveBefore(readyMs);
    const moved = rents.move(readyMs);
    const waits = (from: number): number =>
      arrivals.slice(from, arrived).reduce((sum, arrivalMs) => sum + readyMs - arrivalMs, 0);
    // `null`: ready before the next request comes, which then holds it by itself.
    const tried: { cost: number; heldMs: number | null }[] = [];
    const asksFrom = (index: number, loadMs: number): boolean =>
      variant === 'clairvoyant' || (arrivals[index] ?? Number.POSITIVE_INFINITY) + loadMs <= readyMs;
    if (readyMs >= firstColdMs && asksFrom(0, firstColdMs)) {
      const load = Math.min(
        moved - rents.move(readyMs - firstColdMs),
        early?.first(readyMs, moved) ?? Number.POSITIVE_INFINITY,
        early?.stopped(readyMs, moved) ?? Number.POSITIVE_INFINITY,
      );
      tried.push({ cost: waits(0) + load, heldMs: arrived === 0 ? null : readyMs + holdOf(0) });
    }
    for (const { way, served, cost } of leavings) {
      const loadMs = way === 'sleep' ? (sleep?.wakeMs ?? 0) : laterColdMs;
      if (served > arrived || served >= arrivals.length || readyMs < loadMs || !asksFrom(served, loadMs))
        continue;
      let load = moved - rents.move(readyMs - loadMs);
      if (way === 'sleep') load += rents.asleep(readyMs - loadMs);
      else load = Math.min(load, early?.later(readyMs, moved) ?? Number.POSITIVE_INFINITY);
      const heldMs = served === arrived ? null : readyMs + holdOf(served);
      tried.push({ cost: cost + waits(served) + load, heldMs });
    }
    for (const { cost, heldMs } of tried) {
      const awakeCost = cost - rents.awake(readyMs);
      if (heldMs !== null) becomeReady(awakeCost, heldMs);
      else if (arrived < arrivals.length) arriving[arrived] = Math.min(arriving[arrived] ?? 0, awakeCost);
    }
  }
  arriveBefore(Number.POSITIVE_INFINITY);
  return end;
}
