/** The proxies that are compared: how each is had and started in front of the stub engine. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nginxIsThere, startNginx } from '../proxy/nginx.ts';
import { freePort, waitForPort } from '../proxy/processes.ts';
import { startServe } from '../proxy/serve.ts';
import { CONCURRENT_MAX, MODEL } from '../proxy/workload.ts';
import { ensurePythonProgram } from './install.ts';

const VLLM_ROUTER = 'vllm-router==0.1.17';
const LITELLM = 'litellm[proxy]==1.108.7';
/** LiteLLM imports for ten seconds and longer. */
const PYTHON_START_LIMIT_MS = 120_000;

export interface RunningPeer {
  readonly child: ChildProcess;
  readonly port: number;
}

export interface Peer {
  readonly name: string;
  readonly version: string;
  /** It writes streams anew, with events of its own. */
  readonly rewrites: boolean;
  start(directory: string, enginePort: number): Promise<RunningPeer>;
}

/** A peer, or why it cannot be had here. */
export type PeerOrReason = Peer | { readonly name: string; readonly reason: string };

export const PEER_NAMES = ['gateway', 'nginx', 'vllm-router', 'llama-swap', 'litellm'] as const;
export type PeerName = (typeof PEER_NAMES)[number];

export async function findPeer(name: PeerName): Promise<PeerOrReason> {
  try {
    return await FINDERS[name]();
  } catch (error) {
    return { name, reason: error instanceof Error ? error.message : String(error) };
  }
}

const FINDERS: Readonly<Record<PeerName, () => Promise<PeerOrReason>>> = {
  gateway: async () => ({
    name: 'gateway',
    version: `Node ${process.version}`,
    rewrites: false,
    start: (directory, enginePort) => startServe(directory, enginePort),
  }),
  nginx: async () => {
    if (!nginxIsThere())
      return { name: 'nginx', reason: 'it is not installed, and only root can install it' };
    const version = /nginx\/(\S+)/.exec(spawnSync('nginx', ['-v'], { encoding: 'utf8' }).stderr)?.[1] ?? '';
    return { name: 'nginx', version, rewrites: false, start: startNginx };
  },
  'vllm-router': async () => {
    const { argv, version } = await ensurePythonProgram(VLLM_ROUTER, 'vllm-router');
    return { name: 'vllm-router', version, rewrites: false, start: (_, port) => startRouter(argv, port) };
  },
  litellm: async () => {
    const { argv, version } = await ensurePythonProgram(LITELLM, 'litellm');
    const start = (directory: string, port: number) => startLitellm(argv, directory, port);
    return { name: 'litellm', version, rewrites: true, start };
  },
  'llama-swap': async () => {
    const binary = process.env.LLAMA_SWAP_BIN ?? '';
    if (binary === '') return { name: 'llama-swap', reason: 'LLAMA_SWAP_BIN names no binary of it' };
    const told = spawnSync(binary, ['--version'], { encoding: 'utf8' });
    if (told.status !== 0) return { name: 'llama-swap', reason: `${binary} --version failed` };
    const version = `${told.stdout}${told.stderr}`.trim().split('\n')[0] ?? '';
    const start = (directory: string, port: number) => startLlamaSwap(binary, directory, port);
    return { name: 'llama-swap', version, rewrites: false, start };
  },
};

async function startRouter(argv: readonly string[], enginePort: number): Promise<RunningPeer> {
  const [port, metricsPort] = [await freePort(), await freePort()];
  const worker = `http://127.0.0.1:${enginePort}`;
  const parameters = ['--worker-urls', worker, '--policy', 'round_robin', '--host', '127.0.0.1'];
  const ports = ['--port', String(port), '--prometheus-port', String(metricsPort)];
  return started([...argv, ...parameters, ...ports], port, {});
}

async function startLitellm(argv: readonly string[], directory: string, enginePort: number) {
  const port = await freePort();
  const file = join(directory, 'litellm.yaml');
  const api = `http://127.0.0.1:${enginePort}/v1`;
  await writeFile(
    file,
    `model_list:
  - model_name: ${MODEL}
    litellm_params: { model: hosted_vllm/${MODEL}, api_base: "${api}", api_key: none }
`,
  );
  return started([...argv, '--config', file, '--host', '127.0.0.1', '--port', String(port)], port, {
    LITELLM_LOCAL_MODEL_COST_MAP: 'True',
    LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: 'true',
    LITELLM_LOG: 'ERROR',
  });
}

async function startLlamaSwap(binary: string, directory: string, enginePort: number) {
  const port = await freePort();
  const file = join(directory, 'llama-swap.yaml');
  await writeFile(
    file,
    `models:
  ${MODEL}:
    cmd: sleep 1000000
    proxy: http://127.0.0.1:${enginePort}
    concurrencyLimit: ${CONCURRENT_MAX}
`,
  );
  return started([binary, '--config', file, '--listen', `127.0.0.1:${port}`], port, {});
}

async function started(
  argv: readonly string[],
  port: number,
  environment: Readonly<Record<string, string>>,
): Promise<RunningPeer> {
  const [file = '', ...parameters] = argv;
  const child = spawn(file, parameters, {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { ...process.env, ...environment },
  });
  await waitForPort(port, PYTHON_START_LIMIT_MS);
  return { child, port };
}
