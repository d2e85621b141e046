/**
 * A map from request ids to values, in the order of insertion, for what comes and goes thousands of times a second. Like
 * `DenseList` it exists because `Map` replaces its table all the time under such use, and once one table is old, all
 * later ones stay in memory until the next full collection, with every request that was ever in them.
 *
 * 1. A removed entry points at nothing and nothing points at it.
 * 2. The table only grows, with the most entries that there ever were at once.
 */
interface Entry<V> {
  readonly id: number;
  /** Grows with each entry. */
  readonly order: number;
  value: V;
  /** In the order of insertion. */
  before: Entry<V> | null;
  after: Entry<V> | null;
  /** In the same bucket. */
  chain: Entry<V> | null;
}

const BUCKETS_MIN = 64;

/** Ids are whole numbers that mostly follow one another. */
export class IdMap<V> {
  #buckets: (Entry<V> | null)[] = new Array(BUCKETS_MIN).fill(null);
  #size = 0;
  #nextOrder = 0;
  #first: Entry<V> | null = null;
  #last: Entry<V> | null = null;

  get size(): number {
    return this.#size;
  }

  has(id: number): boolean {
    return this.#find(id) !== null;
  }

  get(id: number): V | undefined {
    return this.#find(id)?.value;
  }

  set(id: number, value: V): this {
    const known = this.#find(id);
    if (known !== null) {
      known.value = value;
      return this;
    }
    if (this.#size === this.#buckets.length) this.#grow();
    const bucket = this.#bucketOf(id);
    const chain = this.#buckets[bucket] ?? null;
    const entry: Entry<V> = { id, order: this.#nextOrder++, value, before: this.#last, after: null, chain };
    this.#buckets[bucket] = entry;
    if (this.#last === null) this.#first = entry;
    else this.#last.after = entry;
    this.#last = entry;
    this.#size += 1;
    return this;
  }

  delete(id: number): boolean {
    const bucket = this.#bucketOf(id);
    let holder: Entry<V> | null = null;
    let entry = this.#buckets[bucket] ?? null;
    while (entry !== null && entry.id !== id) {
      holder = entry;
      entry = entry.chain;
    }
    if (entry === null) return false;
    if (holder === null) this.#buckets[bucket] = entry.chain;
    else holder.chain = entry.chain;
    if (entry.before === null) this.#first = entry.after;
    else entry.before.after = entry.after;
    if (entry.after === null) this.#last = entry.before;
    else entry.after.before = entry.before;
    entry.before = null;
    entry.after = null;
    entry.chain = null;
    this.#size -= 1;
    return true;
  }

  /** The oldest entry's value. */
  first(): V | undefined {
    return this.#first?.value;
  }

  /** As a `Map` walks: entries removed meanwhile are left out, entries added meanwhile are seen. */
  *entries(): Generator<[number, V]> {
    for (let entry = this.#first; entry !== null; entry = this.#successor(entry))
      yield [entry.id, entry.value];
  }

  *values(): Generator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  *keys(): Generator<number> {
    for (const [id] of this.entries()) yield id;
  }

  [Symbol.iterator](): Generator<[number, V]> {
    return this.entries();
  }

  #find(id: number): Entry<V> | null {
    let entry = this.#buckets[this.#bucketOf(id)] ?? null;
    while (entry !== null && entry.id !== id) entry = entry.chain;
    return entry;
  }

  /** Of an entry that may have been removed since it was reached. */
  #successor(entry: Entry<V>): Entry<V> | null {
    if (entry === this.#first || entry.before !== null) return entry.after;
    let next = this.#first;
    while (next !== null && next.order < entry.order) next = next.after;
    return next;
  }

  #bucketOf(id: number): number {
    return id & (this.#buckets.length - 1);
  }

  #grow(): void {
    this.#buckets = new Array(this.#buckets.length * 2).fill(null);
    for (let entry = this.#first; entry !== null; entry = entry.after) {
      const bucket = this.#bucketOf(entry.id);
      entry.chain = this.#buckets[bucket] ?? null;
      this.#buckets[bucket] = entry;
    }
  }
}
