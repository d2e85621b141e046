/**
 * What would be evicted for what: for each model, all others are thought awake and idle, as many as fit (always-on ones first,
 * then in the order of the configuration), and the scheduler's own placement is asked how it would make room.
 */

import type { ModelName } from '../core/ids.ts';
import type { Victim } from '../placement/place.ts';
import { placeNow, refreshFeasibility } from '../scheduler/device-view.ts';
import { setEngine } from '../scheduler/engine-index.ts';
import { awakeState, type Reservation } from '../scheduler/engine-state.ts';
import { waySleeping } from '../scheduler/host-memory.ts';
import { createSchedulerState, type ModelState, type SchedulerState } from '../scheduler/state.ts';
import { sleepCostMs, startCostMs, stopCostMs } from '../scheduler/turn.ts';
import { TURNS } from '../scheduler/turns-policy.ts';
import { awakeItem, type PlannedSetup } from './fit-items.ts';

export type MakingRoom =
  /** Beside all others that fit there is room left. */
  | { readonly kind: 'free' }
  | {
      readonly kind: 'evict';
      readonly victims: readonly Victim[];
      /** When the room is there, from idle victims. */
      readonly roomInMs: number;
      /** When it serves then, from a cold start. */
      readonly servesInMs: number;
    }
  | { readonly kind: 'blocked'; readonly why: string };

/** So late that nobody lingers any more. */
const NOW_MS = 1_000_000_000;

/** Of each model that some device can hold. */
export function evictions(setup: PlannedSetup): ReadonlyMap<ModelName, MakingRoom> {
  const made = new Map<ModelName, MakingRoom>();
  for (const { name } of setup.models) {
    const state = createSchedulerState(setup, TURNS);
    refreshFeasibility(state);
    const model = state.models.get(name);
    if (model === undefined || awakeItem(model) === null) continue;
    bringUp(state, (other) => other !== model);
    made.set(name, roomFor(state, model));
  }
  return made;
}

/** Beside always-on models alone: what keeps it out is theirs for good. Null: it has room. */
export function keptOut(setup: PlannedSetup, name: ModelName): string | null {
  const state = createSchedulerState(setup, TURNS);
  refreshFeasibility(state);
  const model = state.models.get(name);
  if (model === undefined) return null;
  bringUp(state, ({ policy }) => policy.alwaysOn && policy.name !== name);
  const placement = placeNow(state, model, NOW_MS);
  return placement.kind === 'blocked' ? placement.why : null;
}

function bringUp(state: SchedulerState, isWanted: (model: ModelState) => boolean): void {
  const models = [...state.models.values()].filter((model) => awakeItem(model) !== null && isWanted(model));
  models.sort((a, b) => Number(b.policy.alwaysOn) - Number(a.policy.alwaysOn));
  for (const model of models) {
    const placement = placeNow(state, model, NOW_MS);
    if (placement.kind !== 'free') continue;
    const { deviceIds, memoryMibPerDevice } = placement;
    const { name: launchId, signature } = model.policy;
    const exclusive = model.need?.memoryMibPerDevice === null;
    const reservation: Reservation = { launchId, deviceIds, memoryMibPerDevice, exclusive, signature };
    setEngine(state, model, awakeState(reservation, 'cold', 0));
  }
}

function roomFor(state: SchedulerState, model: ModelState): MakingRoom {
  const placement = placeNow(state, model, NOW_MS);
  if (placement.kind === 'free') return { kind: 'free' };
  if (placement.kind !== 'evict') return { kind: 'blocked', why: placement.why };
  const victims = placement.victims.map((victim) => asHostAllows(state, victim));
  const roomInMs = Math.max(0, ...victims.map((victim) => leavesInMs(state, victim)));
  return { kind: 'evict', victims, roomInMs, servesInMs: roomInMs + startCostMs(model) };
}

/** One that has no place in the host's memory is stopped; one that has takes it from the next. */
function asHostAllows(state: SchedulerState, victim: Victim): Victim {
  const model = state.models.get(victim.model);
  if (victim.how === 'stop' || model?.engine.kind !== 'awake') return victim;
  const decision = { state, nowMs: NOW_MS, effects: [], touched: state.touched, review: false, board: null };
  if (waySleeping(decision, model) !== 'sleep') return { ...victim, how: 'stop' };
  const { reservation } = model.engine;
  const level = model.need?.sleepLevel === 2 ? 2 : 1;
  const deadlineMs = Number.POSITIVE_INFINITY;
  const sinceMs = NOW_MS;
  setEngine(state, model, { kind: 'falling_asleep', reservation, level, sinceMs, deadlineMs, reason: '' });
  return victim;
}

function leavesInMs(state: SchedulerState, { model: name, how }: Victim): number {
  const model = state.models.get(name);
  if (model === undefined) return 0;
  return how === 'sleep' ? sleepCostMs(model) : stopCostMs(model);
}
