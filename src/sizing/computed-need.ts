/** Needs computed from a model's facts, on the fewest devices that can hold them (launch-need.ts has the rules). */
import { adapterBytes } from './adapter-memory.ts';
import { type Capacity, devicesOfPool, holders, tensorParallelChoices, wholeBudget } from './device-fit.ts';
import { type Footprint, footprint } from './footprint.ts';
import { adapterSlots, contextLength, fitsContextItself, footprintRequest } from './launch-options.ts';
import type { Correction, LaunchNeed, NeedParts, SizingQuestion } from './launch-question.ts';
import { wholeMib } from './learned-need.ts';
import type { ModelFacts } from './model-facts.ts';
import { unfitReason } from './unfit-reason.ts';

const MIB = 1024 * 1024;

/** The shortest context with which a model is of any use: what a whole card must hold beside the weights at the least. */
const LEAST_CONTEXT = 1024;

/** A launch on so many devices, sized. */
export interface Sized {
  readonly footprint: Footprint;
  readonly deviceCount: number;
  readonly needMib: number;
  readonly kvBytes: number;
  readonly parts: NeedParts;
}

/** Null: this number of devices is impossible for the model; in words. */
type Sizes = (deviceCount: number) => Sized | string;

/** Null: not computable after all (no context length anywhere). */
export function computedBudget(question: SizingQuestion, facts: ModelFacts): LaunchNeed | null {
  const { options, numbers, correction } = question;
  const sizes: Sizes = (deviceCount) => {
    const request = footprintRequest(options, deviceCount, contextLength(options), options.kvReservationSeqs);
    const sized = footprint(facts, request, numbers.overhead);
    if (!sized.ok) return sized.error;
    const { totalMib, kvBytes } = sized.value;
    const { extraMib, moreKvBytes } = corrected(correction, sized.value);
    const moreKvMib = (moreKvBytes * numbers.overhead.factor) / MIB;
    const adapterMib = (adaptersOf(question, facts) * numbers.overhead.factor) / MIB;
    const needMib = Math.ceil(totalMib + moreKvMib + adapterMib + extraMib);
    return sizedAs(sized.value, kvBytes + moreKvBytes, needMib);
  };
  const found = fewestDevices(question, sizes, wholeBudget);
  if (found.sized === null) return null;
  const { sized } = found;
  return {
    deviceCount: sized.deviceCount,
    memoryMibPerDevice: sized.needMib,
    kvCacheBytes: sized.kvBytes === 0 ? null : wholeMib(sized.kvBytes),
    measureAlone: false,
    source: correction === null ? 'computed' : 'corrected',
    parts: sized.parts,
    why: `(weights + KV cache for ${cacheWords(sized.footprint)}${adapterWords(question)}) x ${numbers.overhead.factor} + ${numbers.overhead.mib} MiB${found.fits ? countWords(question, sized) : ''}`,
    neverFits: found.fits ? null : reasonOf(question, facts, found, wholeBudget),
  };
}

/** What a model would need that shares its card; the caller compares it with the share. */
export function computedColocation(question: SizingQuestion, facts: ModelFacts): LaunchNeed | null {
  const { options, numbers, correction } = question;
  const request = footprintRequest(options, 1, contextLength(options), options.kvReservationSeqs);
  const sized = footprint(facts, request);
  if (!sized.ok) return null;
  const { weights, kvBytes } = sized.value;
  const { extraMib, moreKvBytes } = corrected(correction, sized.value);
  const cacheBytes = kvBytes + moreKvBytes;
  const weightBytes = weights.bytesPerRank + adaptersOf(question, facts);
  const needed = (weightBytes * numbers.colocateWeightOverhead + cacheBytes) / MIB;
  const { needMib, parts } = sizedAs(
    sized.value,
    cacheBytes,
    Math.ceil(needed + numbers.colocateMarginMib + extraMib),
  );
  return {
    deviceCount: 1,
    memoryMibPerDevice: needMib,
    kvCacheBytes: cacheBytes === 0 ? null : wholeMib(cacheBytes),
    measureAlone: false,
    source: correction === null ? 'computed' : 'corrected',
    parts,
    why: `weights x ${numbers.colocateWeightOverhead} + KV cache for ${cacheWords(sized.value)} + ${numbers.colocateMarginMib} MiB, so it shares a card`,
    neverFits: null,
  };
}

