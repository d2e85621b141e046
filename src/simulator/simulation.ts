/** Runs the production control loop in a simulated machine on a virtual clock. */
import type { Scheduler } from '../scheduler/scheduler.ts';
import type { RequestSource } from './request-source.ts';
import type { SimulationObserver } from './simulation-observer.ts';
import type { World } from './world.ts';

export interface SimulationOptions {
  readonly world: World;
  readonly source: RequestSource;
  readonly scheduler: Scheduler;
  readonly seed: number;
  /** Times of the source are multiplied by it. */
  readonly timeScale: number;
  /** A request leaves after so long; null: it waits for ever. */
  readonly patienceMs: number | null;
  readonly observers: readonly SimulationObserver[];
}

export interface SimulationEnd {
  /** Virtual time at which the last request had ended. */
  readonly endMs: number;
  readonly decisions: number;
  /** Of this process, inside of the scheduler. */
  readonly decisionNs: number;
}
