/**
 * For those who write a swap policy: the scheduler behind a counter (docs/policies.md). A policy is asked for a review after
 * whatever may let a waiting model get on; it looks at `waiting`, `engines` and `devices`, and orders moves.
 * What holds under every policy, because the desk refuses anything else with an assertion or the scheduler does it
 * by itself: memory is reserved before it is used and never beyond the budget; one move per device; nobody always-on goes, and
 * nobody within the minimum residence of its configuration; running requests end before their engine goes; stops are
 * verified; sleepers stay within host memory.
 */
import { assert } from '../core/assert.ts';
import type { DeviceId, ModelName } from '../core/ids.ts';
import { placeNow } from './device-view.ts';
import { isMoving, reservationOf } from './engine-state.ts';
import { beginFetch } from './fetching.ts';
import { shrinkToHost } from './host-memory.ts';
import { beginDrain, startEngine } from './moves.ts';
import { ModelView, type PolicyDevice } from './policy-views.ts';
import { leaveContest } from './rank.ts';
import { shrinkToBudgets } from './rebalance.ts';
import { neverFits } from './refusals.ts';
import { pump, refuseQueue } from './requests.ts';
import { nextShortageMs, roomMib } from './shortage.ts';
import { wakeEngine } from './sleeping.ts';
import type { Decision, ModelState, Plan, SchedulerState } from './state.ts';
import type { SwapPolicy } from './swap-policy.ts';
import { dismiss } from './withdrawal.ts';

/** What one run of a policy does. It may keep what it likes between calls; it must not ask a clock or draw lots. */
export interface PolicyRules {
  /** Called again in the same decision as long as it orders moves, so it may do one thing at a time. */
  review(desk: PolicyDesk): void;
  /**
   * May a request of `model`, whose engine is awake with a free slot, be handed to it now? Absent: always. Those that wait
   * are handed over by `passOn`.
   */
  mayPass?(model: ModelView, look: PolicyLook): boolean;
}

/** `begin` is called once for each run: what it returns belongs to that run alone. */
export function definePolicy(name: string, begin: () => PolicyRules): SwapPolicy {
  const runs = new WeakMap<SchedulerState, PolicyRules>();
  const rulesOf = (state: SchedulerState): PolicyRules => {
    const known = runs.get(state);
    if (known !== undefined) return known;
    const rules = begin();
    runs.set(state, rules);
    return rules;
  };
  const rebalance = (d: Decision): void => {
    if (d.state.overBudget.size > 0) shrinkToBudgets(d);
    shrinkToHost(d);
    const before = new Map(d.state.plans);
    d.state.plans.clear();
    if (d.state.closing === 'no') {
      const desk = new PolicyDesk(d, before);
      rulesOf(d.state).review(desk);
      desk.close();
      return;
    }
    // Who is awake serves what it can; nobody's order matters any more.
    for (const model of d.state.models.values()) pump(d, model);
  };
  if (begin().mayPass === undefined) return { name, rebalance };
  return {
    name,
    rebalance,
    mayPass: (state, model) =>
      state.closing !== 'no' ||
      rulesOf(state).mayPass?.(new ModelView(model), new PolicyLook(state)) !== false,
  };
}

/** What there is, without the right to change it. */
export class PolicyLook {
  readonly #state: SchedulerState;

  constructor(state: SchedulerState) {
    this.#state = state;
  }

