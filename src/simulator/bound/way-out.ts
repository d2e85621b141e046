/** The ways to leave a residence, each with the way back, and what each costs after every number of requests served. */
import { at } from './at.ts';
import type { BoundModel } from './bound-model.ts';
import type { HoldClasses } from './hold-classes.ts';
import { LineHull } from './line-hull.ts';
import { LoadKind } from './program-path.ts';

const INFINITE = Number.POSITIVE_INFINITY;

export type Way = 'sleep' | 'stop';

export class WayOut {
  readonly way: Way;
  /** Of the load that comes back. */
  readonly loadMs: number;
  /** From one residence to the next at least. */
  readonly gapMs: number;
  /** For each number of requests served: the least cost when the engine leaves then; by which load, and from when on. */
  readonly costs: Float64Array;
  readonly records: Int32Array;
  readonly fromMs: Float64Array;
  /** The same while the latest arrival was this one, with requests left over. */
  readonly leftCosts: Float64Array;
  readonly leftRecords: Int32Array;
  readonly leftFromMs: Float64Array;
  /** Lines of `costs` by class of the next request, and of those who were left over in numbers. */
  readonly hulls: readonly LineHull[];
  readonly crowds: LineHull;
  readonly crowdsGap: LineHull;
  /** The first number of requests whose successor has not yet been able to ask for a load. */
  nextAsked = 1;
  /** Of the load that ends at the moment tried: its rents from the leaving on, and the arrivals before its begin. */
  load = 0;
  kind: LoadKind = LoadKind.cold;
  begun = 0;
  readonly #model: BoundModel;
  readonly #classOf: Uint8Array;
  /** Sums of the first arrivals. */
  readonly #sumsMs: Float64Array;

  constructor(way: Way, model: BoundModel, classes: HoldClasses, sumsMs: Float64Array) {
    const { arrivalsMs, laterColdMs, stopMs, sleep } = model;
    this.way = way;
    this.loadMs = way === 'stop' ? laterColdMs : (sleep?.wakeMs ?? 0);
    this.gapMs = this.loadMs + (way === 'stop' ? stopMs : (sleep?.fallMs ?? 0));
    this.#model = model;
    this.#classOf = classes.classOf;
    this.#sumsMs = sumsMs;
    const size = arrivalsMs.length + 1;
    this.costs = new Float64Array(size);
    this.records = new Int32Array(size);
    this.fromMs = new Float64Array(size);
    this.leftCosts = new Float64Array(size);
    this.leftRecords = new Int32Array(size);
    this.leftFromMs = new Float64Array(size);
    this.hulls = classes.holdsMs.map(() => new LineHull(size));
    this.crowds = new LineHull(size);
    this.crowdsGap = new LineHull(size);
  }

  reset(): void {
    this.costs.fill(INFINITE);
    this.leftCosts.fill(INFINITE);
    for (const hull of this.hulls) hull.clear();
    this.crowds.clear();
    this.crowdsGap.clear();
    this.nextAsked = 1;
    this.begun = 0;
  }

  /** Whether that is the least so far. */
  offer(count: number, cost: number, record: number, fromMs: number): boolean {
    if (cost >= at(this.costs, count)) return false;
    this.costs[count] = cost;
    this.records[count] = record;
    this.fromMs[count] = fromMs;
    return true;
  }

  offerLeft(count: number, cost: number, record: number, fromMs: number): boolean {
    if (cost >= at(this.leftCosts, count)) return false;
    this.leftCosts[count] = cost;
    this.leftRecords[count] = record;
    this.leftFromMs[count] = fromMs;
    return true;
  }

  /** From now on a load may begin after `count` requests were served. */
  addLine(count: number): void {
    const cost = at(this.costs, count);
    if (cost === INFINITE || count >= this.#model.arrivalsMs.length) return;
    this.hulls[at(this.#classOf, count)]?.add(count, cost + at(this.#sumsMs, count), count);
  }

  /**
   * P3, crowded: serving ended before request number `count + 1` came, and left over as many as there are slots. Each of them
   * waits at least since that request came, and at least for a gap: the larger of two sums, so two hulls.
   */
  addCrowd(count: number): void {
    const { arrivalsMs, maxConcurrent } = this.#model;
    const cost = at(this.leftCosts, count) + at(this.#sumsMs, count);
    if (count < 2 * maxConcurrent || cost === INFINITE) return;
    this.crowds.add(count - maxConcurrent, cost - maxConcurrent * at(arrivalsMs, count), count);
    this.crowdsGap.add(count, cost + maxConcurrent * this.gapMs, count);
  }
}
