/** What may be changed after a failed start so that the next one succeeds. Pure. */
import type { Diagnosis } from '../engines/engine.ts';
import type { Correction, LaunchNeed } from '../sizing/launch-question.ts';
import { KV_FLAG, SLEEP_FLAG } from './sizer-question.ts';

/** vLLM rounds what it names, and its own blocks round once more. */
const KV_FACTOR = 1.02;
/** So that the one more try is worth its time. */
const EXTRA_SHARE = 0.05;
const EXTRA_MIB_LEAST = 256;

const MIB = 1024 * 1024;

/** Flags of ours that the engine does not know, and that are still being generated. */
export function refusedFlags({ cause, remedy }: Diagnosis, known: ReadonlySet<string>): readonly string[] {
  const told = [...(remedy?.refusedFlags ?? []), ...(cause === 'sleep_unsupported' ? [SLEEP_FLAG] : [])];
  return [KV_FLAG, SLEEP_FLAG].filter((flag) => told.includes(flag) && !known.has(flag));
}

/**
 * The ample correction first, then the bare one, which a full device may still hold. Empty: it does not say that memory was
 * missing, or not enough to reckon with. `wholeMib`: what a whole device gives.
 */
export function correctionsFor(
  { cause, remedy }: Diagnosis,
  launch: LaunchNeed,
  wholeMib: number,
): readonly Correction[] {
  if (remedy === undefined || (cause !== 'out_of_memory' && cause !== 'context_too_long')) return [];
  const { deviceCount, kvCacheBytes } = launch;
  const leastKvBytes = Math.ceil((remedy.neededKvBytes ?? 0) * KV_FACTOR);
  // A cache that was too small by the number is mended by the number; anything else by more of everything.
  if (cause === 'context_too_long' && kvCacheBytes !== null && leastKvBytes > kvCacheBytes)
    return [{ extraMib: 0, leastKvBytes, deviceCount }];
  const shortMib = Math.ceil(remedy.shortMib ?? 0);
  const plannedMib = launch.memoryMibPerDevice ?? wholeMib;
  const ampleMib = Math.ceil(Math.max(shortMib, EXTRA_SHARE * plannedMib, EXTRA_MIB_LEAST));
  const ample = { extraMib: ampleMib, leastKvBytes, deviceCount };
  return shortMib === 0 ? [ample] : [ample, { ...ample, extraMib: shortMib }];
}

/**
 * Null: the correction is of no use. It changes nothing, as for a model that has whole devices and no more of them to take; or
 * nothing could hold what it asks for, and then somebody else may have had the memory, so that later attempts may succeed.
 */
export function correctionText(before: LaunchNeed, after: LaunchNeed): string | null {
  if (after.neverFits !== null) return null;
  const isSame =
    before.deviceCount === after.deviceCount &&
    before.memoryMibPerDevice === after.memoryMibPerDevice &&
    before.kvCacheBytes === after.kvCacheBytes;
  if (isSame) return null;
  const cache =
    after.kvCacheBytes === before.kvCacheBytes || after.kvCacheBytes === null
      ? ''
      : `, ${Math.round(after.kvCacheBytes / MIB)} MiB of it KV cache`;
  return `its estimate was corrected from ${amount(before)} to ${amount(after)}${cache}`;
}

function amount({ deviceCount, memoryMibPerDevice }: LaunchNeed): string {
  const devices = deviceCount === 1 ? 'one device' : `each of ${deviceCount} devices`;
  return memoryMibPerDevice === null ? `the whole of ${devices}` : `${memoryMibPerDevice} MiB on ${devices}`;
}
