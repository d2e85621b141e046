/** Faults that a simulated engine is told to have: `NAME[@WHERE][:ARGUMENT]`, one per `--sim-fault`. */
import { closeSync, openSync } from 'node:fs';

/** Phases of a start in their order; `crash` and `hang` can happen at each. */
export const START_PHASES = ['configuring', 'loading', 'compiling', 'profiling', 'capturing'] as const;
export type StartPhase = (typeof START_PHASES)[number];

/** Failures that vLLM reports with a text of its own before it serves. */
export const START_FAILURES = [
  'gated',
  'offline',
  'uncached',
  'architecture',
  'context',
  'repository',
  'tool-parser',
  'timeout',
] as const;
export type StartFailure = (typeof START_FAILURES)[number];

export interface Faults {
  readonly crashAt: StartPhase | null;
  readonly hangAt: StartPhase | null;
  /** A phase that lasts until the file exists, so that a test can do its part in it without a race. */
  readonly holdAt: { readonly phase: StartPhase; readonly file: string } | null;
  readonly oomAtStart: boolean;
  readonly oomAtWake: boolean;
  readonly failStart: StartFailure | null;
  /** Chunks of a stream before its connection is reset; null: never. */
  readonly resetAfterChunks: number | null;
  readonly crashAfterChunks: number | null;
  readonly errorFrameAfterChunks: number | null;
  /** The process dies when a request's body contains this text. */
  readonly crashOnText: string | null;
  /** The engine core dies when a request's body contains this text; the server follows with exit code 0. */
  readonly coreDeathOnText: string | null;
  /** Seconds after serving began at which the process ends with code 0. */
  readonly exitZeroAfterS: number | null;
  readonly slowWakeS: number | null;
  readonly malformedAnswer: 'chunk' | 'header' | 'length' | null;
  /** Seconds in which /health still answers 503 although the server listens. */
  readonly lateReadyS: number | null;
  readonly probeHang: boolean;
  readonly ignoreSigterm: boolean;
  readonly sleepFails: boolean;
  readonly sleepFreesNothing: boolean;
  readonly sleepHangs: boolean;
  readonly wakeHangs: boolean;
  readonly wakeFails: boolean;
}

const NONE: Faults = {
  crashAt: null,
  hangAt: null,
  holdAt: null,
  oomAtStart: false,
  oomAtWake: false,
  failStart: null,
  resetAfterChunks: null,
  crashAfterChunks: null,
  errorFrameAfterChunks: null,
  crashOnText: null,
  coreDeathOnText: null,
  exitZeroAfterS: null,
  slowWakeS: null,
  malformedAnswer: null,
  lateReadyS: null,
  probeHang: false,
  ignoreSigterm: false,
  sleepFails: false,
  sleepFreesNothing: false,
  sleepHangs: false,
  wakeHangs: false,
  wakeFails: false,
};

/** Names and meanings, for `--help` and docs/vllm-sim.md. */
export const FAULT_HELP: readonly (readonly [string, string])[] = [
  ['crash@PHASE', `dies with a traceback and code 1 in ${START_PHASES.join(', ')}`],
  ['hang@PHASE', 'never gets past that phase'],
  ['hold@PHASE:FILE', 'gets past that phase when FILE exists'],
  ['oom@start', "fails to load with torch's out-of-memory text"],
  ['oom@wake', 'fails to wake with out of memory (HTTP 500)'],
  ['fail@start:KIND', `fails to start with vLLM's text for ${START_FAILURES.join(', ')}`],
  ['late@ready:SECONDS', 'listens, but /health answers 503 for so long (default 1)'],
  ['probe-hang', 'accepts connections and never answers'],
  ['exit0@serving:SECONDS', 'ends with code 0 so long after it began to serve (default 1)'],
  ['crash@request:TEXT', 'dies by SIGSEGV when a request contains TEXT'],
  ['core-death@request:TEXT', 'its engine core dies: HTTP 500, /health 503, then exit with code 0'],
  ['crash@midstream:N', 'dies by SIGSEGV after N chunks of a stream (default 3)'],
  ['reset@midstream:N', 'resets the connection after N chunks of a stream (default 3)'],
  ['error-frame@midstream:N', 'sends an error frame and ends the stream after N chunks (default 3)'],
  ['malformed@answer:KIND', 'answers with a broken chunk, header or length (default chunk)'],
  ['slow-wake:SECONDS', 'waking takes so much longer (default 5)'],
  ['fail@sleep', 'answers 500 to /sleep and stays in an unknown state'],
  ['hang@sleep', 'never answers /sleep; nothing is freed'],
  ['sleep-frees-nothing', 'answers /sleep as if it slept, and keeps its memory'],
  ['fail@wake', 'answers 500 to /wake_up and stays asleep'],
  ['hang@wake', 'never answers /wake_up; nothing is taken'],
  ['ignore-sigterm', 'only SIGKILL ends it'],
];

