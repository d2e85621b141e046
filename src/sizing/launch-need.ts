/**
 * What a launch of a model reserves on each of its devices, and on how many, by what is known of it:
 *  1. `memory_mib` is taken as it is.
 *  2. An earlier launch with the same signature was measured: learned beats computed (learned-need.ts).
 *  3. Its facts were read: computed by the rules of the gateway that this one replaces (computed-need.ts):
 *     budget      (weights + KV cache of `kv_reservation_seqs` sequences) x factor + fixed part
 *     colocate    weights x weight overhead + that cache + margin, at most a share of the card; otherwise a whole card
 *     whole_card  a whole card, or as many as its weights and one sequence need
 *     On one device if that can hold it, else on the fewest that can (1, 2, 4, … of one size).
 *  4. Nothing is known: whole devices, where it runs alone and is measured.
 * What a failed start has shown to be missing (`correction`) is added to 2 and 3.
 */
import { computedBudget, computedColocation, computedWholeCard } from './computed-need.ts';
import {
  type CandidateDevice,
  devicesOfPool,
  holders,
  largestCapacity,
  onDevices,
  wholeBudget,
} from './device-fit.ts';
import type { LaunchNeed, SizingQuestion } from './launch-question.ts';
import { learnedNeed } from './learned-need.ts';

export function launchNeed(question: SizingQuestion): LaunchNeed {
  const { options, facts } = question;
  if (options.memoryMib !== null) return configuredNeed(question, options.memoryMib);
  if (options.placementMode === 'budget')
    return (
      learnedNeed(question) ??
      (facts === null ? unknownNeed(question) : computedBudget(question, facts)) ??
      unknownNeed(question)
    );
  if (!options.colocate) return computedWholeCard(question, null);
  if (options.tensorParallelSize > 1)
    return computedWholeCard(question, 'it runs on several devices, so it shares none');
  const learned = learnedNeed(question);
  const shared = learned ?? (facts === null ? null : computedColocation(question, facts));
  if (shared === null)
    return {
      ...computedWholeCard(question, 'its size is not known, so it shares no card until it was measured'),
      measureAlone: true,
    };
  return colocated(question, shared);
}

function configuredNeed(question: SizingQuestion, memoryMib: number): LaunchNeed {
  const { options } = question;
  const devices = devicesOfPool(question.devices, options.pool);
  const deviceCount = options.tensorParallelSize;
  const fits = devices.length === 0 || holders(devices, deviceCount, memoryMib, wholeBudget).length > 0;
  const most = largestCapacity(devices, deviceCount, wholeBudget);
  const offer =
    most === 0
      ? `there are no ${deviceCount} devices of one size`
      : `its devices offer at most ${most} MiB: lower memory_mib to that, or raise devices.budget_fraction`;
  return {
    deviceCount,
    memoryMibPerDevice: memoryMib,
    kvCacheBytes: null,
    measureAlone: false,
    source: 'configured',
    parts: null,
    why: '`memory_mib` is configured',
    neverFits: fits
      ? null
      : `it reserves ${memoryMib} MiB (memory_mib) on ${onDevices(deviceCount)}, and ${offer}`,
  };
}

function unknownNeed({ options, learned }: SizingQuestion): LaunchNeed {
  return {
    deviceCount: learned?.deviceCount ?? options.tensorParallelSize,
    memoryMibPerDevice: null,
    kvCacheBytes: null,
    measureAlone: true,
    source: 'unknown',
    parts: null,
    why: 'its size is not known, so it has whole devices for itself until it was measured',
    neverFits: null,
  };
}

/** A card is shared only by models that leave something of it to others, and only if one of the cards is large enough. */
function colocated(question: SizingQuestion, need: LaunchNeed): LaunchNeed {
  const { colocateMaxShare } = question.numbers;
  const devices = devicesOfPool(question.devices, question.options.pool);
  const memoryMib = need.memoryMibPerDevice ?? Number.POSITIVE_INFINITY;
  const share = (device: CandidateDevice) =>
    Math.min(device.budgetMib, Math.floor(colocateMaxShare * device.totalMib));
  if (devices.length === 0 || holders(devices, 1, memoryMib, share).length > 0) return need;
  const most = largestCapacity(devices, 1, share);
  return computedWholeCard(
    question,
    `to share a card it would need ${memoryMib} MiB, and ${most} MiB (colocate_max_share ${colocateMaxShare}) are the most that one may take of a card that it shares`,
  );
}
