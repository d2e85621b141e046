/** The tests' Docker, opened once for a file, and gateways over it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import Docker from 'dockerode';
import type { LaunchSpec, Runtime } from '../../src/runtimes/runtime.ts';
import type { Daemon, DaemonOptions } from '../../tools/docker-lab/daemon.ts';
import { openDockerLab } from '../../tools/docker-lab/lab.ts';

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
