/** What must hold in every simulation, each rule in a file of its own, by books that nobody else writes. */
import type { SimulationObserver } from '../simulation-observer.ts';

export interface Checker extends SimulationObserver {
  /** The run is over. */
  finish?(): void;
}

/** Told of whatever does not hold. */
export type Report = (text: string) => void;
