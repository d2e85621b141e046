/** One stop at a time of one engine: whoever asks again meanwhile joins the one under way, and may end its grace. */
import type { StopResult } from './runtime.ts';

export class JoinedStop {
  #underWay: { readonly result: Promise<StopResult>; readonly hurry: AbortController } | null = null;

  get isUnderWay(): boolean {
    return this.#underWay !== null;
  }

  /** Begins a stop, or joins the one under way. `hurry` aborts when its grace is to end. */
  join(begin: (hurry: AbortSignal) => Promise<StopResult>): Promise<StopResult> {
    if (this.#underWay !== null) return this.#underWay.result;
    const hurry = new AbortController();
    const result = begin(hurry.signal).finally(() => {
      // What was left may be tried again.
      this.#underWay = null;
    });
    this.#underWay = { result, hurry };
    return result;
  }

  /** Ends the grace of the stop under way, if there is one. */
  hurry(): void {
    this.#underWay?.hurry.abort();
  }
}
