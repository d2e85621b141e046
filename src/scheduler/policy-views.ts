/** What a swap policy sees (policy-desk.ts): models and devices as they are at this moment. Reading changes nothing. */
import type { DeviceId, ModelName } from '../core/ids.ts';
import { type EngineState, reservationOf } from './engine-state.ts';
import type { ModelState } from './state.ts';
import { canSleep, sleepCostMs, startCostMs, stopCostMs, wakeCostMs } from './turn.ts';
import type { QueuedRequest } from './waiting-queue.ts';

/** A model, its queue and its engine. Times are of the scheduler's clock; costs are learned ones, or guesses until then. */
export class ModelView {
  readonly #model: ModelState;

  constructor(model: ModelState) {
    this.#model = model;
  }

  get name(): ModelName {
    return this.#model.policy.name;
  }

  get phase(): EngineState['kind'] {
    return this.#model.engine.kind;
  }

  /** Requests that wait for it. */
  get queueLength(): number {
    return this.#model.queue.size;
  }

  /** The request that is its next; among all models the one with the least `requestId` came first. Null: none waits. */
  get next(): Pick<QueuedRequest, 'requestId' | 'arrivedMs'> | null {
    return this.#model.queue.first();
  }

  /** None of its waiting requests needs a device: nobody should give way for them. */
  get isLight(): boolean {
    const { queue, wanted, policy } = this.#model;
    return queue.isLight && !wanted && !policy.alwaysOn;
  }

  /** Requests at its engine. */
  get inFlight(): number {
    return this.#model.running.size;
  }

  get hasFreeSlot(): boolean {
    return this.#model.running.size < this.#model.policy.maxConcurrent;
  }

  /** Nothing in flight and nothing waiting. */
  get isIdle(): boolean {
    return this.queueLength === 0 && this.inFlight === 0;
  }

  /** Devices that it spans. */
  get deviceCount(): number {
    const { engine, need } = this.#model;
    return engine.kind === 'asleep' ? engine.awakeReservation.deviceIds.length : (need?.deviceCount ?? 1);
  }

  /** Null: any device will do. */
  get pool(): string | null {
    return this.#model.policy.pool;
  }

  /** On each of its devices while it is awake; null: it has them to itself. */
  get memoryMib(): number | null {
    const { engine, need } = this.#model;
    if (engine.kind !== 'asleep') return need?.memoryMibPerDevice ?? null;
    return engine.awakeReservation.exclusive ? null : engine.awakeReservation.memoryMibPerDevice;
  }

  /** What its engine holds on each of `deviceIds` now, also asleep. */
  get heldMib(): number {
    return reservationOf(this.#model.engine)?.memoryMibPerDevice ?? 0;
  }

  /** What will be left of it on each of them when the move that is under way is over. */
  get staysMib(): number {
    const { engine } = this.#model;
    const sleeps = engine.kind === 'falling_asleep' || (engine.kind === 'draining' && engine.how === 'sleep');
    if (sleeps) return Math.min(this.residueMib, this.heldMib);
    const isLeaving =
      engine.kind === 'draining' ||
      (engine.kind === 'stopping' && !engine.unverified) ||
      (engine.kind === 'asleep' && engine.leaving !== null);
    return isLeaving ? 0 : this.heldMib;
  }

  /** Where its engine is; none: it has no engine. */
  get deviceIds(): readonly DeviceId[] {
    return reservationOf(this.#model.engine)?.deviceIds ?? [];
  }

  /** Null: it is not awake. */
  get awakeSinceMs(): number | null {
    const { engine } = this.#model;
    return engine.kind === 'awake' ? engine.readyMs : null;
  }

  /** When it last had work, or became ready; 0: never. */
  get lastUseMs(): number {
    const { engine, lastServedMs } = this.#model;
    return engine.kind === 'awake' ? engine.lastUseMs : (lastServedMs ?? 0);
  }

  /** What it leaves on each of its devices when it falls asleep. */
  get residueMib(): number {
    return this.#model.need?.residueMib ?? 0;
  }

  /** The model and this machine can; whether host memory has room for it is seen when it comes to that. */
  get canSleep(): boolean {
    return canSleep(this.#model);
  }

  get startMs(): number {
    return startCostMs(this.#model);
  }

  get stopMs(): number {
    return stopCostMs(this.#model);
  }

  get sleepMs(): number {
    return sleepCostMs(this.#model);
  }

  get wakeMs(): number {
    return wakeCostMs(this.#model);
  }
}

export interface PolicyDevice {
  readonly id: DeviceId;
  readonly pool: string | null;
  readonly totalMib: number;
  /** What our engines may hold there in all at present. */
  readonly budgetMib: number;
  /** Of it, what nobody holds; 0 where somebody who is awake has it to itself. */
  readonly freeMib: number;
  /** A start, sleep, waking or stop is under way there: nothing can be brought up until it is over. */
  readonly isMoving: boolean;
  /** The model that it is set aside for (`hold`), or null. */
  readonly heldFor: ModelName | null;
  /** All that hold memory there, also asleep or on their way. */
  readonly engines: readonly ModelView[];
}
