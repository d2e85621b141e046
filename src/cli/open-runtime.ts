/** Where engines run, as configured; and the end of those that an earlier gateway ran elsewhere. */
import { join } from 'node:path';
import type { ResolvedConfig } from '../config/resolved-config.ts';
import type { LaunchId } from '../core/ids.ts';
import type { Result } from '../core/result.ts';
import { hubCacheDirectory } from '../readers/hub-access.ts';
import { openProcessRuntime } from '../runtimes/process/process-runtime.ts';
import type { EngineHandle, Runtime } from '../runtimes/runtime.ts';
import type { StateStore } from '../store/state-store.ts';
import type { Log } from '../telemetry/log.ts';
import { markedContainers } from './marked-containers.ts';

/** Between SIGTERM and SIGKILL of engines that run where no engine is to run any more. */
const LEFTOVER_GRACE_MS = 10_000;

export interface RuntimeSetup {
  readonly config: ResolvedConfig;
  readonly store: Pick<StateStore, 'launches' | 'stateId'>;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Log;
}

/** The error is a sentence for the operator. `onForgotten`: told of engines that are ended because no record knows them. */
export async function openRuntime(
  { config, store, environment, log }: RuntimeSetup,
  kind = config.runtime.kind,
  onForgotten: (launchId: LaunchId) => void = () => {},
): Promise<Result<Runtime, string>> {
  const { stateDirectory, outputLimitBytes, docker } = config.runtime;
  const { launches, stateId } = store;
  if (kind === 'process') {
    return openProcessRuntime({
      ...{ stateDirectory, outputLimitBytes, launches, stateId },
      onForgotten(launchId, left) {
        const found = `an engine (launch ${launchId}) carries our mark and is in no record`;
        if (left === null) onForgotten(launchId);
        log('warn', left === null ? `${found}: it is ended` : `${found}, and cannot be ended: ${left}`);
      },
    });
  }
  const { openDockerRuntime } = await import('../runtimes/docker/open-docker-runtime.ts');
  return openDockerRuntime({
    docker,
    socketDirectory: join(stateDirectory, 'c'),
    outputLimitBytes,
    stateId,
    launches,
    hubCache: hubCacheDirectory(environment),
    environment,
    log,
  });
}

/**
 * Engines of the other kind of runtime, from before the configuration changed, are ended: their devices are wanted here. Where
 * that runtime cannot be had they are told of and left.
 */
export async function endEnginesElsewhere(setup: RuntimeSetup): Promise<void> {
  await endEngines(setup, setup.config.runtime.kind === 'process' ? 'docker' : 'process');
}

export interface EndedEngines {
  /** False: something is left, or nobody knows. */
  readonly isClean: boolean;
  /** Engines that are ended now; those that no record knew, among them, by their launch. */
  readonly ended: number;
  readonly forgotten: ReadonlySet<LaunchId>;
}

const NOTHING: EndedEngines = { isClean: true, ended: 0, forgotten: new Set() };

/** Ends the engines of one kind of runtime: those on record, and those that carry our mark and are on none. */
export async function endEngines(
  setup: RuntimeSetup,
  kind: ResolvedConfig['runtime']['kind'],
): Promise<EndedEngines> {
  const { config, store, log } = setup;
  const { records } = await store.launches.list();
  const count = records.filter(({ runtime }) => runtime === kind).length;
  const isWanted =
    kind === 'process' ||
    config.runtime.kind === kind ||
    count > 0 ||
    (await markedContainers(config.runtime.docker.host, store.stateId)) > 0;
  if (!isWanted) return NOTHING;
  const forgotten = new Set<LaunchId>();
  const opened = await openRuntime(setup, kind, (launchId) => forgotten.add(launchId));
  const what = count === 0 ? 'engines' : `${count} engine(s)`;
  if (!opened.ok) {
    log('error', `${what} of an earlier gateway (runtime ${kind}) cannot be ended: ${opened.error}`);
    return { ...NOTHING, isClean: false };
  }
  const runtime = opened.value;
  try {
    const adopted = await runtime.adopt(() => ({ line: () => {}, exited: () => {} }));
    const ends = await Promise.all(adopted.map(({ handle }) => ended(runtime, handle, log)));
    const isClean = ends.every((isGone) => isGone);
    return { isClean, ended: ends.filter((isGone) => isGone).length + forgotten.size, forgotten };
  } catch (error) {
    log('error', `${what} of an earlier gateway (runtime ${kind}) cannot be found: ${String(error)}`);
    return { isClean: false, ended: forgotten.size, forgotten };
  } finally {
    await runtime.close();
  }
}

async function ended(runtime: Runtime, handle: EngineHandle, log: Log): Promise<boolean> {
  const { model, reference } = handle;
  const end = await runtime.stop(handle, LEFTOVER_GRACE_MS);
  if (end.kind === 'gone') log('info', `engine of ${model} (${reference}) is ended`);
  else log('error', `of the engine of ${model} (${reference}) something is left: ${end.detail}`);
  return end.kind === 'gone';
}
