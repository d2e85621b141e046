/** The world of one seed, without its faults: a small machine, crowded by models, and requests that keep it swapping. */
import { createPrng, type Prng } from '../../core/prng.ts';
import type { SimulatedRequest } from '../request-source.ts';
import type { ModelCosts, World } from '../world.ts';
import { between, chosen } from './fault.ts';

export interface FaultPlan {
  readonly world: World;
  /** In the order of their names. */
  readonly models: readonly string[];
  readonly costs: ReadonlyMap<string, ModelCosts>;
  readonly requestGapMs: number;
  /** The longest latency of the gateway's operations. */
  readonly latencyMaxMs: number;
}

const DEVICE_MIB = 24_000;
const BUDGET_FRACTION = 0.9;

export function drawPlan(seed: number): FaultPlan {
  const prng = createPrng(seed);
  const deviceCount = 1 + prng.integer(3);
  const names = Array.from({ length: 2 + deviceCount + prng.integer(3) }, (_, index) => `m${index}`);
  const palette = names.map(() => drawCosts(prng, deviceCount));
  const world: World = {
    name: `faults ${seed}`,
    devices: Array.from({ length: deviceCount }, (_, index) => ({
      id: `gpu-${index}`,
      memoryMib: DEVICE_MIB,
      budgetFraction: BUDGET_FRACTION,
    })),
    hostMemoryMib: chosen(prng, [12_000, 30_000, 90_000]),
    sleep: prng.integer(4) > 0,
    palette,
  };
  return {
    world,
    models: names,
    costs: new Map(
      names.flatMap((name, index) => (palette[index] === undefined ? [] : [[name, palette[index]]])),
    ),
    requestGapMs: between(prng, 1_500, 6_000),
    latencyMaxMs: chosen(prng, [0, 5, 60]),
  };
}

function drawCosts(prng: Prng, deviceCount: number): ModelCosts {
  const medianMs = between(prng, 2_000, 12_000);
  return {
    weightsMib: 1_000 * (3 + prng.integer(15)),
    kvMib: 1_500,
    overheadMib: 500,
    gpus: deviceCount > 1 && prng.integer(4) === 0 ? 2 : 1,
    coldStart: { minMs: medianMs / 2, medianMs, p90Ms: 1.5 * medianMs },
    sleepMs: between(prng, 100, 1_500),
    wakeMs: between(prng, 100, 1_500),
    stopMs: between(prng, 100, 3_000),
    prefillTokensPerS: 1_000,
    decodeTokensPerS: 100,
    maxConcurrent: 1 + prng.integer(4),
  };
}

/** A request now: some models are asked for much more often than others. */
export function drawRequest(prng: Prng, { models }: FaultPlan, atMs: number): SimulatedRequest {
  const model = models[Math.floor(models.length * prng.next() ** 2)] ?? '';
  return { atMs, model, promptTokens: prng.integer(1_500), outputTokens: prng.integer(600) };
}
