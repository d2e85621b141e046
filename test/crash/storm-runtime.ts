/** How the engines of a storm are run: as processes here, as containers in container-runtime.ts. */
import { spawn } from 'node:child_process';
import type { EngineSource } from './engine-census.ts';
import { isAlive, processCensus } from './process-census.ts';
import type { KillTimes } from './storm-plan.ts';

/** Where a storm takes place. */
export interface StormGround {
  readonly stateDirectory: string;
  /** An entry of the environment, `NAME=value`, that all engines of this storm carry and nobody else does. */
  readonly mark: string;
}

/** The gateway's engines, and those that are not. */
export interface StormEngines {
  readonly source: EngineSource;
  /** Makes what carries our marks and stands in no record. */
  plantDebris(launchId: string, stateId: string): Promise<void>;
  /** Makes what belongs to others and must not be touched. */
  plantStrangers(): Promise<Strangers>;
  /** What must not be left of a gateway that has ended in good order, beside its state directory; in words. */
  remains(): Promise<readonly string[]>;
}

export interface Strangers {
  /** Those that are not as they were, in words. */
  touched(): Promise<readonly string[]>;
  end(): Promise<void>;
}

export interface StormRuntime {
  /** Merged into the configuration. */
  config(ground: StormGround): Readonly<Record<string, unknown>>;
  /** Keys of one model, in place of those for processes. */
  modelKeys(name: string): Readonly<Record<string, unknown>>;
  /** How long moves take here. */
  readonly times: KillTimes;
  /** How often each model is asked for, against the one that only its grace ends: whoever waits for that sees little else. */
  readonly wishes: number;
  open(ground: StormGround): StormEngines;
}

export const PROCESS_RUNTIME: StormRuntime = {
  config: () => ({}),
  modelKeys: () => ({}),
  times: { earlyMs: 500, startMs: 500, stopMs: 60 },
  wishes: 3,
  open: ({ mark }) => ({
    source: processCensus(mark),
    plantDebris: async (launchId, stateId) => plantDebris(mark, launchId, stateId),
    plantStrangers: async () => plantStranger(),
    remains: async () => [],
  }),
};

function plantDebris(mark: string, launchId: string, stateId: string): void {
  const [variable = '', ledger = ''] = mark.split('=', 2);
  const child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], {
    env: { VLLM_GATEWAY_LAUNCH_ID: launchId, VLLM_GATEWAY_STATE_ID: stateId, [variable]: ledger },
    detached: true,
    stdio: 'ignore',
  });
  child.unref();
}

/** Another gateway's engine. */
function plantStranger(): Strangers {
  const stranger = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
    env: { VLLM_GATEWAY_LAUNCH_ID: 'stranger-1', VLLM_GATEWAY_STATE_ID: '0'.repeat(16) },
    // It ends with the storm, however that ends.
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  return {
    async touched() {
      const hasEnded = stranger.exitCode !== null || stranger.signalCode !== null;
      return hasEnded || !isAlive(stranger.pid ?? 0) ? ['a process of another gateway was ended'] : [];
    },
    async end() {
      stranger.kill('SIGKILL');
    },
  };
}
