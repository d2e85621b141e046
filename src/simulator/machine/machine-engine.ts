/** The engine port of simulated engines: what vLLM would answer, without its HTTP. */
import type { Clock } from '../../core/clock.ts';
import type { Engine, EngineHttp, ListenAddress, ProbeResult, SleepResult } from '../../engines/engine.ts';
import { type MachineLaunch, SERVING_LINE } from './machine-launch.ts';
import type { SimulatedMachine } from './simulated-machine.ts';

/** As vLLM's (engines/registry.ts), until one was measured. */
const ASSUMED_START_MS = 30_000;
const KEEP_ALIVE_MS = 75_000;

/** Stands for the connection to one engine. */
export class MachineHttp implements EngineHttp {
  readonly address: ListenAddress;

  constructor(address: ListenAddress) {
    this.address = address;
  }

  request(): Promise<never> {
    return Promise.reject(new Error('simulated engines speak no HTTP'));
  }
}

/** Asleep it looks healthy as well, as vLLM does. */
function probe(launch: MachineLaunch | null): ProbeResult {
  switch (launch?.phase) {
    case undefined:
    case 'gone':
    case 'starting':
      return { kind: 'not_ready', detail: 'the connection is refused' };
    case 'broken':
    case 'stopping':
      return { kind: 'not_ready', detail: 'no answer in time' };
    case 'awake':
    case 'falling_asleep':
    case 'asleep':
    case 'waking':
      return { kind: 'ready', contextLength: null };
  }
}

/** `clock`, `told`: of the gateway that asks; `told` never answers once that is dead. */
export function createMachineEngine(
  machine: SimulatedMachine,
  clock: Clock,
  told: <T>(answer: Promise<T>) => Promise<T>,
): Engine {
  const launchOf = (http: EngineHttp): MachineLaunch | null =>
    http instanceof MachineHttp ? machine.launchAt(http.address) : null;
  const refused = Promise.resolve(failed('the connection is refused'));
  return {
    kind: 'simulated',
    capabilities: {
      unixSocket: true,
      sleepLevels: [1],
      sleepsOn: ['simulated'],
      routesAsleep: [],
      keepAliveMs: KEEP_ALIVE_MS,
      assumedStartMs: ASSUMED_START_MS,
      contextMib: 0,
      // The world's host memory is what the engines' own processes leave.
      hostMib: 0,
    },
    listensOn: () => 'unix',
    command: (model) => ({ argv: [model.name], environment: {}, files: [] }),
    probe: (http, _model, timeoutMs, signal) => told(probed(clock, launchOf(http), timeoutMs, signal)),
    parseLine: (line) => (line === SERVING_LINE ? { phase: 'serving', percent: null } : null),
    version: () => null,
    parseMemory: () => null,
    sleep: (http, { timeoutMs, signal }) =>
      told(inTime(clock, launchOf(http)?.sleep() ?? refused, { timeoutMs, signal, late: failed })),
    wake: (http, { timeoutMs, signal }) =>
      told(inTime(clock, launchOf(http)?.wake() ?? refused, { timeoutMs, signal, late: failed })),
    isAsleep: (http, timeoutMs) => told(askedAsleep(clock, launchOf(http), timeoutMs)),
    warmUp: async () => ({ kind: 'done' }),
    remedyOf: () => null,
    diagnose: (exit, lines) => ({
      cause: exit.code === 0 ? 'exited_cleanly' : 'unknown',
      text: `it ended with code ${exit.code}`,
      lastLine: lines.at(-1) ?? '',
      retryable: true,
    }),
  };
}

function failed(detail: string): Extract<SleepResult, { readonly kind: 'failed' }> {
  return { kind: 'failed', detail };
}

/** One that does not answer yet takes the connection, and says nothing before it does. */
async function probed(
  clock: Clock,
  launch: MachineLaunch | null,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<ProbeResult> {
  const result = probe(launch);
  if (launch === null || result.kind === 'ready') return result;
  const answer = launch.untilAnswering().then(() => probe(launch));
  return inTime(clock, answer, { timeoutMs, signal, late: () => probe(launch) });
}

/** The question waits behind whatever step is under way in the engine. */
async function askedAsleep(
  clock: Clock,
  launch: MachineLaunch | null,
  timeoutMs: number,
): Promise<boolean | null> {
  if (launch?.phase === 'asleep') return true;
  if (launch?.phase === 'awake') return false;
  return new Promise((resolve) => clock.setTimer(clock.nowMs() + timeoutMs, () => resolve(null)));
}

interface Patience<T> {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** The answer when there is none in time, or nobody wants it any more. */
  readonly late: (why: string) => T;
}

function inTime<T>(clock: Clock, answer: Promise<T>, { timeoutMs, signal, late }: Patience<T>): Promise<T> {
  return new Promise((resolve) => {
    const end = (result: T): void => {
      cancel();
      signal?.removeEventListener('abort', aborted);
      resolve(result);
    };
    const cancel = clock.setTimer(clock.nowMs() + timeoutMs, () => end(late(`no answer in ${timeoutMs} ms`)));
    const aborted = (): void => end(late('the launch ends'));
    signal?.addEventListener('abort', aborted, { once: true });
    void answer.then(end);
  });
}
