/**
 * Cold starts ahead of need (clairvoyant schedules only): the engine is started while moves are cheap, falls asleep unused, and
 * is woken for its requests; or, where only the first start takes long, is stopped and started again. The sleep or stop itself is
 * not charged, and the start may end up to a bucket's length after the load's begin: both only lower the bound.
 */
import { at } from './at.ts';
import type { BoundModel } from './bound-model.ts';
import type { TimeGrid } from './prices.ts';
import type { ModelRents } from './rents.ts';

/** Sums of times lose some digits. */
const TOLERANCE_MS = 1e-6;

export class EarlyStarts {
  readonly #grid: TimeGrid;
  /** null: it cannot sleep. */
  readonly #wakeMs: number | null;
  readonly #laterColdMs: number;
  readonly #first: EarlyStart;
  readonly #later: EarlyStart;
  readonly #stopped: EarlyStart;
  #rents: ModelRents | null = null;
  /** When the start began that `first` or `later` answered with last. */
  startedMs = 0;

  constructor({ firstColdMs, laterColdMs, sleep }: BoundModel, grid: TimeGrid) {
    this.#grid = grid;
    this.#wakeMs = sleep?.wakeMs ?? null;
    this.#laterColdMs = laterColdMs;
    this.#first = new EarlyStart(firstColdMs, grid, true);
    this.#later = new EarlyStart(laterColdMs, grid, true);
    this.#stopped = new EarlyStart(firstColdMs, grid, false);
  }

  prepare(rents: ModelRents): void {
    this.#rents = rents;
    if (this.#wakeMs === null) this.#stopped.prepare(rents);
    else for (const start of [this.#first, this.#later, this.#stopped]) start.prepare(rents);
  }

  /** Of being ready then by a waking, after the first start; `moved`: what moves cost until then. */
  first(readyMs: number, moved: number): number {
    return this.#wake(this.#first, readyMs, moved);
  }

  /** After any later start. */
  later(readyMs: number, moved: number): number {
    return this.#wake(this.#later, readyMs, moved);
  }

  /** Of being ready then by a second cold start, the first one having been in vain. */
  stopped(readyMs: number, moved: number): number {
    const startMs = readyMs - this.#laterColdMs;
    if (this.#rents === null || startMs < 0) return Number.POSITIVE_INFINITY;
    return this.#costBefore(this.#stopped, startMs, 0) + moved - this.#rents.move(startMs);
  }

  #wake(start: EarlyStart, readyMs: number, moved: number): number {
    if (this.#rents === null || this.#wakeMs === null) return Number.POSITIVE_INFINITY;
    const wakingMs = readyMs - this.#wakeMs;
    if (wakingMs < 0) return Number.POSITIVE_INFINITY;
    const asleep = this.#rents.asleep(wakingMs);
    return this.#costBefore(start, wakingMs, asleep) + moved - this.#rents.move(wakingMs);
  }

  #costBefore(start: EarlyStart, ms: number, asleep: number): number {
    const after = this.#bucketOf(ms + TOLERANCE_MS);
    const cost = start.cost(after, asleep);
    this.startedMs = start.startedMs;
    // At an edge both its sides are looked at: costs leap there, one way or the other.
    const before = this.#bucketOf(ms - TOLERANCE_MS);
    if (before === after) return cost;
    const costBefore = start.cost(before, asleep);
    if (costBefore >= cost) return cost;
    this.startedMs = start.startedMs;
    return costBefore;
  }

  #bucketOf(ms: number): number {
    return Math.max(0, Math.min(this.#grid.buckets, Math.floor(ms / this.#grid.bucketMs)));
  }
}

/** The least cost of a start and of the sleep after it (`sleeps`), by the bucket of the load's begin. */
class EarlyStart {
  /** Of starts that end before the bucket, less what sleeping costs until their end. */
  readonly #costs: Float64Array;
  readonly #startedMs: Float64Array;
  /** Of starts that end within it: they may end after the load's begin, so sleep is free. */
  readonly #within: Float64Array;
  readonly #withinStartedMs: Float64Array;
  readonly #coldMs: number;
  readonly #grid: TimeGrid;
  readonly #sleeps: boolean;
  startedMs = 0;

  constructor(coldMs: number, grid: TimeGrid, sleeps: boolean) {
    this.#sleeps = sleeps;
    this.#coldMs = coldMs;
    this.#grid = grid;
    const row = (): Float64Array => new Float64Array(grid.buckets + 1);
    this.#costs = row();
    this.#startedMs = row();
    this.#within = row();
    this.#withinStartedMs = row();
  }

  /** Piecewise linear in the start, so that starts or ends at edges suffice. */
  prepare(rents: ModelRents): void {
    const { bucketMs, buckets } = this.#grid;
    const coldMs = this.#coldMs;
    this.#costs.fill(Number.POSITIVE_INFINITY);
    this.#within.fill(Number.POSITIVE_INFINITY);
    for (let edge = 0; edge <= buckets; edge += 1) {
      const edgeMs = edge * bucketMs;
      this.#offer(rents, Math.floor((edgeMs + coldMs) / bucketMs), edgeMs);
      this.#offer(rents, edge - 1, edgeMs - coldMs);
    }
    for (let bucket = 1; bucket <= buckets; bucket += 1) {
      if (at(this.#costs, bucket - 1) >= at(this.#costs, bucket)) continue;
      this.#costs[bucket] = at(this.#costs, bucket - 1);
      this.#startedMs[bucket] = at(this.#startedMs, bucket - 1);
    }
  }

  /** `asleep`: what sleeping costs from time 0 until the load's begin. Sets `startedMs`. */
  cost(bucket: number, asleep: number): number {
    const before = at(this.#costs, bucket) + (this.#sleeps ? asleep : 0);
    const within = at(this.#within, bucket);
    this.startedMs = at(before <= within ? this.#startedMs : this.#withinStartedMs, bucket);
    return Math.min(before, within);
  }

  /** A start that ends in this bucket, or at its end. */
  #offer(rents: ModelRents, endBucket: number, startMs: number): void {
    if (startMs < 0) return;
    const { buckets } = this.#grid;
    const endMs = startMs + this.#coldMs;
    const move = rents.move(endMs) - rents.move(startMs);
    const bucket = Math.max(0, Math.min(buckets, endBucket));
    if (move < at(this.#within, bucket)) {
      this.#within[bucket] = move;
      this.#withinStartedMs[bucket] = startMs;
    }
    const next = Math.min(buckets, bucket + 1);
    const cost = move - (this.#sleeps ? rents.asleep(endMs) : 0);
    if (cost >= at(this.#costs, next)) return;
    this.#costs[next] = cost;
    this.#startedMs[next] = startMs;
  }
}
