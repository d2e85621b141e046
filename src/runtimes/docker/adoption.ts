/**
 * Containers and records of an earlier gateway: what runs and is recorded is taken over, what is recorded and does not
 * run is forgotten, what carries our state id and is not recorded is debris and removed. Everything else is a stranger.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerInfo, ContainerInspectInfo } from 'dockerode';
import type { LaunchId } from '../../core/ids.ts';
import type { Result } from '../../core/result.ts';
import type { LaunchRecord } from '../../store/launch-records.ts';
import type { AdoptedEngine, EngineHandle } from '../runtime.ts';
import { removeContainer } from './container-end.ts';
import { faultOf } from './docker-fault.ts';
import type { DockerSite } from './docker-site.ts';
import { LAUNCH_ID_LABEL, launchIdIn, REACH_LABEL, STATE_ID_LABEL } from './marks.ts';

/** A daemon that restarts beside us (a reboot) gets this long before adoption gives up. */
const LIST_LIMIT_MS = 60_000;
const LIST_RETRY_MS = 500;
/** Times that one container is asked about: a hiccup of the daemon says nothing about an engine. */
const ASKS_MAX = 4;
const ASK_PAUSE_MS = 1_000;

export interface AdoptionSteps {
  /** Watched by this gateway already. */
  isKnown(launchId: LaunchId): boolean;
  /** Removes all that is left of a launch, its record last. */
  clear(launchId: LaunchId, containerIds: readonly string[]): Promise<void>;
  handleOf(record: LaunchRecord, container: ContainerInspectInfo): Result<EngineHandle, string>;
  begin(engine: AdoptedEngine, record: LaunchRecord, container: ContainerInspectInfo): void;
}

/** Rejects when Docker does not say what there is: then nothing may be concluded. */
export async function adoptContainers(
  site: DockerSite,
  steps: AdoptionSteps,
): Promise<readonly AdoptedEngine[]> {
  const { records } = await site.records.list();
  const containers = await listPatiently(site);
  const adopted: AdoptedEngine[] = [];
  const kept = new Set<string>();
  for (const record of records) {
    const { launchId } = record.spec;
    if (record.runtime !== 'docker') continue;
    const own = containers.filter(({ Labels }) => launchIdIn(Labels) === launchId);
    for (const { Id } of own) kept.add(Id);
    if (steps.isKnown(launchId)) continue;
    const engine = await takeOverPatiently(site, steps, record, own);
    if (engine === 'unknown') continue;
    if (engine !== null) adopted.push(engine);
    else
      await clearDebris(site, launchId, () =>
        steps.clear(
          launchId,
          own.map(({ Id }) => Id),
        ),
      );
  }
  for (const { Id, Names, Labels } of containers) {
    if (kept.has(Id)) continue;
    const launchId = launchIdIn(Labels);
    if (launchId !== null && steps.isKnown(launchId)) continue;
    await clearDebris(site, Names[0] ?? Id, () =>
      launchId === null ? removeContainer(site.connection, Id) : steps.clear(launchId, [Id]),
    );
  }
  await clearPlaces(site, steps);
  return adopted;
}

/** Containers of a launch, whatever their state. */
export async function containersOf(site: DockerSite, launchId: LaunchId): Promise<readonly string[]> {
  const found = await listOurs(site, [`${LAUNCH_ID_LABEL}=${launchId}`]);
  return found.map(({ Id }) => Id);
}

/** `unknown`: Docker did not say, so it is left as it is, for the next gateway. Null: it does not run, or is of no use. */
async function takeOverPatiently(
  site: DockerSite,
  steps: AdoptionSteps,
  record: LaunchRecord,
  own: readonly ContainerInfo[],
): Promise<AdoptedEngine | null | 'unknown'> {
  for (let ask = 1; ; ask += 1) {
    try {
      return await takeOver(site, steps, record, own);
    } catch (error) {
      const { status, text } = faultOf(error);
      if (status === 404) return null;
      if (ask < ASKS_MAX) {
        await sleep(ASK_PAUSE_MS);
        continue;
      }
      site.log(
        'error',
        `the engine of ${record.spec.model} (${own[0]?.Names[0]}) is left alone, because Docker does not say how it is: ${text}`,
      );
      return 'unknown';
    }
  }
}

/** Rejects where Docker does not answer. */
async function takeOver(
  site: DockerSite,
  steps: AdoptionSteps,
  record: LaunchRecord,
  own: readonly ContainerInfo[],
): Promise<AdoptedEngine | null> {
  const { connection, networks, log } = site;
  const { launchId, model } = record.spec;
  const [first, ...others] = own;
  if (first === undefined || others.length > 0) return null;
  const inspect = () =>
    connection.call((abortSignal) => connection.docker.getContainer(first.Id).inspect({ abortSignal }));
  let container = await inspect();
  if (!container.State.Running) return null;
  if (container.Config.Labels[REACH_LABEL] === 'network') {
    // Our own container may be a new one, which is not in the launch's network yet.
    await networks.join(launchId);
    container = await inspect();
  }
  const handle = steps.handleOf(record, container);
  if (!handle.ok) {
    log('warn', `the engine of ${model} (${first.Names[0]}) is not taken over: ${handle.error}`);
    return null;
  }
  const engine = { handle: handle.value, spec: { ...record.spec, environment: {} }, stage: record.stage };
  steps.begin(engine, record, container);
  return engine;
}

/** What cannot be removed now is tried again by the next gateway. */
async function clearDebris(site: DockerSite, what: string, clear: () => Promise<void>): Promise<void> {
  try {
    await clear();
  } catch (error) {
    site.log('warn', `${what} is left of an earlier gateway and cannot be removed: ${faultOf(error).text}`);
  }
}

/** Networks and socket directories of launches that are no more. */
async function clearPlaces(site: DockerSite, steps: AdoptionSteps): Promise<void> {
  for (const launchId of await site.networks.list()) {
    if (!steps.isKnown(launchId)) await clearDebris(site, launchId, () => site.networks.remove(launchId));
  }
  for (const launchId of await site.sockets.list()) {
    if (!steps.isKnown(launchId)) await clearDebris(site, launchId, () => site.sockets.remove(launchId));
  }
}

async function listPatiently(site: DockerSite): Promise<readonly ContainerInfo[]> {
  const deadlineMs = performance.now() + LIST_LIMIT_MS;
  for (;;) {
    try {
      return await listOurs(site, []);
    } catch (error) {
      if (performance.now() >= deadlineMs) throw error;
      await sleep(LIST_RETRY_MS);
    }
  }
}

async function listOurs(site: DockerSite, labels: readonly string[]): Promise<readonly ContainerInfo[]> {
  const { docker, call } = site.connection;
  const label = [`${STATE_ID_LABEL}=${site.stateId}`, ...labels];
  return await call((abortSignal) => docker.listContainers({ all: true, filters: { label }, abortSignal }));
}
