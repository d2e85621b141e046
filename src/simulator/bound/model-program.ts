/**
 * The least that one model costs at given prices: waits for it to be ready, plus its rents, over all schedules of this model
 * alone. Dynamic programming over its arrivals, exact in continuous time but for what is rounded down on purpose.
 *
 * Why no real schedule of the class described in bound.ts costs less:
 *
 * P1. A request waits at least until the first moment at or after its arrival at which the model is ready: before it, the
 *     model was not awake, so that wait is `not_ready`.
 * P2. Let y be the end of a residence's serving: the last moment at which requests are dispatched, or all slots are taken. Who
 *     arrives after y waits until the next residence. Who is left over at y waits from y on as well, which is not charged, or only
 *     with the least time between two residences (`#gapMs`). Someone can be left over only if all slots were taken.
 * P3. A residence's first request in the order of arrivals is dispatched when the model becomes ready, and holds the engine for
 *     its service time. That is the first arrival after the y before it, unless as many as there are slots were left
 *     over there: each of them has then waited since that y ("crowded", `#cells`). Or only those left over are served, before
 *     anyone else asks ("early", `#early`): at least one of them has waited for the whole gap.
 * P4. Service times of requests that arrive at a ready engine hold it as well, unless they are left over.
 * P5. Between two residences there is a sleep and a waking, or a stop and a cold start; each takes all its devices' movers.
 */
import { at } from './at.ts';
import type { BoundModel } from './bound-model.ts';
import { EarlyStarts } from './early-starts.ts';
import { type HoldClasses, holdClasses, noHolds } from './hold-classes.ts';
import type { ModelShares, TimeGrid } from './prices.ts';
import { LoadKind, type LoadRecord, type Residence, residencesOf } from './program-path.ts';
import { type ReadyTimes, readyTimes, type Variant } from './ready-times.ts';
import type { ModelRents } from './rents.ts';
import { type Way, WayOut } from './way-out.ts';

const INFINITE = Number.POSITIVE_INFINITY;
/** Sums of times lose some digits. */
const TOLERANCE_MS = 1e-6;

export interface ProgramOptions {
  readonly variant: Variant;
  /** Whether started requests hold their engine (P3, P4). */
  readonly holds: boolean;
}

/** The cheapest way found to become ready at the moment tried: its cost without waits. */
interface Found {
  cost: number;
  kind: LoadKind;
  parent: number;
  fromMs: number;
  startedMs: number;
}

export class ModelProgram {
  readonly model: BoundModel;
  readonly shares: ModelShares;
  readonly #options: ProgramOptions;
  readonly #rents: ModelRents;
  readonly #classes: HoldClasses;
  readonly #times: ReadyTimes;
  readonly #early: EarlyStarts | null;
  /** Sums of the first arrivals, and when all that have come by then have surely been served. */
  readonly #sumsMs: Float64Array;
  readonly #servedMs: Float64Array;
  readonly #ways: readonly WayOut[];
  readonly #records: LoadRecord[] = [];
  /** Least cost, less the rent up to it, of being awake with all served at an arrival; -1: never yet. */
  readonly #arrivingCosts: Float64Array;
  readonly #arrivingRecords: Int32Array;
  #awakeCost = INFINITE;
  #awakeRecord = -1;
  /** The same of all residences so far, whatever they still have to serve. */
  #anyCost = INFINITE;
  #anyRecord = -1;
  #endCost = INFINITE;
  #endRecord = -1;
  #endMs = 0;
  #arrived = 0;
  #laterStartedMs = 0;
  readonly #found: Found = { cost: 0, kind: LoadKind.first, parent: -1, fromMs: 0, startedMs: 0 };

  /** `rents`: may be shared by programmes of the same grid. */
  constructor(
    model: BoundModel,
    shares: ModelShares,
    grid: TimeGrid,
    rents: ModelRents,
    options: ProgramOptions,
  ) {
    this.model = model;
    this.shares = shares;
    this.#options = options;
    this.#rents = rents;
    const { arrivalsMs, servicesMs, sleep } = model;
    const count = arrivalsMs.length;
    this.#classes = options.holds ? holdClasses(servicesMs) : noHolds(servicesMs);
    this.#times = readyTimes(model, this.#classes, grid, options.variant);
    this.#early = options.variant === 'clairvoyant' ? new EarlyStarts(model, grid) : null;
    this.#sumsMs = new Float64Array(count + 1);
    this.#servedMs = new Float64Array(count + 1);
    for (let index = 0; index < count; index += 1) {
      const arrivalMs = at(arrivalsMs, index);
      this.#sumsMs[index + 1] = at(this.#sumsMs, index) + arrivalMs;
      const endMs = options.holds ? arrivalMs + at(servicesMs, index) : arrivalMs;
      this.#servedMs[index + 1] = Math.max(at(this.#servedMs, index), endMs);
    }
    const ways: readonly Way[] = sleep === null ? ['stop'] : ['sleep', 'stop'];
    this.#ways = ways.map((way) => new WayOut(way, model, this.#classes, this.#sumsMs));
    this.#arrivingCosts = new Float64Array(count + 2);
    this.#arrivingRecords = new Int32Array(count + 2);
  }

