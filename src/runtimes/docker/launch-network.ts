/**
 * A network for one launch: internal (no way out), and without an address of Docker's host, so that not even its own
 * users reach the engine. Only the engine and our container join.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LaunchId } from '../../core/ids.ts';
import type { DockerConnection } from './connection.ts';
import { withSignal } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import { LAUNCH_ID_LABEL, launchIdIn, networkName, STATE_ID_LABEL } from './marks.ts';

/** A container that is just gone may still be counted. */
const REMOVE_LIMIT_MS = 5_000;
const REMOVE_POLL_MS = 100;

export interface LaunchNetworks {
  /** Rejects as dockerode does, and leaves nothing then. */
  make(launchId: LaunchId): Promise<string>;
  /** Joins again, where our container is a new one. */
  join(launchId: LaunchId): Promise<void>;
  remove(launchId: LaunchId): Promise<void>;
  /** Launches that have a network. */
  list(): Promise<readonly LaunchId[]>;
}

/** `ownId`: our own container. Null: there are no launch networks, only ones to be removed. */
export function createLaunchNetworks(
  { docker, call }: DockerConnection,
  stateId: string,
  ownId: string | null,
): LaunchNetworks {
  const networkOf = (launchId: LaunchId) => docker.getNetwork(networkName(launchId));
  const join = async (launchId: LaunchId): Promise<void> => {
    if (ownId === null) return;
    try {
      await call((abortSignal) => networkOf(launchId).connect(withSignal({ Container: ownId }, abortSignal)));
    } catch (error) {
      if (!/already (exists|connected|attached)/i.test(faultOf(error).text)) throw error;
    }
  };
  /** Whoever else has joined keeps the network as much as we do. */
  const disconnectAll = async (launchId: LaunchId): Promise<void> => {
    const network = networkOf(launchId);
    const inspect = network.inspect.bind(network) as (options: object) => Promise<unknown>;
    const found = await call((abortSignal) => inspect({ abortSignal }));
    for (const id of endpointsIn(found)) {
      await call((abortSignal) =>
        networkOf(launchId).disconnect(withSignal({ Container: id, Force: true }, abortSignal)),
      ).catch(() => undefined);
    }
  };
  const remove = async (launchId: LaunchId): Promise<void> => {
    const deadlineMs = performance.now() + REMOVE_LIMIT_MS;
    for (;;) {
      try {
        await disconnectAll(launchId);
        await call((abortSignal) => networkOf(launchId).remove({ abortSignal }));
        return;
      } catch (error) {
        if (faultOf(error).status === 404) return;
        if (performance.now() >= deadlineMs) throw error;
        await sleep(REMOVE_POLL_MS);
      }
    }
  };
  return {
    async make(launchId) {
      const name = networkName(launchId);
      await call((abortSignal) =>
        docker.createNetwork({
          Name: name,
          Driver: 'bridge',
          Internal: true,
          CheckDuplicate: true,
          Options: {
            'com.docker.network.bridge.inhibit_ipv4': 'true',
          },
          Labels: { [LAUNCH_ID_LABEL]: launchId, [STATE_ID_LABEL]: stateId },
          abortSignal,
        }),
      );
      try {
        await join(launchId);
      } catch (error) {
        await remove(launchId).catch(() => undefined);
        throw error;
      }
      return name;
    },
    join,
    remove,
    async list() {
      const found = await call((abortSignal) =>
        docker.listNetworks({ filters: { label: [`${STATE_ID_LABEL}=${stateId}`] }, abortSignal }),
      );
      return found.map(({ Labels }) => launchIdIn(Labels)).filter((launchId) => launchId !== null);
    },
  };
}

/** Ids of the containers in a network; of one that has gone without Docker noticing, `ep-…`. */
function endpointsIn(network: unknown): readonly string[] {
  if (typeof network !== 'object' || network === null || !('Containers' in network)) return [];
  return Object.keys(network.Containers ?? {});
}
