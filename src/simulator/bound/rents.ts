/**
 * What one model pays at the present prices: rents summed up over time, and what it costs to leave its devices.
 *
 * Rates are constant within a bucket, so all sums are piecewise linear. Leaving (`sleepFrom`, `stopFrom`) is the least over all
 * moments from `fromMs` on; it never falls as `fromMs` grows. Where a move crosses an edge its price is rounded down to the
 * least of the buckets that it touches, which only lowers the bound, and keeps the kinks of these functions at the edges:
 * there, and nowhere else, the programme has to look.
 */
import { at } from './at.ts';
import type { BoundModel } from './bound-model.ts';
import type { ModelShares, TimeGrid } from './prices.ts';

/** Sums of times lose some digits. */
const TOLERANCE_MS = 1e-6;

/** One stretch of time in which a model rests, from the end of one residence on. */
export interface Leaving {
  /** When its engine leaves: the sleep or the stop begins. */
  readonly atMs: number;
  /** It first falls asleep, and is stopped from there at `stopMs`. */
  readonly viaSleepUntilMs: number | null;
}

export class ModelRents {
  readonly #bucketMs: number;
  readonly #buckets: number;
  /** Rates by bucket, and their integrals up to its start; the last entry is what comes after all buckets. */
  readonly #awakeRate: Float64Array;
  readonly #asleepRate: Float64Array;
  readonly #moveRate: Float64Array;
  readonly #awake: Float64Array;
  readonly #asleep: Float64Array;
  readonly #move: Float64Array;
  /** Of leaving within this bucket, on top of the rents. */
  readonly #sleepMove: Float64Array;
  readonly #stopMove: Float64Array;
  readonly #viaMove: Float64Array;
  readonly #viaRest: Float64Array;
  readonly #lateStop: Float64Array;
  /** Of leaving near this bucket's end or later; and when, and whether by way of sleep. */
  readonly #sleepRest: Float64Array;
  readonly #sleepRestAtMs: Float64Array;
  readonly #stopRest: Float64Array;
  readonly #stopRestAtMs: Float64Array;
  readonly #stopRestVia: Uint8Array;
  readonly #lateStopRest: Float64Array;
  readonly #lateStopAtMs: Float64Array;
  /** Whether a sleeper anywhere had better lie awake and unused. */
  #liesAwake = false;
  #fallMs = 0;
  #stopMs = 0;
  #sleeps = false;

  constructor({ bucketMs, buckets }: TimeGrid) {
    this.#bucketMs = bucketMs;
    this.#buckets = buckets;
    const row = (): Float64Array => new Float64Array(buckets + 2);
    this.#awakeRate = row();
    this.#asleepRate = row();
    this.#moveRate = row();
    this.#awake = row();
    this.#asleep = row();
    this.#move = row();
    this.#sleepMove = row();
    this.#stopMove = row();
    this.#viaMove = row();
    this.#viaRest = row();
    this.#lateStop = row();
    this.#sleepRest = row();
    this.#sleepRestAtMs = row();
    this.#stopRest = row();
    this.#stopRestAtMs = row();
    this.#stopRestVia = new Uint8Array(buckets + 2);
    this.#lateStopRest = row();
    this.#lateStopAtMs = row();
  }

  /** `prices`: of all resources one after the other, by bucket (prices.ts). */
  charge(model: BoundModel, shares: ModelShares, prices: Float64Array): void {
    const buckets = this.#buckets;
    const residueRate = this.#lateStop;
    this.#liesAwake = false;
    for (let bucket = 0; bucket <= buckets; bucket += 1) {
      const isAfter = bucket === buckets;
      const memory = isAfter ? 0 : at(prices, bucket);
      const packing = isAfter ? 0 : at(prices, buckets + bucket);
      const movers = isAfter ? 0 : at(prices, 2 * buckets + bucket);
      const host = isAfter ? 0 : at(prices, 3 * buckets + bucket);
      const awake = memory * shares.memory + packing * shares.packing;
      this.#awakeRate[bucket] = awake;
      // A sleeper may also lie awake and unused: whatever is cheaper.
      const asleep = memory * shares.residue + host * shares.host;
      this.#asleepRate[bucket] = Math.min(awake, asleep);
      if (awake < asleep) this.#liesAwake = true;
      this.#moveRate[bucket] = awake + movers * shares.movers;
      residueRate[bucket] = memory * shares.residue + movers * shares.movers;
    }
    this.#integrate(this.#awakeRate, this.#awake);
    this.#integrate(this.#asleepRate, this.#asleep);
    this.#integrate(this.#moveRate, this.#move);
    this.#stopMs = model.stopMs;
    this.#sleeps = model.sleep !== null;
    this.#fallMs = model.sleep?.fallMs ?? 0;
    if (this.#sleeps) {
      this.#prepareLateStops(residueRate);
      this.#prepareSleeps();
    }
    this.#prepareStops();
  }

  get liesAwake(): boolean {
    return this.#liesAwake;
  }

