/** Where engines run, as configured; and the end of those that an earlier gateway ran elsewhere. */
import { join } from 'node:path';
import type { ResolvedConfig } from '../config/resolved-config.ts';
import type { Result } from '../core/result.ts';
import { huggingFaceHome } from '../readers/hub-access.ts';
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
    environment,
    log,
  });
}

/**
 * Engines of the other kind of runtime, from before the configuration changed, are ended: their devices are wanted here. Where
 * that runtime cannot be had they are told of and left.
 */
export async function endEnginesElsewhere(setup: RuntimeSetup): Promise<void> {
  const { config, store, log } = setup;
  const other = config.runtime.kind === 'process' ? 'docker' : 'process';
  const { records } = await store.launches.list();
  const count = records.filter(({ runtime }) => runtime === other).length;
  if (count === 0) return;
  const opened = await openRuntime(setup, other);
  if (!opened.ok) {
    log(
      'error',
      `${count} engine(s) of an earlier gateway (runtime ${other}) cannot be ended: ${opened.error}`,
    );
    return;
  }
  const adopted = await opened.value.adopt(() => ({ line: () => {}, exited: () => {} }));
  log('info', `${adopted.length} engine(s) of an earlier gateway (runtime ${other}) are ended`);
  const ends = adopted.map(({ handle }) => opened.value.stop(handle, LEFTOVER_GRACE_MS));
  for (const end of await Promise.all(ends))
    if (end.kind === 'left')
      log('error', `of an engine of runtime ${other} something is left: ${end.detail}`);
  await opened.value.close();
}
