/**
 * The least of many lines `intercept - count * time`, for lines that come with ascending counts and questions that come with
 * ascending times: a newer line falls faster, so once it is the lower one it stays so, and both ends only move forward.
 * Constant time on average.
 */
import { at } from './at.ts';

export class LineHull {
  readonly #counts: Float64Array;
  readonly #intercepts: Float64Array;
  readonly #ids: Int32Array;
  #first = 0;
  #end = 0;

  constructor(capacity: number) {
    this.#counts = new Float64Array(capacity);
    this.#intercepts = new Float64Array(capacity);
    this.#ids = new Int32Array(capacity);
  }

  clear(): void {
    this.#first = 0;
    this.#end = 0;
  }

  /** `count`: not below that of any line before. */
  add(count: number, intercept: number, id: number): void {
    if (this.#end > this.#first && at(this.#counts, this.#end - 1) === count) {
      if (at(this.#intercepts, this.#end - 1) <= intercept) return;
      this.#end -= 1;
    }
    while (this.#end - this.#first >= 2 && this.#isLastUseless(count, intercept)) this.#end -= 1;
    this.#counts[this.#end] = count;
    this.#intercepts[this.#end] = intercept;
    this.#ids[this.#end] = id;
    this.#end += 1;
  }

  /** Infinity without lines. `time`: not below that of any question before. */
  least(time: number): number {
    if (this.#first === this.#end) return Number.POSITIVE_INFINITY;
    let value = this.#value(this.#first, time);
    while (this.#first + 1 < this.#end) {
      const next = this.#value(this.#first + 1, time);
      if (next > value) break;
      value = next;
      this.#first += 1;
    }
    return value;
  }

  /** Of the line that `least` answered with. */
  get id(): number {
    return at(this.#ids, this.#first);
  }

  #value(index: number, time: number): number {
    return at(this.#intercepts, index) - at(this.#counts, index) * time;
  }

  /** Whether the new line is lower than the last one before that is lower than the one before it. */
  #isLastUseless(count: number, intercept: number): boolean {
    const last = this.#end - 1;
    const lastCount = at(this.#counts, last);
    const lastIntercept = at(this.#intercepts, last);
    const riseBefore = lastIntercept - at(this.#intercepts, last - 1);
    const riseAfter = intercept - lastIntercept;
    return riseAfter * (lastCount - at(this.#counts, last - 1)) <= riseBefore * (count - lastCount);
  }
}
