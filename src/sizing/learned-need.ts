/**
 * The need of a model that ran before with the same signature, from what was measured then. What is not KV cache is taken
 * as seen; the cache is what the configuration asks for, so a model that was measured alone with the cache of a whole device
 * packs from then on.
 */
import { type CandidateDevice, devicesOfPool, holders, wholeBudget } from './device-fit.ts';
import { type Footprint, footprint } from './footprint.ts';
import { contextLength, footprintRequest } from './launch-options.ts';
import type { LaunchNeed, LearnedUse, SizingQuestion } from './launch-question.ts';

/** The allocator's fragments grow: a share for large models, a fixed part (a chunk or two) for small ones. */
const LEARNED_FACTOR = 1.02;
const LEARNED_MARGIN_MIB = 128;
/**
 * What an engine was seen to use at rest lacks the activations of its first full load (some 8192 tokens at once). This much is
 * kept for them, but no more than was reckoned before anything was seen.
 */
const ACTIVATIONS_MIB = 1024;
/** A cache up to so much larger than the computed one was enlarged by a correction; a larger one was all that a device had. */
const ENLARGED_MAX = 2;

const MIB = 1024 * 1024;

/** What to reserve for an engine that was seen to use `seenMib`; `computedMib`: what was reckoned, null: nothing was. */
function withMargin(seenMib: number, computedMib: number | null): number {
  const grownMib = Math.ceil(seenMib * LEARNED_FACTOR);
  const ampleMib = grownMib + ACTIVATIONS_MIB;
  return Math.max(grownMib + LEARNED_MARGIN_MIB, Math.min(ampleMib, computedMib ?? ampleMib));
}

/** As `withMargin` for an engine that runs: the margin never makes it larger than a device that holds it. */
export function runningNeed(usedMib: number, devices: readonly CandidateDevice[]): number {
  const holding = devices.map(wholeBudget).filter((budgetMib) => budgetMib >= usedMib);
  return holding.length === 0 ? Math.ceil(usedMib) : Math.min(withMargin(usedMib, null), ...holding);
}

/** Null: nothing was measured, or its devices cannot hold that much (another number of them may). */
export function learnedNeed(question: SizingQuestion): LaunchNeed | null {
  const { learned, options, correction } = question;
  if (learned === null || learned.deviceCount < options.tensorParallelSize) return null;
  const devices = devicesOfPool(question.devices, options.pool);
  const { otherMib, kvBytes } = partsOf(question, learned);
  const kvMib = kvBytes === null ? 0 : kvBytes / MIB;
  const extraMib = correction?.extraMib ?? 0;
  const seenMib = otherMib + kvMib + extraMib;
  const computed = computedFootprint(question, learned);
  const wantedMib = withMargin(seenMib, computed === null ? null : computed.totalMib + extraMib);
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
  const { usedMib } = learned;
  const computed = computedKvBytes(question, learned);
  const hadMib = learned.kvCacheMib ?? (computed === null ? null : computed / MIB);
  // A cache that is not smaller than all that was used is a figure of something else.
  if (hadMib === null || hadMib <= 0 || hadMib >= usedMib) return { otherMib: usedMib, kvBytes: null };
  const { correction } = question;
  const leastKvBytes = correction?.deviceCount === learned.deviceCount ? correction.leastKvBytes : 0;
  const wanted = wantedKvBytes(question, learned, computed) ?? hadMib * MIB;
  return { otherMib: usedMib - hadMib, kvBytes: wholeMib(Math.max(wanted, leastKvBytes)) };
}

/** By the formulas, where the model's facts are known. Null: they are not, or it keeps no cache. */
function computedKvBytes(question: SizingQuestion, learned: LearnedUse): number | null {
  const computed = computedFootprint(question, learned);
  return computed !== null && computed.kvBytes > 0 ? computed.kvBytes : null;
}

/** By the formulas, on as many devices. Null: the facts are not known, or do not suffice. */
function computedFootprint(
  { facts, options, numbers }: SizingQuestion,
  learned: LearnedUse,
): Footprint | null {
  if (facts === null) return null;
  const request = footprintRequest(
    options,
    learned.deviceCount,
    contextLength(options),
    options.kvReservationSeqs,
  );
  const sized = footprint(facts, request, numbers.overhead);
  return sized.ok ? sized.value : null;
}

/** The computed cache, unless a failed start had it enlarged; else by what a token took. */
function wantedKvBytes(
  { options }: SizingQuestion,
  { kvCacheMib, kvCacheTokens }: LearnedUse,
  computed: number | null,
): number | null {
  if (computed !== null) {
    const hadBytes = (kvCacheMib ?? 0) * MIB;
    return hadBytes > computed && hadBytes <= ENLARGED_MAX * computed ? hadBytes : computed;
  }
  const maxModelLen = contextLength(options);
  if (maxModelLen === null || kvCacheMib === null || kvCacheTokens === null || kvCacheTokens <= 0)
    return null;
  return maxModelLen * options.kvReservationSeqs * ((kvCacheMib * MIB) / kvCacheTokens);
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
