/** How much of each resource schedules use in each bucket, in milliseconds of all of it: where prices must rise or fall. */
import { at } from './at.ts';
import type { ModelShares, TimeGrid } from './prices.ts';
import { RESOURCES } from './prices.ts';
import type { Residence } from './program-path.ts';

export class Usage {
  /** Of all resources one after the other, by bucket. */
  readonly useMs: Float64Array;
  readonly #grid: TimeGrid;
  /** Of whole buckets: what begins less what ends at each. */
  readonly #steps: Float64Array;

  constructor(grid: TimeGrid) {
    this.#grid = grid;
    this.useMs = new Float64Array(RESOURCES.length * grid.buckets);
    this.#steps = new Float64Array(RESOURCES.length * (grid.buckets + 2));
  }

  /** To what every resource offers, negative: what is left after all `add` is use less offer. */
  clear(): void {
    this.useMs.fill(-this.#grid.bucketMs);
    this.#steps.fill(0);
  }

  /** `prices`: of where sleepers may lie awake (rents.ts); null: nowhere. */
  add({ kind, fromMs, toMs }: Residence, shares: ModelShares, prices: Float64Array | null): void {
    if (kind === 'asleep') {
      if (prices === null) {
        this.#addStretch(0, fromMs, toMs, shares.residue);
        this.#addStretch(3, fromMs, toMs, shares.host);
        return;
      }
      this.#addAsleep(fromMs, toMs, shares, prices);
      return;
    }
    if (kind === 'lateStop') this.#addStretch(0, fromMs, toMs, shares.residue);
    else {
      this.#addStretch(0, fromMs, toMs, shares.memory);
      this.#addStretch(1, fromMs, toMs, shares.packing);
    }
    if (kind !== 'awake') this.#addStretch(2, fromMs, toMs, shares.movers);
  }

  finish(): void {
    const { buckets, bucketMs } = this.#grid;
    for (let resource = 0; resource < RESOURCES.length; resource += 1) {
      let share = 0;
      for (let bucket = 0; bucket < buckets; bucket += 1) {
        share += at(this.#steps, resource * (buckets + 2) + bucket);
        const place = resource * buckets + bucket;
        this.useMs[place] = at(this.useMs, place) + share * bucketMs;
      }
    }
  }

  /** A sleeper lies awake and unused where that is cheaper, as its rents count (rents.ts). */
  #addAsleep(fromMs: number, toMs: number, shares: ModelShares, prices: Float64Array): void {
    const { buckets, bucketMs } = this.#grid;
    const sign = Math.sign(toMs - fromMs);
    const endMs = Math.max(fromMs, toMs);
    const startMs = Math.max(0, Math.min(fromMs, toMs));
    for (let bucket = Math.floor(startMs / bucketMs); bucket < buckets; bucket += 1) {
      const edgeMs = bucket * bucketMs;
      if (edgeMs >= endMs) return;
      const partMs = sign * (Math.min(endMs, edgeMs + bucketMs) - Math.max(startMs, edgeMs));
      const memory = at(prices, bucket);
      const awake = memory * shares.memory + at(prices, buckets + bucket) * shares.packing;
      const asleep = memory * shares.residue + at(prices, 3 * buckets + bucket) * shares.host;
      if (awake < asleep) {
        this.#addPart(0, bucket, shares.memory * partMs);
        this.#addPart(1, bucket, shares.packing * partMs);
      } else {
        this.#addPart(0, bucket, shares.residue * partMs);
        this.#addPart(3, bucket, shares.host * partMs);
      }
    }
  }

  #addStretch(resource: number, fromMs: number, toMs: number, share: number): void {
    if (share === 0) return;
    this.#addUntil(resource, toMs, share);
    this.#addUntil(resource, fromMs, -share);
  }

  /** Use from time 0 until then. */
  #addUntil(resource: number, ms: number, share: number): void {
    const { buckets, bucketMs } = this.#grid;
    if (ms <= 0) return;
    const bucket = Math.min(buckets, Math.floor(ms / bucketMs));
    const row = resource * (buckets + 2);
    this.#steps[row] = at(this.#steps, row) + share;
    this.#steps[row + bucket] = at(this.#steps, row + bucket) - share;
    if (bucket < buckets) this.#addPart(resource, bucket, share * (ms - bucket * bucketMs));
  }

  #addPart(resource: number, bucket: number, ms: number): void {
    const place = resource * this.#grid.buckets + bucket;
    this.useMs[place] = at(this.useMs, place) + ms;
  }
}
