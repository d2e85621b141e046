/** When requests come, by model. */
import type { Prng } from '../../core/prng.ts';
import { gammaGap } from './gamma.ts';
import type { RateCourse, RatePiece } from './rate-course.ts';

export interface Arrival {
  readonly atMs: number;
  /** Index of its model. */
  readonly model: number;
}

/** The next arrival in order of time; null: there are no more. */
export type Arrivals = () => Arrival | null;

/**
 * A renewal process whose gaps are stretched by the rate: gaps of mean 1 in units of expected requests, so that a gap goes on
 * where it was when the rate falls to 0 and rises again.
 */
export function renewals(course: RateCourse, cv: number, prng: Prng, endMs: number): () => number | null {
  let atMs = 0;
  let piece: RatePiece = course();
  return () => {
    let due = gammaGap(prng, cv);
    while (atMs < endMs) {
      const expected = piece.perMs === 0 ? 0 : (piece.untilMs - atMs) * piece.perMs;
      if (piece.perMs > 0 && due <= expected) {
        atMs += due / piece.perMs;
        return atMs < endMs ? atMs : null;
      }
      due -= expected;
      atMs = piece.untilMs;
      piece = course();
    }
    return null;
  };
}

/** Merges what the models do each for itself. */
export function mergedArrivals(processes: readonly (() => number | null)[]): Arrivals {
  const heap = new ArrivalHeap();
  for (const [model, next] of processes.entries()) {
    const atMs = next();
    if (atMs !== null) heap.push({ atMs, model });
  }
  return () => {
    const first = heap.first;
    if (first === null) return null;
    const atMs = processes[first.model]?.() ?? null;
    if (atMs === null) heap.pop();
    else heap.replaceFirst({ atMs, model: first.model });
    return first;
  };
}

/** A binary heap by time, and by model where times are equal. */
class ArrivalHeap {
  readonly #items: Arrival[] = [];

  get first(): Arrival | null {
    return this.#items[0] ?? null;
  }

  push(item: Arrival): void {
    const items = this.#items;
    let index = items.push(item) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = items[parent];
      if (above === undefined || !comesBefore(item, above)) break;
      items[index] = above;
      index = parent;
    }
    items[index] = item;
  }

  pop(): void {
    const last = this.#items.pop();
    if (last !== undefined && this.#items.length > 0) this.replaceFirst(last);
  }

  replaceFirst(item: Arrival): void {
    const items = this.#items;
    let index = 0;
    for (;;) {
      const left = items[2 * index + 1];
      const right = items[2 * index + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && comesBefore(right, left);
      const least = isRight ? right : left;
      if (!comesBefore(least, item)) break;
      items[index] = least;
      index = 2 * index + (isRight ? 2 : 1);
    }
    items[index] = item;
  }
}

function comesBefore(a: Arrival, b: Arrival): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.model < b.model);
}
