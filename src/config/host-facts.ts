/** What a configuration needs to know of the machine that it is read on. Gathered by the loader; everything past it is pure. */
import { existsSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import type { Environment } from './environment.ts';

export interface HostFacts {
  /** The socket of DOCKER_HOST, or Docker's usual one. A TCP address counts as usable: nobody is asked here. */
  readonly dockerSocket: 'usable' | 'forbidden' | 'absent';
  /** We run in a container. */
  readonly isContainer: boolean;
}

const USUAL_SOCKET = '/var/run/docker.sock';
/** Docker's and Podman's marks in their containers. */
const CONTAINER_MARKS = ['/.dockerenv', '/run/.containerenv'];

export async function gatherHostFacts(environment: Environment): Promise<HostFacts> {
  return {
    dockerSocket: await lookForSocket(environment['DOCKER_HOST']?.trim() || `unix://${USUAL_SOCKET}`),
    isContainer: CONTAINER_MARKS.some((mark) => existsSync(mark)),
  };
}

async function lookForSocket(host: string): Promise<HostFacts['dockerSocket']> {
  const path = /^unix:\/\/(\/.+)$/.exec(host)?.[1];
  if (path === undefined) return /^(tcp|https?):/.test(host) ? 'usable' : 'absent';
  if (!existsSync(path)) return 'absent';
  return access(path, constants.R_OK | constants.W_OK).then(
    () => 'usable',
    () => 'forbidden',
  );
}