/** `reason`: why it has a card for itself, where somebody may have expected otherwise. */
export function computedWholeCard(question: SizingQuestion, reason: string | null): LaunchNeed {
  const { options, facts } = question;
  const why = reason ?? 'whole_card: it has its devices for itself';
  const capacity: Capacity = (device) =>
    Math.min(device.budgetMib, Math.ceil(options.gpuMemoryUtilization * device.totalMib));
  const before = whereItRan(question, capacity, why);
  if (before !== null) return before;
  if (facts === null) return wholeDevices(options.tensorParallelSize, why);
  let last: Found | null = null;
  for (const length of leastLengths(question, facts)) {
    const sizes = leastOf(question, facts, length);
    const found = fewestDevices(question, sizes, capacity);
    last = found;
    if (found.sized === null || !found.fits) continue;
    const { sized } = found;
    return {
      ...wholeDevices(sized.deviceCount, `${why}${countWords(question, sized)}`),
      parts: sized.parts,
    };
  }
  if (last === null || last.sized === null) return wholeDevices(options.tensorParallelSize, why);
  return {
    ...wholeDevices(last.sized.deviceCount, why),
    parts: last.sized.parts,
    neverFits: reasonOf(question, facts, last, capacity),
  };
}

/** It has run on so many devices before; nothing that is computed knows better. */
function whereItRan(question: SizingQuestion, capacity: Capacity, why: string): LaunchNeed | null {
  const { options, facts, learned, correction } = question;
  if (learned === null || correction !== null || learned.deviceCount < options.tensorParallelSize)
    return null;
  const { deviceCount } = learned;
  const devices = devicesOfPool(question.devices, options.pool);
  if (devices.length > 0 && holders(devices, deviceCount, 0, capacity).length === 0) return null;
  const sizes =
    facts === null ? [] : leastLengths(question, facts).map((length) => leastOf(question, facts, length));
  const sized = sizes
    .map((size) => size(deviceCount))
    .filter((least) => typeof least !== 'string')
    .find(({ needMib }) => holders(devices, deviceCount, needMib, capacity).length > 0);
  return {
    ...wholeDevices(
      deviceCount,
      deviceCount === options.tensorParallelSize ? why : `${why}; it ran on ${deviceCount} before`,
    ),
    parts: sized?.parts ?? null,
  };
}

function wholeDevices(deviceCount: number, why: string): LaunchNeed {
  return {
    deviceCount,
    memoryMibPerDevice: null,
    kvCacheBytes: null,
    measureAlone: false,
    source: 'whole_device',
    parts: null,
    why,
    neverFits: null,
  };
}

/**
 * vLLM does not start unless one sequence of full length fits. With the model's own length (which the operator did not
 * choose, and which files overstate at times) a short one must do where no number of devices holds the full one.
 */
function leastLengths(question: SizingQuestion, facts: ModelFacts): readonly number[] {
  const configured = contextLength(question.options);
  if (configured !== null) return [configured];
  const least = Math.min(facts.nativeMaxModelLen ?? LEAST_CONTEXT, LEAST_CONTEXT);
  if (facts.nativeMaxModelLen === null || fitsContextItself(question.options)) return [least];
  return [facts.nativeMaxModelLen, least];
}

