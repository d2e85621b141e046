/** Where a model may go, asked of placement for the devices as they are. */
import type { DeviceId } from '../core/ids.ts';
import {
  type DeviceView,
  type FoundPlace,
  findPlace,
  type Placement,
  type PlacementNeed,
  PlaceSearch,
  place,
} from '../placement/place.ts';
import { DeviceBoard } from './device-board.ts';
import { availableMib } from './model-policy.ts';
import type { ModelState, SchedulerState } from './state.ts';

/** A model waits for so much longer where less is lost by it: longer waits cost more of the device than they spare. */
export const LATER_MS = 20_000;

/**
 * The placement of `model` among all devices that no plan of another model holds: of a sleeping one, its waking where it
 * sleeps; its need must be known.
 */
export function placeNow(
  state: SchedulerState,
  model: ModelState,
  nowMs: number,
  onlyOn?: readonly DeviceId[],
): Placement {
  const need = needNow(model, onlyOn ?? null);
  if (need === null) return { kind: 'blocked', why: 'what it needs is being found out' };
  if (!state.devicesKnown) return { kind: 'blocked', why: 'the devices have not been read yet' };
  return place(need, new DeviceBoard(state, nowMs, model).viewsFor(model));
}

/** As `placeNow` within a review; null: there is no place at present. */
export function findNow(
  board: DeviceBoard,
  model: ModelState,
  onlyOn: readonly DeviceId[] | null = null,
  laterMs = LATER_MS,
): FoundPlace | null {
  return find(board, model, needNow(model, onlyOn, laterMs));
}

/** The place of a start, also of a model that sleeps somewhere. */
export function findAnew(board: DeviceBoard, model: ModelState): FoundPlace | null {
  return find(board, model, needAnew(model, null));
}

/** As `findNow`, in steps; null: what it needs is not known. */
export function searchNow(board: DeviceBoard, model: ModelState, laterMs: number): PlaceSearch | null {
  const need = needNow(model, null, laterMs);
  return need === null ? null : new PlaceSearch(need, board.openFor(model, need.onlyOn));
}

function find(board: DeviceBoard, model: ModelState, need: PlacementNeed | null): FoundPlace | null {
  return need === null ? null : findPlace(need, board.openFor(model, need.onlyOn));
}

function needNow(
  model: ModelState,
  onlyOn: readonly DeviceId[] | null,
  laterMs = LATER_MS,
): PlacementNeed | null {
  const { engine } = model;
  if (engine.kind !== 'asleep') return needAnew(model, onlyOn, laterMs);
  const { deviceIds, memoryMibPerDevice, exclusive } = engine.awakeReservation;
  return {
    deviceCount: deviceIds.length,
    pool: null,
    // Exclusive: whoever is awake there has to leave, also where it would fit.
    memoryMibPerDevice: exclusive ? null : memoryMibPerDevice,
    leastMibPerDevice: memoryMibPerDevice,
    onlyOn: deviceIds,
    laterMs,
  };
}

function needAnew(
  { need, policy }: ModelState,
  onlyOn: readonly DeviceId[] | null,
  laterMs = LATER_MS,
): PlacementNeed | null {
  if (need === null) return null;
  const { deviceCount, memoryMibPerDevice, leastMibPerDevice } = need;
  return { deviceCount, pool: policy.pool, memoryMibPerDevice, leastMibPerDevice, onlyOn, laterMs };
}

/** Finds out anew, after a change of policies or devices, which models can never be loaded. */
export function refreshFeasibility(state: SchedulerState): void {
  if (!state.devicesKnown) return;
  const empty = emptyViews(state);
  for (const model of state.models.values()) setFeasibility(state, model, empty);
}

/** After a change of its need alone. */
export function refreshFeasibilityOf(state: SchedulerState, model: ModelState): void {
  if (state.devicesKnown) setFeasibility(state, model, emptyViews(state));
}

function setFeasibility(state: SchedulerState, model: ModelState, empty: readonly DeviceView[]): void {
  model.neverFits = neverFits(model, empty);
  if (state.contenders.has(model)) state.restless.add(model);
}

function emptyViews({ devices }: SchedulerState): readonly DeviceView[] {
  return [...devices.values()].map((device) => ({
    ...device,
    // Foreign programs may go again: what they take keeps nobody out for good.
    availableMib: availableMib({ ...device, foreignMib: 0 }),
    reservedMib: 0,
    restMib: 0,
    leaving: [],
    moving: false,
    held: false,
    residents: [],
  }));
}

function neverFits(model: ModelState, empty: readonly DeviceView[]): string | null {
  const { policy, need } = model;
  if (!policy.managed || need === null) return null;
  if (need.neverFits !== null) return need.neverFits;
  const needed = needAnew(model, null);
  const placement = needed === null ? null : place(needed, empty);
  return placement?.kind === 'never' ? placement.why : null;
}