  awake(ms: number): number {
    const bucket = this.#bucketOf(ms);
    return at(this.#awake, bucket) + at(this.#awakeRate, bucket) * (ms - bucket * this.#bucketMs);
  }

  asleep(ms: number): number {
    const bucket = this.#bucketOf(ms);
    return at(this.#asleep, bucket) + at(this.#asleepRate, bucket) * (ms - bucket * this.#bucketMs);
  }

  /** Of moves that hold the memory of an awake engine: starts, sleeps, wakings, stops of engines awake. */
  move(ms: number): number {
    const bucket = this.#bucketOf(ms);
    return at(this.#move, bucket) + at(this.#moveRate, bucket) * (ms - bucket * this.#bucketMs);
  }

  /**
   * The least of `awake(e) + the sleep from e on - asleep(its end)` over all e from `fromMs` on: what is paid from time 0 on
   * by an engine that is awake until e, when `asleep(start of its waking)` is added.
   */
  sleepFrom(fromMs: number): number {
    const bucket = this.#bucketBefore(fromMs);
    const offset = fromMs - bucket * this.#bucketMs;
    const now =
      at(this.#awake, bucket) -
      at(this.#asleep, bucket) +
      (at(this.#awakeRate, bucket) - at(this.#asleepRate, bucket)) * offset +
      at(this.#sleepMove, bucket);
    return Math.min(now, at(this.#sleepRest, bucket));
  }

  /** The least of `awake(e) + what it takes to be stopped`, directly or by way of sleep, over all e from `fromMs` on. */
  stopFrom(fromMs: number): number {
    const bucket = this.#bucketBefore(fromMs);
    const offset = fromMs - bucket * this.#bucketMs;
    const awake = at(this.#awake, bucket) + at(this.#awakeRate, bucket) * offset;
    const now = awake + at(this.#stopMove, bucket);
    const rest = at(this.#stopRest, bucket);
    if (!this.#sleeps) return Math.min(now, rest);
    const asleep = at(this.#asleep, bucket) + at(this.#asleepRate, bucket) * offset;
    return Math.min(now, rest, awake + at(this.#viaMove, bucket), awake - asleep + at(this.#viaRest, bucket));
  }

  /** Where the least of `sleepFrom` is. */
  sleepingFrom(fromMs: number): Leaving {
    const bucket = this.#bucketBefore(fromMs);
    const isLater = this.sleepFrom(fromMs) === at(this.#sleepRest, bucket);
    const atMs = isLater ? Math.max(fromMs, at(this.#sleepRestAtMs, bucket)) : fromMs;
    return { atMs, viaSleepUntilMs: null };
  }

  /** Where the least of `stopFrom` is. */
  stoppingFrom(fromMs: number): Leaving {
    const bucket = this.#bucketBefore(fromMs);
    const least = this.stopFrom(fromMs);
    if (least === at(this.#stopRest, bucket)) {
      const atMs = Math.max(fromMs, at(this.#stopRestAtMs, bucket));
      return { atMs, viaSleepUntilMs: this.#lateStopOf(atMs, at(this.#stopRestVia, bucket)) };
    }
    const offset = fromMs - bucket * this.#bucketMs;
    const awake = at(this.#awake, bucket) + at(this.#awakeRate, bucket) * offset;
    if (least === awake + at(this.#stopMove, bucket)) return { atMs: fromMs, viaSleepUntilMs: null };
    const atOnce = least === awake + at(this.#viaMove, bucket);
    return { atMs: fromMs, viaSleepUntilMs: this.#lateStopOf(fromMs, atOnce ? 1 : 2) };
  }

  /** `way` 0: directly, 1: asleep and stopped at once, 2: stopped later. */
  #lateStopOf(atMs: number, way: number): number | null {
    const endMs = atMs + this.#fallMs;
    if (way === 0) return null;
    return way === 1 ? endMs : Math.max(endMs, at(this.#lateStopAtMs, this.#bucketOf(atMs)));
  }

  #bucketOf(ms: number): number {
    const bucket = Math.floor(ms / this.#bucketMs);
    return bucket < this.#buckets ? bucket : this.#buckets;
  }

  /** An edge belongs to the bucket before it: leaving may cost more right after it, and the programme looks at edges only. */
  #bucketBefore(ms: number): number {
    const bucket = Math.ceil((ms - TOLERANCE_MS) / this.#bucketMs) - 1;
    return Math.max(0, bucket < this.#buckets ? bucket : this.#buckets);
  }

  #integrate(rates: Float64Array, sums: Float64Array): void {
    let sum = 0;
    for (let bucket = 0; bucket <= this.#buckets; bucket += 1) {
      sums[bucket] = sum;
      sum += at(rates, bucket) * this.#bucketMs;
    }
  }

  /** The least rate that a move of this length meets when it begins in this bucket, times its length. */
  #leastMove(bucket: number, lengthMs: number, rate: (bucket: number) => number): number {
    const last = Math.min(this.#buckets, bucket + Math.floor(lengthMs / this.#bucketMs) + 1);
    let least = rate(bucket);
    for (let touched = bucket + 1; touched <= last; touched += 1) least = Math.min(least, rate(touched));
    return lengthMs * least;
  }

  /** From when on a move of this length crosses the end of this bucket. */
  #crossingMs(bucket: number, lengthMs: number): number {
    const startMs = bucket * this.#bucketMs;
    return bucket === this.#buckets ? startMs : Math.max(startMs, startMs + this.#bucketMs - lengthMs);
  }

  /** A price within a bucket: exact as far as the move fits in it, else the least of what it touches. */
  #moveWithin(bucket: number, lengthMs: number, rate: (bucket: number) => number): number {
    return lengthMs <= this.#bucketMs ? lengthMs * rate(bucket) : this.#leastMove(bucket, lengthMs, rate);
  }

  /** Stops of sleepers: the least of `asleep(z) + the stop from z on` over all z from a moment on. */
  #prepareLateStops(residueRate: Float64Array): void {
    const rate = (bucket: number): number => at(residueRate, bucket);
    let later = Number.POSITIVE_INFINITY;
    let laterAtMs = 0;
    for (let bucket = this.#buckets; bucket >= 0; bucket -= 1) {
      // In this bucket the stop follows at once, at the least that it may meet; else in a later bucket.
      this.#lateStopRest[bucket] = later;
      this.#lateStopAtMs[bucket] = laterAtMs;
      const least = this.#leastMove(bucket, this.#stopMs, rate);
      this.#viaMove[bucket] = least;
      for (const [atMs, move] of [
        [this.#crossingMs(bucket, this.#stopMs), least],
        [bucket * this.#bucketMs, this.#moveWithin(bucket, this.#stopMs, rate)],
      ] as const) {
        if (this.asleep(atMs) + move >= later) continue;
        later = this.asleep(atMs) + move;
        laterAtMs = atMs;
      }
    }
  }

  #prepareSleeps(): void {
    // Both rents run over the same stretch, so their difference is rounded as one.
    const rate = (bucket: number): number => at(this.#moveRate, bucket) - at(this.#asleepRate, bucket);
    let later = Number.POSITIVE_INFINITY;
    let laterAtMs = 0;
    for (let bucket = this.#buckets; bucket >= 0; bucket -= 1) {
      const now = this.#moveWithin(bucket, this.#fallMs, rate);
      const crossingMs = this.#crossingMs(bucket, this.#fallMs);
      const leastMove = this.#leastMove(bucket, this.#fallMs, rate);
      const crossing = this.awake(crossingMs) - this.asleep(crossingMs) + leastMove;
      if (crossing < later) {
        later = crossing;
        laterAtMs = crossingMs;
      }
      this.#sleepRest[bucket] = later;
      this.#sleepRestAtMs[bucket] = laterAtMs;
      this.#sleepMove[bucket] = now;
      const startMs = bucket * this.#bucketMs;
      const first = this.awake(startMs) - this.asleep(startMs) + now;
      if (first < later) {
        later = first;
        laterAtMs = startMs;
      }
      // A later stop of the sleeper: `lateStopRest` counts from the sleep's beginning, which is not after its end.
      this.#viaRest[bucket] = now + at(this.#lateStopRest, bucket);
      this.#viaMove[bucket] = now + at(this.#viaMove, bucket);
      this.#lateStop[bucket] = leastMove - now;
    }
  }

  #prepareStops(): void {
    const rate = (bucket: number): number => at(this.#moveRate, bucket);
    let later = Number.POSITIVE_INFINITY;
    let laterAtMs = 0;
    let laterVia = 0;
    const take = (value: number, atMs: number, via: number): void => {
      if (value >= later) return;
      later = value;
      laterAtMs = atMs;
      laterVia = via;
    };
    for (let bucket = this.#buckets; bucket >= 0; bucket -= 1) {
      const now = this.#moveWithin(bucket, this.#stopMs, rate);
      const crossingMs = this.#crossingMs(bucket, this.#stopMs);
      take(this.awake(crossingMs) + this.#leastMove(bucket, this.#stopMs, rate), crossingMs, 0);
      if (this.#sleeps)
        this.#takeVia(bucket, this.#crossingMs(bucket, this.#fallMs), at(this.#lateStop, bucket), take);
      this.#stopRest[bucket] = later;
      this.#stopRestAtMs[bucket] = laterAtMs;
      this.#stopRestVia[bucket] = laterVia;
      this.#stopMove[bucket] = now;
      const startMs = bucket * this.#bucketMs;
      take(this.awake(startMs) + now, startMs, 0);
      if (this.#sleeps) this.#takeVia(bucket, startMs, 0, take);
    }
  }

  #takeVia(
    bucket: number,
    atMs: number,
    correction: number,
    take: (value: number, atMs: number, way: number) => void,
  ): void {
    const awake = this.awake(atMs);
    const asleep = this.asleep(atMs);
    take(awake + at(this.#viaMove, bucket) + correction, atMs, 1);
    take(awake - asleep + at(this.#viaRest, bucket) + correction, atMs, 2);
  }
}