/** Without the factor: a card that is full to the brim is tried before more of them are taken. */
function leastOf(question: SizingQuestion, facts: ModelFacts, length: number): Sizes {
  const { options, numbers, correction } = question;
  return (deviceCount) => {
    const sized = footprint(facts, footprintRequest(options, deviceCount, length, 1), {
      factor: 1,
      mib: numbers.overhead.mib,
    });
    if (!sized.ok) return sized.error;
    const { kvBytes, totalMib } = sized.value;
    const { extraMib, moreKvBytes } = corrected(correction, sized.value);
    const moreMib = (moreKvBytes + adaptersOf(question, facts)) / MIB;
    return sizedAs(sized.value, kvBytes + moreKvBytes, Math.ceil(totalMib + moreMib + extraMib));
  };
}

/** Bytes on each device. */
function adaptersOf({ options }: SizingQuestion, facts: ModelFacts): number {
  return adapterBytes(facts, adapterSlots(options));
}

function adapterWords({ options }: SizingQuestion): string {
  const slots = adapterSlots(options);
  return slots === null ? '' : ` + ${slots.perBatch} adapters of rank ${slots.rank}`;
}

interface Found {
  /** The smallest that fits; else the last that was tried; null: none can be computed. */
  readonly sized: Sized | null;
  readonly fits: boolean;
  readonly tried: readonly (Sized | string)[];
  readonly sizes: Sizes;
}

function fewestDevices(question: SizingQuestion, sizes: Sizes, capacity: Capacity): Found {
  const { options } = question;
  const devices = devicesOfPool(question.devices, options.pool);
  const tried: (Sized | string)[] = [];
  for (const deviceCount of tensorParallelChoices(devices, options.tensorParallelSize)) {
    const sized = sizes(deviceCount);
    tried.push(sized);
    if (typeof sized === 'string') continue;
    if (devices.length === 0 || holders(devices, deviceCount, sized.needMib, capacity).length > 0)
      return { sized, fits: true, tried, sizes };
  }
  return { sized: tried.findLast((sized) => typeof sized !== 'string') ?? null, fits: false, tried, sizes };
}

function reasonOf(
  question: SizingQuestion,
  facts: ModelFacts,
  { tried, sizes }: Found,
  capacity: Capacity,
): string {
  const { options, devices } = question;
  const others = new Set(devices.flatMap(({ pool }) => (pool === null ? [] : [pool])));
  const pools = [...others].filter((pool) => {
    if (options.pool === null || pool === options.pool) return false;
    return fewestDevices({ ...question, options: { ...options, pool } }, sizes, capacity).fits;
  });
  return unfitReason(question, facts, { tried, capacity, pools });
}

function corrected(
  correction: Correction | null,
  { kvBytes, request }: Footprint,
): { readonly extraMib: number; readonly moreKvBytes: number } {
  if (correction === null) return { extraMib: 0, moreKvBytes: 0 };
  // On other numbers of devices each one keeps another part of the cache.
  const isTold = correction.deviceCount === request.tensorParallel;
  const moreKvBytes = isTold ? Math.max(0, correction.leastKvBytes - kvBytes) : 0;
  return { extraMib: correction.extraMib, moreKvBytes };
}

function sizedAs(sized: Footprint, kvBytes: number, needMib: number): Sized {
  const weightsMib = Math.ceil(sized.weights.bytesPerRank / MIB);
  const kvMib = Math.ceil(kvBytes / MIB);
  return {
    footprint: sized,
    deviceCount: sized.request.tensorParallel,
    needMib,
    kvBytes,
    parts: { weightsMib, kvMib, overheadMib: needMib - weightsMib - kvMib },
  };
}

function cacheWords({ request, maxModelLen }: Footprint): string {
  return `${request.sequences === 1 ? '1 sequence' : `${request.sequences} sequences`} of ${maxModelLen} tokens`;
}

function countWords({ options }: SizingQuestion, { deviceCount, footprint: sized }: Sized): string {
  if (deviceCount === options.tensorParallelSize) return '';
  return `; on ${deviceCount} devices, because fewer cannot hold it with ${cacheWords(sized)}`;
}
