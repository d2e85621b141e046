/** Where a container's engine is reached, read from the container itself, so that an adoption finds the same. Pure. */
import type { ContainerInspectInfo } from 'dockerode';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';
import type { LaunchRecord } from '../../store/launch-records.ts';
import type { EngineHandle } from '../runtime.ts';
import { API_KEY_VARIABLE } from './container-spec.ts';
import { networkName, REACH_LABEL } from './marks.ts';

export interface ReachableAs {
  /** Where its socket is here. */
  readonly socketPath: string;
  /** Directory of Docker's host that a container must have been given for that; null: none can be. */
  readonly socketSource: string | null;
}

/** The error says why it cannot be reached (any more). */
export function handleOf(
  record: LaunchRecord,
  container: ContainerInspectInfo,
  { socketPath, socketSource }: ReachableAs,
): Result<EngineHandle, string> {
  const listen = listenOf(record, container, socketPath, socketSource);
  if (!listen.ok) return listen;
  const key = keyIn(container);
  return success({
    launchId: record.spec.launchId,
    model: record.spec.model,
    listen: listen.value,
    authorization: key === null ? null : `Bearer ${key}`,
    reference: `container ${container.Name.replace(/^\//, '')}`,
    outputFile: null,
    startedWallMs: record.startedWallMs,
  });
}

function listenOf(
  { spec }: LaunchRecord,
  container: ContainerInspectInfo,
  socketPath: string,
  socketSource: string | null,
): Result<EngineHandle['listen'], string> {
  const reach = container.Config.Labels[REACH_LABEL];
  if (reach === 'socket' || spec.listen.kind === 'unix') {
    const isMounted = container.Mounts.some(({ Source }) => Source === socketSource);
    return isMounted
      ? success({ kind: 'unix', socketPath })
      : failure('its socket is in a directory that is not ours any more');
  }
  const { port } = spec.listen;
  if (reach === 'network') {
    const host = container.NetworkSettings.Networks[networkName(spec.launchId)]?.IPAddress ?? '';
    return host === ''
      ? failure('it has no address in its network')
      : success({ kind: 'tcp', host, port, isPrivate: true });
  }
  const published = container.NetworkSettings.Ports[`${port}/tcp`]?.[0];
  if (published === undefined) return failure('it has no published port');
  return success({ kind: 'tcp', host: '127.0.0.1', port: Number(published.HostPort) });
}

function keyIn({ Config }: ContainerInspectInfo): string | null {
  // A key that the model's own environment sets is known to its owner, and asked for all the same.
  const prefix = `${API_KEY_VARIABLE}=`;
  const found = Config.Env.find((entry) => entry.startsWith(prefix))?.slice(prefix.length) ?? '';
  return found === '' ? null : found;
}
