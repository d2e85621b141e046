/** What one device holds over time. Beyond a limit of slices, short neighbours are replaced by their average. */
import type { Hold, HoldState, Slice } from './simulation-picture.ts';

export class DeviceCourse {
  readonly #slicesMax: number;
  readonly #held = new Map<string, Hold>();
  #slices: Slice[] = [];
  #sinceMs = 0;
  /** Slices that are together no longer than this are one. */
  #resolutionMs = 1;

  constructor(slicesMax: number) {
    this.#slicesMax = slicesMax;
  }

  /** From now on the model holds so much; null: nothing. Times do not go back. */
  hold(model: string, state: HoldState | null, mib: number, nowMs: number): void {
    this.#until(nowMs);
    if (state === null) this.#held.delete(model);
    else this.#held.set(model, { model, state, mib });
  }

  heldMib(model: string): number {
    return this.#held.get(model)?.mib ?? 0;
  }

  slices(endMs: number): readonly Slice[] {
    this.#until(endMs);
    return this.#slices;
  }

  #until(nowMs: number): void {
    if (nowMs <= this.#sinceMs) return;
    this.#slices.push({ fromMs: this.#sinceMs, toMs: nowMs, holds: [...this.#held.values()] });
    this.#sinceMs = nowMs;
    if (this.#slices.length > 2 * this.#slicesMax) this.#coarsen();
  }

  #coarsen(): void {
    for (;;) {
      const merged: Slice[] = [];
      for (const slice of this.#slices) {
        const last = merged.at(-1);
        if (last !== undefined && slice.toMs - last.fromMs <= this.#resolutionMs)
          merged[merged.length - 1] = averaged(last, slice);
        else merged.push(slice);
      }
      this.#slices = merged;
      if (merged.length <= this.#slicesMax) return;
      this.#resolutionMs *= 2;
    }
  }
}

function averaged(first: Slice, second: Slice): Slice {
  const spanMs = second.toMs - first.fromMs;
  const sums = new Map<string, { hold: Hold; mib: number }>();
  for (const { fromMs, toMs, holds } of [first, second]) {
    for (const hold of holds) {
      const key = `${hold.state} ${hold.model}`;
      const mib = (sums.get(key)?.mib ?? 0) + (hold.mib * (toMs - fromMs)) / spanMs;
      sums.set(key, { hold, mib });
    }
  }
  const holds = [...sums.values()].map(({ hold: { model, state }, mib }) => ({ model, state, mib }));
  return { fromMs: first.fromMs, toMs: second.toMs, holds };
}
