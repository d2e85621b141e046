/**
 * Who holds memory where, kept up to date at each change of an engine's state, so that a decision looks at the engines of
 * the devices in question and not at all models.
 * Invariant E1: it says what a walk over all models would say (`assertEngineIndex`), in the order of `state.models`: whoever walks
 * it comes to the same decisions as over all models.
 */
import { assert } from '../core/assert.ts';
import type { DeviceId } from '../core/ids.ts';
import { type EngineState, type Reservation, reservationOf } from './engine-state.ts';
import type { ModelState, SchedulerState } from './state.ts';

interface HeldDevice {
  /** In order. */
  readonly holders: ModelState[];
  reservedMib: number;
  /** `version` at its last change. */
  version: number;
}

interface Entry {
  readonly reservation: Reservation;
  readonly isLeaving: boolean;
  readonly isExclusive: boolean;
}

const NOBODY: readonly ModelState[] = [];

export class EngineIndex {
  readonly #entries = new Map<ModelState, Entry>();
  readonly #devices = new Map<DeviceId, HeldDevice>();
  readonly #holders: ModelState[] = [];
  readonly #leaving: ModelState[] = [];
  #exclusiveCount = 0;
  #version = 0;

  /** Grows with each change. */
  get version(): number {
    return this.#version;
  }

  /** All that hold memory on devices, also asleep. */
  get holders(): readonly ModelState[] {
    return this.#holders;
  }

  /** Somebody who does not sleep has its devices to itself. */
  get hasExclusive(): boolean {
    return this.#exclusiveCount > 0;
  }

  holdersOn(id: DeviceId): readonly ModelState[] {
    return this.#devices.get(id)?.holders ?? NOBODY;
  }

  reservedMib(id: DeviceId): number {
    return this.#devices.get(id)?.reservedMib ?? 0;
  }

  /** Of the last change on the device; 0: there never was one. */
  versionOf(id: DeviceId): number {
    return this.#devices.get(id)?.version ?? 0;
  }

  /**
   * The next one after `order` that drains, or sleeps and is to be stopped; null: none. Others may begin or cease to leave
   * between two calls.
   */
  nextLeaving(order: number): ModelState | null {
    return this.#leaving[placeOf(this.#leaving, order + 1)] ?? null;
  }

  /** The engine's state, or what it holds, has changed; also called when `model.order` is about to. */
  update(model: ModelState, isThere = true): void {
    const before = this.#entries.get(model);
    const reservation = isThere ? reservationOf(model.engine) : null;
    if (before === undefined && reservation === null) return;
    this.#version += 1;
    if (before !== undefined) this.#remove(model, before);
    if (reservation === null) return;
    const { engine } = model;
    const entry: Entry = {
      reservation,
      isLeaving: engine.kind === 'draining' || (engine.kind === 'asleep' && engine.leaving !== null),
      isExclusive: reservation.exclusive && engine.kind !== 'asleep',
    };
    this.#entries.set(model, entry);
    insert(this.#holders, model);
    if (entry.isLeaving) insert(this.#leaving, model);
    if (entry.isExclusive) this.#exclusiveCount += 1;
    for (const id of reservation.deviceIds) this.#changeDevice(id, (holders) => insert(holders, model));
  }

  #remove(model: ModelState, entry: Entry): void {
    this.#entries.delete(model);
    take(this.#holders, model);
    if (entry.isLeaving) take(this.#leaving, model);
    if (entry.isExclusive) this.#exclusiveCount -= 1;
    for (const id of entry.reservation.deviceIds) this.#changeDevice(id, (holders) => take(holders, model));
  }

  #changeDevice(id: DeviceId, change: (holders: ModelState[]) => void): void {
    const device = this.#devices.get(id) ?? { holders: [], reservedMib: 0, version: 0 };
    this.#devices.set(id, device);
    change(device.holders);
    // Added up anew, in order: what is added and taken off again would leave rounding behind.
    device.reservedMib = 0;
    for (const holder of device.holders)
      device.reservedMib += this.#entries.get(holder)?.reservation.memoryMibPerDevice ?? 0;
    device.version = this.#version;
  }
}

/** The one place in which an engine's state changes. Also for a state that was changed within: then it is given again. */
export function setEngine(state: SchedulerState, model: ModelState, engine: EngineState): void {
  const writable: { engine: EngineState } = model;
  writable.engine = engine;
  state.engines.update(model);
}

/** Where the first model of at least this order stands in a list that is in order. */
function placeOf(list: readonly ModelState[], order: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((list[middle]?.order ?? 0) < order) low = middle + 1;
    else high = middle;
  }
  return low;
}

function insert(list: ModelState[], model: ModelState): void {
  list.splice(placeOf(list, model.order), 0, model);
}

function take(list: ModelState[], model: ModelState): void {
  const place = placeOf(list, model.order);
  assert(list[place] === model, `${model.policy.name} is not where the index says`);
  list.splice(place, 1);
}

/** E1. */
export function assertEngineIndex(state: SchedulerState): void {
  const { engines } = state;
  const held = new Map<DeviceId, ModelState[]>();
  const holders: ModelState[] = [];
  let hasExclusive = false;
  let order = -1;
  let lastLeft = -1;
  for (const model of state.models.values()) {
    const { name } = model.policy;
    const { engine } = model;
    assert(model.order > order, `${name} is not in the order of its model's coming`);
    order = model.order;
    const reservation = reservationOf(engine);
    if (reservation === null) continue;
    holders.push(model);
    if (reservation.exclusive && engine.kind !== 'asleep') hasExclusive = true;
    for (const id of reservation.deviceIds) held.set(id, [...(held.get(id) ?? []), model]);
    if (engine.kind !== 'draining' && (engine.kind !== 'asleep' || engine.leaving === null)) continue;
    assert(engines.nextLeaving(lastLeft) === model, `${name} leaves, and the index does not know`);
    lastLeft = model.order;
  }
  assert(engines.nextLeaving(lastLeft) === null, 'the index knows somebody leaving who does not');
  assert(areSame(engines.holders, holders), 'the index knows other holders of memory than there are');
  assert(engines.hasExclusive === hasExclusive, 'the index is wrong about who has devices alone');
  for (const id of new Set([...state.devices.keys(), ...held.keys()])) {
    const there = held.get(id) ?? [];
    assert(areSame(engines.holdersOn(id), there), `the index knows other engines on ${id} than there are`);
    const mib = there.reduce((sum, model) => sum + (reservationOf(model.engine)?.memoryMibPerDevice ?? 0), 0);
    assert(
      engines.reservedMib(id) === mib,
      `the index has ${engines.reservedMib(id)} of ${mib} MiB on ${id}`,
    );
  }
}

function areSame(a: readonly ModelState[], b: readonly ModelState[]): boolean {
  return a.length === b.length && a.every((model, index) => model === b[index]);
}
