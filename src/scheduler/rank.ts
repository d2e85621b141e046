/**
 * Who is next among the models that wait for devices.
 * Rounds, counted per pool: lower rounds go first, and a model that got its devices contends again in a later round than
 * its own and than that of everyone who waits meanwhile for devices that both may use. So while a model waits, every
 * other one is preferred to it at most once: the waiting bound rests on this (design.md). Who cannot be seated at all
 * (blocked by always-on engines, in a pause after a failure) holds up no round.
 * Within a round: those that have held devices the longest, then the most waiting work per device-second of bringing it up.
 */
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
}

export function leaveContest(state: SchedulerState, model: ModelState): void {
  model.round = null;
  state.contenders.delete(model);
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

export function rankContenders(
  state: SchedulerState,
  nowMs: number,
  plans: ReadonlyMap<ModelName, Plan>,
): ModelState[] {
  const ranked = [...state.contenders].map((model) => ({
    model,
    round: model.round ?? 0,
    holdsSinceMs: plans.get(model.policy.name)?.sinceMs ?? Number.MAX_SAFE_INTEGER,
    score: score(model, nowMs),
  }));
  ranked.sort(
    (a, b) =>
      a.round - b.round ||
      a.holdsSinceMs - b.holdsSinceMs ||
      b.score - a.score ||
      (a.model.policy.name < b.model.policy.name ? -1 : 1),
  );
  return ranked.map((entry) => entry.model);
}

function score(model: ModelState, nowMs: number): number {
  const work = model.queue.waitedSumMs(nowMs) + model.queue.size * FRESH_REQUEST_MS;
  return work / (Math.max(1, bringUpCostMs(model)) * Math.max(1, model.need?.deviceCount ?? 1));
}
