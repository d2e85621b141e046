/**
 * The devices as placement sees them, for as many questions as one review has: what was found out about an engine or a device
 * is kept until something there changes.
 *  1. Nothing but engines' states changes within a review, or `forget` is called.
 *  2. A change on a device concerns the engines there (they share its move budget) and all devices of theirs.
 *  3. Who sleeps is itself no resident for its own question, and what it holds is room: its devices are looked at without it.
 */
import { assert } from '../core/assert.ts';
import type { DeviceId } from '../core/ids.ts';
import { freeingOf } from '../placement/eviction.ts';
import type { DeviceView, LeavingView, ResidentView } from '../placement/place.ts';
import { challengeOf, type Stand, standOf, staysForMs } from './challenge.ts';
import { isMoving, reservationOf } from './engine-state.ts';
import { EvenedLosses, type LossOrder, type UsedResident } from './even-losses.ts';
import type { DeviceBudget } from './model-policy.ts';
import { quietInMs } from './move-times.ts';
import { leavingView, residentView, restOf } from './resident-view.ts';
import { roomMib } from './shortage.ts';
import type { ModelState, SchedulerState } from './state.ts';

/** What one engine holds and when it goes. */
interface Holder {
  /** Null: it cannot be asked to go, or is on its way out. */
  readonly resident: UsedResident | null;
  readonly leaving: LeavingView | null;
  readonly restMib: number;
}

/** What those who have devices to themselves hold beyond what is reserved for them. */
interface Claims {
  readonly extraMib: ReadonlyMap<ModelState, number>;
  readonly reservedMib: ReadonlyMap<DeviceId, number>;
}

export class DeviceBoard {
  readonly #state: SchedulerState;
  readonly #nowMs: number;
  readonly #held = new Set<DeviceId>();
  #open: readonly DeviceId[] | null = null;
  /** Of `#open`, for all but sleepers; null: something has changed. */
  #openViews: readonly DeviceView[] | null = null;
  #version: number;
  readonly #all: Perspective;

  /** Held are the devices of all plans but that of `except`. */
  constructor(state: SchedulerState, nowMs: number, except: ModelState | null) {
    this.#state = state;
    this.#nowMs = nowMs;
    this.#version = state.engines.version;
    this.#all = new Perspective(state, nowMs, null, null);
    for (const plan of state.plans.values())
      if (plan.model !== except?.policy.name) for (const id of plan.deviceIds) this.#held.add(id);
  }

  /** Who asks next, against whom busy engines may stand (challenge.ts); null: against nobody. */
  challenge(challenger: ModelState | null): void {
    this.#sync();
    if (this.#all.challenge(challenger)) this.#openViews = null;
  }

  /** Sets devices aside for a model that was seated. */
  hold(deviceIds: readonly DeviceId[]): void {
    for (const id of deviceIds) this.#held.add(id);
    this.#open = null;
    this.#openViews = null;
  }

  /** For another review of the same decision: nothing is held. */
  renew(): void {
    this.#held.clear();
    this.#open = null;
    this.#openViews = null;
  }

  /** Nothing is left to give. */
  get isAllHeld(): boolean {
    return this.#openIds().length === 0;
  }

  isHeld(id: DeviceId): boolean {
    return this.#held.has(id);
  }

  /** All devices as `model` finds them, in the order of the state's. */
  viewsFor(model: ModelState): readonly DeviceView[] {
    const perspective = this.#perspectiveOf(model);
    return [...this.#state.devices.values()].map((device) => {
      const view = perspective.view(device);
      return this.#held.has(device.id) ? { ...view, held: true, residents: view.residents } : view;
    });
  }

