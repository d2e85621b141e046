/** A simulated host with thirty models of mixed sizes: its devices, its configuration and what its engines truly take. */
import { createPrng } from '../../src/core/prng.ts';
import { type SizedModel, sizedModel } from '../fixtures/sized-models.ts';

export const CARD_MIB = 24_576;
const GIB = 1024;

export interface HostPlan {
  readonly name: string;
  /** MiB of each device. */
  readonly devices: readonly number[];
  /** In which sleepers keep their weights. */
  readonly hostMemoryMib: number;
  readonly seed: number;
  /** Share of `budget` mode's overhead that engines take at the least; the rest is chance, up to 95 %. */
  readonly overheadLeast?: number;
}

export interface PlannedModel {
  readonly name: string;
  readonly model: SizedModel;
}

/** Weights in GiB; with cache and overhead the largest fills a card of 24 GiB to nine tenths. */
const SINGLE_GIB = [
  1, 1, 1.2, 1.5, 1.8, 2, 2, 2.5, 3, 3, 3.5, 4, 4, 4.5, 5, 5.5, 6, 6.5, 7, 8, 9, 10, 11, 12, 14, 16, 17.5,
];
const EMBEDDING_MIB = [700, 1500, 2400];
const OVERHEAD_MOST = 0.95;
const QUICK_LOAD_S = 0.3;
const DEAR_LOAD_S = 2.5;
/** Every so many models has no readable files. */
const UNREADABLE_STEP = 13;

/** Thirty of them: embeddings, models for one card, and as many for several cards as there are such cards. */
export function plannedModels({ devices, seed, overheadLeast = 0.6 }: HostPlan): readonly PlannedModel[] {
  const random = createPrng(seed);
  const equals = devices.filter((mib) => mib === CARD_MIB).length;
  const wide: SizedModel[] = [];
  if (equals >= 2) {
    wide.push({ weightsMib: 8 * GIB, ranks: 2, asksForRanks: true });
    // Too big for one card, which nobody has told the gateway.
    wide.push({ weightsMib: 30 * GIB, ranks: 2 });
  }
  if (equals >= 8) wide.push({ weightsMib: 60 * GIB, ranks: 4, asksForRanks: true });
  const embeddings = EMBEDDING_MIB.map((weightsMib): SizedModel => ({ weightsMib, task: 'embed' }));
  const singles = SINGLE_GIB.slice(0, 30 - wide.length - embeddings.length).map(
    (gib, index): SizedModel => ({
      weightsMib: gib * GIB,
      seqs: 1 + random.integer(3),
      maxModelLen: random.integer(2) === 0 ? 1024 : 2048,
      unreadable: index % UNREADABLE_STEP === UNREADABLE_STEP - 1,
    }),
  );
  return [...wide, ...embeddings, ...singles].map((model, index) => ({
    name: `m${String(index).padStart(2, '0')}${model.task === 'embed' ? '-embed' : ''}`,
    model: {
      ...model,
      overheadShare: overheadLeast + (OVERHEAD_MOST - overheadLeast) * random.next(),
      // Every other one takes so long to load that it is worth putting to sleep.
      loadSeconds: index % 2 === 0 ? QUICK_LOAD_S : DEAR_LOAD_S,
      args: [
        ...['--sim-tokens-per-second', 0, '--sim-prefill-tokens-per-second', 0],
        ...['--sim-sleep-seconds', 0.05, '--sim-wake-seconds', 0.1],
        ...['--sim-sleep-residual-mib', 400 + random.integer(400)],
      ],
    },
  }));
}

/** Keys that a test has of its own. */
export interface ConfigKeys {
  readonly scheduling?: Readonly<Record<string, unknown>>;
  readonly devices?: Readonly<Record<string, unknown>>;
}

/** In the shape of models.yaml. */
export async function hostConfig(
  directory: string,
  plan: HostPlan,
  models: readonly PlannedModel[],
  more: ConfigKeys = {},
): Promise<Readonly<Record<string, unknown>>> {
  const entries: Record<string, unknown> = {};
  for (const { name, model } of models) entries[name] = await sizedModel(directory, name, model);
  return {
    server: { shutdown_delay: 0, shutdown_drain: 5 },
    devices: {
      source: 'simulated',
      simulated: plan.devices.map((memory_mib, index) => ({ id: deviceId(index), memory_mib })),
      simulated_host_memory_mib: plan.hostMemoryMib,
      ...more.devices,
    },
    scheduling: { placement_mode: 'budget', ...more.scheduling },
    defaults: { queue_timeout: 600, queue_size: 5_000, max_concurrent: 32 },
    models: entries,
  };
}

export function deviceId(index: number): string {
  return `gpu-${index}`;
}
