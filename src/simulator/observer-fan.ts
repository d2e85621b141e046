/** Tells all observers of a run, in the order in which they are given. */
import type { Clock } from '../core/clock.ts';
import type { RequestEnd } from './request-source.ts';
import type { MachineMove, RequestTimes, SimulationObserver } from './simulation-observer.ts';

export class ObserverFan {
  readonly #clock: Clock;
  readonly #observers: SimulationObserver[];

  constructor(clock: Clock, observers: readonly SimulationObserver[]) {
    this.#clock = clock;
    this.#observers = [...observers];
  }

  get observers(): readonly SimulationObserver[] {
    return this.#observers;
  }

  /** Before the run begins. */
  add(observers: readonly SimulationObserver[]): void {
    this.#observers.push(...observers);
  }

  readonly arrived = (times: RequestTimes): void => {
    for (const observer of this.#observers) observer.arrived?.(times);
  };

  readonly dispatched = (times: RequestTimes): void => {
    for (const observer of this.#observers) observer.dispatched?.(times, this.#clock.nowMs());
  };

  readonly ended = (times: RequestTimes, end: RequestEnd): void => {
    for (const observer of this.#observers) observer.ended?.(times, end, this.#clock.nowMs());
  };

  readonly moved = (move: MachineMove): void => {
    for (const observer of this.#observers) observer.moved?.(move);
  };

  readonly violated = (text: string): void => {
    for (const observer of this.#observers) observer.violated?.(text, this.#clock.nowMs());
  };
}