  /** Those that are not held; `among`: of these alone. */
  openFor(model: ModelState, among: readonly DeviceId[] | null): readonly DeviceView[] {
    const perspective = this.#perspectiveOf(model);
    if (among !== null)
      return this.#viewsOf(
        among.filter((id) => !this.#held.has(id)),
        perspective,
      );
    if (perspective !== this.#all) return this.#viewsOf(this.#openIds(), perspective);
    this.#openViews ??= this.#viewsOf(this.#openIds(), perspective);
    return this.#openViews;
  }

  #viewsOf(ids: readonly DeviceId[], perspective: Perspective): readonly DeviceView[] {
    const views: DeviceView[] = [];
    for (const id of ids) {
      const device = this.#state.devices.get(id);
      if (device !== undefined) views.push(perspective.view(device));
    }
    return views;
  }

  /** Something else has changed than engines' states. */
  forget(): void {
    this.#all.forget();
    this.#openViews = null;
  }

  #openIds(): readonly DeviceId[] {
    this.#open ??= [...this.#state.devices.keys()].filter((id) => !this.#held.has(id));
    return this.#open;
  }

  /** Forgets what engines' changes have made untrue. */
  #sync(): void {
    const { version } = this.#state.engines;
    if (version === this.#version) return;
    this.#all.forgetSince(this.#version);
    this.#version = version;
    this.#openViews = null;
  }

  #perspectiveOf(model: ModelState): Perspective {
    const { engines } = this.#state;
    this.#sync();
    if (model.engine.kind !== 'asleep') return this.#all;
    return new Perspective(this.#state, this.#nowMs, model, engines.hasExclusive ? null : this.#all);
  }
}

/** The devices as all see them, or as one sees them who sleeps. */
class Perspective {
  readonly #state: SchedulerState;
  readonly #nowMs: number;
  readonly #except: ModelState | null;
  /** What holds for all holds here too, but for the devices of `except`; null: nothing of it does. */
  readonly #base: Perspective | null;
  readonly #holders = new Map<ModelState, Holder>();
  readonly #views = new Map<DeviceId, BoardView>();
  /** Who stands against the challenger, and for how long. */
  readonly #staying = new Map<ModelState, number>();
  /** Of those who have work; null: not looked at since the last change. */
  #stands: ReadonlyMap<ModelState, Stand> | null = null;
  #claims: Claims | null = null;
  #losses: LossOrder | null = null;

  constructor(state: SchedulerState, nowMs: number, except: ModelState | null, base: Perspective | null) {
    this.#state = state;
    this.#nowMs = nowMs;
    this.#except = except;
    this.#base = base;
  }

  view(device: DeviceBudget): DeviceView {
    const known = this.#views.get(device.id);
    if (known !== undefined) return known;
    const view =
      this.#base !== null && this.#except !== null && !holds(this.#except, device.id)
        ? this.#base.#viewOf(device).as(this)
        : this.#viewOf(device);
    this.#views.set(device.id, view);
    return view;
  }

  /** Of all who may be asked to go; another one after each change. */
  get losses(): LossOrder {
    this.#losses ??= this.#findLosses();
    return this.#losses;
  }

