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
import { type EngineState, isMoving, reservationOf } from './engine-state.ts';
import { beginFetch } from './fetching.ts';
import type { DeviceBudget } from './model-policy.ts';
import { beginDrain, startEngine } from './moves.ts';
import { ModelView, type PolicyDevice } from './policy-views.ts';
import { leaveContest } from './rank.ts';
import { neverFits } from './refusals.ts';
import { pump, refuseQueue } from './requests.ts';
import { nextShortageMs, roomMib } from './shortage.ts';
import { wakeEngine } from './sleeping.ts';
import type { Decision, ModelState, Plan, SchedulerState } from './state.ts';
import { dismiss } from './withdrawal.ts';

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
    return this.#state.engines.holders.map((model) => new ModelView(model));
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
  /** Null: something was ordered since it was looked at. */
  #devices: readonly PolicyDevice[] | null = null;

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

  /** It waits for devices; who was put away in this review waits no more until it is gone. */
  isWaiting(view: ModelView): boolean {
    return this.#d.state.contenders.has(this.#stateOf(view));
  }

  get devices(): readonly PolicyDevice[] {
    this.#devices ??= [...this.#d.state.devices.values()].map((device) => this.#deviceOf(device));
    return this.#devices;
  }

  #deviceOf(device: DeviceBudget): PolicyDevice {
    const { state } = this.#d;
    const { id, pool, totalMib } = device;
    const holders = state.engines.holdersOn(id);
    const budgetMib = roomMib(state, device, this.nowMs);
    const isWhole = holders.some((model) => isExclusive(model.engine));
    const plan = [...state.plans.values()].find(({ deviceIds }) => deviceIds.includes(id));
    return {
      id,
      pool,
      totalMib,
      budgetMib,
      freeMib: isWhole ? 0 : budgetMib - state.engines.reservedMib(id),
      isMoving: holders.some((model) => isMoving(model.engine)),
      heldFor: plan?.model ?? null,
      engines: holders.map((model) => new ModelView(model)),
    };
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
    assert(this.isWaiting(view), `${name} is brought up, and does not wait for devices`);
    this.#assertSuitable(view, deviceIds);
    const placement = placeNow(this.#d.state, model, this.nowMs, deviceIds);
    assert(placement.kind === 'free', `${name} is brought up on ${deviceIds.join(', ')} without room there`);
    this.#devices = null;
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
    this.#devices = null;
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
    assert(this.isWaiting(view), `devices are held for ${model}, which does not wait`);
    this.#assertSuitable(view, deviceIds);
    for (const plan of state.plans.values()) {
      const id = deviceIds.find((held) => plan.deviceIds.includes(held));
      assert(id === undefined || plan.model === model, `${id} is held for ${plan.model} already`);
    }
    this.#devices = null;
    const sinceMs = this.#before.get(model)?.sinceMs ?? nowMs;
    state.plans.set(model, { model, deviceIds, sinceMs, startsMs: nowMs, hasBegun: false });
  }

  /** The devices that were held for it until this review, if it may still have them, or null. */
  heldBefore(view: ModelView): readonly DeviceId[] | null {
    const deviceIds = this.#before.get(view.name)?.deviceIds;
    return deviceIds === undefined || this.#whyUnsuitable(view, deviceIds) !== null ? null : deviceIds;
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
    const why = this.#whyUnsuitable(view, deviceIds);
    assert(why === null, `${view.name} cannot have ${deviceIds.join(', ')}: ${why}`);
  }

  /** By its configuration, whoever is there; null: it may have them. */
  #whyUnsuitable(view: ModelView, deviceIds: readonly DeviceId[]): string | null {
    if (deviceIds.length !== view.deviceCount) return `it takes ${view.deviceCount} devices`;
    const devices = deviceIds.map((id) => this.#d.state.devices.get(id));
    const isAsleep = view.phase === 'asleep';
    for (const device of devices) {
      if (device === undefined) return 'one of them is not there';
      if (isAsleep && !view.deviceIds.includes(device.id)) return 'it sleeps elsewhere';
      if (isAsleep) continue;
      if (view.pool !== null && view.pool !== device.pool) return 'its pool is another one';
      if (device.totalMib !== devices[0]?.totalMib) return 'they are not of one size';
    }
    return null;
  }
}

/** Awake, or on the way, it has its devices to itself. */
function isExclusive(engine: EngineState): boolean {
  return engine.kind !== 'asleep' && reservationOf(engine)?.exclusive === true;
}

/** Refuses what can never fit, has files fetched, and leaves out who is in a pause after a failure. */
function mayTakeDevices(d: Decision, model: ModelState): boolean {
  const { engine } = model;
  model.reviewAtMs = Number.POSITIVE_INFINITY;
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
