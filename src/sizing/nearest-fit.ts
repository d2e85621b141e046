/**
 * What would make a model fit that does not: each change alone, gentlest first (fewer sequences at once, a shorter context,
 * 8-bit cache, more devices); where no single one suffices, a short context for one sequence on the fewest devices.
 */
import { type Footprint, type FootprintRequest, footprint, sequencesThatFit } from './footprint.ts';
import type { ModelFacts } from './model-facts.ts';

export interface FittingChange {
  readonly change: 'sequences' | 'max_model_len' | 'kv_type' | 'tensor_parallel' | 'several';
  /** What to set, in words. */
  readonly text: string;
  readonly need: Footprint;
}

/** A context shorter than this is of no use to anybody, so it is not proposed. */
const SHORTEST_CONTEXT = 1024;
const CONTEXT_STEP = 256;
const TENSOR_PARALLEL_CHOICES = [2, 4, 8, 16];

/** Empty: nothing here makes it fit into `deviceMib` a device. */
export function nearestFit(facts: ModelFacts, need: Footprint, deviceMib: number): FittingChange[] {
  const fits = (request: FootprintRequest): Footprint | null => {
    const tried = footprint(facts, request, need.overhead);
    return tried.ok && tried.value.totalMib <= deviceMib ? tried.value : null;
  };
  const { request } = need;
  const changes = [
    fewerSequences(need, deviceMib, fits),
    shorterContext(need, fits),
    smallerCache(request, fits),
    moreDevices(request, fits),
  ].filter((change) => change !== null);
  if (changes.length > 0) return changes;
  const last = several(request, need, fits);
  return last === null ? [] : [last];
}

type Fits = (request: FootprintRequest) => Footprint | null;

function fewerSequences(need: Footprint, deviceMib: number, fits: Fits): FittingChange | null {
  const count = sequencesThatFit(need, deviceMib);
  if (count === null || count < 1 || count >= need.request.sequences) return null;
  const fitting = fits({ ...need.request, sequences: count });
  if (fitting === null) return null;
  return { change: 'sequences', text: `kv_reservation_seqs: ${count}`, need: fitting };
}

/** Need grows with the context, so halving the interval finds the longest that fits. */
function shorterContext(need: Footprint, fits: Fits): FittingChange | null {
  let short = SHORTEST_CONTEXT / CONTEXT_STEP;
  let long = Math.floor((need.maxModelLen - 1) / CONTEXT_STEP);
  const at = (steps: number) => fits({ ...need.request, maxModelLen: steps * CONTEXT_STEP });
  if (long < short || need.kv.bytesPerToken === 0) return null;
  let best = at(short);
  if (best === null) return null;
  while (short < long) {
    const middle = Math.ceil((short + long) / 2);
    const tried = at(middle);
    if (tried === null) long = middle - 1;
    else {
      best = tried;
      short = middle;
    }
  }
  return { change: 'max_model_len', text: `max_model_len: ${best.maxModelLen}`, need: best };
}

function smallerCache(request: FootprintRequest, fits: Fits): FittingChange | null {
  if (request.kvType !== 'auto') return null;
  const fitting = fits({ ...request, kvType: 'fp8' });
  return fitting === null ? null : { change: 'kv_type', text: '--kv-cache-dtype fp8', need: fitting };
}

function moreDevices(request: FootprintRequest, fits: Fits): FittingChange | null {
  for (const tensorParallel of TENSOR_PARALLEL_CHOICES) {
    if (tensorParallel <= request.tensorParallel) continue;
    const fitting = fits({ ...request, tensorParallel });
    if (fitting !== null)
      return { change: 'tensor_parallel', text: `tensor_parallel_size: ${tensorParallel}`, need: fitting };
  }
  return null;
}

function several(request: FootprintRequest, need: Footprint, fits: Fits): FittingChange | null {
  const maxModelLen = Math.min(need.maxModelLen, SHORTEST_CONTEXT);
  const least = { ...request, maxModelLen, sequences: 1 };
  for (const tensorParallel of [request.tensorParallel, ...TENSOR_PARALLEL_CHOICES]) {
    if (tensorParallel < request.tensorParallel) continue;
    const fitting = fits({ ...least, tensorParallel });
    if (fitting === null) continue;
    const text = `max_model_len: ${maxModelLen}, kv_reservation_seqs: 1, tensor_parallel_size: ${tensorParallel}`;
    return { change: 'several', text, need: fitting };
  }
  return null;
}
