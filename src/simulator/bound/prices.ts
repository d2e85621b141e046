/**
 * What all models share, and what it costs: for each resource a price per millisecond of all of it, constant within buckets
 * of time, nought after the last. Four resources, each a true limit of the world (so each price vector keeps the bound valid):
 *
 * - memory: of all devices together;
 * - packing: devices filled with whole models (packing.ts);
 * - movers: one start, sleep, waking or stop at a time on each device;
 * - host: memory for sleepers.
 */
import { RESIDUE_MIB, type World } from '../world.ts';
import type { BoundModel } from './bound-model.ts';
import { packedSizes } from './packing.ts';

export const RESOURCES = ['memory', 'packing', 'movers', 'host'] as const;
export type Resource = (typeof RESOURCES)[number];

export interface TimeGrid {
  readonly bucketMs: number;
  readonly buckets: number;
}

/** What one model takes in each state, as shares of each whole resource. */
export interface ModelShares {
  /** Awake: memory and packing. */
  readonly memory: number;
  readonly packing: number;
  /** Asleep: what it leaves on its devices, and of the host. */
  readonly residue: number;
  readonly host: number;
  /** While a move of it is under way. */
  readonly movers: number;
}

/** Which limits to charge for. */
export interface Limits {
  readonly packing: boolean;
  readonly movers: boolean;
  readonly host: boolean;
}

export function modelShares(
  { devices, hostMemoryMib }: World,
  models: readonly BoundModel[],
  limits: Limits,
): readonly ModelShares[] {
  const budgetsMib = devices.map(({ budgetFraction, memoryMib }) => budgetFraction * memoryMib);
  const totalMib = budgetsMib.reduce((sum, mib) => sum + mib, 0);
  const sizes = [...new Set(models.map(({ awakeMib }) => awakeMib))];
  const packed = limits.packing ? packedSizes(sizes, budgetsMib) : null;
  return models.map(({ awakeMib, hostMib, gpus, sleep }) => ({
    memory: (gpus * awakeMib) / totalMib,
    packing: packed === null ? 0 : (gpus * (packed.weights[sizes.indexOf(awakeMib)] ?? 0)) / packed.capacity,
    residue: (gpus * RESIDUE_MIB) / totalMib,
    host: limits.host && sleep !== null && hostMemoryMib > 0 ? hostMib / hostMemoryMib : 0,
    movers: limits.movers ? gpus / devices.length : 0,
  }));
}
