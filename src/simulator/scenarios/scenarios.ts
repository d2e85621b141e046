/** The scenarios (docs/scenarios.md has their figures). */
import type { ModelPolicy } from '../../scheduler/model-policy.ts';
import { closedLoop } from '../clients/closed-loop.ts';
import { fittedLengths } from '../generators/lengths.ts';
import { mergedSource } from '../merged-source.ts';
import type { RequestSource, SimulatedRequest } from '../request-source.ts';
import type { ModelCosts, World } from '../world.ts';
import type { Scenario } from './scenario.ts';

/** Starts in 30 s, and holds a card of 24 GiB for itself. */
function costs(changes: Partial<ModelCosts> = {}): ModelCosts {
  return {
    weightsMib: 14_000,
    kvMib: 3_000,
    overheadMib: 1_000,
    gpus: 1,
    coldStart: { minMs: 30_000, medianMs: 30_000, p90Ms: 30_000 },
    sleepMs: 1_500,
    wakeMs: 2_000,
    stopMs: 2_000,
    prefillTokensPerS: 5_000,
    decodeTokensPerS: 50,
    maxConcurrent: 8,
    ...changes,
  };
}

function world(name: string, devices: number, palette: readonly ModelCosts[], sleep = false): World {
  return {
    name,
    devices: Array.from({ length: devices }, (_, index) => ({
      id: `gpu-${index}`,
      memoryMib: 24_000,
      budgetFraction: 0.9,
    })),
    hostMemoryMib: 256_000,
    sleep,
    palette,
  };
}

function listed(requests: readonly SimulatedRequest[]): RequestSource {
  const models = [...new Set(requests.map(({ model }) => model))];
  return {
    models,
    open: () => {
      const rest = requests.toSorted((a, b) => b.atMs - a.atMs);
      return { next: () => rest.pop() ?? null, close: () => {} };
    },
  };
}

function closed(groups: string): RequestSource {
  return closedLoop(groups, 1, fittedLengths);
}

function every(gapMs: number, untilMs: number, request: Omit<SimulatedRequest, 'atMs'>, fromMs = 0) {
  const count = Math.ceil((untilMs - fromMs) / gapMs);
  return Array.from({ length: count }, (_, index) => ({ ...request, atMs: fromMs + index * gapMs }));
}

const HOUR_MS = 3_600_000;
const SHORT = { promptTokens: 500, outputTokens: 100 } as const;
/** 1,500 tokens at 50 a second. */
const LONG = { promptTokens: 500, outputTokens: 15_000 } as const;

/** Four clients of a hardly pause, so that something of it is always in flight; b is asked for every five minutes. */
const starvation: Scenario = {
  name: 'starvation',
  world: world('one card', 1, [costs()]),
  source: mergedSource([
    closed('model=a,clients=4,think_s=0.5,prompt=500,output=200,hours=2'),
    listed(every(300_000, 2 * HOUR_MS, { model: 'b', ...SHORT }, 60_000)),
  ]),
  patienceMs: HOUR_MS,
};

const thrash: Scenario = {
  name: 'thrash',
  world: world('one card', 1, [costs()]),
  source: listed([
    ...every(20_000, HOUR_MS, { model: 'a', ...SHORT }),
    ...every(20_000, HOUR_MS, { model: 'b', ...SHORT }, 10_000),
  ]),
};

/** Two clients, one of each model, who think for half a second. */
const pingPong: Scenario = {
  name: 'ping-pong',
  world: world('one card', 1, [costs()]),
  source: closed(
    'model=a,think_s=0.5,think=fixed,prompt=500,output=50;model=b,think_s=0.5,think=fixed,prompt=500,output=50',
  ),
};

/** One model on four cards, asked for every two minutes, among twelve that are never idle. */
function wide(devices: number): Scenario {
  const singles = Array.from({ length: 12 }, (_, index) => `s${String(index).padStart(2, '0')}`);
  return {
    name: `wide-${devices}`,
    // The last of the sorted names.
    world: world(
      `${devices} cards`,
      devices,
      [...singles.map(() => costs({ maxConcurrent: 4 })), costs({ gpus: 4 })],
      true,
    ),
    source: mergedSource([
      closed(
        singles.map((name) => `model=${name},clients=6,think_s=0,prompt=500,output=400,hours=2`).join(';'),
      ),
      listed(every(120_000, 2 * HOUR_MS, { model: 'wide', ...SHORT }, 60_000)),
    ]),
    patienceMs: 2 * HOUR_MS,
  };
}

/** Answers of a take five minutes, one begins each minute; b is asked for every ten. */
function streams(name: string, onDrainTimeout: ModelPolicy['onDrainTimeout']): Scenario {
  return {
    name,
    world: world('two cards', 2, [costs({ gpus: 2 }), costs(), costs({ gpus: 2 })]),
    source: listed([
      ...every(60_000, 2 * HOUR_MS, { model: 'a', ...LONG }),
      ...every(600_000, 2 * HOUR_MS, { model: 'b', ...SHORT }, 400_000),
      ...every(600_000, 2 * HOUR_MS, { model: 'c', ...SHORT }, 700_000),
    ]),
    policyOf: (policy) => ({ ...policy, onDrainTimeout }),
    patienceMs: HOUR_MS,
  };
}

/** Two models of one card each stream for ever on two cards; a third one is asked for every ten minutes. */
const streamsSideBySide: Scenario = {
  name: 'long-streams-two',
  world: world('two cards', 2, [costs()]),
  source: listed([
    ...every(60_000, 2 * HOUR_MS, { model: 'a', ...LONG }),
    ...every(60_000, 2 * HOUR_MS, { model: 'c', ...LONG }, 30_000),
    ...every(600_000, 2 * HOUR_MS, { model: 'b', ...SHORT }, 900_000),
  ]),
  patienceMs: HOUR_MS,
};

/** 32 requests at once for a model that is cold. llama-swap lets 10 of a model in, waiting or running, and answers the others 429. */
const burst: Scenario = {
  name: 'cold-burst',
  world: world('one card', 1, [costs({ maxConcurrent: 32 })]),
  source: listed(Array.from({ length: 32 }, () => ({ atMs: 0, model: 'a', ...SHORT }))),
  policyOf: (policy, scheduler) => (scheduler === 'llama-swap' ? { ...policy, queueSize: 10 } : policy),
};

/** A model that needs all of the card, by turns with four small ones that share it and sleep. */
const wholeCard: Scenario = {
  name: 'whole-card',
  world: world(
    'one card',
    1,
    [
      ...Array.from({ length: 4 }, () => costs({ weightsMib: 3_000, kvMib: 1_000, overheadMib: 500 })),
      costs({ weightsMib: 16_500 }),
    ],
    true,
  ),
  source: mergedSource([
    closed('model=a+b+c+d,clients=4,think_s=20,prompt=500,output=200,hours=2'),
    closed('model=whole,clients=2,think_s=60,prompt=500,output=200,hours=2'),
  ]),
};

export const SCENARIOS: readonly Scenario[] = [
  starvation,
  thrash,
  pingPong,
  wide(4),
  wide(8),
  streams('long-streams-cut', 'cut'),
  streams('long-streams-wait', 'wait'),
  streamsSideBySide,
  burst,
  wholeCard,
];
