/** The ground of a storm: a directory with the configuration and the state, a port, and who cleans up after all. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../src/config/load.ts';
import { launchSignature } from '../../src/control/policies.ts';
import type { Prng } from '../../src/core/prng.ts';
import { LEDGER_VARIABLE, openLedger } from '../../src/engines/simulated/ledger.ts';
import type { EngineSource } from './engine-census.ts';
import { endEverything } from './everything.ts';
import { processCensus } from './process-census.ts';
import { STORM_MODELS, stormConfig } from './storm-plan.ts';

const REAPER = fileURLToPath(new URL('reaper.ts', import.meta.url));
/** Below the ports that systems give to outgoing connections, so that a client cannot take it while no gateway listens. */
const PORTS_FROM = 20_000;
const PORTS_COUNT = 10_000;

/** How the engines of a storm are run, and found. */
export interface StormRuntime {
  readonly name: string;
  /** Merged into the configuration. */
  readonly config: Readonly<Record<string, unknown>>;
  /** `mark`: an entry of the environment that engines of this storm carry. */
  readonly source: (mark: string) => EngineSource;
}

export const PROCESS_RUNTIME: StormRuntime = { name: 'process', config: {}, source: processCensus };

export interface StormMachine {
  readonly directory: string;
  readonly stateDirectory: string;
  readonly configFile: string;
  readonly port: number;
  readonly source: EngineSource;
  /** A process that carries our marks and stands in no record; false while the state directory has no name yet. */
  plantDebris(launchId: string): boolean;
  /** Another gateway's engine; it must not be touched. */
  plantStranger(): ChildProcess;
  end(): Promise<void>;
}

export async function prepareMachine(runtime: StormRuntime, random: Prng): Promise<StormMachine> {
  const directory = await mkdtemp(join(tmpdir(), 'cr-'));
  const stateDirectory = join(directory, 'state');
  const configFile = join(directory, 'models.yaml');
  const config = stormConfig(runtime.config);
  await mkdir(stateDirectory, { mode: 0o700 });
  await writeFile(configFile, JSON.stringify(config, null, 1));
  await writeFile(join(stateDirectory, 'learned-costs.json'), JSON.stringify(await believedCosts(config)));
  const mark = `${LEDGER_VARIABLE}=${join(stateDirectory, 'ledger')}`;
  const source = runtime.source(mark);
  const reaper = spawn(process.execPath, [REAPER, mark, directory], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  return {
    ...{ directory, stateDirectory, configFile, source, port: await freePort(random) },
    plantDebris: (launchId) => plantDebris(stateDirectory, mark, launchId),
    plantStranger: () =>
      spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
        env: { VLLM_GATEWAY_LAUNCH_ID: 'stranger-1', VLLM_GATEWAY_STATE_ID: '0'.repeat(16) },
        // It ends with the storm, however that ends.
        stdio: ['pipe', 'ignore', 'ignore'],
      }),
    async end() {
      await endEverything(source, directory);
      reaper.stdin?.end();
    },
  };
}

/** Learned from the first start on, but slowly: here they are known from the beginning. */
async function believedCosts(config: Readonly<Record<string, unknown>>): Promise<object> {
  const loaded = await loadConfig({ object: config, environment: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  const { models } = loaded.value;
  return Object.fromEntries(
    STORM_MODELS.flatMap(({ name, believedStartS }) => {
      const model = models.get(name);
      const cost = { startMs: believedStartS * 1_000, stopMs: 200 };
      return model === undefined ? [] : [[name, { signature: launchSignature(model), ...cost }]];
    }),
  );
}

function plantDebris(stateDirectory: string, mark: string, launchId: string): boolean {
  const idFile = join(stateDirectory, 'state-id');
  if (!existsSync(idFile)) return false;
  const [variable = '', ledger = ''] = mark.split('=', 2);
  const child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], {
    env: {
      VLLM_GATEWAY_LAUNCH_ID: launchId,
      VLLM_GATEWAY_STATE_ID: readFileSync(idFile, 'utf8').trim(),
      [variable]: ledger,
    },
    detached: true,
    stdio: 'ignore',
  });
  child.unref();
  return true;
}

async function freePort(random: Prng): Promise<number> {
  for (;;) {
    const port = PORTS_FROM + random.integer(PORTS_COUNT);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer().once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

/** What must not be left of a gateway that has ended in good order, in words. */
export function remains(stateDirectory: string): readonly string[] {
  const ledger = openLedger(join(stateDirectory, 'ledger'));
  const claims = [...ledger.read().flatMap((use) => use.claims), ...(ledger.host()?.claims ?? [])];
  const names = readdirSync(stateDirectory, { recursive: true }).map(String);
  return [
    ...claims.map(({ deviceId, pid, usedMib }) => `claim: ${pid} holds ${usedMib} MiB of ${deviceId}`),
    ...names.filter((name) => name.endsWith('.sock')).map((name) => `socket: ${name}`),
    // A simulated engine that was killed while it wrote to its ledger is not the gateway's.
    ...names
      .filter((name) => /\.(tmp|stale-|unfinished)/.test(name) && !name.startsWith('ledger/'))
      .map((name) => `half a file: ${name}`),
  ];
}
