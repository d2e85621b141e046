/** A sizer with nothing real around it: readings are answered by the test, footprints are kept in an array. */
import { loadConfig } from '../../src/config/load.ts';
import { ModelSizer } from '../../src/control/model-sizer.ts';
import type { FactsRead } from '../../src/control/sizer-reading.ts';
import type { ModelName } from '../../src/core/ids.ts';
import { failure, success } from '../../src/core/result.ts';
import { VirtualClock } from '../../src/core/virtual-clock.ts';
import type { Device } from '../../src/devices/device.ts';
import type { ModelNeed } from '../../src/scheduler/model-need.ts';
import type { ModelFacts } from '../../src/sizing/model-facts.ts';
import type { StoredFootprint } from '../../src/store/footprints.ts';
import { settle } from './fake-launch.ts';

export interface SizerWorld {
  readonly sizer: ModelSizer;
  readonly clock: VirtualClock;
  readonly needs: { readonly model: ModelName; readonly need: ModelNeed }[];
  readonly stored: StoredFootprint[];
  readonly refused: Map<string, Set<string>>;
  readonly lines: string[];
  /** Models whose facts are being read, in order. */
  readonly reading: ModelName[];
  /** Ends a reading; null facts: unreadable. */
  answer(model: ModelName, facts: ModelFacts | null): Promise<void>;
  lastNeed(model: ModelName): ModelNeed | undefined;
}

export function gpu(id: string, totalMib = 24_576, changes: Partial<Device> = {}): Device {
  return {
    id,
    name: id,
    source: 'nvidia',
    index: 0,
    totalMib,
    budgetMib: Math.floor(0.95 * totalMib),
    spareMib: 0,
    pool: null,
    unified: false,
    ...changes,
  };
}

interface WorldSetup {
  readonly budget?: boolean;
  readonly models: Readonly<Record<string, object>>;
  readonly stored?: readonly StoredFootprint[];
  readonly sleepsOn?: readonly Device['source'][];
  readonly isReachedPrivately?: boolean;
}

/** Not started. */
export async function sizerWorld(setup: WorldSetup): Promise<SizerWorld> {
  const scheduling = { placement_mode: setup.budget === false ? 'whole_card' : 'budget' };
  const loaded = await loadConfig({ object: { scheduling, models: setup.models }, environment: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  const clock = new VirtualClock();
  const needs: SizerWorld['needs'] = [];
  const stored: StoredFootprint[] = [...(setup.stored ?? [])];
  const refused = new Map<string, Set<string>>();
  const lines: string[] = [];
  const reading: ModelName[] = [];
  const ends = new Map<ModelName, (read: FactsRead) => void>();
  const sizer = new ModelSizer({
    config: loaded.value,
    isReachedPrivately: () => setup.isReachedPrivately !== false,
    engineOf: () => ({
      version: () => null,
      capabilities: {
        unixSocket: true,
        sleepLevels: [1, 2],
        sleepsOn: setup.sleepsOn ?? ['nvidia'],
        routesAsleep: [],
        keepAliveMs: 0,
        assumedStartMs: 0,
        contextMib: 0,
        hostMib: 4096,
      },
    }),
    readFacts: ({ name }) => {
      reading.push(name);
      return new Promise((resolve) => ends.set(name, resolve));
    },
    footprints: {
      all: () => stored,
      put: (footprint) => void stored.push(footprint),
      refusedFlags: (executable) => refused.get(executable) ?? new Set(),
      addRefusedFlag: (executable, flag) =>
        void refused.set(executable, new Set([...(refused.get(executable) ?? []), flag])),
    },
    clock,
    signatureOf: ({ name }) => `signature of ${name}`,
    onNeed: (model, need) => void needs.push({ model, need }),
    log: (_, text) => void lines.push(text),
  });
  return {
    ...{ sizer, clock, needs, stored, refused, lines, reading },
    async answer(model, facts) {
      const end = ends.get(model);
      if (end === undefined) throw new Error(`nobody reads ${model}`);
      end(
        facts === null
          ? failure({ kind: 'unreachable', text: 'the hub does not answer' })
          : success({ facts, origin: 'a test', commit: null }),
      );
      await settle();
    },
    lastNeed: (model) => needs.findLast((told) => told.model === model)?.need,
  };
}
