/**
 * Who is next among the models that wait for devices.
 * Rounds, counted per pool: lower rounds go first, and a model that got its devices contends again in a later round than
 * its own and than that of everyone who waits meanwhile for devices that both may use. So while a model waits, every
 * other one is preferred to it at most once: the waiting bound rests on this (design.md). Who cannot be seated at all
 * (blocked by always-on engines, in a pause after a failure) holds up no round.
 * Within a round: those that have held devices the longest, then the most waiting work per device-second of bringing it up.
 */
import { Heap } from '../core/heap.ts';
import type { ModelName } from '../core/ids.ts';
import type { ModelState, Plan, SchedulerState } from './state.ts';
import { bringUpCostMs } from './turn.ts';

/** Counts a request that has just arrived as if it had waited a second already, so that many fresh ones weigh more than one. */
const FRESH_REQUEST_MS = 1_000;

export function joinContest(state: SchedulerState, model: ModelState): void {
  if (model.round !== null) return;
  model.round = Math.max(state.rounds.get(poolOf(model)) ?? 0, model.lastGrantRound + 1);
  model.blocked = false;
  state.contenders.add(model);
  state.restless.add(model);
}

export function leaveContest(state: SchedulerState, model: ModelState): void {
  model.round = null;
  state.contenders.delete(model);
  state.restless.delete(model);
}

/** The model got its devices: its next contest is in a later round than that of anybody who waits for them now. */
export function granted(state: SchedulerState, model: ModelState): void {
  let round = model.round ?? state.rounds.get(poolOf(model)) ?? 0;
  for (const other of state.contenders) {
    if (mayMeet(model, other)) round = Math.max(round, other.round ?? 0);
  }
  model.lastGrantRound = round;
  leaveContest(state, model);
}

/** Their pools let both on one device; a model without a pool meets everybody. */
function mayMeet(model: ModelState, other: ModelState): boolean {
  const pool = model.policy.pool;
  return pool === null || other.policy.pool === null || pool === other.policy.pool;
}

/** Each pool goes on to the lowest round in which somebody waits who can be seated. Called after a review. */
export function advanceRounds(state: SchedulerState): void {
  const lowest = new Map<string, number>();
  for (const model of state.contenders) {
    if (model.blocked || model.round === null) continue;
    const pool = poolOf(model);
    lowest.set(pool, Math.min(lowest.get(pool) ?? Number.POSITIVE_INFINITY, model.round));
  }
  for (const [pool, round] of lowest) state.rounds.set(pool, Math.max(state.rounds.get(pool) ?? 0, round));
}

function poolOf(model: ModelState): string {
  return model.policy.pool ?? '';
}

/** The order of those who contend, found out only as far as somebody asks: most reviews end with the first ones. */
export class Ranking {
  readonly #nowMs: number;
  /** In their order. */
  readonly #rounds: Round[];

  constructor(contenders: Iterable<ModelState>, nowMs: number, plans: ReadonlyMap<ModelName, Plan>) {
    this.#nowMs = nowMs;
    const rounds = new Map<number, Round>();
    for (const model of contenders) {
      const number = model.round ?? 0;
      const round = rounds.get(number) ?? { number, holding: [], others: [], heap: null };
      rounds.set(number, round);
      const plan = plans.get(model.policy.name);
      if (plan === undefined) round.others.push(model);
      else round.holding.push({ model, sinceMs: plan.sinceMs, score: score(model, nowMs) });
    }
    this.#rounds = [...rounds.values()].sort((a, b) => a.number - b.number);
    for (const { holding } of this.#rounds)
      holding.sort((a, b) => b.sinceMs - a.sinceMs || (ranksBefore(a, b) ? 1 : -1));
  }

  /** Null: all have been told. */
  next(): ModelState | null {
    for (;;) {
      const [round] = this.#rounds;
      if (round === undefined) return null;
      const holding = round.holding.pop();
      if (holding !== undefined) return holding.model;
      round.heap ??= this.#heapOf(round.others);
      const next = round.heap.pop();
      if (next !== null) return next.model;
      this.#rounds.shift();
    }
  }

  #heapOf(models: readonly ModelState[]): Heap<Scored> {
    return new Heap(
      models.map((model) => ({ model, score: score(model, this.#nowMs) })),
      ranksBefore,
    );
  }
}

interface Scored {
  readonly model: ModelState;
  readonly score: number;
}

interface Round {
  readonly number: number;
  /** Who holds devices, in reversed order. */
  readonly holding: (Scored & { readonly sinceMs: number })[];
  readonly others: ModelState[];
  /** The others; null: nobody has asked for them. */
  heap: Heap<Scored> | null;
}

function ranksBefore(a: Scored, b: Scored): boolean {
  return a.score > b.score || (a.score === b.score && a.model.policy.name < b.model.policy.name);
}

function score(model: ModelState, nowMs: number): number {
  const work = model.queue.waitedSumMs(nowMs) + model.queue.size * FRESH_REQUEST_MS;
  return work / (Math.max(1, bringUpCostMs(model)) * Math.max(1, model.need?.deviceCount ?? 1));
}
