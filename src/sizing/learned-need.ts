/**
 * The need of a model that ran before with the same signature, from what was measured then. What is not KV cache is taken
 * as seen; the cache is what the configuration asks for, so a model that was measured alone with the cache of a whole device
 * packs from then on.
 */
import { type CandidateDevice, devicesOfPool, holders, wholeBudget } from './device-fit.ts';
import { footprint } from './footprint.ts';
import { contextLength, footprintRequest } from './launch-options.ts';
import type { LaunchNeed, LearnedUse, SizingQuestion } from './launch-question.ts';

/**
 * Activations at full load may exceed what was seen until now, and the allocator's fragments grow: a share for large models,
 * a fixed part (one more chunk or two of the driver's and the allocator's) for small ones.
 */
const LEARNED_FACTOR = 1.02;
const LEARNED_MARGIN_MIB = 128;

const MIB = 1024 * 1024;

/** Null: nothing was measured, or its devices cannot hold that much (another number of them may). */
export function learnedNeed(question: SizingQuestion): LaunchNeed | null {
  const { learned, options, correction } = question;
  if (learned === null || learned.deviceCount < options.tensorParallelSize) return null;
  const devices = devicesOfPool(question.devices, options.pool);
  const { otherMib, kvBytes } = partsOf(question, learned);
  const kvMib = kvBytes === null ? 0 : kvBytes / MIB;
  const seenMib = otherMib + kvMib + (correction?.extraMib ?? 0);
  const wantedMib = Math.ceil(seenMib * LEARNED_FACTOR) + LEARNED_MARGIN_MIB;
  const needMib = affordable(devices, learned.deviceCount, Math.ceil(seenMib), wantedMib);
  if (needMib === null) return null;
  const weightsMib = Math.min(learned.weightsMib ?? 0, needMib - kvMib);
  return {
    deviceCount: learned.deviceCount,
    memoryMibPerDevice: needMib,
    kvCacheBytes: kvBytes,
    measureAlone: false,
    source: correction === null ? 'learned' : 'corrected',
    parts: {
      weightsMib: Math.round(weightsMib),
      kvMib: Math.round(kvMib),
      overheadMib: Math.round(needMib - weightsMib - kvMib),
    },
    why: `an earlier launch used ${Math.round(learned.usedMib)} MiB${cacheText(learned)}`,
    neverFits: null,
  };
}

function cacheText({ kvCacheMib }: LearnedUse): string {
  return kvCacheMib === null ? '' : `, ${Math.round(kvCacheMib)} MiB of it KV cache`;
}

/** `kvBytes`: null leaves the cache to the utilisation, and `otherMib` includes it. */
function partsOf(
  question: SizingQuestion,
  learned: LearnedUse,
): { readonly otherMib: number; readonly kvBytes: number | null } {
  const { usedMib, kvCacheMib } = learned;
  // A cache that is not smaller than all that was used is a figure of something else.
  if (kvCacheMib === null || kvCacheMib <= 0 || kvCacheMib >= usedMib)
    return { otherMib: usedMib, kvBytes: null };
  const wanted = wantedKvBytes(question, learned) ?? kvCacheMib * MIB;
  const kvBytes = wholeMib(Math.max(wanted, question.correction?.leastKvBytes ?? 0));
  return { otherMib: usedMib - kvCacheMib, kvBytes };
}

/** By the formulas where the model's facts are known, else by what a token took. */
function wantedKvBytes({ facts, options }: SizingQuestion, learned: LearnedUse): number | null {
  const { kvReservationSeqs: sequences } = options;
  const maxModelLen = contextLength(options);
  if (facts !== null) {
    const sized = footprint(facts, footprintRequest(options, learned.deviceCount, maxModelLen, sequences));
    if (sized.ok) return sized.value.kvBytes > 0 ? sized.value.kvBytes : null;
  }
  const { kvCacheMib, kvCacheTokens } = learned;
  if (maxModelLen === null || kvCacheMib === null || kvCacheTokens === null || kvCacheTokens <= 0)
    return null;
  return maxModelLen * sequences * ((kvCacheMib * MIB) / kvCacheTokens);
}

/** The margin is given up where the device is as large as what was seen: there it has run before. */
function affordable(
  devices: readonly CandidateDevice[],
  deviceCount: number,
  seenMib: number,
  wantedMib: number,
): number | null {
  if (devices.length === 0 || holders(devices, deviceCount, wantedMib, wholeBudget).length > 0)
    return wantedMib;
  const smaller = devices.map(wholeBudget).sort((a, b) => b - a);
  const affordableMib = smaller.find(
    (budgetMib) => budgetMib >= seenMib && holders(devices, deviceCount, budgetMib, wholeBudget).length > 0,
  );
  return affordableMib ?? null;
}

/** What a flag can say. */
export function wholeMib(bytes: number): number {
  return Math.ceil(bytes / MIB) * MIB;
}
