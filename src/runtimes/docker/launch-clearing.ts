/**
 * Removes all of a launch.
 *
 *  1. Its containers first, until Docker lists none; only then nothing of it runs, and its record goes.
 *  2. Its places (network, socket directory) run nothing: what cannot be removed there holds up nobody and is tried again.
 */
import type { LaunchId } from '../../core/ids.ts';
import { removeContainer } from './container-end.ts';
import { faultOf } from './docker-fault.ts';
import type { DockerSite } from './docker-site.ts';
import { containersOf } from './launch-containers.ts';
import type { Leftovers } from './leftovers.ts';

/** Times that containers are looked for anew: somebody may make one while another is removed. */
const ROUNDS_MAX = 4;

/** Rejects while a container of it may be there. `containerId`: as its record has it. */
export async function clearLaunch(
  site: DockerSite,
  leftovers: Leftovers,
  launchId: LaunchId,
  containerId: string | null,
): Promise<void> {
  await clearContainers(site, launchId, containerId);
  await site.records.remove(launchId);
  try {
    await clearPlaces(site, launchId);
  } catch (error) {
    site.log(
      'warn',
      `the container of launch ${launchId} is gone, and something of it is left, which is tried again: ${faultOf(error).text}`,
    );
    leftovers.keep(`what is left of launch ${launchId}`, () => clearPlaces(site, launchId));
  }
}

async function clearContainers(
  site: DockerSite,
  launchId: LaunchId,
  containerId: string | null,
): Promise<void> {
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    const found = await containersOf(site, launchId, containerId);
    if (found.length === 0) return;
    for (const id of found) await removeContainer(site.connection, id);
  }
  throw new Error('somebody makes its container anew each time that it is removed');
}

async function clearPlaces(site: DockerSite, launchId: LaunchId): Promise<void> {
  // One that cannot be removed is no reason to leave the other.
  const removed = await Promise.allSettled([site.networks.remove(launchId), site.sockets.remove(launchId)]);
  const failed = removed.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
