/**
 * What a model's processes take of the host, awake and asleep, and what a sleeping one leaves on its devices: first estimates,
 * which measured values replace.
 */

export interface SleepCost {
  /** On each of its devices. */
  readonly residueMib: number;
  /** All its processes together. */
  readonly hostAwakeMib: number;
  readonly hostAsleepMib: number;
}

export interface SleepQuestion {
  readonly level: 0 | 1 | 2;
  readonly deviceCount: number;
  /** Of one device; null: not known, and at most `reservedMib`. */
  readonly weightsMib: number | null;
  /** On each device. */
  readonly reservedMib: number;
  /** First estimate of its processes awake. */
  readonly engineHostMib: number;
  /** Measured before; null: not yet. */
  readonly learned: {
    readonly residueMib: number | null;
    readonly hostAwakeMib: number | null;
    readonly hostAsleepMib: number | null;
  } | null;
}

/** Python, torch and CUDA of a vLLM engine in its processes: 3 to 4 GiB are usual. */
export const ENGINE_HOST_MIB = 4096;
/** CUDA context, NCCL buffers and captured graphs, which sleeping leaves: 0.4 to 1 GiB are published. */
const RESIDUE_MIB = 1024;
/** Pinned copies of weights are rounded up by the allocator, to the next power of two at the worst. */
const PINNED_FACTOR = 1.5;

export function sleepCost(question: SleepQuestion): SleepCost {
  const { level, deviceCount, learned } = question;
  const hostAwakeMib = learned?.hostAwakeMib ?? question.engineHostMib;
  const weightsMib = deviceCount * (question.weightsMib ?? question.reservedMib);
  // A figure measured at level 2 says nothing of level 1, where the weights themselves are in host memory.
  const leastMib = level === 1 && question.weightsMib !== null ? weightsMib : 0;
  const estimateMib = hostAwakeMib + (level === 1 ? PINNED_FACTOR * weightsMib : 0);
  const asleepMib = learned?.hostAsleepMib ?? null;
  return {
    residueMib: learned?.residueMib ?? RESIDUE_MIB,
    hostAwakeMib,
    hostAsleepMib: Math.ceil(asleepMib === null || asleepMib < leastMib ? estimateMib : asleepMib),
  };
}
