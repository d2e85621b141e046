/** What a storm is made of, all of it from one seed: the machine, its models, and the points at which the gateway is killed. */
import type { Prng } from '../../src/core/prng.ts';
import { simulatedModel } from '../fixtures/gateway.ts';

/** Of both cards; any two models of 10 GiB need both. */
const CARD_MIB = 16_384;
const QUICK_S = 0.2;
const SLOW_S = 2.5;
const SLEEP = ['--sim-sleep-seconds', 0.3, '--sim-wake-seconds', 0.4];
const SPEED = ['--sim-tokens-per-second', 150, '--sim-host-mib', 10];

export interface StormModel {
  readonly name: string;
  readonly entry: Readonly<Record<string, unknown>>;
  /** What a start is believed to take: whoever is dear is put to sleep, not stopped. */
  readonly believedStartS: number;
}

export const STORM_MODELS: readonly StormModel[] = [
  storm('quick', 10_000, QUICK_S, { sleep: 'off' }),
  storm('small', 6_000, QUICK_S, { sleep: 'off' }),
  storm('sleeper', 10_000, QUICK_S, {}, 20),
  storm('dozer', 6_000, QUICK_S, { sleep: 'level_2' }, 20),
  storm('slow', 10_000, SLOW_S, { sleep: 'off' }),
  storm('wide', 8_000, QUICK_S, { tensor_parallel_size: 2 }, 20),
  // Only SIGKILL ends it, after the grace: a stop that takes long enough to be interrupted.
  storm('stubborn', 6_000, QUICK_S, { sleep: 'off' }, QUICK_S, ['--sim-fault', 'ignore-sigterm']),
];

/** Each as often as clients ask for it: `often` times as often as for the one that is slow to go. */
export function stormWishes(often: number): readonly string[] {
  return STORM_MODELS.flatMap(({ name }) =>
    name === 'stubborn' ? [name] : Array.from({ length: often }, () => name),
  );
}

function storm(
  name: string,
  memoryMib: number,
  loadSeconds: number,
  keys: Readonly<Record<string, unknown>>,
  believedStartS = loadSeconds,
  args: readonly string[] = [],
): StormModel {
  const entry = simulatedModel({ memoryMib, loadSeconds, args: [...SLEEP, ...SPEED, ...args], keys });
  return { name, entry, believedStartS };
}

/** In the shape of models.yaml. `runtime`, `modelKeys`: how engines are run, merged into the configuration and its models. */
export function stormConfig(
  runtime: Readonly<Record<string, unknown>>,
  modelKeys: (name: string) => Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return {
    server: { shutdown_delay: 0, shutdown_drain: 5 },
    devices: {
      source: 'simulated',
      simulated: [
        { id: 'card-0', memory_mib: CARD_MIB },
        { id: 'card-1', memory_mib: CARD_MIB },
      ],
    },
    scheduling: { switch_share: 0.9, linger_max: 0.3 },
    defaults: { queue_timeout: 60 },
    models: Object.fromEntries(
      STORM_MODELS.map(({ name, entry }) => [name, { ...entry, ...modelKeys(name) }]),
    ),
    ...runtime,
  };
}

/** When a gateway is killed. */
export type KillPoint =
  /** So long after it was spawned: while it opens its state, adopts or has just begun to serve. */
  | { readonly kind: 'early'; readonly afterMs: number }
  /** So long after the storm has found everything in order. */
  | { readonly kind: 'random'; readonly afterMs: number }
  /** So long after a move of this kind was logged. */
  | { readonly kind: 'move'; readonly line: RegExp; readonly name: string; readonly afterMs: number };

const EARLY_SHARE = 0.25;
const RANDOM_SHARE = 0.2;
const RANDOM_MS = 4_000;

/** What a runtime adds to what the engines themselves take. */
export interface KillTimes {
  /** Until a gateway surely serves. */
  readonly earlyMs: number;
  readonly startMs: number;
  /** Of an engine that ends when it is told to. */
  readonly stopMs: number;
}

/** What is logged when a move begins, and how long what follows it takes at the most. */
const MOVES: readonly {
  readonly name: string;
  readonly line: RegExp;
  readonly lastsMs: number | ((times: KillTimes) => number);
}[] = [
  { name: 'start', line: /^start /, lastsMs: ({ startMs }) => startMs + 200 },
  { name: 'slow start', line: /^start slow/, lastsMs: ({ startMs }) => startMs + 2_000 },
  { name: 'ready', line: /^engine of .* is ready$/, lastsMs: 30 },
  { name: 'stop', line: /^stop /, lastsMs: ({ stopMs }) => stopMs },
  { name: 'slow stop', line: /^stop stubborn/, lastsMs: 3_000 },
  { name: 'sleep', line: /^sleep /, lastsMs: 450 },
  { name: 'slept', line: /^engine of .* sleeps$/, lastsMs: 30 },
  { name: 'wake', line: /^wake /, lastsMs: 600 },
];

export const ANY_MOVE = /^(start|stop|sleep|wake) /;

export function nextKillPoint(random: Prng, times: KillTimes): KillPoint {
  const share = random.next();
  if (share < EARLY_SHARE) return { kind: 'early', afterMs: random.next() * times.earlyMs };
  if (share < EARLY_SHARE + RANDOM_SHARE) return { kind: 'random', afterMs: random.next() * RANDOM_MS };
  const move = MOVES[random.integer(MOVES.length)];
  if (move === undefined) return { kind: 'random', afterMs: 0 };
  const { name, line, lastsMs } = move;
  const withinMs = typeof lastsMs === 'number' ? lastsMs : lastsMs(times);
  return { kind: 'move', line, name, afterMs: random.next() * withinMs };
}
