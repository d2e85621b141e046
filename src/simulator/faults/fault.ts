/** What can go wrong in the world, as data: drawn from a seed, carried out by `FaultInjector`. */
import type { Prng } from '../../core/prng.ts';
import type { ExitStatus } from '../../engines/engine.ts';
import type { MoveEnd } from '../machine/move-fate.ts';
import type { MoveKind } from '../simulation-observer.ts';

/** `share`: chooses among what there is when it happens; from 0 to 1. Durations are milliseconds. */
export type Fault =
  /** An engine's process ends, in whatever phase. */
  | {
      readonly kind: 'engine_dies';
      readonly share: number;
      readonly exit: ExitStatus;
      readonly noticedMs: number;
    }
  /** An engine answers nothing any more and lives on. */
  | { readonly kind: 'engine_hangs'; readonly share: number }
  /** The next move of this kind ends so, and takes `slowness` times as long. */
  | {
      readonly kind: 'move_goes_wrong';
      readonly move: MoveKind;
      readonly end: MoveEnd;
      readonly slowness: number;
    }
  /** Another program takes part of a device. */
  | { readonly kind: 'foreign_memory'; readonly share: number; readonly part: number; readonly forMs: number }
  /** What is told of the memory in use is so many times the truth. */
  | { readonly kind: 'wrong_memory'; readonly factor: number; readonly forMs: number }
  /** The devices cannot be read. */
  | { readonly kind: 'readings_fail'; readonly forMs: number }
  /** A device is gone, and whatever ran on it. */
  | { readonly kind: 'device_lost'; readonly share: number; readonly forMs: number }
  /** So many of the clients leave at once, waiting or served. */
  | { readonly kind: 'clients_leave'; readonly part: number }
  /** The answer of the next request takes so many times as long. */
  | { readonly kind: 'slow_client'; readonly slowness: number }
  /** The next request's client leaves after this time, wherever it is then. */
  | { readonly kind: 'hasty_client'; readonly afterMs: number }
  /** The next request kills whatever engine serves it. */
  | { readonly kind: 'poison'; readonly afterMs: number }
  | { readonly kind: 'operator'; readonly command: 'load' | 'unload' | 'reset'; readonly share: number }
  | {
      readonly kind: 'configuration';
      readonly change:
        | 'removed'
        | 'other_signature'
        | 'fewer_slots'
        | 'always_on'
        | 'short_queue'
        | 'as_before';
      readonly share: number;
    }
  /** The gateway is killed; another one starts after this time, and knows what is on record. */
  | { readonly kind: 'gateway_killed'; readonly downMs: number }
  /** The gateway ends as it is told to and leaves its engines running. */
  | { readonly kind: 'gateway_replaced'; readonly downMs: number }
  /** Somebody sets the clock. */
  | { readonly kind: 'clock_jumps'; readonly byMs: number };

export type FaultKind = Fault['kind'];

const HOUR_MS = 3_600_000;
const EXITS: readonly ExitStatus[] = [
  { code: 0, signal: null },
  { code: 1, signal: null },
  { code: null, signal: 'SIGKILL' },
  { code: null, signal: null },
];
const MOVE_FAULTS: readonly (readonly [MoveKind, MoveEnd])[] = [
  ['start', 'done'],
  ['start', 'dies'],
  ['start', 'dies'],
  ['start', 'hangs'],
  ['sleep', 'fails'],
  ['sleep', 'dies'],
  ['sleep', 'hangs'],
  ['sleep', 'frees_nothing'],
  ['wake', 'fails'],
  ['wake', 'dies'],
  ['wake', 'hangs'],
  ['stop', 'left'],
  ['stop', 'done'],
];
const CHANGES = [
  'removed',
  'other_signature',
  'fewer_slots',
  'always_on',
  'short_queue',
  'as_before',
] as const;
const COMMANDS = ['load', 'unload', 'reset'] as const;

type Draw = (prng: Prng) => Fault;

/** Each as often as it stands here. */
const DRAWS: readonly Draw[] = [
  engineDies,
  engineDies,
  engineDies,
  (prng) => ({ kind: 'engine_hangs', share: prng.next() }),
  moveGoesWrong,
  moveGoesWrong,
  moveGoesWrong,
  moveGoesWrong,
  (prng) => ({
    kind: 'foreign_memory',
    share: prng.next(),
    part: prng.next(),
    forMs: between(prng, 5_000, 90_000),
  }),
  (prng) => ({ kind: 'wrong_memory', factor: 2 * prng.next(), forMs: between(prng, 2_000, 40_000) }),
  (prng) => ({ kind: 'readings_fail', forMs: between(prng, 1_000, 30_000) }),
  (prng) => ({ kind: 'device_lost', share: prng.next(), forMs: between(prng, 1_000, 90_000) }),
  (prng) => ({ kind: 'clients_leave', part: prng.next() }),
  (prng) => ({ kind: 'slow_client', slowness: between(prng, 5, 60) }),
  (prng) => ({ kind: 'hasty_client', afterMs: between(prng, 0, 20_000) }),
  (prng) => ({ kind: 'poison', afterMs: between(prng, 0, 3_000) }),
  (prng) => ({ kind: 'operator', command: chosen(prng, COMMANDS), share: prng.next() }),
  (prng) => ({ kind: 'configuration', change: chosen(prng, CHANGES), share: prng.next() }),
  (prng) => ({ kind: 'gateway_killed', downMs: between(prng, 0, 10_000) }),
  (prng) => ({ kind: 'gateway_replaced', downMs: between(prng, 0, 3_000) }),
  (prng) => ({ kind: 'clock_jumps', byMs: between(prng, -2 * HOUR_MS, 2 * HOUR_MS) }),
];

export function drawFault(prng: Prng): Fault {
  return chosen(prng, DRAWS)(prng);
}

function engineDies(prng: Prng): Fault {
  const noticedMs = prng.integer(2) * between(prng, 0, 100);
  return { kind: 'engine_dies', share: prng.next(), exit: chosen(prng, EXITS), noticedMs };
}

function moveGoesWrong(prng: Prng): Fault {
  const [move, end] = chosen(prng, MOVE_FAULTS);
  // One that ends well is a fault by being late.
  return {
    kind: 'move_goes_wrong',
    move,
    end,
    slowness: end === 'done' ? between(prng, 3, 12) : prng.next(),
  };
}

export function between(prng: Prng, from: number, to: number): number {
  return from + prng.next() * (to - from);
}

export function chosen<T>(prng: Prng, among: readonly [T, ...T[]] | readonly T[]): T {
  const one = among[prng.integer(among.length)];
  if (one === undefined) throw new Error('nothing to choose from');
  return one;
}
