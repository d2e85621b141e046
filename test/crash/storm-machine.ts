/** The ground of a storm: a directory with the configuration and the state, a port, and who cleans up after all. */
import { spawn } from 'node:child_process';
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
import { endEverything } from './everything.ts';
import { STORM_MODELS, stormConfig } from './storm-plan.ts';
import type { StormEngines, StormRuntime } from './storm-runtime.ts';

const REAPER = fileURLToPath(new URL('reaper.ts', import.meta.url));
/** Below the ports that systems give to outgoing connections, so that a client cannot take it while no gateway listens. */
const PORTS_FROM = 20_000;
const PORTS_COUNT = 10_000;

export interface StormMachine {
  readonly directory: string;
  readonly stateDirectory: string;
  readonly configFile: string;
  readonly port: number;
  readonly engines: StormEngines;
  /** What carries our marks and stands in no record; false while the state directory has no name yet. */
  plantDebris(launchId: string): Promise<boolean>;
  end(): Promise<void>;
}

export async function prepareMachine(runtime: StormRuntime, random: Prng): Promise<StormMachine> {
  const directory = await mkdtemp(join(tmpdir(), 'cr-'));
  const stateDirectory = join(directory, 'state');
  const configFile = join(directory, 'models.yaml');
  const mark = `${LEDGER_VARIABLE}=${join(stateDirectory, 'ledger')}`;
  const ground = { stateDirectory, mark };
  const config = stormConfig(runtime.config(ground), runtime.modelKeys);
  await mkdir(stateDirectory, { mode: 0o700 });
  await writeFile(configFile, JSON.stringify(config, null, 1));
  await writeFile(join(stateDirectory, 'learned-costs.json'), JSON.stringify(await believedCosts(config)));
  const engines = runtime.open(ground);
  const reaper = spawn(process.execPath, [REAPER, mark, directory], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  return {
    ...{ directory, stateDirectory, configFile, engines, port: await freePort(random) },
    async plantDebris(launchId) {
      const idFile = join(stateDirectory, 'state-id');
      if (!existsSync(idFile)) return false;
      await engines.plantDebris(launchId, readFileSync(idFile, 'utf8').trim());
      return true;
    },
    async end() {
      await endEverything(engines.source, directory);
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
