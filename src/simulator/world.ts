/** A machine, and what models cost on it (shared format: docs/simulate.md). All times in the file are seconds, here milliseconds. */

export interface WorldDevice {
  readonly id: string;
  readonly memoryMib: number;
  readonly budgetFraction: number;
}

/** Log-normal through median and p90, cut off below at `minMs`. */
export interface StartTimes {
  readonly minMs: number;
  readonly medianMs: number;
  readonly p90Ms: number;
}

export interface ModelCosts {
  readonly weightsMib: number;
  readonly kvMib: number;
  readonly overheadMib: number;
  /** Devices that it spans; memory is per device. */
  readonly gpus: number;
  readonly coldStart: StartTimes;
  readonly sleepMs: number;
  readonly wakeMs: number;
  readonly stopMs: number;
  readonly prefillTokensPerS: number;
  readonly decodeTokensPerS: number;
  readonly maxConcurrent: number;
}

export interface World {
  readonly name: string;
  readonly devices: readonly WorldDevice[];
  /** For sleepers' weights. */
  readonly hostMemoryMib: number;
  readonly sleep: boolean;
  /** Model k of the sorted names takes `palette[k mod length]`. */
  readonly palette: readonly ModelCosts[];
}

/** What a sleeper leaves on each of its devices. */
export const RESIDUE_MIB = 400;

/** On each of its devices while it starts, serves, drains, falls asleep or wakes. */
export function awakeMib({ weightsMib, kvMib, overheadMib }: ModelCosts): number {
  return weightsMib + kvMib + overheadMib;
}

/** Of the host while it sleeps. */
export function hostAsleepMib({ weightsMib, gpus }: ModelCosts): number {
  return weightsMib * gpus;
}

/** The costs of each of these models, by name. */
export function assignCosts(world: World, models: readonly string[]): ReadonlyMap<string, ModelCosts> {
  const { palette } = world;
  const sorted = [...models].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return new Map(
    sorted.flatMap((name, index) => {
      const costs = palette[index % palette.length];
      return costs === undefined ? [] : [[name, costs] as const];
    }),
  );
}
