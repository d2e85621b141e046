/**
 * Who is next among the models that wait for devices.
 *  1. Where somebody has waited so long that the waiting bound asks for it (design.md): those who began to wait no later.
 *  2. Those for whom somebody was asked to leave already, so that what was begun is ended.
 *  3. The others. All by their index: waiting work per device time that bringing it up and serving it takes. With this order a
 *     model is visited the more often the more it is asked for and the cheaper it is, about as the square root of the ratio,
 *     which is what gives the least waiting in all (demand.ts).
 */
import { Heap } from '../core/heap.ts';
import type { ModelState, Plan, SchedulerState } from './state.ts';
import { backlogMs, bringUpCostMs, longestTurnMs } from './turn.ts';

/** A request that has waited for so long weighs as much as two that have just arrived. */
const AGE_WEIGHT_MS = 2_000;
/**
 * Before a start was measured, larger models are taken to start later than small ones: by published loads about as 20 GiB and
 * its own size are to those of a middling one.
 */
const SIZE_BASE_MIB = 20 * 1024;
const SIZE_MIDDLE_MIB = 36 * 1024;

/** Who has waited for devices for much longer than this weighs more, by the root: a shorter tail for a little of the mean. */
const PATIENCE_MS = 30_000;

/**
 * Several devices cost their number; but they are given up at the same time by those who would have to go anyway, and a model
 * that needs them has nowhere else to go.
 */
const DEVICE_POWER = 0.8;

export function joinContest(state: SchedulerState, model: ModelState, nowMs: number): void {
  if (model.contendsSinceMs !== null) return;
  model.contendsSinceMs = nowMs;
  model.blocked = false;
  state.contenders.add(model);
  state.restless.add(model);
}

export function leaveContest(state: SchedulerState, model: ModelState): void {
  model.contendsSinceMs = null;
  state.contenders.delete(model);
  state.restless.delete(model);
}

/** Work that waits: requests, each the heavier the longer it has waited. */
export function pressure(model: ModelState, nowMs: number): number {
  return model.queue.size + model.queue.waitedSumMs(nowMs) / AGE_WEIGHT_MS;
}

/** Until all that waits for it now would be served, once it has its devices. */
export function visitMs(model: ModelState): number {
  const { need, startMs, engine } = model;
  const isGuess = engine.kind !== 'asleep' && startMs === null;
  const sizeMib = need?.memoryMibPerDevice ?? SIZE_MIDDLE_MIB - SIZE_BASE_MIB;
  const factor = isGuess ? (SIZE_BASE_MIB + sizeMib) / SIZE_MIDDLE_MIB : 1;
  return Math.max(1, factor * bringUpCostMs(model) + backlogMs(model));
}

/**
 * Waiting work per device-millisecond of a visit. Also of a later time, if nobody comes meanwhile; `moreMs`: there is one more
 * request, which has waited for so long.
 */
export function indexOf(model: ModelState, nowMs: number, moreMs: number | null = null): number {
  const more = moreMs === null ? 0 : 1 + moreMs / AGE_WEIGHT_MS;
  const deviceMs = visitMs(model) * Math.max(1, model.need?.deviceCount ?? 1) ** DEVICE_POWER;
  const contendedMs = nowMs - (model.contendsSinceMs ?? nowMs);
  return ((pressure(model, nowMs) + more) * Math.sqrt(1 + contendedMs / PATIENCE_MS)) / deviceMs;
}

/** Of sums: what rounding takes of them is less than the rest. */
const ROUNDED = 1 - 1e-9;

/** Sums over models by whom they may meet: a model without a pool meets everybody. */
class MeetingSums {
  #all = 0;
  readonly #byPool = new Map<string | null, number>();

  add({ policy }: ModelState, ms: number): void {
    this.#all += ms;
    this.#byPool.set(policy.pool, (this.#byPool.get(policy.pool) ?? 0) + ms);
  }

  of({ policy }: ModelState): number {
    return this.#ofPool(policy.pool);
  }

