/** How each of the two sides of the contract starts the servers that the cases talk to. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoneStart, ServerName, SideName } from './contract-case.ts';
import { type EngineServer, startEngine } from './engine-server.ts';
import type { EngineAddress } from './http-exchange.ts';

export const apiKey = 'contract-key';
/** The first served name; answers and metrics carry it. */
export const servedName = 'contract';
const servedAlias = 'contract-alias';
const contextTokens = 256;

/** What differs between the sides before any server is started. */
export interface Side {
  readonly name: SideName;
  readonly executable: readonly string[];
  /** Model arguments with the flags that this side needs for them. */
  readonly chat: readonly string[];
  readonly embedding: readonly string[];
  readonly plain: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly startLimitMs: number;
  /** See `CaseContext`. */
  readonly hangPatienceMs: number;
  /** Servers are cheap enough to run at the same time. */
  readonly manyServers: boolean;
}

export interface StartedServer {
  readonly server: EngineServer;
  /** Ends the process group and removes what it left. */
  end(): Promise<void>;
}

/** Flags and environment by server; see `ServerName`. */
function serverFlags(
  side: Side,
  name: Exclude<ServerName, 'none'>,
): { flags: string[]; environment: Record<string, string> } {
  const names = ['--served-model-name', servedName, servedAlias];
  const length = ['--max-model-len', String(contextTokens)];
  switch (name) {
    case 'chat':
      return {
        flags: [...side.chat, ...names, ...length, '--max-num-seqs', '8'],
        environment: { VLLM_SERVER_DEV_MODE: '1', VLLM_HTTP_TIMEOUT_KEEP_ALIVE: '2' },
      };
    case 'guarded':
      return {
        flags: [...side.embedding, ...names, ...length, '--api-key', apiKey, 'second-key'],
        environment: {},
      };
    case 'plain':
      return {
        flags: [...side.plain, ...length, '--enable-request-id-headers', '--disable-fastapi-docs'],
        environment: {},
      };
  }
}

/** Starts the server and waits until it is ready. `guarded` listens on a Unix socket, the others on a port. */
export async function startServer(side: Side, name: Exclude<ServerName, 'none'>): Promise<StartedServer> {
  const directory = mkdtempSync(join(tmpdir(), 'vllm-contract-'));
  const { flags, environment } = serverFlags(side, name);
  const address: EngineAddress =
    name === 'guarded'
      ? { socketPath: join(directory, 'engine.sock') }
      : { host: '127.0.0.1', port: await freePort() };
  const server = startEngine({
    argv: [...side.executable, 'serve', ...flags, ...listenFlags(address)],
    environment: { ...side.environment, ...environment },
    address,
    startLimitMs: side.startLimitMs,
  });
  const end = async (): Promise<void> => {
    await server.end();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await server.ready();
  } catch (error) {
    await end();
    throw error;
  }
  return { server, end };
}

/** Starts a server that a case watches from its first line on, with the small chat model unless the case names one. */
export async function startLone(side: Side, options: LoneStart): Promise<EngineServer> {
  const isAddressed = options.flags.includes('--port') || options.flags.includes('--uds');
  const address: EngineAddress = { host: '127.0.0.1', port: isAddressed ? 1 : await freePort() };
  const flags = [...options.flags, ...(side.name === 'simulated' ? (options.simulatedFlags ?? []) : [])];
  const model = options.model === undefined ? side.plain : [options.model];
  return startEngine({
    argv: [...side.executable, 'serve', ...model, ...flags, ...(isAddressed ? [] : listenFlags(address))],
    environment: withoutNulls({ ...side.environment, ...options.environment }),
    address,
    startLimitMs: side.startLimitMs,
  });
}

function withoutNulls(variables: Readonly<Record<string, string | null>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables).filter((entry): entry is [string, string] => entry[1] !== null),
  );
}

function listenFlags(address: EngineAddress): string[] {
  return 'socketPath' in address
    ? ['--uds', address.socketPath]
    : ['--host', address.host, '--port', String(address.port)];
}

/** A port that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** The simulated engine, quick and without devices. */
export function simulatedSide(): Side {
  const program = join(import.meta.dirname, '..', '..', 'bin', 'vllm-sim.mjs');
  const quick = ['--sim-load-seconds', '0.2', '--sim-tokens-per-second', '200', '--sim-model-length', '2048'];
  return {
    name: 'simulated',
    executable: [process.execPath, program],
    chat: ['simulated/chat', '--enforce-eager', ...quick],
    embedding: ['simulated/embedding', '--sim-task', 'embed', ...quick],
    plain: ['simulated/plain', ...quick],
    environment: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '' },
    startLimitMs: 30_000,
    hangPatienceMs: 700,
    manyServers: true,
  };
}

/** A real vLLM on the processor, kept from taking the whole machine. */
export function realSide(
  executable: readonly string[],
  models: { readonly smollm2: string; readonly minilm: string; readonly dummy: string },
  cache: string,
): Side {
  // The 16-bit kernels answer nonsense on some processors and crash on others; 32 bits are right on all.
  const small = ['--dtype', 'float32', '--enforce-eager'];
  return {
    name: 'real',
    executable: ['nice', '-n', '5', ...executable],
    chat: [models.smollm2, ...small],
    embedding: [models.minilm, ...small],
    plain: [models.dummy, '--load-format', 'dummy', ...small, '--max-num-seqs', '8'],
    environment: {
      PATH: process.env.PATH ?? '',
      HOME: process.env.HOME ?? '',
      HF_HUB_OFFLINE: '1',
      VLLM_NO_USAGE_STATS: '1',
      VLLM_CPU_KVCACHE_SPACE: '1',
      // Without this every server binds its threads to the same first cores.
      VLLM_CPU_OMP_THREADS_BIND: 'nobind',
      OMP_NUM_THREADS: '1',
      VLLM_CACHE_ROOT: join(cache, 'vllm-cache'),
    },
    startLimitMs: 240_000,
    hangPatienceMs: 2500,
    manyServers: false,
  };
}
