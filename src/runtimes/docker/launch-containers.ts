/**
 * Which containers are a launch's. Labels alone do not say it: `docker commit` gives them to an image, and whoever runs that
 * image has them too. Other tools (Watchtower, Portainer) make a container anew under its name.
 */
import type { ContainerInfo } from 'dockerode';
import type { LaunchId } from '../../core/ids.ts';
import type { DockerSite } from './docker-site.ts';
import { isNameOf, LAUNCH_ID_LABEL, launchIdIn, STATE_ID_LABEL } from './marks.ts';

type Listed = Pick<ContainerInfo, 'Id' | 'Names' | 'Labels'>;

/** `containerId`: as its record has it; null: not known. Pure. */
export function isOfLaunch(container: Listed, launchId: LaunchId, containerId: string | null): boolean {
  if (launchIdIn(container.Labels) !== launchId) return false;
  return container.Id === containerId || container.Names.some((name) => isNameOf(name, launchId));
}

/** Of our state directory, whatever their state. Rejects as dockerode does. */
export async function listOurs(site: DockerSite): Promise<readonly ContainerInfo[]> {
  return await listLabelled(site, [`${STATE_ID_LABEL}=${site.stateId}`]);
}

/** Ids of a launch's containers, whatever their state. Rejects as dockerode does. */
export async function containersOf(
  site: DockerSite,
  launchId: LaunchId,
  containerId: string | null,
): Promise<readonly string[]> {
  const found = await listLabelled(site, [`${LAUNCH_ID_LABEL}=${launchId}`]);
  return found
    .filter(({ Id, Labels }) => Id === containerId || Labels[STATE_ID_LABEL] === site.stateId)
    .filter((container) => isOfLaunch(container, launchId, containerId))
    .map(({ Id }) => Id);
}

async function listLabelled(site: DockerSite, label: readonly string[]): Promise<readonly ContainerInfo[]> {
  const { docker, call } = site.connection;
  const filters = { label: [...label] };
  return await call((abortSignal) => docker.listContainers({ all: true, filters, abortSignal }));
}
