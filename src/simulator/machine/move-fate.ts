/** What becomes of a move on the machine: how long it takes, and how it ends. */

import type { DeviceId } from '../../core/ids.ts';
import type { MoveKind } from '../simulation-observer.ts';
import { coldStartMs } from '../start-times.ts';
import type { ModelCosts } from '../world.ts';

/**
 * `fails`: the engine says so, and nobody knows its state. `dies`: its process ends. `hangs`: it never answers.
 * `frees_nothing`: a sleep that says that it went well. `left`: a stop that leaves something behind.
 */
export type MoveEnd = 'done' | 'fails' | 'dies' | 'hangs' | 'frees_nothing' | 'left';

export interface MoveFate {
  readonly durationMs: number;
  readonly end: MoveEnd;
}

export interface FatedMove {
  readonly kind: MoveKind;
  readonly model: string;
  readonly deviceIds: readonly DeviceId[];
  readonly costs: ModelCosts;
  /** Place of the model in the sorted names. */
  readonly modelIndex: number;
  /** From 0, of this model; of starts only. */
  readonly startNumber: number;
}

export type FateOf = (move: FatedMove) => MoveFate;

/** Every move goes well and takes what the world says. */
export function worldFates(seed: number): FateOf {
  return (move) => ({ durationMs: durationMs(move, seed), end: 'done' });
}

function durationMs({ kind, costs, modelIndex, startNumber }: FatedMove, seed: number): number {
  switch (kind) {
    case 'start':
      return coldStartMs(costs.coldStart, seed, modelIndex, startNumber);
    case 'wake':
      return costs.wakeMs;
    case 'sleep':
      return costs.sleepMs;
    case 'stop':
      return costs.stopMs;
  }
}
