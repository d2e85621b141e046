/**
 * Containers and records of an earlier gateway: what runs and is recorded is taken over, what is recorded and does not
 * run is forgotten, what carries our marks and is not recorded is debris and removed. Everything else is a stranger.
 *
 *  A1. First everything is asked, then the engines are taken over, then debris is removed: what fails before the first
 *      engine is taken over is tried again as a whole, and nothing fails after it.
 *  A2. What belongs to an engine of which Docker does not say how it is stays as it is.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerInfo, ContainerInspectInfo } from 'dockerode';
import type { LaunchId } from '../../core/ids.ts';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';
import type { LaunchRecord } from '../../store/launch-records.ts';
import type { AdoptedEngine, EngineHandle } from '../runtime.ts';
import { removeContainer } from './container-end.ts';
import { faultOf } from './docker-fault.ts';
import type { DockerSite } from './docker-site.ts';
import { isOfLaunch, listOurs } from './launch-containers.ts';
import { launchIdIn, REACH_LABEL } from './marks.ts';

/** A daemon that restarts beside us (a reboot) gets this long before adoption gives up. */
const LIST_LIMIT_MS = 60_000;
const LIST_RETRY_MS = 500;
/** Times that one container is asked about: a hiccup of the daemon says nothing about an engine. */
const ASKS_MAX = 4;
const ASK_PAUSE_MS = 1_000;
const NOT_RUNNING = 'it does not run';

export interface AdoptionSteps {
  /** Watched by this gateway already. */
  isKnown(launchId: LaunchId): boolean;
  /** Docker does not say how some engine is: may the adoption be refused, so that it is tried again? */
  mayRefuse(): boolean;
  /** Removes all that is left of a launch. */
  clear(launchId: LaunchId, containerId: string | null): Promise<void>;
  handleOf(record: LaunchRecord, container: ContainerInspectInfo): Result<EngineHandle, string>;
  begin(engine: AdoptedEngine, record: LaunchRecord, container: ContainerInspectInfo): void;
}

type Finding =
  | { readonly kind: 'runs'; readonly container: ContainerInspectInfo; readonly handle: EngineHandle }
  /** It does not run, or is of no use. */
  | { readonly kind: 'over' }
  /** Docker does not know its container. */
  | { readonly kind: 'absent' }
  /** It carries another directory's id, and cannot be told to be ours. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'unknown'; readonly text: string };

interface Found {
  readonly record: LaunchRecord;
  readonly finding: Finding;
}

/** Rejects when Docker does not say what there is: then nothing may be concluded. */
export async function adoptContainers(
  site: DockerSite,
  steps: AdoptionSteps,
): Promise<readonly AdoptedEngine[]> {
  const { records, unreadable } = await site.records.list();
  const containers = await listPatiently(site);
  const all: Found[] = [];
  for (const record of records) {
    if (record.runtime !== 'docker' || steps.isKnown(record.spec.launchId)) continue;
    all.push({ record, finding: await askPatiently(site, steps, record, containers) });
  }
  refuseUnknown(site, steps, all);
  const adopted: AdoptedEngine[] = [];
  for (const { record, finding } of all) {
    if (finding.kind !== 'runs') continue;
    const engine = { handle: finding.handle, spec: { ...record.spec, environment: {} }, stage: record.stage };
    steps.begin(engine, record, finding.container);
    adopted.push(engine);
  }
  warnOfAbsent(site, all);
  const spared = new Set(
    all.filter(({ finding }) => finding.kind === 'unknown').map(({ record }) => record.spec.launchId),
  );
  const isSpared = (launchId: LaunchId): boolean => steps.isKnown(launchId) || spared.has(launchId);
  for (const { record, finding } of all) {
    if (finding.kind === 'runs' || finding.kind === 'unknown') continue;
    const { launchId } = record.spec;
    const containerId = finding.kind === 'over' ? record.container : null;
    await clearDebris(site, launchId, () => steps.clear(launchId, containerId));
  }
  for (const launchId of unreadable) {
    if (!isSpared(launchId)) await clearDebris(site, launchId, () => steps.clear(launchId, null));
  }
  const recorded = new Map(records.map(({ spec, container }) => [spec.launchId, container]));
  for (const container of containers) {
    const launchId = launchIdIn(container.Labels);
    if (launchId !== null && recorded.has(launchId)) {
      if (!isOfLaunch(container, launchId, recorded.get(launchId) ?? null)) warnOfCopy(site, container);
    } else if (launchId === null || !isSpared(launchId)) await clearUnrecorded(site, steps, container);
  }
  await clearPlaces(site, isSpared);
  return adopted;
}

async function clearUnrecorded(
  site: DockerSite,
  steps: AdoptionSteps,
  container: ContainerInfo,
): Promise<void> {
  const { Id, Names, Labels } = container;
  const launchId = launchIdIn(Labels);
  const name = Names[0] ?? Id;
  if (launchId === null) await clearDebris(site, name, () => removeContainer(site.connection, Id));
  else if (isOfLaunch(container, launchId, null)) {
    await clearDebris(site, name, () => steps.clear(launchId, Id));
  } else warnOfCopy(site, container);
}