  /** Moments tried in one `solve`: a measure of its work. */
  get work(): number {
    return this.#times.ms.length;
  }

  /** Milliseconds of waits, and of rents at these prices, all requests served. */
  solve(prices: Float64Array): number {
    this.#rents.charge(this.model, this.shares, prices);
    this.#early?.prepare(this.#rents);
    this.#reset();
    const { ms, classes } = this.#times;
    for (let index = 0; index < ms.length; index += 1) {
      const readyMs = at(ms, index);
      this.#arriveBefore(readyMs);
      this.#askBefore(readyMs);
      this.#try(readyMs, at(classes, index));
    }
    this.#arriveBefore(INFINITE);
    return this.#endCost;
  }

  /** Whether a sleeper had better lie awake and unused somewhere, at the prices of `solve`. */
  get liesAwake(): boolean {
    return this.#rents.liesAwake;
  }

  /** The residences of the schedule that `solve` found, the last one first. */
  residences(): Iterable<Residence> {
    return residencesOf({
      records: this.#records,
      rents: this.#rents,
      model: this.model,
      lastRecord: this.#endRecord,
      endMs: this.#endMs,
    });
  }

  #reset(): void {
    for (const way of this.#ways) way.reset();
    this.#arrivingCosts.fill(INFINITE);
    this.#records.length = 0;
    this.#awakeCost = INFINITE;
    this.#awakeRecord = -1;
    this.#anyCost = INFINITE;
    this.#anyRecord = -1;
    this.#endCost = INFINITE;
    this.#endRecord = -1;
    this.#arrived = 0;
  }

