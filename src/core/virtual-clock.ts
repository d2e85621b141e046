/** A clock that stands still until it is told to go on: for simulation and tests. */
import type { CancelTimer, Clock } from './clock.ts';

interface Pending {
  readonly atMs: number;
  readonly order: number;
  readonly fire: () => void;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #pending = new Set<Pending>();

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  setTimer(atMs: number, fire: () => void): CancelTimer {
    this.#order += 1;
    const pending: Pending = { atMs: Math.max(atMs, this.#nowMs), order: this.#order, fire };
    this.#pending.add(pending);
    return () => this.#pending.delete(pending);
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Goes to the next timer and fires it; false when there is none at or before `untilMs`. */
  step(untilMs: number = Number.POSITIVE_INFINITY): boolean {
    let next: Pending | null = null;
    for (const pending of this.#pending) {
      const sooner =
        next === null ||
        pending.atMs < next.atMs ||
        (pending.atMs === next.atMs && pending.order < next.order);
      if (sooner) next = pending;
    }
    if (next === null || next.atMs > untilMs) return false;
    this.#pending.delete(next);
    this.#nowMs = next.atMs;
    next.fire();
    return true;
  }

  /** Fires everything that is due until then; the time is `untilMs` afterwards. */
  advanceTo(untilMs: number): void {
    while (this.step(untilMs));
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }
}