export type FaultsResult =
  | { readonly ok: true; readonly faults: Faults }
  | { readonly ok: false; readonly detail: string };

/** Reads all `--sim-fault` values. */
export function parseFaults(specs: readonly string[]): FaultsResult {
  let faults = NONE;
  for (const spec of specs) {
    const [head = '', ...rest] = spec.split(':');
    const part = faultOf(head, rest.length > 0 ? rest.join(':') : null);
    if (part === null) return { ok: false, detail: spec };
    faults = { ...faults, ...part };
  }
  return { ok: true, faults };
}

function faultOf(head: string, argument: string | null): Partial<Faults> | null {
  const [name = '', where = ''] = head.split('@');
  if (name === 'crash' && isPhase(where)) return { crashAt: where };
  if (name === 'hang' && isPhase(where)) return { hangAt: where };
  if (name === 'hold' && isPhase(where) && argument) return { holdAt: { phase: where, file: argument } };
  const number = argument === null ? null : Number(argument);
  if (number !== null && Number.isNaN(number) && NUMERIC.has(head)) return null;
  switch (head) {
    case 'oom@start':
      return { oomAtStart: true };
    case 'oom@wake':
      return { oomAtWake: true };
    case 'fail@start': {
      const found = START_FAILURES.find((kind) => kind === argument);
      return found === undefined ? null : { failStart: found };
    }
    case 'late@ready':
      return { lateReadyS: number ?? 1 };
    case 'probe-hang':
      return { probeHang: true };
    case 'exit0@serving':
      return { exitZeroAfterS: number ?? 1 };
    case 'crash@request':
      return argument === null ? null : { crashOnText: argument };
    case 'core-death@request':
      return argument === null ? null : { coreDeathOnText: argument };
    case 'crash@midstream':
      return { crashAfterChunks: number ?? 3 };
    case 'reset@midstream':
      return { resetAfterChunks: number ?? 3 };
    case 'error-frame@midstream':
      return { errorFrameAfterChunks: number ?? 3 };
    case 'malformed@answer':
      return argument === null || argument === 'chunk' || argument === 'header' || argument === 'length'
        ? { malformedAnswer: argument ?? 'chunk' }
        : null;
    case 'slow-wake':
      return { slowWakeS: number ?? 5 };
    case 'fail@sleep':
      return { sleepFails: true };
    case 'hang@sleep':
      return { sleepHangs: true };
    case 'sleep-frees-nothing':
      return { sleepFreesNothing: true };
    case 'fail@wake':
      return { wakeFails: true };
    case 'hang@wake':
      return { wakeHangs: true };
    case 'ignore-sigterm':
      return { ignoreSigterm: true };
    default:
      return null;
  }
}

const NUMERIC = new Set([
  'late@ready',
  'exit0@serving',
  'crash@midstream',
  'reset@midstream',
  'error-frame@midstream',
  'slow-wake',
]);

function isPhase(text: string): text is StartPhase {
  return START_PHASES.some((phase) => phase === text);
}

/**
 * With `--sim-fault-once FILE` only the first process that meets this file has the faults, so that a test can see a
 * gateway recover from one: the file is created by whoever is first.
 */
export function faultsForThisProcess(faults: Faults, onceFile: string | null): Faults {
  if (onceFile === null) return faults;
  try {
    closeSync(openSync(onceFile, 'wx'));
    return faults;
  } catch {
    return NONE;
  }
}