  #leave(way: Way, fromMs: number): number {
    return way === 'sleep' ? this.#rents.sleepFrom(fromMs) : this.#rents.stopFrom(fromMs);
  }

  /** Takes in the arrivals before this moment. */
  #arriveBefore(ms: number): void {
    const { arrivalsMs } = this.model;
    while (this.#arrived < arrivalsMs.length && at(arrivalsMs, this.#arrived) < ms) {
      this.#arrived += 1;
      this.#arriveOne(this.#arrived);
    }
  }

  /** Request number `count` (from 1) has come, and is served at once where the engine is awake. */
  #arriveOne(count: number): void {
    if (at(this.#arrivingCosts, count) < this.#awakeCost) {
      this.#awakeCost = at(this.#arrivingCosts, count);
      this.#awakeRecord = at(this.#arrivingRecords, count);
    }
    if (this.#awakeCost < INFINITE) this.#leaveAfter(count);
    if (this.#options.holds && count > this.model.maxConcurrent && this.#anyCost < INFINITE) {
      const arrivalMs = at(this.model.arrivalsMs, count - 1);
      for (const way of this.#ways) {
        const cost = this.#anyCost + this.#leave(way.way, arrivalMs);
        way.offerLeft(count, cost, this.#anyRecord, arrivalMs);
      }
    }
    // Who waited since the request before was served may be loaded for from now on, whoever asked for it.
    if (this.#options.variant === 'clairvoyant') for (const way of this.#ways) way.addLine(count - 1);
  }

  #leaveAfter(count: number): void {
    const { arrivalsMs, maxConcurrent } = this.model;
    const servedMs = at(this.#servedMs, count);
    const arrivalMs = at(arrivalsMs, count - 1);
    // P4: with more requests than slots the last ones may be left over, at the cost of one more gap.
    const isLeft = count > maxConcurrent && servedMs > arrivalMs;
    for (const way of this.#ways) {
      const cost = this.#awakeCost + this.#leave(way.way, servedMs);
      way.offer(count, cost, this.#awakeRecord, servedMs);
      if (!isLeft) continue;
      const leftCost = this.#awakeCost + this.#leave(way.way, arrivalMs) + way.gapMs;
      way.offer(count, leftCost, this.#awakeRecord, arrivalMs);
    }
    if (count < arrivalsMs.length) return;
    this.#offerEnd(this.#awakeCost + this.#rents.awake(servedMs), this.#awakeRecord, servedMs);
    if (!isLeft) return;
    const gapMs = Math.min(...this.#ways.map((way) => way.gapMs));
    this.#offerEnd(this.#awakeCost + this.#rents.awake(arrivalMs) + gapMs, this.#awakeRecord, arrivalMs);
  }

  /** What a residence costs that ends as soon as it has begun, with requests left over. */
  #leaveAtOnce(readyMs: number, cost: number, record: number): boolean {
    let isUsed = cost < this.#anyCost;
    if (isUsed) {
      this.#anyCost = cost;
      this.#anyRecord = record;
    }
    const arrived = this.#arrived;
    if (arrived <= this.model.maxConcurrent) return isUsed;
    for (const way of this.#ways) {
      const leaving = cost + this.#leave(way.way, readyMs);
      if (way.offerLeft(arrived, leaving, record, readyMs)) isUsed = true;
    }
    return isUsed;
  }

  #offerEnd(cost: number, record: number, ms: number): boolean {
    if (cost >= this.#endCost) return false;
    this.#endCost = cost;
    this.#endRecord = record;
    this.#endMs = ms;
    return true;
  }

  /** Takes in who may ask for a load by then: the first request that was not served. */
  #askBefore(readyMs: number): void {
    const { arrivalsMs } = this.model;
    for (const way of this.#ways) {
      while (way.nextAsked < arrivalsMs.length && at(arrivalsMs, way.nextAsked) + way.loadMs <= readyMs) {
        if (this.#options.variant === 'demand') way.addLine(way.nextAsked);
        if (this.#options.holds) way.addCrowd(way.nextAsked);
        way.nextAsked += 1;
      }
    }
  }

  /** Becoming ready at this moment, for each class of the first request. */
  #try(readyMs: number, classes: number): void {
    const { holdsMs, classOf } = this.#classes;
    const arrived = this.#arrived;
    const waits = arrived * readyMs - at(this.#sumsMs, arrived);
    const awake = this.#rents.awake(readyMs);
    const moved = this.#rents.move(readyMs);
    for (const way of this.#ways) this.#priceLoad(way, readyMs, moved);
    for (let cls = 0; cls <= holdsMs.length; cls += 1) {
      if ((classes & (1 << cls)) === 0) continue;
      const found = this.#found;
      found.cost = INFINITE;
      if (cls === at(classOf, 0) && arrived > 0) this.#tryFirst(readyMs, moved);
      this.#tryLines(readyMs, cls);
      if (cls === holdsMs.length) this.#tryLeftOver(readyMs, waits);
      if (found.cost === INFINITE) continue;
      const heldMs = readyMs + (holdsMs[cls] ?? 0);
      this.#becomeReady(readyMs, waits + found.cost - awake, heldMs);
    }
    if (this.#options.variant === 'clairvoyant' && (classes & (1 << holdsMs.length)) !== 0)
      this.#tryAhead(readyMs, moved, awake);
  }

  /** Ready before its next request comes, whose service then holds it (P4). */
  #tryAhead(readyMs: number, moved: number, awake: number): void {
    const arrived = this.#arrived;
    if (arrived >= this.model.arrivalsMs.length) return;
    const found = this.#found;
    found.cost = INFINITE;
    if (arrived === 0) this.#tryFirst(readyMs, moved);
    for (const way of this.#ways) {
      const cost = at(way.costs, arrived) + way.load;
      if (cost >= found.cost) continue;
      found.cost = cost;
      found.kind = way.kind;
      found.startedMs = this.#laterStartedMs;
      found.parent = at(way.records, arrived);
      found.fromMs = at(way.fromMs, arrived);
    }
    const cost = found.cost - awake;
    if (cost >= at(this.#arrivingCosts, arrived + 1)) return;
    this.#arrivingCosts[arrived + 1] = cost;
    this.#arrivingRecords[arrived + 1] = this.#record(readyMs);
  }

  #record(readyMs: number): number {
    const { kind, parent, fromMs, startedMs } = this.#found;
    return this.#records.push({ readyMs, kind, parent, fromMs, startedMs }) - 1;
  }

  #priceLoad(way: WayOut, readyMs: number, moved: number): void {
    const startMs = readyMs - way.loadMs;
    way.kind = LoadKind.cold;
    if (startMs < 0) {
      way.load = INFINITE;
      return;
    }
    way.load = moved - this.#rents.move(startMs);
    if (way.way === 'sleep') {
      way.load += this.#rents.asleep(startMs);
      way.kind = LoadKind.wake;
      return;
    }
    if (this.#early === null) return;
    const early = this.#early.later(readyMs, moved);
    if (early >= way.load) return;
    way.load = early;
    way.kind = LoadKind.laterEarly;
    this.#laterStartedMs = this.#early.startedMs;
  }

  /** The first load of all. */
  #tryFirst(readyMs: number, moved: number): void {
    const found = this.#found;
    found.parent = -1;
    found.kind = LoadKind.first;
    found.cost = moved - this.#rents.move(readyMs - this.model.firstColdMs);
    if (this.#early === null) return;
    const asleep = this.#early.first(readyMs, moved);
    if (asleep < found.cost) {
      found.cost = asleep;
      found.kind = LoadKind.firstEarly;
      found.startedMs = this.#early.startedMs;
    }
    const stopped = this.#early.stopped(readyMs, moved);
    if (stopped >= found.cost) return;
    found.cost = stopped;
    found.kind = LoadKind.firstStopped;
    found.startedMs = this.#early.startedMs;
  }

  #tryLines(readyMs: number, cls: number): void {
    const found = this.#found;
    for (const way of this.#ways) {
      const hull = way.hulls[cls];
      if (hull === undefined) continue;
      const cost = hull.least(readyMs) + way.load;
      if (cost >= found.cost) continue;
      found.cost = cost;
      found.kind = way.kind;
      found.startedMs = this.#laterStartedMs;
      const { id } = hull;
      found.parent = at(way.records, id);
      found.fromMs = at(way.fromMs, id);
    }
  }

  /** P3: soon after a residence that left requests over; they are served without anyone's hold. */
  #tryLeftOver(readyMs: number, waits: number): void {
    const { arrivalsMs, maxConcurrent } = this.model;
    if (!this.#options.holds || this.#anyCost === INFINITE || this.#arrived <= maxConcurrent) return;
    for (const way of this.#ways) {
      const crowd = Math.max(way.crowds.least(readyMs), way.crowdsGap.least(readyMs));
      if (crowd < INFINITE) this.#offerLeftOver(way, way.load + crowd, way.crowds.id);
      const startMs = readyMs - way.loadMs;
      while (way.begun < arrivalsMs.length && at(arrivalsMs, way.begun) < startMs) way.begun += 1;
      const { begun } = way;
      if (begun <= maxConcurrent) continue;
      this.#offerLeftOver(way, way.load - waits + at(way.leftCosts, begun) + way.gapMs, begun);
    }
  }

  #offerLeftOver({ kind, leftRecords, leftFromMs }: WayOut, cost: number, count: number): void {
    const found = this.#found;
    if (cost >= found.cost) return;
    found.cost = cost;
    found.kind = kind;
    found.startedMs = this.#laterStartedMs;
    found.parent = at(leftRecords, count);
    found.fromMs = at(leftFromMs, count);
  }

  /** `cost`: less the rent up to it. Held until `heldMs`; whoever arrives until then is served too. */
  #becomeReady(readyMs: number, cost: number, heldMs: number): void {
    const { arrivalsMs } = this.model;
    let count = this.#arrived;
    while (count < arrivalsMs.length && at(arrivalsMs, count) <= heldMs + TOLERANCE_MS) count += 1;
    // Whoever is awake by then for less, and free to leave as soon, does all of it for less.
    if (cost >= this.#awakeCost && heldMs >= at(this.#servedMs, count)) return;
    const record = this.#records.length;
    let isUsed = this.#options.holds && this.#leaveAtOnce(readyMs, cost, record);
    for (const way of this.#ways) {
      const leaving = cost + this.#leave(way.way, heldMs);
      for (let served = this.#arrived; served <= count; served += 1) {
        if (way.offer(served, leaving, record, heldMs)) isUsed = true;
      }
    }
    if (count === arrivalsMs.length) {
      if (this.#offerEnd(cost + this.#rents.awake(heldMs), record, heldMs)) isUsed = true;
    } else if (cost < at(this.#arrivingCosts, count + 1)) {
      this.#arrivingCosts[count + 1] = cost;
      this.#arrivingRecords[count + 1] = record;
      isUsed = true;
    }
    if (isUsed) this.#record(readyMs);
  }
}
