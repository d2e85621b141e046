/** The engine port of simulated engines: what vLLM would answer, without its HTTP. */
import type { Clock } from '../../core/clock.ts';
import type { Engine, EngineHttp, ListenAddress, ProbeResult } from '../../engines/engine.ts';
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
  const refused = { kind: 'failed', detail: 'the connection is refused' } as const;
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
    probe: (http) => told(Promise.resolve(probe(launchOf(http)))),
    parseLine: (line) => (line === SERVING_LINE ? { phase: 'serving', percent: null } : null),
    version: () => null,
    parseMemory: () => null,
    sleep: (http, { timeoutMs, signal }) =>
      told(inTime(clock, launchOf(http)?.sleep() ?? Promise.resolve(refused), timeoutMs, signal)),
    wake: (http, { timeoutMs, signal }) =>
      told(inTime(clock, launchOf(http)?.wake() ?? Promise.resolve(refused), timeoutMs, signal)),
    isAsleep: async (http) => {
      const phase = launchOf(http)?.phase;
      return phase === 'asleep' ? true : phase === 'awake' || phase === 'waking' ? false : null;
    },
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

type Answer = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly detail: string };

function inTime(
  clock: Clock,
  answer: Promise<Answer>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve) => {
    const gaveUp = (detail: string) => resolve({ kind: 'failed', detail });
    const cancel = clock.setTimer(clock.nowMs() + timeoutMs, () => gaveUp(`no answer in ${timeoutMs} ms`));
    const aborted = (): void => gaveUp('the launch ends');
    signal.addEventListener('abort', aborted, { once: true });
    void answer.then((result) => {
      cancel();
      signal.removeEventListener('abort', aborted);
      resolve(result);
    });
  });
}
