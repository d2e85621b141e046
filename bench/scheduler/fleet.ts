/**
 * A fleet for the scheduler to decide about, drawn from a seed: devices of one kind, and models of one, two and four
 * devices whose popularity follows a power law.
 */
import type { Prng } from '../../src/core/prng.ts';
import type { DeviceBudget, ModelPolicy, SchedulerSetup } from '../../src/scheduler/model-policy.ts';

export interface FleetSize {
  readonly models: number;
  readonly devices: number;
  /** Requests that wait in steady state. */
  readonly waiting: number;
}

const DEVICE_MIB = 80_000;
const BUDGET_MIB = 76_000;
/** Host memory for each device: some six sleepers. */
const HOST_MIB_PER_DEVICE = 200_000;
const PATIENCE_MS = 1_800_000;

export function fleetDevices({ devices }: FleetSize): DeviceBudget[] {
  return Array.from({ length: devices }, (_, index) => ({
    id: `gpu-${index}`,
    pool: null,
    totalMib: DEVICE_MIB,
    budgetMib: BUDGET_MIB,
    spareMib: DEVICE_MIB - BUDGET_MIB,
    foreignMib: 0,
  }));
}

/** Its devices are not read yet: what waits can be put there before anything moves. */
export function fleetSetup(size: FleetSize, prng: Prng): SchedulerSetup {
  return {
    models: Array.from({ length: size.models }, (_, index) => fleetModel(size, index, prng)),
    devices: null,
    scheduling: { switchShare: 0.2, lingerMaxMs: 15_000 },
    learned: {},
    hostBudgetMib: size.devices * HOST_MIB_PER_DEVICE,
    launchPrefix: 'bench',
  };
}

function fleetModel(size: FleetSize, index: number, prng: Prng): ModelPolicy {
  const deviceCount = drawDeviceCount(size.devices, prng.next());
  const memoryMibPerDevice = 18_000 + prng.integer(42_000);
  const weightsMib = Math.round(0.7 * memoryMibPerDevice * deviceCount);
  return {
    name: `model-${index}`,
    managed: true,
    pool: null,
    need: {
      deviceCount,
      memoryMibPerDevice,
      leastMibPerDevice: 0,
      wholeShare: 1,
      contextMib: 0,
      sleepLevel: prng.next() < 0.8 ? 1 : 0,
      residueMib: 900 + prng.integer(600),
      hostAwakeMib: 2_000,
      hostAsleepMib: 2_000 + weightsMib,
      neverFits: null,
    },
    alwaysOn: false,
    inactivityTimeoutMs: 600_000,
    minResidenceMs: 0,
    loadTimeoutMs: 600_000,
    fetchTimeoutMs: null,
    drainTimeoutMs: 120_000,
    onDrainTimeout: 'cut',
    queueTimeoutMs: PATIENCE_MS,
    maxConcurrent: 16,
    queueSize: size.waiting,
    stopGraceMs: 10_000,
    assumedStartMs: 40_000,
    sleepTimeoutMs: 60_000,
    wakeTimeoutMs: 60_000,
    signature: `model-${index}`,
  };
}

/** One in eight models takes two devices, one in twelve takes four, where there are that many. */
function drawDeviceCount(devices: number, chance: number): number {
  if (chance < 1 / 12 && devices >= 4) return 4;
  return chance < 1 / 12 + 1 / 8 && devices >= 2 ? 2 : 1;
}

/** Draws a model's index with probability proportional to rank^-0.8. */
export function popularity(models: number): (chance: number) => number {
  const sums = new Float64Array(models);
  let sum = 0;
  for (let index = 0; index < models; index += 1) {
    sum += (index + 1) ** -0.8;
    sums[index] = sum;
  }
  return (chance) => {
    let low = 0;
    let high = models - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] ?? 0) > chance * sum) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
