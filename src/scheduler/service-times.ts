/** How long requests take at an engine: the last ones, and their upper tail. */

/** Enough for a tail that follows within some dozen requests when clients change. */
const REMEMBERED = 32;
const TAIL_SHARE = 0.9;

export class ServiceTimes {
  readonly #times: number[] = [];
  #next = 0;
  #tailMs: number | null = null;

  add(ms: number): void {
    this.#times[this.#next] = ms;
    this.#next = (this.#next + 1) % REMEMBERED;
    this.#tailMs = null;
  }

  /** Nine of ten of the last requests took no longer; null: there were none. */
  get tailMs(): number | null {
    if (this.#times.length === 0) return null;
    if (this.#tailMs === null) {
      const sorted = [...this.#times].sort((a, b) => a - b);
      this.#tailMs = sorted[Math.ceil(TAIL_SHARE * sorted.length) - 1] ?? null;
    }
    return this.#tailMs;
  }
}
