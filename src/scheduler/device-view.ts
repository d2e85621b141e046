/** A scheduler's view of its devices for placement. */
import type {
  DeviceView,
  LeavingView,
  Placement,
  PlacementNeed,
  ResidentView,
  WayOut,
} from '../placement/place.ts';
import { place } from '../placement/place.ts';
import { evictionLossMs } from './credit.ts';
import { drainRestMs, expectedDrainMs } from './drain-time.ts';
import { isMoving, type Reservation, reservationOf } from './engine-state.ts';
import { evenLosses, type UsedResident } from './even-losses.ts';
import type { ModelNeed } from './model-need.ts';
import { availableMib, type DeviceBudget, type ModelPolicy } from './model-policy.ts';
import { budgetReadyMs } from './move-budget.ts';
import { roomMib } from './shortage.ts';
import { isWaitedFor, type ModelState, type SchedulerState } from './state.ts';
import {
  canSleep,
  quantumMs,
  sleepCostMs,
  startCostMs,
  stopCostMs,
  switchCostMs,
  wakeCostMs,
  yieldsAtMs,
} from './turn.ts';

/** A busy victim's clients wait while it is away: its queue weighs this many times its absence (scheduling.md section 7, lesson 3). */
const BUSY_VICTIM_WEIGHT = 3;
/** Of two ways out of an engine whose credit has run down, the one that costs less still is the better one. */
const LEAST_SHARE = 0.01;
/** A load that nobody waits for may be given up before this share of its expected time. */
const ABANDON_SHARE = 0.5;

/**
 * The placement of `model` among all devices that no plan of another model holds: of a sleeping one, its waking where it
 * sleeps; its need must be known.
 */
export function placeNow(
  state: SchedulerState,
  model: ModelState,
  nowMs: number,
  onlyOn?: readonly string[],
): Placement {
  const { engine } = model;
  if (engine.kind !== 'asleep') return placeAnew(state, model, nowMs, onlyOn);
  const { deviceIds, memoryMibPerDevice, exclusive } = engine.awakeReservation;
  return placeNeed(state, model, nowMs, {
    deviceCount: deviceIds.length,
    pool: null,
    // Exclusive: whoever is awake there has to leave, also where it would fit.
    memoryMibPerDevice: exclusive ? null : memoryMibPerDevice,
    leastMibPerDevice: memoryMibPerDevice,
    onlyOn: deviceIds,
  });
}

/** The placement of a start, also of a model that sleeps somewhere. */
export function placeAnew(
  state: SchedulerState,
  model: ModelState,
  nowMs: number,
  onlyOn?: readonly string[],
): Placement {
  const { need } = model;
  if (need === null) return { kind: 'blocked', why: 'what it needs is being found out' };
  return placeNeed(state, model, nowMs, needOf(model.policy, need, onlyOn ?? null));
}

function placeNeed(state: SchedulerState, model: ModelState, nowMs: number, need: PlacementNeed): Placement {
  if (!state.devicesKnown) return { kind: 'blocked', why: 'the devices have not been read yet' };
  return place(need, deviceViews(state, model, nowMs));
}

/** Finds out anew, after a change of policies or devices, which models can never be loaded. */
export function refreshFeasibility(state: SchedulerState): void {
  if (!state.devicesKnown) return;
  // Foreign programs may go again: what they take keeps nobody out for good.
  const empty = [...state.devices.values()].map((device) =>
    emptyView(device, availableMib({ ...device, foreignMib: 0 })),
  );
  for (const model of state.models.values()) model.neverFits = neverFits(model, empty);
}

function neverFits({ policy, need }: ModelState, empty: readonly DeviceView[]): string | null {
  if (!policy.managed || need === null) return null;
  if (need.neverFits !== null) return need.neverFits;
  const placement = place(needOf(policy, need, null), empty);
  return placement.kind === 'never' ? placement.why : null;
}

function needOf({ pool }: ModelPolicy, need: ModelNeed, onlyOn: readonly string[] | null): PlacementNeed {
  const { deviceCount, memoryMibPerDevice, leastMibPerDevice } = need;
  return { deviceCount, pool, memoryMibPerDevice, leastMibPerDevice, onlyOn };
}

function emptyView(device: DeviceBudget, available: number): WritableView {
  return {
    ...device,
    availableMib: available,
    reservedMib: 0,
    restMib: 0,
    leaving: [],
    moving: false,
    held: false,
    residents: [],
  };
}

