/**
 * Engines that are containers, as Docker's engine API tells of them: by the label with the id of a gateway's state directory.
 * Labels are written out here, so that a gateway that marks its engines otherwise is noticed.
 */
import { dirname, join } from 'node:path';
import type Docker from 'dockerode';
import type { ContainerInfo, ContainerInspectInfo } from 'dockerode';
import type { EngineSource, LivingEngine, Remnant } from './engine-census.ts';
import { wordAfter, wordOf } from './engine-word.ts';

export const LABELS = {
  launchId: 'vllm-gateway.launch-id',
  stateId: 'vllm-gateway.state-id',
  model: 'vllm-gateway.model',
} as const;

/** `stateId`: null while the state directory has no id yet; then nothing can be ours. */
export function containerCensus(docker: Docker, stateId: () => string | null): EngineSource {
  return {
    async look() {
      const found = await inspected(docker, stateId());
      return {
        engines: found.filter(isRunning).map(engineOf),
        remnants: found.filter((container) => !isRunning(container)).map(remnantOf),
      };
    },
    ask: wordOf,
    async endAll() {
      for (const { Id } of await listOurs(docker, stateId()))
        await unlessGone(docker.getContainer(Id).remove({ force: true, v: true }));
    },
  };
}

/** Containers with our label, whatever they do. */
export async function listOurs(docker: Docker, stateId: string | null): Promise<readonly ContainerInfo[]> {
  if (stateId === null) return [];
  return await docker.listContainers({ all: true, filters: { label: [`${LABELS.stateId}=${stateId}`] } });
}

async function inspected(docker: Docker, stateId: string | null): Promise<readonly ContainerInspectInfo[]> {
  const found = await listOurs(docker, stateId);
  const looks = await Promise.all(found.map(({ Id }) => unlessGone(docker.getContainer(Id).inspect())));
  return looks.filter((container) => container !== null);
}

/** Null for a container that went away meanwhile, or is just going. */
export async function unlessGone<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error) {
    const status = error instanceof Error && 'statusCode' in error ? error.statusCode : null;
    if (status === 404 || status === 409) return null;
    throw error;
  }
}

function isRunning({ State }: ContainerInspectInfo): boolean {
  return State.Running;
}

/** A container without a launch that runs all the same goes by its name. */
function engineOf(container: ContainerInspectInfo): LivingEngine {
  const { Args, Config, Mounts, Name, State } = container;
  const inner = wordAfter(Args, '--uds');
  const mount = inner === null ? null : Mounts.find(({ Destination }) => Destination === dirname(inner));
  return {
    launchId: Config.Labels[LABELS.launchId] ?? Name.slice(1),
    model: Config.Labels[LABELS.model] ?? null,
    identity: identityOf(container),
    pids: [State.Pid],
    // Docker's host is this one, so its side of the mount is a path of ours.
    socketPath:
      inner === null || mount == null ? null : join(mount.Source, inner.slice(dirname(inner).length)),
  };
}

/** Tells this run of this container from every other. */
export function identityOf({ Id, State }: ContainerInspectInfo): string {
  return `${Id.slice(0, 12)} since ${State.StartedAt}`;
}

function remnantOf({ Config, Name, State }: ContainerInspectInfo): Remnant {
  return {
    launchId: Config.Labels[LABELS.launchId] ?? null,
    what: `container ${Name.slice(1)}, ${State.Status}`,
  };
}
