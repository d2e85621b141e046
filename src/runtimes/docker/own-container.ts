/** Are we in a container ourselves, and in which one of this Docker? Our mounts tell where our files are on its host. */
import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { ContainerInspectInfo } from 'dockerode';
import type { DockerConnection } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import type { OwnMount } from './path-map.ts';

export interface OwnContainer {
  readonly id: string;
  readonly name: string;
  readonly mounts: readonly OwnMount[];
  /** Names of the networks that it is in. */
  readonly networks: readonly string[];
  /** It shares the network of Docker's host, so ports on that loopback are ours. */
  readonly isOnHostNetwork: boolean;
}

/** What this process can see of its own surroundings. */
export interface OwnSurroundings {
  readonly isInContainer: boolean;
  readonly hostName: string;
  /** /proc/self/mountinfo and /proc/self/cgroup, whose paths name our container. */
  readonly text: string;
}

const CONTAINER_ID = /\b[0-9a-f]{64}\b/g;
/** Ids that are asked for, should /proc name very many. */
const NAMED_MAX = 16;
/** Running containers that are compared by their host name. */
const COMPARED_MAX = 256;

export function readSurroundings(): OwnSurroundings {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  return {
    isInContainer: existsSync('/.dockerenv') || existsSync('/run/.containerenv'),
    hostName: hostname(),
    text: read('/proc/self/mountinfo') + read('/proc/self/cgroup'),
  };
}

/**
 * Null where we run in none, or in one that this Docker does not know. Rejects where Docker does not answer. A configured
 * name only decides between containers that /proc names: another stack may have the same name in its variables.
 */
export async function findOwnContainer(
  connection: DockerConnection,
  configuredName: string | null,
  surroundings: OwnSurroundings,
): Promise<OwnContainer | null> {
  if (!surroundings.isInContainer) return null;
  const ids = new Set(surroundings.text.match(CONTAINER_ID) ?? []);
  const named = await runningOf(connection, [...ids].slice(0, NAMED_MAX));
  if (named.length > 0) {
    const found = named.find(({ Name }) => Name === `/${configuredName}`) ?? named[0];
    return found === undefined ? null : ownContainerOf(found);
  }
  const { docker, call } = connection;
  const all = await call((abortSignal) => docker.listContainers({ abortSignal }));
  const running = await runningOf(
    connection,
    all.slice(0, COMPARED_MAX).map(({ Id }) => Id),
  );
  const [found, ...others] = running.filter(({ Config }) => Config.Hostname === surroundings.hostName);
  return found === undefined || others.length > 0 ? null : ownContainerOf(found);
}

async function runningOf(
  { docker, call }: DockerConnection,
  ids: readonly string[],
): Promise<readonly ContainerInspectInfo[]> {
  const running: ContainerInspectInfo[] = [];
  for (const id of ids) {
    try {
      const found = await call((abortSignal) => docker.getContainer(id).inspect({ abortSignal }));
      if (found.State.Running) running.push(found);
    } catch (error) {
      const { status, isUnreachable } = faultOf(error);
      if (isUnreachable || status === null) throw error;
    }
  }
  return running;
}

/**
 * The network that is meant by a configured name. Compose puts its project's name and `_` in front of its networks, so that of
 * our own container which ends so is meant, unless one has exactly that name. Pure.
 */
export function meantNetwork(name: string | null, own: Pick<OwnContainer, 'networks'> | null): string | null {
  if (name === null || own === null || own.networks.includes(name)) return name;
  return own.networks.find((network) => network.endsWith(`_${name}`)) ?? name;
}

function ownContainerOf(found: ContainerInspectInfo): OwnContainer {
  return {
    id: found.Id,
    name: found.Name.replace(/^\//, ''),
    mounts: found.Mounts.map(({ Type, Source, Destination }) => ({
      target: Destination,
      source: Type === 'tmpfs' || Source === '' ? null : Source,
    })),
    networks: Object.keys(found.NetworkSettings.Networks),
    isOnHostNetwork: found.HostConfig.NetworkMode === 'host',
  };
}