/** The devices as `forModel` finds them: what stays of it where it sleeps is room for it. */
function deviceViews(state: SchedulerState, forModel: ModelState, nowMs: number): DeviceView[] {
  const views = new Map<string, WritableView>();
  for (const device of state.devices.values())
    views.set(device.id, emptyView(device, roomMib(state, device, nowMs)));
  for (const plan of state.plans.values()) {
    if (plan.model === forModel.policy.name) continue;
    for (const id of plan.deviceIds) {
      const view = views.get(id);
      if (view !== undefined) view.held = true;
    }
  }
  const holders: { readonly model: ModelState; readonly reservation: Reservation }[] = [];
  for (const model of state.models.values()) {
    const reservation = reservationOf(model.engine);
    if (reservation === null || (model === forModel && model.engine.kind === 'asleep')) continue;
    holders.push({ model, reservation });
    for (const id of reservation.deviceIds) {
      const view = views.get(id);
      if (view !== undefined) view.reservedMib += reservation.memoryMibPerDevice;
    }
  }
  const residents: UsedResident[] = [];
  for (const { model, reservation } of holders) {
    const claim = withClaim(model, reservation, views);
    const view = residentView(state, model, claim, nowMs);
    if (view !== null) residents.push({ view, lastUseMs: model.lastServedMs ?? 0 });
    addHolder(state, views, model, claim, view, nowMs);
  }
  for (const view of evenLosses(residents)) {
    for (const id of view.deviceIds) views.get(id)?.residents.push(view);
  }
  return [...views.values()];
}

/** Who has its devices to itself holds all of their room for as long as it does not sleep. */
function withClaim(
  model: ModelState,
  reservation: Reservation,
  views: ReadonlyMap<string, WritableView>,
): Reservation {
  if (!reservation.exclusive || model.engine.kind === 'asleep') return reservation;
  const on = reservation.deviceIds.map((id) => views.get(id)).filter((view) => view !== undefined);
  // The same on each: where it is more than there is, it is given back in full as well.
  const extraMib = Math.max(0, ...on.map((view) => view.availableMib - view.reservedMib));
  for (const view of on) view.reservedMib += extraMib;
  return { ...reservation, memoryMibPerDevice: reservation.memoryMibPerDevice + extraMib };
}

function addHolder(
  state: SchedulerState,
  views: ReadonlyMap<string, WritableView>,
  model: ModelState,
  reservation: Reservation,
  resident: ResidentView | null,
  nowMs: number,
): void {
  const leaving = leavingView(state, model, reservation, nowMs);
  const restMib = restOf(model, resident, leaving, reservation);
  for (const id of reservation.deviceIds) {
    const view = views.get(id);
    if (view === undefined) continue;
    view.moving ||= isMoving(model.engine);
    view.restMib += restMib;
    if (resident === null && leaving !== null) view.leaving.push(leaving);
  }
}

/** What it leaves on its devices once it sleeps. */
function restOf(
  model: ModelState,
  resident: ResidentView | null,
  leaving: LeavingView | null,
  reservation: Reservation,
): number {
  const { engine } = model;
  if (engine.kind === 'asleep') return engine.leaving === null ? reservation.memoryMibPerDevice : 0;
  if (leaving !== null) return reservation.memoryMibPerDevice - leaving.memoryMib;
  const sleeps = resident?.ways.some(({ how }) => how === 'sleep') === true;
  return sleeps ? Math.min(model.need?.residueMib ?? 0, reservation.memoryMibPerDevice) : 0;
}

/** Null: it cannot be asked to go, or is on its way out already. */
function residentView(
  state: SchedulerState,
  model: ModelState,
  reservation: Reservation,
  nowMs: number,
): ResidentView | null {
  const { engine } = model;
  const { memoryMibPerDevice } = reservation;
  const stop = { how: 'stop', freesMib: memoryMibPerDevice, takesMs: stopCostMs(model) } as const;
  switch (engine.kind) {
    case 'awake': {
      const view = residentOf(model, reservation, yieldsInMs(state, model, nowMs));
      return { ...view, ways: waysOut(state, model, reservation, nowMs) };
    }
    case 'starting':
    case 'waking':
      return {
        ...residentOf(model, reservation, yieldsInMs(state, model, nowMs)),
        ways: [{ ...stop, lossMs: 0 }],
      };
    case 'asleep': {
      if (engine.leaving !== null) return null;
      // Somebody waits for it where it is: to stop it would only move the trouble.
      const lossMs = startCostMs(model) * (isWaitedFor(model) ? BUSY_VICTIM_WEIGHT : 1);
      return { ...residentOf(model, reservation, 0), ways: [{ ...stop, lossMs }] };
    }
    case 'draining':
    case 'falling_asleep':
    case 'stopping':
    case 'cold':
    case 'fetching':
    case 'failed':
    case 'external':
      return null;
  }
}

