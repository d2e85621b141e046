/** Why no device of its pool can ever hold a model, with the numbers and the nearest changes that would help. */
import { assert } from '../core/assert.ts';
import type { Sized } from './computed-need.ts';
import {
  type CandidateDevice,
  type Capacity,
  devicesOfPool,
  largestCapacity,
  onDevices,
} from './device-fit.ts';
import type { SizingQuestion } from './launch-question.ts';
import type { ModelFacts } from './model-facts.ts';
import { type FittingChange, nearestFit } from './nearest-fit.ts';

interface Tried {
  /** Each number of devices, sized, or in words why the model cannot be split so. At least one. */
  readonly tried: readonly (Sized | string)[];
  readonly capacity: Capacity;
  /** Other pools whose devices could hold it. */
  readonly pools: readonly string[];
}

export function unfitReason(
  question: SizingQuestion,
  facts: ModelFacts,
  { tried, capacity, pools }: Tried,
): string {
  const { pool, tensorParallelSize } = question.options;
  const devices = devicesOfPool(question.devices, pool);
  const sizes = tried.filter((sized) => typeof sized !== 'string');
  const closest = closestOf(sizes, devices, capacity);
  assert(closest !== null, 'a size was computed');
  const { sized, offerMib } = closest;
  const { weightsMib, kvMib, overheadMib } = sized.parts;
  const { request, maxModelLen } = sized.footprint;
  const where = pool === null ? 'the devices' : `the devices of pool ${pool}`;
  const offer =
    offerMib > 0
      ? `${where} can give ${offerMib} MiB`
      : `${where} are not ${tensorParallelSize} of one size, but ${sizesText(devices)}`;
  const changes = [
    ...pools.map((name) => `pool: ${name}`),
    ...(offerMib > 0 ? nearestFit(facts, sized.footprint, offerMib - extraMib(sized)).map(changeText) : []),
  ];
  return (
    `it needs ${sized.needMib} MiB on ${onDevices(sized.deviceCount)} (weights ${weightsMib}, KV cache ${kvMib} ` +
    `for ${request.sequences} x ${maxModelLen} tokens, overhead ${overheadMib}), and ${offer}; ` +
    (changes.length === 0
      ? 'no shorter context and no number of devices up to 16 changes that'
      : `it would fit with ${changes.join(', or ')}`)
  );
}

/** What corrections have added, which the formulas do not know. */
function extraMib({ needMib, footprint }: Sized): number {
  return Math.max(0, needMib - footprint.totalMib);
}

interface Closest {
  readonly sized: Sized;
  readonly offerMib: number;
}

/** The number of devices with which least is missing: changes are counted from there. */
function closestOf(
  sizes: readonly Sized[],
  devices: readonly CandidateDevice[],
  capacity: Capacity,
): Closest | null {
  const offers = sizes.map((sized) => ({
    sized,
    offerMib: largestCapacity(devices, sized.deviceCount, capacity),
  }));
  offers.sort((a, b) => b.offerMib / b.sized.needMib - a.offerMib / a.sized.needMib);
  return offers[0] ?? null;
}

function changeText({ change, text, need }: FittingChange): string {
  const { tensorParallel } = need.request;
  const devices =
    change === 'tensor_parallel' || change === 'several' ? `, with ${tensorParallel} such devices` : '';
  return `${text} (${need.totalMib} MiB${devices})`;
}

function sizesText(devices: readonly CandidateDevice[]): string {
  return devices.map(({ id, totalMib }) => `${id} with ${totalMib} MiB`).join(', ');
}