/** A1, A2. */
function refuseUnknown(site: DockerSite, steps: AdoptionSteps, all: readonly Found[]): void {
  const told = all.flatMap(({ record, finding }) =>
    finding.kind === 'unknown' ? [{ ...record.spec, text: finding.text }] : [],
  );
  const [first] = told;
  if (first === undefined) return;
  if (steps.mayRefuse()) {
    const models = told.map(({ model }) => model).join(', ');
    throw new Error(`Docker does not say how the engine of ${models} is: ${first.text}`);
  }
  for (const { model, launchId, deviceIds, text } of told) {
    site.log(
      'error',
      `the engine of ${model} (launch ${launchId}, devices ${deviceIds.join(', ') || 'none'}) is left alone, because Docker does not say how it is (${text}); it may hold its devices: look at it, and restart the gateway`,
    );
  }
}

/** The record of a launch whose container another Docker may have. */
function warnOfAbsent({ connection, log }: DockerSite, all: readonly Found[]): void {
  const absent = all
    .filter(({ finding }) => finding.kind === 'absent')
    .map(({ record }) => record.spec.model);
  if (absent.length === 0) return;
  log(
    'warn',
    `Docker at ${connection.host} does not have the containers of ${absent.join(', ')} any more; if \`runtime.docker.host\` was another one before, they may still run there and hold their devices`,
  );
}

function warnOfCopy({ log }: DockerSite, { Id, Names }: ContainerInfo): void {
  log(
    'warn',
    `container ${Names[0] ?? Id} has our labels and is not ours (a copy made with \`docker commit\`?): it is left alone`,
  );
}

async function askPatiently(
  site: DockerSite,
  steps: AdoptionSteps,
  record: LaunchRecord,
  containers: readonly ContainerInfo[],
): Promise<Finding> {
  for (let ask = 1; ; ask += 1) {
    try {
      return await askOnce(site, steps, record, containers);
    } catch (error) {
      const { status, text } = faultOf(error);
      if (status === 404) return { kind: 'over' };
      if (ask === ASKS_MAX) return { kind: 'unknown', text };
      await sleep(ASK_PAUSE_MS);
    }
  }
}

/** Rejects where Docker does not answer. */
async function askOnce(
  site: DockerSite,
  steps: AdoptionSteps,
  record: LaunchRecord,
  containers: readonly ContainerInfo[],
): Promise<Finding> {
  const { launchId, model } = record.spec;
  const own = containers.filter((container) => isOfLaunch(container, launchId, record.container));
  const listed = own.find(({ Id }) => Id === record.container) ?? own[0];
  if (listed !== undefined) {
    const container = await inspect(site, listed.Id);
    const handle = await reached(site, steps, record, container);
    if (handle.ok) return { kind: 'runs', ...handle.value };
    if (handle.error !== NOT_RUNNING) {
      site.log('warn', `the engine of ${model} (${container.Name}) is not taken over: ${handle.error}`);
    }
    return { kind: 'over' };
  }
  if (record.container === null) return { kind: 'over' };
  const found = await orAbsent(inspect(site, record.container));
  if (found === null || launchIdIn(found.Config.Labels) !== launchId) return { kind: 'absent' };
  // The very container of our record, with another directory's id: ours if that id was lost and it is reached here.
  const handle = await reached(site, steps, record, found);
  const outcome = handle.ok ? 'is known by its record' : `is left alone (${handle.error})`;
  site.log('warn', `the engine of ${model} (${found.Name}) carries another id than ours, and ${outcome}`);
  return handle.ok ? { kind: 'runs', ...handle.value } : { kind: 'foreign' };
}

async function inspect({ connection }: DockerSite, id: string): Promise<ContainerInspectInfo> {
  return await connection.call((abortSignal) => connection.docker.getContainer(id).inspect({ abortSignal }));
}

/** The error says why it is of no use. */
async function reached(
  site: DockerSite,
  steps: AdoptionSteps,
  record: LaunchRecord,
  found: ContainerInspectInfo,
): Promise<Result<Pick<Extract<Finding, { kind: 'runs' }>, 'container' | 'handle'>, string>> {
  if (!found.State.Running) return failure(NOT_RUNNING);
  let container = found;
  if (found.Config.Labels[REACH_LABEL] === 'network') {
    // Our own container may be a new one, which is not in the launch's network yet.
    await site.networks.join(record.spec.launchId);
    container = await inspect(site, found.Id);
  }
  const handle = steps.handleOf(record, container);
  return handle.ok ? success({ container, handle: handle.value }) : handle;
}

async function orAbsent<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (faultOf(error).status === 404) return null;
    throw error;
  }
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
async function clearPlaces(site: DockerSite, isSpared: (launchId: LaunchId) => boolean): Promise<void> {
  for (const places of [site.networks, site.sockets]) {
    await clearDebris(site, 'some network or socket directory', async () => {
      for (const launchId of await places.list()) {
        if (!isSpared(launchId)) await clearDebris(site, launchId, () => places.remove(launchId));
      }
    });
  }
}

async function listPatiently(site: DockerSite): Promise<readonly ContainerInfo[]> {
  const deadlineMs = performance.now() + LIST_LIMIT_MS;
  for (;;) {
    try {
      return await listOurs(site);
    } catch (error) {
      if (performance.now() >= deadlineMs) throw error;
      await sleep(LIST_RETRY_MS);
    }
  }
}