/** Sleeping loses what waking costs, stopping what a start costs; both less as the credit runs down. */
function waysOut(
  state: SchedulerState,
  model: ModelState,
  reservation: Reservation,
  nowMs: number,
): WayOut[] {
  const creditMs = evictionLossMs(state, model, reservation);
  const queued = (model.queue.size + model.running.size) * BUSY_VICTIM_WEIGHT;
  const share = Math.min(1, Math.max(LEAST_SHARE, creditMs / Math.max(1, switchCostMs(model))));
  const coldMs = startCostMs(model);
  const stop: WayOut = {
    how: 'stop',
    freesMib: reservation.memoryMibPerDevice,
    takesMs: leaveTakesMs(model, 'stop', nowMs),
    lossMs: share * (coldMs + stopCostMs(model)) + queued * coldMs,
  };
  if (!canSleep(model) || state.hostBudgetMib === null) return [stop];
  const wakeMs = wakeCostMs(model);
  const takesMs = leaveTakesMs(model, 'sleep', nowMs);
  const freesMib = reservation.memoryMibPerDevice - (model.need?.residueMib ?? 0);
  if (freesMib <= 0) return [stop];
  return [
    { how: 'sleep', freesMib, takesMs, lossMs: share * (wakeMs + sleepCostMs(model)) + queued * wakeMs },
    stop,
  ];
}

/** Null: it does not leave. */
function leavingView(
  state: SchedulerState,
  model: ModelState,
  reservation: Reservation,
  nowMs: number,
): LeavingView | null {
  const { engine } = model;
  const memoryMib = reservation.memoryMibPerDevice;
  switch (engine.kind) {
    case 'stopping': {
      const restMs = Math.max(0, stopCostMs(model) - (nowMs - engine.sinceMs));
      return { memoryMib, inMs: engine.unverified ? Number.POSITIVE_INFINITY : restMs };
    }
    case 'falling_asleep': {
      const restMs = Math.max(0, sleepCostMs(model) - (nowMs - engine.sinceMs));
      return { memoryMib: sleepFreesMib(model, memoryMib), inMs: restMs };
    }
    case 'asleep':
      return engine.leaving === null ? null : { memoryMib, inMs: stopCostMs(model) };
    case 'draining': {
      const freesMib =
        engine.how === 'sleep' && state.hostBudgetMib !== null ? sleepFreesMib(model, memoryMib) : memoryMib;
      if (model.running.size === 0) return { memoryMib: freesMib, inMs: 0 };
      const leaveMs = engine.how === 'sleep' ? sleepCostMs(model) : stopCostMs(model);
      return { memoryMib: freesMib, inMs: drainRestMs(model, engine, nowMs) + leaveMs };
    }
    default:
      return null;
  }
}

function residentOf(model: ModelState, { deviceIds }: Reservation, yields: number) {
  return { model: model.policy.name, deviceIds, yieldsInMs: yields };
}

/** When it may be asked to go; of one that comes up: when its turn is expected to end. Infinity: never. */
export function yieldsInMs(state: SchedulerState, model: ModelState, nowMs: number): number {
  const engine = model.engine;
  if (engine.kind === 'asleep') return 0;
  if (engine.kind === 'awake') {
    const paidFromMs = budgetReadyMs(state, engine.reservation.deviceIds, nowMs);
    return Math.max(0, yieldsAtMs(model, engine, state.scheduling, paidFromMs) - nowMs);
  }
  if ((engine.kind !== 'starting' && engine.kind !== 'waking') || model.policy.alwaysOn)
    return Number.POSITIVE_INFINITY;
  if (abandonable(model, nowMs)) return 0;
  const bringUpMs = engine.kind === 'waking' ? wakeCostMs(model) : startCostMs(model);
  const restMs = Math.max(0, bringUpMs - (nowMs - engine.sinceMs));
  return restMs + quantumMs(model, state.scheduling);
}

/** From being asked until its memory is back. */
export function leaveTakesMs(model: ModelState, how: 'sleep' | 'stop', nowMs: number): number {
  const drainMs = model.engine.kind === 'asleep' ? 0 : expectedDrainMs(model, nowMs);
  return drainMs + (how === 'sleep' ? sleepCostMs(model) : stopCostMs(model));
}

function sleepFreesMib(model: ModelState, memoryMib: number): number {
  return Math.max(0, memoryMib - (model.need?.residueMib ?? 0));
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
