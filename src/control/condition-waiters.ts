/** Waits for conditions that only change when something happens: whoever makes things happen calls `look`. */
import type { Clock } from '../core/clock.ts';

export class ConditionWaiters {
  readonly #clock: Clock;
  readonly #looks = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  look(): void {
    for (const look of this.#looks) look();
  }

  /** Resolves when `done` holds, after `limitMs`, or when `hurry` aborts; answers whether it holds then. */
  async until(done: () => boolean, limitMs: number, hurry?: AbortSignal): Promise<boolean> {
    if (done() || hurry?.aborted === true) return done();
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        hurry?.removeEventListener('abort', end);
        this.#looks.delete(look);
        resolve(done());
      };
      const look = (): void => {
        if (done()) end();
      };
      const cancel = this.#clock.setTimer(this.#clock.nowMs() + limitMs, end);
      hurry?.addEventListener('abort', end, { once: true });
      this.#looks.add(look);
    });
  }
}
