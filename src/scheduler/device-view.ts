/** A scheduler's view of its devices for placement. */
import type { DeviceView, LeavingView, Placement, ResidentView } from '../placement/place.ts';
import { place } from '../placement/place.ts';
import { evictionLossMs } from './credit.ts';
import { drainRestMs, expectedDrainMs } from './drain-time.ts';
import { isMoving, reservationOf } from './engine-state.ts';
import { availableMib, type DeviceBudget } from './model-policy.ts';
import { budgetReadyMs } from './move-budget.ts';
import type { ModelState, SchedulerState } from './state.ts';
import { quantumMs, startCostMs, stopCostMs, yieldsAtMs } from './turn.ts';

/** A busy victim's clients wait while it is away: its queue weighs this many times its absence (scheduling.md section 7, lesson 3). */
const BUSY_VICTIM_WEIGHT = 3;
/** A load that nobody waits for may be given up before this share of its expected time. */
const ABANDON_SHARE = 0.5;

/** The placement of `model` among all devices that no plan of another model holds. */
export function placeNow(
  state: SchedulerState,
  model: ModelState,
  nowMs: number,
  onlyOn?: readonly string[],
): Placement {
  if (!state.devicesKnown) return { kind: 'blocked', why: 'the devices have not been read yet' };
  const devices = deviceViews(state, model, nowMs).filter(
    (device) => onlyOn === undefined || onlyOn.includes(device.id),
  );
  return place(model.policy, devices);
}

/** Finds out anew, after a change of policies or devices, which models can never be loaded. */
export function refreshFeasibility(state: SchedulerState): void {
  if (!state.devicesKnown) return;
  // Foreign programs may go again: what they take keeps nobody out for good.
  const empty = [...state.devices.values()].map((device) => emptyView({ ...device, foreignMib: 0 }));
  for (const model of state.models.values()) {
    const placement = model.policy.managed ? place(model.policy, empty) : null;
    model.neverFits = placement?.kind === 'never' ? placement.why : null;
  }
}

function emptyView(device: DeviceBudget): WritableView {
  return {
    ...device,
    availableMib: availableMib(device),
    reservedMib: 0,
    leaving: [],
    moving: false,
    held: false,
    residents: [],
  };
}

function deviceViews(state: SchedulerState, forModel: ModelState, nowMs: number): DeviceView[] {
  const views = new Map<string, WritableView>();
  for (const device of state.devices.values()) views.set(device.id, emptyView(device));
  for (const plan of state.plans.values()) {
    if (plan.model === forModel.policy.name) continue;
    for (const id of plan.deviceIds) {
      const view = views.get(id);
      if (view !== undefined) view.held = true;
    }
  }
  for (const model of state.models.values()) {
    const reservation = reservationOf(model.engine);
    if (reservation === null) continue;
    const resident = residentView(state, model, reservation.memoryMibPerDevice, nowMs);
    const leaving = { memoryMib: reservation.memoryMibPerDevice, inMs: leavesInMs(model, nowMs) };
    for (const id of reservation.deviceIds) {
      const view = views.get(id);
      if (view === undefined) continue;
      view.reservedMib += reservation.memoryMibPerDevice;
      view.moving ||= isMoving(model.engine);
      if (resident === null) view.leaving.push(leaving);
      else view.residents.push(resident);
    }
  }
  return [...views.values()];
}

/** Null: it is on its way out already. */
function residentView(
  state: SchedulerState,
  model: ModelState,
  memoryMib: number,
  nowMs: number,
): ResidentView | null {
  const engine = model.engine;
  switch (engine.kind) {
    case 'awake': {
      const lossMs = evictionLossMs(state, model, engine.reservation);
      const queued = (model.queue.size + model.running.size) * BUSY_VICTIM_WEIGHT * startCostMs(model);
      return {
        model: model.policy.name,
        memoryMib,
        yieldsInMs: yieldsInMs(state, model, nowMs),
        stopMs: leaveTakesMs(model, nowMs),
        lossMs: lossMs + queued,
      };
    }
    case 'starting':
      return {
        model: model.policy.name,
        memoryMib,
        yieldsInMs: yieldsInMs(state, model, nowMs),
        stopMs: stopCostMs(model),
        lossMs: 0,
      };
    case 'draining':
    case 'stopping':
    case 'cold':
    case 'failed':
    case 'external':
      return null;
  }
}

/** When an engine on its way out is expected to be gone; Infinity while its stop cannot be verified. */
function leavesInMs(model: ModelState, nowMs: number): number {
  const engine = model.engine;
  if (engine.kind === 'stopping') {
    return engine.unverified
      ? Number.POSITIVE_INFINITY
      : Math.max(0, stopCostMs(model) - (nowMs - engine.sinceMs));
  }
  if (engine.kind !== 'draining' || model.running.size === 0) return 0;
  return drainRestMs(model, engine, nowMs) + stopCostMs(model);
}

/** When it may be asked to go; of one that starts: when its turn is expected to end. Infinity: never. */
export function yieldsInMs(state: SchedulerState, model: ModelState, nowMs: number): number {
  const engine = model.engine;
  if (engine.kind === 'awake') {
    const paidFromMs = budgetReadyMs(state, engine.reservation.deviceIds, nowMs);
    return Math.max(0, yieldsAtMs(model, engine, state.scheduling, paidFromMs) - nowMs);
  }
  if (engine.kind !== 'starting' || model.policy.alwaysOn) return Number.POSITIVE_INFINITY;
  if (abandonable(model, nowMs)) return 0;
  const restMs = Math.max(0, startCostMs(model) - (nowMs - engine.sinceMs));
  return restMs + quantumMs(model, state.scheduling);
}

/** From being asked until its memory is back. */
export function leaveTakesMs(model: ModelState, nowMs: number): number {
  return expectedDrainMs(model, nowMs) + stopCostMs(model);
}

/** A load whose last waiter left and that is less than half done gives way to a model that somebody waits for. */
export function abandonable(model: ModelState, nowMs: number): boolean {
  const engine = model.engine;
  return (
    engine.kind === 'starting' &&
    model.queue.size === 0 &&
    !model.wanted &&
    !model.policy.alwaysOn &&
    nowMs - engine.sinceMs < ABANDON_SHARE * startCostMs(model)
  );
}

type WritableView = { -readonly [K in keyof DeviceView]: DeviceView[K] } & {
  residents: ResidentView[];
  leaving: LeavingView[];
};
