/**
 * Which models can be awake at the same time, and who may sleep beside them.
 *  1. A set is one that devices can hold at once and to which no other model can be added. Always-on models are in each.
 *  2. Up to `EXACT_MODELS_MAX` models all such sets are found, beyond that a few in which every model occurs (greedy: each model
 *     that no set has yet begins one, and the others are added in their order). What `exact` says.
 *  3. Beside a set those sleep whom the host's memory and the devices (residues) hold, the dearest to start first: they are
 *     whom the scheduler would keep (scheduler/host-memory.ts).
 */
import type { ModelName } from '../core/ids.ts';
import { sleepWorth } from '../scheduler/host-memory.ts';
import type { ModelState, SchedulerState } from '../scheduler/state.ts';
import { canSleep } from '../scheduler/turn.ts';
import { asleepItem, awakeItem, devicesOf } from './fit-items.ts';
import { type PackedItem, pack } from './packing.ts';

/** Of n models there may be 2^n sets. */
export const EXACT_MODELS_MAX = 12;

export interface ResidentSet {
  readonly awake: readonly ModelName[];
  /** Who may be asleep meanwhile, all at once. */
  readonly asleep: readonly ModelName[];
}

export interface Together {
  /** All sets there are; otherwise only some, found greedily. */
  readonly exact: boolean;
  readonly sets: readonly ResidentSet[];
  /** Always-on models that cannot stand beside the other always-on ones. */
  readonly crowdedOut: readonly ModelName[];
}

export interface Sleepers {
  /** Null: not known, and then nobody is put to sleep. */
  readonly hostBudgetMib: number | null;
  /** Models that may sleep at all. */
  readonly able: readonly ModelName[];
  /** The most of them that the host's memory holds at once, the smallest first; null where it is not known. */
  readonly mostAtOnce: number | null;
}

export function together(state: SchedulerState): Together {
  const models = [...state.models.values()].filter((model) => awakeItem(model) !== null);
  const base: PackedItem[] = [];
  const crowdedOut: ModelName[] = [];
  for (const model of models.filter(({ policy }) => policy.alwaysOn)) {
    const item = awakeItem(model);
    if (item !== null && fits(state, [...base, item]) === true) base.push(item);
    else crowdedOut.push(model.policy.name);
  }
  const free = models.filter(({ policy }) => !policy.alwaysOn).flatMap((model) => awakeItem(model) ?? []);
  const exactSets = free.length <= EXACT_MODELS_MAX ? allSets(state, base, free) : null;
  const sets = exactSets ?? someSets(state, base, free);
  const order = [...state.models.keys()];
  return {
    exact: exactSets !== null,
    sets: sets
      .filter((set) => set.length > 0)
      .map((set) => {
        const awake = set.map(({ name }) => name).sort((a, b) => order.indexOf(a) - order.indexOf(b));
        return { awake, asleep: sleepersBeside(state, set) };
      }),
    crowdedOut,
  };
}

/** Null: not found out. */
function fits(state: SchedulerState, items: readonly PackedItem[]): boolean | null {
  const packing = pack(items, devicesOf(state));
  return packing.kind === 'unknown' ? null : packing.kind === 'fits';
}

/**
 * Each model is taken first and left out second, so a set comes after every set that contains it. Null: some question was too
 * large to be answered exactly.
 */
function allSets(
  state: SchedulerState,
  base: readonly PackedItem[],
  free: readonly PackedItem[],
): readonly (readonly PackedItem[])[] | null {
  const found: (readonly PackedItem[])[] = [];
  let isExact = true;
  const visit = (index: number, set: readonly PackedItem[]): void => {
    const item = free[index];
    if (item === undefined) {
      if (!found.some((larger) => set.every((each) => larger.includes(each)))) found.push(set);
      return;
    }
    const rest = free.slice(index);
    // Nothing below could be new: all of it is in a set that is known.
    if (found.some((larger) => [...set, ...rest].every((each) => larger.includes(each)))) return;
    const answer = fits(state, [...set, item]);
    if (answer === null) isExact = false;
    if (answer === true) visit(index + 1, [...set, item]);
    if (isExact) visit(index + 1, set);
  };
  visit(0, base);
  return isExact ? found : null;
}

function someSets(
  state: SchedulerState,
  base: readonly PackedItem[],
  free: readonly PackedItem[],
): readonly (readonly PackedItem[])[] {
  const found: (readonly PackedItem[])[] = [];
  for (const seed of free) {
    if (found.some((set) => set.includes(seed))) continue;
    if (fits(state, [...base, seed]) !== true) continue;
    let set = [...base, seed];
    for (const item of free) {
      if (item !== seed && fits(state, [...set, item]) === true) set = [...set, item];
    }
    found.push(set);
  }
  return found.length === 0 ? [base] : found;
}

function sleepersBeside(state: SchedulerState, awake: readonly PackedItem[]): readonly ModelName[] {
  if (state.hostBudgetMib === null) return [];
  const isAwake = (model: ModelState): boolean => awake.some(({ name }) => name === model.policy.name);
  let leftMib = state.hostBudgetMib;
  for (const model of state.models.values()) if (isAwake(model)) leftMib -= model.need?.hostAwakeMib ?? 0;
  const items = [...awake];
  const asleep: ModelName[] = [];
  for (const model of ableToSleep(state).filter((each) => !isAwake(each))) {
    const item = asleepItem(model);
    const hostMib = model.need?.hostAsleepMib ?? 0;
    if (item === null || hostMib > leftMib || fits(state, [...items, item]) !== true) continue;
    leftMib -= hostMib;
    items.push(item);
    asleep.push(model.policy.name);
  }
  return asleep;
}

/** Those that the scheduler would keep longest first. */
function ableToSleep(state: SchedulerState): readonly ModelState[] {
  const credit = (model: ModelState): number =>
    sleepWorth(model, 0) / Math.max(1, model.need?.hostAsleepMib ?? 0);
  return [...state.models.values()]
    .filter((model) => canSleep(model) && !model.policy.alwaysOn && awakeItem(model) !== null)
    .sort((a, b) => credit(b) - credit(a));
}

export function sleepers(state: SchedulerState): Sleepers {
  const { hostBudgetMib } = state;
  const able = ableToSleep(state);
  const names = [...state.models.keys()].filter((name) => able.some(({ policy }) => policy.name === name));
  if (hostBudgetMib === null) return { hostBudgetMib, able: names, mostAtOnce: null };
  let leftMib = hostBudgetMib;
  let mostAtOnce = 0;
  for (const mib of able.map(({ need }) => need?.hostAsleepMib ?? 0).sort((a, b) => a - b)) {
    leftMib -= mib;
    if (leftMib >= 0) mostAtOnce += 1;
  }
  return { hostBudgetMib, able: names, mostAtOnce };
}