  /** The least of any model that some of the devices may hold. */
  leastIn(devices: readonly { readonly pool: string | null }[]): number {
    return devices.reduce((least, { pool }) => Math.min(least, this.#ofPool(pool)), this.#all);
  }

  #ofPool(pool: string | null): number {
    return pool === null ? this.#all : (this.#byPool.get(pool) ?? 0) + (this.#byPool.get(null) ?? 0);
  }
}

/** Who goes before all others because of the waiting bound, and when that may change by time alone. */
export interface Overdue {
  /** In this order. */
  readonly models: readonly ModelState[];
  /** Nobody else is overdue before, if nothing else happens; Infinity: not by time alone. */
  readonly againMs: number;
}

/**
 * Each who works or waits may have one turn before a model in all; what those who began to wait earlier would still take is kept
 * for them, and the rest may be spent on anybody. Once it is spent for somebody, only they may go before it: by their index, but
 * what was begun for one of them is ended first (design.md has the proof). Nobody's place is guarded by one for whom no devices
 * could be set aside, or whose pool is another one: those behind it have their own guard.
 */
export function overdue(state: SchedulerState, nowMs: number, plans: ReadonlyMap<ModelState, Plan>): Overdue {
  const { contenders, devices, engines, scheduling } = state;
  const sums = new MeetingSums();
  for (const model of engines.holders)
    if (model.engine.kind !== 'asleep') sums.add(model, longestTurnMs(model, scheduling));
  // Mostly not even the first has waited for as long as the turns of those who work, who go before anybody.
  const [oldest] = contenders;
  const leastMs = ROUNDED * sums.leastIn([...devices.values()]);
  const firstMs = (oldest?.contendsSinceMs ?? Number.POSITIVE_INFINITY) + leastMs;
  if (nowMs < firstMs) return { models: [], againMs: firstMs };
  for (const model of contenders) sums.add(model, longestTurnMs(model, scheduling));
  const ahead = new MeetingSums();
  const guarded = new Set<string>();
  const models: ModelState[] = [];
  let group: ModelState[] = [];
  let againMs = Number.POSITIVE_INFINITY;
  for (const model of contenders) {
    const { pool } = model.policy;
    const ownMs = longestTurnMs(model, scheduling);
    const dueMs = (model.contendsSinceMs ?? nowMs) + sums.of(model) - ownMs - ahead.of(model);
    ahead.add(model, ownMs);
    if (pool !== null && guarded.has(pool)) continue;
    group.push(model);
    if (nowMs <= dueMs) {
      againMs = Math.min(againMs, dueMs);
      continue;
    }
    models.push(...inOrder(group, nowMs, plans));
    group = [];
    if (model.blocked) continue;
    if (pool === null) break;
    guarded.add(pool);
  }
  return { models, againMs };
}

/** Those for whom somebody was asked to go stand first, the earliest before others; then by index. */
function inOrder(
  models: readonly ModelState[],
  nowMs: number,
  plans: ReadonlyMap<ModelState, Plan>,
): ModelState[] {
  const scored = models.map((model) => {
    const plan = plans.get(model);
    const begunMs = plan?.hasBegun === true ? plan.sinceMs : Number.POSITIVE_INFINITY;
    return { model, begunMs, index: indexOf(model, nowMs) };
  });
  scored.sort((a, b) => {
    if (a.begunMs !== b.begunMs) return a.begunMs - b.begunMs;
    return ranksBefore(a, b) ? -1 : 1;
  });
  return scored.map(({ model }) => model);
}

/** The order of those who contend, found out only as far as somebody asks: most reviews end with the first ones. */
export class Ranking {
  readonly #nowMs: number;
  /** In their order, from the end. */
  readonly #first: ModelState[];
  readonly #contenders: ReadonlySet<ModelState>;
  readonly #told: ReadonlySet<ModelState>;
  /** The others; null: nobody has asked for them. */
  #heap: Heap<Scored> | null = null;

  /** `first`: of `overdue`, in their order. */
  constructor(
    contenders: ReadonlySet<ModelState>,
    first: readonly ModelState[],
    nowMs: number,
    plans: ReadonlyMap<ModelState, Plan>,
  ) {
    this.#nowMs = nowMs;
    this.#contenders = contenders;
    const begun: { readonly model: ModelState; readonly sinceMs: number }[] = [];
    const told = new Set(first);
    for (const [model, { hasBegun, sinceMs }] of plans)
      if (hasBegun && contenders.has(model) && !told.has(model)) begun.push({ model, sinceMs });
    for (const { model } of begun) told.add(model);
    this.#told = told;
    begun.sort((a, b) => a.sinceMs - b.sinceMs || (a.model.policy.name < b.model.policy.name ? -1 : 1));
    this.#first = [...first, ...begun.map(({ model }) => model)].reverse();
  }

  /** Null: all have been told. */
  next(): ModelState | null {
    const first = this.#first.pop();
    if (first !== undefined) return first;
    this.#heap ??= this.#heapOfOthers();
    return this.#heap.pop()?.model ?? null;
  }

  #heapOfOthers(): Heap<Scored> {
    const others: Scored[] = [];
    for (const model of this.#contenders)
      if (!this.#told.has(model)) others.push({ model, index: indexOf(model, this.#nowMs) });
    return new Heap(others, ranksBefore);
  }
}

interface Scored {
  readonly model: ModelState;
  readonly index: number;
}

function ranksBefore(a: Scored, b: Scored): boolean {
  if (a.index !== b.index) return a.index > b.index;
  const sinceMs = (a.model.contendsSinceMs ?? 0) - (b.model.contendsSinceMs ?? 0);
  return sinceMs < 0 || (sinceMs === 0 && a.model.policy.name < b.model.policy.name);
}
