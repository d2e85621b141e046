/** Where engines run, as configured; and the end of those that an earlier gateway ran elsewhere. */
import { join } from 'node:path';
import type { ResolvedConfig } from '../config/resolved-config.ts';
import type { Result } from '../core/result.ts';
import { hubCacheDirectory, huggingFaceHome } from '../readers/hub-access.ts';
import { openProcessRuntime } from '../runtimes/process/process-runtime.ts';
import type { Runtime } from '../runtimes/runtime.ts';
import type { StateStore } from '../store/state-store.ts';
import type { Log } from '../telemetry/log.ts';

/** Between SIGTERM and SIGKILL of engines that run where no engine is to run any more. */
const LEFTOVER_GRACE_MS = 10_000;

export interface RuntimeSetup {
  readonly config: ResolvedConfig;
  readonly store: Pick<StateStore, 'launches' | 'stateId'>;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Log;
}

/** The error is a sentence for the operator. */
export async function openRuntime(
  { config, store, environment, log }: RuntimeSetup,
  kind = config.runtime.kind,
): Promise<Result<Runtime, string>> {
  const { stateDirectory, outputLimitBytes, docker } = config.runtime;
  const { launches, stateId } = store;
  if (kind === 'process') return openProcessRuntime({ stateDirectory, outputLimitBytes, launches, stateId });
  const { openDockerRuntime } = await import('../runtimes/docker/open-docker-runtime.ts');
  return openDockerRuntime({
    docker,
    socketDirectory: join(stateDirectory, 'c'),
    outputLimitBytes,
    stateId,
    launches,
    huggingFaceHome: huggingFaceHome(environment),
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

/** Ends the engines on record of one kind of runtime. False: something is left. */
export async function endEngines(
  setup: RuntimeSetup,
  kind: ResolvedConfig['runtime']['kind'],
): Promise<boolean> {
  const { store, log } = setup;
  const { records } = await store.launches.list();
  const count = records.filter(({ runtime }) => runtime === kind).length;
  if (count === 0) return true;
  const opened = await openRuntime(setup, kind);
  if (!opened.ok) {
    log(
      'error',
      `${count} engine(s) of an earlier gateway (runtime ${kind}) cannot be ended: ${opened.error}`,
    );
    return false;
  }
  const runtime = opened.value;
  const adopted = await runtime
    .adopt(() => ({ line: () => {}, exited: () => {} }))
    .catch((error: unknown) => {
      log('error', `engines of an earlier gateway (runtime ${kind}) cannot be found: ${String(error)}`);
      return null;
    });
  if (adopted === null) {
    await runtime.close();
    return false;
  }
  const ends = await Promise.all(
    adopted.map(async ({ handle }) => {
      const end = await runtime.stop(handle, LEFTOVER_GRACE_MS);
      if (end.kind === 'gone') log('info', `engine of ${handle.model} (${handle.reference}) is ended`);
      else
        log(
          'error',
          `of the engine of ${handle.model} (${handle.reference}) something is left: ${end.detail}`,
        );
      return end.kind === 'gone';
    }),
  );
  await runtime.close();
  return ends.every((isGone) => isGone);
}
