/** A clock that stands still until it is told to go on: for simulation and tests. */
import type { CancelTimer, Clock } from './clock.ts';

interface Pending {
  readonly atMs: number;
  /** Timers of one time fire in the order in which they were set. */
  readonly order: number;
  readonly fire: () => void;
  /** Place in the heap; -1: it has fired, or was cancelled. */
  index: number;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  /** Binary heap, the next one at its root. */
  readonly #heap: Pending[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  setTimer(atMs: number, fire: () => void): CancelTimer {
    this.#order += 1;
    const pending = { atMs: Math.max(atMs, this.#nowMs), order: this.#order, fire, index: -1 };
    this.#rise(pending, this.#heap.length);
    return () => this.#remove(pending);
  }

  get pendingCount(): number {
    return this.#heap.length;
  }

  /** Goes to the next timer and fires it; false when there is none at or before `untilMs`. */
  step(untilMs: number = Number.POSITIVE_INFINITY): boolean {
    const next = this.#heap[0];
    if (next === undefined || next.atMs > untilMs) return false;
    this.#remove(next);
    this.#nowMs = next.atMs;
    next.fire();
    return true;
  }

  /** Fires everything that is due until then; the time is `untilMs` afterwards. */
  advanceTo(untilMs: number): void {
    while (this.step(untilMs));
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #remove(pending: Pending): void {
    const { index } = pending;
    if (index < 0) return;
    pending.index = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === pending) return;
    const above = this.#heap[(index - 1) >> 1];
    if (index > 0 && above !== undefined && isSooner(last, above)) this.#rise(last, index);
    else this.#sink(last, index);
  }

  /** From the free place `index` up to where it belongs. */
  #rise(pending: Pending, index: number): void {
    let place = index;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = this.#heap[parent];
      if (above === undefined || !isSooner(pending, above)) break;
      this.#put(above, place);
      place = parent;
    }
    this.#put(pending, place);
  }

  /** From the free place `index` down to where it belongs. */
  #sink(pending: Pending, index: number): void {
    let place = index;
    for (;;) {
      let child = 2 * place + 1;
      const left = this.#heap[child];
      if (left === undefined) break;
      const right = this.#heap[child + 1];
      let least = left;
      if (right !== undefined && isSooner(right, left)) {
        child += 1;
        least = right;
      }
      if (!isSooner(least, pending)) break;
      this.#put(least, place);
      place = child;
    }
    this.#put(pending, place);
  }

  #put(pending: Pending, index: number): void {
    this.#heap[index] = pending;
    pending.index = index;
  }
}

function isSooner(a: Pending, b: Pending): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
