/**
 * What the scheduler would do with these models on these devices, before anything runs: who fits, beside whom, at whose cost,
 * and how long it may take. Everything is asked of the scheduler's and placement's own code.
 */

import type { ModelName } from '../core/ids.ts';
import { refreshFeasibility } from '../scheduler/device-view.ts';
import { createSchedulerState, type ModelState } from '../scheduler/state.ts';
import { canSleep, quantumMs, sleepCostMs, startCostMs, stopCostMs, wakeCostMs } from '../scheduler/turn.ts';
import { TURNS } from '../scheduler/turns-policy.ts';
import { evictions, type MakingRoom } from './evictions.ts';
import type { PlannedSetup } from './fit-items.ts';
import { type Sleepers, sleepers, type Together, together } from './together.ts';
import { type WorstWait, worstWaits } from './worst-wait.ts';

/** What its moves cost, in milliseconds. */
export interface PlannedCosts {
  readonly startMs: number;
  readonly stopMs: number;
  /** Null: it does not sleep. */
  readonly sleepMs: number | null;
  readonly wakeMs: number | null;
  /** How long its turn lasts while others wait. */
  readonly quantumMs: number;
  /** `learned`: at least its start was measured on this machine. */
  readonly basis: 'learned' | 'assumed';
}

export interface Plan {
  /** Why no device can ever hold it, with the nearest change that would. */
  readonly neverFits: ReadonlyMap<ModelName, string>;
  readonly costs: ReadonlyMap<ModelName, PlannedCosts>;
  readonly together: Together;
  readonly sleepers: Sleepers;
  readonly makingRoom: ReadonlyMap<ModelName, MakingRoom>;
  readonly worstWaits: ReadonlyMap<ModelName, WorstWait>;
}

export function makePlan(setup: PlannedSetup): Plan {
  const state = createSchedulerState(setup, TURNS);
  refreshFeasibility(state);
  const managed = [...state.models.values()].filter(({ policy }) => policy.managed);
  return {
    neverFits: new Map(
      managed.flatMap(({ policy, neverFits }) => (neverFits === null ? [] : [[policy.name, neverFits]])),
    ),
    costs: new Map(managed.map((model) => [model.policy.name, costsOf(model, setup)])),
    together: together(state),
    sleepers: sleepers(state),
    makingRoom: evictions(setup),
    worstWaits: worstWaits({ setup, state }),
  };
}

function costsOf(model: ModelState, { scheduling }: PlannedSetup): PlannedCosts {
  const sleeps = canSleep(model);
  return {
    startMs: startCostMs(model),
    stopMs: stopCostMs(model),
    sleepMs: sleeps ? sleepCostMs(model) : null,
    wakeMs: sleeps ? wakeCostMs(model) : null,
    quantumMs: quantumMs(model, scheduling),
    basis: model.startMs === null ? 'assumed' : 'learned',
  };
}