  /** Answers whether anything has changed by it. */
  challenge(challenger: ModelState | null): boolean {
    const challenge = challenger === null ? null : challengeOf(challenger, this.#nowMs);
    let changes = false;
    if (this.#stands === null) {
      this.#stands = this.#findStands();
      for (const model of this.#staying.keys())
        if (!this.#stands.has(model) && this.#letStay(model, 0)) changes = true;
    }
    for (const [model, stand] of this.#stands)
      if (this.#letStay(model, challenge === null ? 0 : staysForMs(stand, challenge))) changes = true;
    return changes;
  }

  #findStands(): ReadonlyMap<ModelState, Stand> {
    const stands = new Map<ModelState, Stand>();
    for (const model of this.#state.engines.holders) {
      const stand = model.engine.kind === 'awake' ? standOf(model, this.#nowMs) : null;
      if (stand !== null) stands.set(model, stand);
    }
    return stands;
  }

  /** False: it did before. */
  #letStay(model: ModelState, staysMs: number): boolean {
    if (staysMs === (this.#staying.get(model) ?? 0)) return false;
    this.#staying.set(model, staysMs);
    this.#holders.delete(model);
    // Its losses are as they were.
    for (const id of reservationOf(model.engine)?.deviceIds ?? []) this.#views.delete(id);
    return true;
  }

  forget(): void {
    this.#holders.clear();
    this.#views.clear();
    this.#stands = null;
    this.#claims = null;
    this.#losses = null;
  }

  /** After changes of engines' states. */
  forgetSince(version: number): void {
    const { engines, devices } = this.#state;
    if (engines.hasExclusive || this.#claims !== null) {
      this.forget();
      return;
    }
    this.#stands = null;
    this.#losses = null;
    for (const id of devices.keys()) {
      if (engines.versionOf(id) <= version) continue;
      this.#views.delete(id);
      for (const model of engines.holdersOn(id)) {
        this.#holders.delete(model);
        for (const theirs of reservationOf(model.engine)?.deviceIds ?? []) this.#views.delete(theirs);
      }
    }
  }

  #findLosses(): LossOrder {
    if (this.#base === null || this.#except === null) return this.#lossesOfAll();
    const all = this.#base.#lossesOfAll();
    const left = this.#holder(this.#except).resident;
    return left === null ? all : all.without(left);
  }

  #lossesOfAll(): EvenedLosses {
    if (this.#losses instanceof EvenedLosses) return this.#losses;
    const residents: UsedResident[] = [];
    for (const model of this.#state.engines.holders) {
      const resident = model === this.#except ? null : this.#holder(model).resident;
      if (resident !== null) residents.push(resident);
    }
    const losses = new EvenedLosses(residents);
    this.#losses = losses;
    return losses;
  }

  #viewOf(device: DeviceBudget): BoardView {
    const known = this.#views.get(device.id);
    if (known !== undefined) return known;
    const parts: DeviceParts = {
      device,
      availableMib: roomMib(this.#state, device, this.#nowMs),
      reservedMib: 0,
      restMib: 0,
      moving: false,
      leaving: [],
      residents: [],
    };
    for (const model of this.#state.engines.holdersOn(device.id)) {
      if (model === this.#except) continue;
      const holder = this.#holder(model);
      parts.reservedMib += reservationOf(model.engine)?.memoryMibPerDevice ?? 0;
      parts.moving ||= isMoving(model.engine) || isAboutToLeave(model);
      parts.restMib += holder.restMib;
      if (holder.resident !== null) parts.residents.push(holder.resident);
      else if (holder.leaving !== null) parts.leaving.push(holder.leaving);
    }
    const claimed = this.#claimsNow()?.reservedMib.get(device.id);
    if (claimed !== undefined) parts.reservedMib = claimed;
    const view = new BoardView(parts, this);
    this.#views.set(device.id, view);
    return view;
  }

  #holder(model: ModelState): Holder {
    if (this.#base !== null) return this.#base.#holder(model);
    const known = this.#holders.get(model);
    if (known !== undefined) return known;
    const holder = this.#findHolder(model);
    this.#holders.set(model, holder);
    return holder;
  }

  #findHolder(model: ModelState): Holder {
    const state = this.#state;
    const reserved = reservationOf(model.engine);
    assert(reserved !== null, `${model.policy.name} holds no memory`);
    const extraMib = this.#claimsNow()?.extraMib.get(model) ?? 0;
    const reservation =
      extraMib > 0 ? { ...reserved, memoryMibPerDevice: reserved.memoryMibPerDevice + extraMib } : reserved;
    // On several devices there might always be a start: it is asked at once, and then nothing starts beside it.
    const quietMs = reserved.deviceIds.length > 1 ? 0 : quietInMs(state, model, this.#nowMs);
    const staysMs = Math.max(this.#staying.get(model) ?? 0, quietMs);
    const view = residentView(state, model, reservation, this.#nowMs, staysMs);
    const leaving = leavingView(state, model, reservation, this.#nowMs);
    return {
      resident: view === null ? null : { view, lastUseMs: model.lastServedMs ?? 0 },
      leaving,
      restMib: restOf(model, view, leaving, reservation),
    };
  }

  /** Null: nobody has devices to itself. */
  #claimsNow(): Claims | null {
    if (!this.#state.engines.hasExclusive) return null;
    this.#claims ??= this.#findClaims();
    return this.#claims;
  }

  /** Who has its devices to itself holds all of their room for as long as it does not sleep. */
  #findClaims(): Claims {
    const { engines, devices } = this.#state;
    const reservedMib = new Map<DeviceId, number>();
    const extraMib = new Map<ModelState, number>();
    for (const id of devices.keys()) {
      let sum = 0;
      for (const model of engines.holdersOn(id))
        if (model !== this.#except) sum += reservationOf(model.engine)?.memoryMibPerDevice ?? 0;
      reservedMib.set(id, sum);
    }
    for (const model of engines.holders) {
      const reservation = reservationOf(model.engine);
      if (reservation === null || !reservation.exclusive || model.engine.kind === 'asleep') continue;
      const on = reservation.deviceIds.map((id) => devices.get(id)).filter((device) => device !== undefined);
      // The same on each: where it is more than there is, it is given back in full as well.
      const roomsMib = on.map(
        (device) => roomMib(this.#state, device, this.#nowMs) - (reservedMib.get(device.id) ?? 0),
      );
      const extra = Math.max(0, ...roomsMib);
      for (const { id } of on) reservedMib.set(id, (reservedMib.get(id) ?? 0) + extra);
      extraMib.set(model, extra);
    }
    return { extraMib, reservedMib };
  }
}

interface DeviceParts {
  readonly device: DeviceBudget;
  readonly availableMib: number;
  reservedMib: number;
  restMib: number;
  moving: boolean;
  readonly leaving: LeavingView[];
  readonly residents: UsedResident[];
}

/** Losses of residents are looked at where somebody has to go; most devices are passed by before. */
class BoardView implements DeviceView {
  readonly id: DeviceId;
  readonly pool: string | null;
  readonly totalMib: number;
  readonly budgetMib: number;
  readonly availableMib: number;
  readonly reservedMib: number;
  readonly restMib: number;
  readonly leaving: readonly LeavingView[];
  readonly moving: boolean;
  readonly held = false;
  readonly freeing: readonly LeavingView[];
  readonly #parts: DeviceParts;
  readonly #perspective: Perspective;
  #residents: readonly ResidentView[] = [];
  #losses: LossOrder | null = null;

  constructor(parts: DeviceParts, perspective: Perspective, freeing: readonly LeavingView[] | null = null) {
    this.id = parts.device.id;
    this.pool = parts.device.pool;
    this.totalMib = parts.device.totalMib;
    this.budgetMib = parts.device.budgetMib;
    this.availableMib = parts.availableMib;
    this.reservedMib = parts.reservedMib;
    this.restMib = parts.restMib;
    this.leaving = parts.leaving;
    this.moving = parts.moving;
    this.freeing =
      freeing ?? freeingOf({ leaving: parts.leaving, residents: parts.residents.map(({ view }) => view) });
    this.#parts = parts;
    this.#perspective = perspective;
  }

  get residents(): readonly ResidentView[] {
    const { losses } = this.#perspective;
    if (losses !== this.#losses) this.#residents = losses.of(this.#parts.residents);
    this.#losses = losses;
    return this.#residents;
  }

  /** The same device for somebody else. */
  as(perspective: Perspective): BoardView {
    return new BoardView(this.#parts, perspective, this.freeing);
  }
}

/** Nothing runs on it, and it was told to go: whoever came up beside it now would keep it from that. */
function isAboutToLeave({ engine, running }: ModelState): boolean {
  if (running.size > 0) return false;
  return engine.kind === 'draining' || (engine.kind === 'asleep' && engine.leaving !== null);
}

function holds(model: ModelState, id: DeviceId): boolean {
  return reservationOf(model.engine)?.deviceIds.includes(id) === true;
}
