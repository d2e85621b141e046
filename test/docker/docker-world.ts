/** The tests' Docker, opened once for a file, and gateways over it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import Docker from 'dockerode';
import type { DockerConfig } from '../../src/config/resolved-config.ts';
import { openDockerRuntime } from '../../src/runtimes/docker/open-docker-runtime.ts';
import type { LaunchSpec, Runtime } from '../../src/runtimes/runtime.ts';
import type { Daemon, DaemonOptions } from '../../tools/docker-lab/daemon.ts';
import { NODE_IMAGE } from '../../tools/docker-lab/images.ts';
import { openDockerLab } from '../../tools/docker-lab/lab.ts';
import { openFileRecords } from './file-records.ts';

export interface DockerWorld {
  readonly daemon: Daemon;
  readonly docker: Docker;
}

/** Null, with the reason printed, where there can be no Docker. Ends with the test file. */
export async function openDockerWorld(options?: DaemonOptions): Promise<DockerWorld | null> {
  const opened = await openDockerLab(options);
  if (opened.kind === 'unavailable') {
    process.stdout.write(`skipped: no Docker here: ${opened.reason}\n`);
    return null;
  }
  const { daemon } = opened;
  const end = (): void => void daemon.dispose().then(() => process.exit(1));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end);
  after(() => daemon.dispose());
  return { daemon, docker: new Docker({ host: undefined, socketPath: daemon.socketPath }) };
}

export interface GatewayOptions {
  readonly host: string;
  readonly stateId: string;
  readonly directory: string;
  readonly config?: Partial<DockerConfig>;
  readonly outputLimitBytes?: number;
  readonly logged?: string[];
}

export function dockerConfig(host: string, changed: Partial<DockerConfig> = {}): DockerConfig {
  return {
    host,
    image: NODE_IMAGE,
    pull: 'never',
    containerPrefix: 'vllm_server',
    network: null,
    port: 8000,
    gatewayContainer: null,
    reach: 'auto',
    huggingFaceCache: 'vgt-huggingface',
    compileCache: null,
    volumes: [],
    shmBytes: 64 * 1024 * 1024,
    user: null,
    utilityImage: null,
    ...changed,
  };
}

export async function openGateway(options: GatewayOptions): Promise<Runtime> {
  const { host, stateId, directory, config, logged } = options;
  const opened = await openDockerRuntime({
    docker: dockerConfig(host, config),
    socketDirectory: join(directory, 's'),
    outputLimitBytes: options.outputLimitBytes ?? 1_000_000,
    stateId,
    launches: openFileRecords(join(directory, 'launches')),
    huggingFaceHome: join(directory, 'hf'),
    log: (level, text) => {
      logged?.push(`${level} ${text}`);
    },
    daemonLimitMs: 10_000,
  });
  assert.ok(opened.ok, opened.ok ? '' : opened.error);
  return opened.value;
}

/** Short, because sockets lie below it; removed with the file. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'd-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function program(script: string): Pick<LaunchSpec, 'argv' | 'environment'> {
  return { argv: ['/bin/sh', '-c', script], environment: {} };
}

let serial = 0;

export async function specOf(
  runtime: Runtime,
  command: Pick<LaunchSpec, 'argv' | 'environment'>,
  changed: Partial<LaunchSpec> = {},
): Promise<LaunchSpec> {
  serial += 1;
  const launchId = `t${process.pid.toString(36)}-${serial.toString(36)}`;
  return {
    launchId,
    model: 'org/Model 7B',
    ...command,
    listen: await runtime.address(launchId, 'unix'),
    image: null,
    deviceSource: 'simulated',
    files: [],
    deviceIds: [],
    memoryMibPerDevice: 1,
    signature: 's',
    ...changed,
  };
}