  /** All models, in the order of their configuration. */
  get models(): readonly ModelView[] {
    return [...this.#state.models.values()].map((model) => new ModelView(model));
  }

  /** Models whose engine holds memory on devices, in whatever phase. */
  get engines(): readonly ModelView[] {
    return [...this.#state.models.values()]
      .filter((model) => reservationOf(model.engine) !== null)
      .map((model) => new ModelView(model));
  }

  /** Of all waiting requests the first that came, by its model; null: nobody waits. */
  get firstInLine(): ModelView | null {
    let first: ModelState | null = null;
    let least = Number.POSITIVE_INFINITY;
    for (const model of this.#state.models.values()) {
      const id = model.queue.first()?.requestId;
      if (id === undefined || id >= least || model.engine.kind === 'external') continue;
      first = model;
      least = id;
    }
    return first === null ? null : new ModelView(first);
  }
}

export class PolicyDesk extends PolicyLook {
  readonly nowMs: number;
  readonly #d: Decision;
  readonly #before: ReadonlyMap<ModelName, Plan>;
  #lookAgainMs = Number.POSITIVE_INFINITY;

  constructor(d: Decision, before: ReadonlyMap<ModelName, Plan>) {
    super(d.state);
    this.#d = d;
    this.#before = before;
    this.nowMs = d.nowMs;
  }

  /**
   * Models that wait for devices and could take them now, cold or asleep; who came first stands first (an operator's wish
   * without a request stands last). Who is in a pause after a failure, or has its files fetched, is not among them.
   */
  get waiting(): readonly ModelView[] {
    const models = [...this.#d.state.contenders].filter((model) => mayTakeDevices(this.#d, model));
    const place = (model: ModelState): number => model.queue.first()?.requestId ?? Number.POSITIVE_INFINITY;
    models.sort((a, b) => {
      const [x, y] = [place(a), place(b)];
      return x === y ? (a.policy.name < b.policy.name ? -1 : 1) : x - y;
    });
    return models.map((model) => new ModelView(model));
  }

  get devices(): readonly PolicyDevice[] {
    const { state } = this.#d;
    const all = new Map<DeviceId, { -readonly [K in keyof PolicyDevice]: PolicyDevice[K] }>();
    const engines = new Map<DeviceId, ModelView[]>();
    for (const device of state.devices.values()) {
      const { id, pool, totalMib } = device;
      const budgetMib = roomMib(state, device, this.nowMs);
      const on: ModelView[] = [];
      engines.set(id, on);
      all.set(id, {
        id,
        pool,
        totalMib,
        budgetMib,
        freeMib: budgetMib,
        isMoving: false,
        heldFor: null,
        engines: on,
      });
    }
    for (const model of state.models.values()) {
      const { engine } = model;
      const reservation = reservationOf(engine);
      for (const id of reservation?.deviceIds ?? []) {
        const device = all.get(id);
        if (device === undefined || reservation === null) continue;
        const takesAll = reservation.exclusive && engine.kind !== 'asleep';
        device.freeMib -= takesAll
          ? Math.max(device.freeMib, reservation.memoryMibPerDevice)
          : reservation.memoryMibPerDevice;
        device.isMoving ||= isMoving(engine);
        engines.get(id)?.push(new ModelView(model));
      }
    }
    for (const plan of state.plans.values()) {
      for (const id of plan.deviceIds) {
        const device = all.get(id);
        if (device !== undefined) device.heldFor = plan.model;
      }
    }
    return [...all.values()];
  }

  /**
   * The devices on which the model could be brought up at this moment, by production's rule for memory and moves: where it
   * sleeps, or the fullest that have room and are not held for others. `among`: on exactly these. Null: there are none.
   */
  roomFor(model: ModelView, among?: readonly DeviceId[]): readonly DeviceId[] | null {
    const placement = placeNow(this.#d.state, this.#stateOf(model), this.nowMs, among);
    return placement.kind === 'free' ? placement.deviceIds : null;
  }

  /** Starts a cold model on these devices, or wakes one that sleeps on them. There must be room at this moment. */
  bringUp(view: ModelView, deviceIds: readonly DeviceId[]): void {
    const model = this.#stateOf(view);
    const { name } = view;
    assert(this.#d.state.contenders.has(model), `${name} is brought up, and does not wait for devices`);
    assert(deviceIds.length === view.deviceCount, `${name} takes ${view.deviceCount} devices`);
    this.#assertSuitable(view, deviceIds);
    const placement = placeNow(this.#d.state, model, this.nowMs, deviceIds);
    assert(placement.kind === 'free', `${name} is brought up on ${deviceIds.join(', ')} without room there`);
    if (model.engine.kind === 'asleep') wakeEngine(this.#d, model);
    else startEngine(this.#d, model, deviceIds, placement.memoryMibPerDevice);
  }

  /** When the engine may be asked to go, by its configuration; Infinity: never, or it is not awake or asleep. */
  mayGoFromMs(view: ModelView): number {
    const { engine, policy, removed } = this.#stateOf(view);
    if (policy.alwaysOn && !removed) return Number.POSITIVE_INFINITY;
    if (engine.kind === 'awake') return engine.readyMs + policy.minResidenceMs;
    return engine.kind === 'asleep' && engine.leaving === null ? 0 : Number.POSITIVE_INFINITY;
  }

  /**
   * Takes an engine off its devices. One that is awake gets no more requests, may end what runs (at most its drain
   * limit), and is then stopped, or falls asleep; where host memory has no room for that it is stopped. A sleeper can
   * only be stopped. `reason` stands in the log.
   */
  putAway(view: ModelView, how: 'sleep' | 'stop', reason: string): void {
    const model = this.#stateOf(view);
    const { engine } = model;
    assert(this.mayGoFromMs(view) <= this.nowMs, `${view.name} (${engine.kind}) must not be put away now`);
    if (engine.kind === 'asleep') {
      assert(how === 'stop', `${view.name} sleeps already`);
      dismiss(this.#d, model, engine, reason);
      return;
    }
    assert(how === 'stop' || view.canSleep, `${view.name} cannot sleep`);
    beginDrain(this.#d, model, null, reason, how);
  }

  /**
   * Sets devices aside for a model that waits for them: nobody else is brought up there. Lasts until the next review,
   * which says it anew (`heldBefore`).
   */
  hold(view: ModelView, deviceIds: readonly DeviceId[]): void {
    const { state, nowMs } = this.#d;
    const { name: model } = view;
    assert(state.contenders.has(this.#stateOf(view)), `devices are held for ${model}, which does not wait`);
    this.#assertSuitable(view, deviceIds);
    for (const plan of state.plans.values()) {
      const id = deviceIds.find((held) => plan.deviceIds.includes(held));
      assert(id === undefined || plan.model === model, `${id} is held for ${plan.model} already`);
    }
    const sinceMs = this.#before.get(model)?.sinceMs ?? nowMs;
    state.plans.set(model, { model, deviceIds, sinceMs, startsMs: nowMs, hasBegun: false });
  }

  /** The devices that were held for it until this review, or null. */
  heldBefore(view: ModelView): readonly DeviceId[] | null {
    const deviceIds = this.#before.get(view.name)?.deviceIds;
    return deviceIds?.every((id) => this.#d.state.devices.has(id)) === true ? deviceIds : null;
  }

  /** Hands waiting requests of an awake model to its engine, as far as it has slots and `mayPass` lets them. */
  passOn(view: ModelView): void {
    pump(this.#d, this.#stateOf(view));
  }

  /** Asks for another review at that time, whatever else happens. Each review says anew when; the earliest counts. */
  lookAgainAt(atMs: number): void {
    this.#lookAgainMs = Math.min(this.#lookAgainMs, Math.max(atMs, this.nowMs + 1));
  }

  /** The review is over. Timers belong to models, so any of them carries the policy's. */
  close(): void {
    const [model] = this.#d.state.models.values();
    if (model === undefined || this.#lookAgainMs === Number.POSITIVE_INFINITY) return;
    model.yieldReviewMs = Math.min(model.yieldReviewMs, this.#lookAgainMs);
    this.#d.touched.add(model);
  }

  #stateOf(view: ModelView): ModelState {
    const model = this.#d.state.models.get(view.name);
    assert(model !== undefined, `there is no model ${view.name}`);
    return model;
  }

  #assertSuitable(view: ModelView, deviceIds: readonly DeviceId[]): void {
    const devices = deviceIds.map((id) => this.#d.state.devices.get(id));
    const isAsleep = view.phase === 'asleep';
    for (const [index, device] of devices.entries()) {
      const what = `${view.name} and ${deviceIds[index]}`;
      assert(device !== undefined, `${what}: there is no such device`);
      assert(!isAsleep || view.deviceIds.includes(device.id), `${what}: it sleeps elsewhere`);
      assert(isAsleep || view.pool === null || view.pool === device.pool, `${what}: the pool is another one`);
      assert(
        isAsleep || device.totalMib === devices[0]?.totalMib,
        `${what}: an engine's devices are of one size`,
      );
    }
  }
}

/** Refuses what can never fit, has files fetched, and leaves out who is in a pause after a failure. */
function mayTakeDevices(d: Decision, model: ModelState): boolean {
  const { engine } = model;
  if (model.neverFits !== null) {
    leaveContest(d.state, model);
    refuseQueue(d, model, neverFits(model, model.neverFits), 'it can never fit');
    return false;
  }
  if (!d.state.devicesKnown || model.need === null) return false;
  if ((engine.kind === 'cold' || engine.kind === 'asleep') && engine.notBeforeMs > d.nowMs) return false;
  if (engine.kind !== 'asleep' && model.policy.fetchTimeoutMs !== null && !model.fetched) {
    beginFetch(d, model);
    return false;
  }
  model.reviewAtMs = nextShortageMs(d.state, d.nowMs);
  d.touched.add(model);
  return true;
}
