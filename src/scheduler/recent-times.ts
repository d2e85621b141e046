/** How long something took the last times: a request at an engine, a start. Figures of it are computed when they are asked for. */

const TAIL_SHARE = 0.9;
/**
 * The rest of what has outlasted everything that was seen, as a share of what has passed: the median of a tail that falls
 * with the square of the time.
 */
const OVERDUE_REST_SHARE = Math.SQRT2 - 1;

export class RecentTimes {
  readonly #capacity: number;
  readonly #times: number[] = [];
  #next = 0;
  #sorted: readonly number[] | null = null;

  /** `capacity`: how many are remembered; some dozen follow within as many when clients change. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(ms: number): void {
    this.#times[this.#next] = ms;
    this.#next = (this.#next + 1) % this.#capacity;
    this.#sorted = null;
  }

  clear(): void {
    this.#times.length = 0;
    this.#next = 0;
    this.#sorted = null;
  }

  get count(): number {
    return this.#times.length;
  }

  /** Nine of ten of the last took no longer; null: there were none. */
  get tailMs(): number | null {
    const sorted = this.#inOrder();
    return sorted[Math.ceil(TAIL_SHARE * sorted.length) - 1] ?? null;
  }

  /** Null: there were none. */
  get medianMs(): number | null {
    return medianOf(this.#inOrder(), 0);
  }

  /** Null: there were none. */
  get meanMs(): number | null {
    const { length } = this.#times;
    return length === 0 ? null : this.#times.reduce((sum, ms) => sum + ms, 0) / length;
  }

  /** The share of those that took longer than `elapsedMs` that took at most `restMs` longer than that. */
  endedShare(elapsedMs: number, restMs: number): number {
    const sorted = this.#inOrder();
    const from = firstAbove(sorted, elapsedMs);
    const longer = sorted.length - from;
    if (longer === 0) return 1 - (elapsedMs / Math.max(1, elapsedMs + restMs)) ** 2;
    return (firstAbove(sorted, elapsedMs + restMs) - from) / longer;
  }

  /** The rest to expect (half of the cases are shorter) of what has taken `elapsedMs` so far, each time multiplied by `factor`. */
  restMs(elapsedMs: number, factor = 1): number {
    const sorted = this.#inOrder();
    const from = firstAbove(sorted, elapsedMs / factor);
    const median = medianOf(sorted, from);
    return median === null ? OVERDUE_REST_SHARE * elapsedMs : median * factor - elapsedMs;
  }

  #inOrder(): readonly number[] {
    this.#sorted ??= [...this.#times].sort((a, b) => a - b);
    return this.#sorted;
  }
}

/** Of `sorted` from `from` on. */
function medianOf(sorted: readonly number[], from: number): number | null {
  const middle = from + (sorted.length - 1 - from) / 2;
  const below = sorted[Math.floor(middle)];
  const above = sorted[Math.ceil(middle)];
  return from >= sorted.length || below === undefined || above === undefined ? null : (below + above) / 2;
}

/** Index of the first that is longer; the length where none is. */
function firstAbove(sorted: readonly number[], ms: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) > ms) high = middle;
    else low = middle + 1;
  }
  return low;
}
