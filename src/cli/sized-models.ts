/**
 * What the models of a configuration take on given devices, found out without serving: what was learned is read beside a
 * gateway that may run, facts are read within a time limit, and nothing is written but readings of models.
 */
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import type { Environment } from '../config/environment.ts';
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import { ModelSizer } from '../control/model-sizer.ts';
import { launchSignature } from '../control/policies.ts';
import { factsReader, READ_LIMIT_MS } from '../control/sizer-facts.ts';
import type { SizingReport } from '../control/sizer-ports.ts';
import type { FactsRead } from '../control/sizer-reading.ts';
import { createSystemClock } from '../control/system-clock.ts';
import type { ModelName } from '../core/ids.ts';
import { failure } from '../core/result.ts';
import type { Device } from '../devices/device.ts';
import type { Engine } from '../engines/engine.ts';
import type { ModelNeed } from '../scheduler/model-need.ts';
import type { FootprintStore } from '../store/footprints.ts';

export interface SizedModels {
  readonly reports: ReadonlyMap<ModelName, SizingReport>;
  readonly needOf: (name: ModelName) => ModelNeed | null;
}

export interface SizingSetup {
  readonly config: ResolvedConfig;
  readonly environment: Environment;
  readonly engineOf: (model: ResolvedModel) => Engine;
  readonly devices: readonly Device[];
  /** What was learned; null: nothing is. */
  readonly footprints: FootprintStore | null;
  /** Forbids to ask a hub. */
  readonly offline: boolean;
  /** For the facts of all models together. */
  readonly timeLimitMs: number;
}

/** Hubs and disks are asked of so many models at once. */
const READINGS_MAX = 4;

export async function sizeModels(setup: SizingSetup): Promise<SizedModels> {
  const { config, engineOf, devices, footprints } = setup;
  const read = await readAll(setup);
  const sizer = new ModelSizer({
    config,
    engineOf,
    // Where sockets cannot be shared an internal network serves as well; `check` tells more.
    isReachedPrivately: () => config.runtime.kind === 'process' || config.runtime.docker.reach !== 'port',
    readFacts: ({ name }) => {
      const facts = read.get(name) ?? null;
      return facts === null ? null : Promise.resolve(facts);
    },
    footprints: {
      all: () => footprints?.all() ?? [],
      put: () => {},
      refusedFlags: (executable) => footprints?.refusedFlags(executable) ?? new Set(),
      addRefusedFlag: () => {},
    },
    clock: createSystemClock(),
    signatureOf: launchSignature,
    onNeed: () => {},
    log: () => {},
  });
  sizer.devicesChanged(devices);
  sizer.start();
  // All facts are there, so the sizer has taken them up when every promise of this turn is settled.
  await turnOfLoop();
  sizer.close();
  const reports = new Map(sizer.report().map((report) => [report.model, report]));
  return { reports, needOf: (name) => sizer.needOf(name) };
}

/** Null: of that model there is nothing to read. */
async function readAll(setup: SizingSetup): Promise<ReadonlyMap<ModelName, FactsRead | null>> {
  const { config, environment, offline, timeLimitMs } = setup;
  const { stateDirectory } = config.runtime;
  const found = new Map<ModelName, FactsRead | null>();
  const waiting = [...config.models.values()].filter(
    ({ url, command, repo }) => url === null && command === null && repo !== null,
  );
  for (const { name } of waiting) found.set(name, tooLate(name, timeLimitMs));
  const clock = createSystemClock();
  const endMs = clock.nowMs() + timeLimitMs;
  const read = factsReader(environment, stateDirectory);
  let isOver = false;
  const reader = async (): Promise<void> => {
    for (let model = waiting.shift(); model !== undefined && !isOver; model = waiting.shift()) {
      const asked = offline
        ? { ...model, environment: { ...model.environment, HF_HUB_OFFLINE: '1' } }
        : model;
      const restMs = Math.max(1, Math.ceil(endMs - clock.nowMs()));
      const facts = await attempt((each) => read(each, Math.min(READ_LIMIT_MS, restMs)), asked);
      if (!isOver) found.set(model.name, facts);
    }
  };
  const over = Promise.withResolvers<void>();
  const cancel = clock.setTimer(endMs, over.resolve);
  await Promise.race([over.promise, Promise.all(Array.from({ length: READINGS_MAX }, reader))]);
  isOver = true;
  cancel();
  return found;
}

/** A defect of a reader costs that model its facts, and not the whole answer. */
async function attempt(
  read: (model: ResolvedModel) => Promise<FactsRead> | null,
  model: ResolvedModel,
): Promise<FactsRead | null> {
  try {
    return await read(model);
  } catch (error) {
    return failure({
      kind: 'malformed',
      text: `reading ${model.repo ?? model.name} failed: ${String(error)}`,
    });
  }
}

function tooLate(name: ModelName, timeLimitMs: number): FactsRead {
  return failure({
    kind: 'timeout',
    text: `the facts of ${name} could not be read within the ${timeLimitMs / 1000} s for all models`,
  });
}
