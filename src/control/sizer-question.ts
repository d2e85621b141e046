/** From the configuration, the devices and what was learned to a question for sizing, and from its answer to a need. */
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import type { Device } from '../devices/device.ts';
import { adapterSlotsOf } from '../engines/adapter-slots.ts';
import type { EngineCapabilities } from '../engines/engine.ts';
import type { ModelNeed } from '../scheduler/model-need.ts';
import { type CandidateDevice, devicesOfPool, largestCapacity, wholeBudget } from '../sizing/device-fit.ts';
import { rankWeightsMib } from '../sizing/launch-need.ts';
import type { LaunchOptions } from '../sizing/launch-options.ts';
import type { Correction, LaunchNeed, SizingQuestion } from '../sizing/launch-question.ts';
import type { ModelFacts } from '../sizing/model-facts.ts';
import { sleepCost } from '../sizing/sleep-cost.ts';
import type { StoredFootprint } from '../store/footprints.ts';
import { CHANGE_MIB } from './learned-footprint.ts';

/** Flags of ours (long names) without which an engine does as well: it may refuse them. */
export const KV_FLAG = '--kv-cache-memory-bytes';
export const SLEEP_FLAG = '--enable-sleep-mode';

export interface SizedModel {
  readonly model: ResolvedModel;
  readonly capabilities: Pick<EngineCapabilities, 'sleepLevels' | 'sleepsOn' | 'hostMib' | 'contextMib'>;
  readonly facts: ModelFacts | null;
  readonly learned: StoredFootprint | null;
  readonly correction: Correction | null;
  readonly refusedFlags: ReadonlySet<string>;
  /** As of the sizer's ports. */
  readonly isReachedPrivately: boolean;
}

export function questionOf(
  config: ResolvedConfig,
  devices: readonly Device[],
  { model, facts, learned, correction }: SizedModel,
): SizingQuestion {
  const { sizing } = config.scheduling;
  return {
    facts,
    options: optionsOf(config, model),
    numbers: { ...sizing, overhead: { factor: sizing.overheadFactor, mib: sizing.overheadMib } },
    devices: candidates(devices),
    // A command of somebody else's is not told how much cache to keep, so all that it used is taken as it was.
    learned: learned === null || model.command === null ? learned : { ...learned, kvCacheMib: null },
    correction,
  };
}

function optionsOf(config: ResolvedConfig, model: ResolvedModel): LaunchOptions {
  const { vllm, need } = model;
  return {
    placementMode: config.scheduling.placementMode,
    maxModelLen: vllm.maxModelLen,
    kvReservationSeqs: vllm.kvReservationSeqs,
    tensorParallelSize: need.deviceCount,
    quantization: vllm.quantization,
    dtype: vllm.dtype,
    extraArgs: vllm.extraArgs,
    adapters: adapterSlotsOf(model),
    gpuMemoryUtilization: vllm.gpuMemoryUtilization,
    colocate: model.colocate,
    memoryMib: need.memoryMibPerDevice,
    pool: need.pool,
  };
}

function candidates(devices: readonly Device[]): readonly CandidateDevice[] {
  return devices.map(({ id, pool, totalMib, budgetMib }) => ({ id, pool, totalMib, budgetMib }));
}

export function needFrom(launch: LaunchNeed, devices: readonly Device[], sized: SizedModel): ModelNeed {
  const { model, learned, facts } = sized;
  const { deviceCount, memoryMibPerDevice } = launch;
  const sleepLevel = sleepLevelOf(devices, sized);
  const ofPool = devicesOfPool(candidates(devices), model.need.pool);
  const reservedMib = memoryMibPerDevice ?? largestCapacity(ofPool, deviceCount, wholeBudget);
  const cost = sleepCost({
    level: sleepLevel,
    deviceCount,
    weightsMib:
      learned?.weightsMib ?? (facts === null ? null : rankWeightsMib(facts, model.vllm, deviceCount)),
    reservedMib,
    engineHostMib: sized.capabilities.hostMib,
    learned,
  });
  return {
    deviceCount,
    memoryMibPerDevice,
    leastMibPerDevice: memoryMibPerDevice === null ? leastMib(launch) : 0,
    contextMib: sized.capabilities.contextMib,
    wholeShare: model.command === null ? model.vllm.gpuMemoryUtilization : 1,
    sleepLevel,
    residueMib: Math.min(cost.residueMib, reservedMib),
    hostAwakeMib: cost.hostAwakeMib,
    hostAsleepMib: cost.hostAsleepMib,
    neverFits: launch.neverFits,
  };
}

/** What a model that has its devices to itself cannot do without, as far as its files tell. */
function leastMib({ parts }: LaunchNeed): number {
  return parts === null ? 0 : parts.weightsMib + parts.kvMib + parts.overheadMib;
}

const NO_SLEEP = /^--no[-_]enable[-_]sleep[-_]mode$/;

/** Asking it to sleep must be ours alone. Sleeping must free something: not where devices and host share one memory, nor on devices that the engine cannot leave. */
function sleepLevelOf(devices: readonly Device[], sized: SizedModel): 0 | 1 | 2 {
  const { model, capabilities, refusedFlags } = sized;
  if (model.command !== null || model.sleep === 'off' || refusedFlags.has(SLEEP_FLAG)) return 0;
  if (!sized.isReachedPrivately) return 0;
  if (model.vllm.extraArgs.some((word) => NO_SLEEP.test(word))) return 0;
  const level = model.sleep === 'level_2' ? 2 : 1;
  if (!capabilities.sleepLevels.includes(level)) return 0;
  const { pool } = model.need;
  const ofPool = devices.filter((device) => pool === null || device.pool === pool);
  const canSleep = ofPool.every(({ source, unified }) => capabilities.sleepsOn.includes(source) && !unified);
  return ofPool.length > 0 && canSleep ? level : 0;
}

/** Small changes are kept back: each one may move other models. What was told covers them by its margins. */
export function isChanged(before: ModelNeed, after: ModelNeed): boolean {
  return (
    before.deviceCount !== after.deviceCount ||
    before.sleepLevel !== after.sleepLevel ||
    before.neverFits !== after.neverFits ||
    (before.memoryMibPerDevice === null) !== (after.memoryMibPerDevice === null) ||
    differs(before.memoryMibPerDevice ?? 0, after.memoryMibPerDevice ?? 0) ||
    differs(before.leastMibPerDevice, after.leastMibPerDevice) ||
    differs(before.residueMib, after.residueMib) ||
    differs(before.hostAwakeMib, after.hostAwakeMib) ||
    differs(before.hostAsleepMib, after.hostAsleepMib)
  );
}

const CHANGE_SHARE = 0.01;

function differs(beforeMib: number, afterMib: number): boolean {
  return Math.abs(beforeMib - afterMib) > Math.max(CHANGE_MIB, CHANGE_SHARE * beforeMib);
}
