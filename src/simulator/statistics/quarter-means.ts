/** Means over the quarters of a sequence whose length is known only at its end, in memory that does not grow. */

const BUCKETS = 512;
const QUARTERS = 4;

export class QuarterMeans {
  /** Bucket k holds the indices from k * width on. */
  readonly #sums = new Float64Array(BUCKETS);
  readonly #counts = new Float64Array(BUCKETS);
  #width = 1;

  /** `index` counts from 0; values may come in any order. */
  add(index: number, value: number): void {
    while (index >= BUCKETS * this.#width) this.#widen();
    const bucket = Math.floor(index / this.#width);
    this.#sums[bucket] = (this.#sums[bucket] ?? 0) + value;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
  }

  /**
   * The mean of each quarter of the indices below `length`; of a bucket that a border goes through, each side gets its part.
   * 0 where there is no value.
   */
  means(length: number): readonly number[] {
    return Array.from({ length: QUARTERS }, (_, quarter) => {
      const from = (quarter * length) / QUARTERS;
      const to = ((quarter + 1) * length) / QUARTERS;
      let sum = 0;
      let count = 0;
      for (let bucket = Math.floor(from / this.#width); bucket * this.#width < to; bucket += 1) {
        const begin = bucket * this.#width;
        const end = Math.min(begin + this.#width, Math.max(length, begin + 1));
        const part = (Math.min(to, end) - Math.max(from, begin)) / (end - begin);
        sum += part * (this.#sums[bucket] ?? 0);
        count += part * (this.#counts[bucket] ?? 0);
      }
      return count === 0 ? 0 : sum / count;
    });
  }

  /** Two buckets become one, so that twice as many indices fit. */
  #widen(): void {
    for (const values of [this.#sums, this.#counts]) {
      for (let bucket = 0; bucket < BUCKETS / 2; bucket += 1)
        values[bucket] = (values[2 * bucket] ?? 0) + (values[2 * bucket + 1] ?? 0);
      values.fill(0, BUCKETS / 2);
    }
    this.#width *= 2;
  }
}
