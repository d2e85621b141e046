/** Counts of values in buckets that grow by a fixed factor: percentiles within 0.5 %, memory that does not grow. */

/** Half a bucket: what a percentile may be off by. */
const RELATIVE_ERROR = 0.005;
const GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR);
const LOG_GROWTH = Math.log(GROWTH);
/** Whatever is smaller counts as 0. With milliseconds: a microsecond. */
const LEAST = 1e-3;
const LOG_LEAST = Math.log(LEAST);
/** With milliseconds: 31 years. Larger values stand in the last bucket. */
const MOST = 1e12;
const BUCKETS = Math.ceil((Math.log(MOST) - LOG_LEAST) / LOG_GROWTH) + 1;

export class LogHistogram {
  readonly #counts = new Float64Array(BUCKETS);
  #zeros = 0;
  #count = 0;
  #sum = 0;
  #least = Number.POSITIVE_INFINITY;
  #most = 0;

  /** A value from 0 on. */
  add(value: number): void {
    this.#count += 1;
    this.#sum += value;
    if (value < this.#least) this.#least = value;
    if (value > this.#most) this.#most = value;
    if (value < LEAST) {
      this.#zeros += 1;
      return;
    }
    const bucket = Math.min(BUCKETS - 1, Math.floor((Math.log(value) - LOG_LEAST) / LOG_GROWTH));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
  }

  get count(): number {
    return this.#count;
  }

  /** Exact; 0 without values. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /** Exact; 0 without values. */
  get max(): number {
    return this.#most;
  }

  /** The least value that the share `part` of all does not exceed (nearest rank); 0 without values. */
  percentile(part: number): number {
    const rank = Math.max(1, Math.ceil(part * this.#count - 1e-9));
    if (this.#count === 0 || rank <= this.#zeros) return 0;
    let seen = this.#zeros;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      seen += this.#counts[bucket] ?? 0;
      if (seen < rank) continue;
      const from = Math.exp(LOG_LEAST + bucket * LOG_GROWTH);
      return Math.min(this.#most, Math.max(this.#least, from * (1 + RELATIVE_ERROR)));
    }
    return this.#most;
  }
}
