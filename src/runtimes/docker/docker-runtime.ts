/**
 * Engines as containers of one Docker. They outlive us because they are Docker's; they are ours again by their labels and
 * by a record on disk. Keeps R1-R6 of runtime.ts; R2 by Docker's own bounded log files.
 *
 *  1. A launch is known to the disk before Docker knows it, and forgotten only when no container of it is left.
 *  2. `exited` is delivered after `launch` has resolved and after the rest of the output.
 *  3. A stop that has resolved has delivered `exited` before.
 *  4. While Docker is away nothing is concluded: what ended meanwhile is told when it is back.
 */
import type { ContainerInspectInfo } from 'dockerode';
import { assert } from '../../core/assert.ts';
import type { LaunchId } from '../../core/ids.ts';
import { LAUNCH_ID } from '../../core/ids.ts';
import type { ListenAddress } from '../../engines/engine.ts';
import type { LaunchRecord } from '../../store/launch-records.ts';
import type {
  AdoptedEngine,
  EngineHandle,
  LaunchObserver,
  LaunchResult,
  LaunchSpec,
  LaunchStage,
  Preparation,
  PrepareOptions,
  Runtime,
  RuntimeCapabilities,
  StopResult,
} from '../runtime.ts';
import { adoptContainers } from './adoption.ts';
import { endContainer } from './container-end.ts';
import { exitOf, REMOVED_EXIT } from './container-exit.ts';
import type { ContainerStarter, StartResult } from './container-start.ts';
import { createContainerStarter } from './container-start.ts';
import type { DaemonWatch } from './daemon-watch.ts';
import { watchDaemon } from './daemon-watch.ts';
import { faultOf } from './docker-fault.ts';
import type { DockerSite } from './docker-site.ts';
import { handleOf } from './engine-handle.ts';
import { containerOf, processesOf } from './host-processes.ts';
import type { Images } from './images.ts';
import { createImages } from './images.ts';
import { clearLaunch } from './launch-clearing.ts';
import type { LaunchFailure } from './launch-failure.ts';
import type { Leftovers } from './leftovers.ts';
import { createLeftovers } from './leftovers.ts';
import { containerName } from './marks.ts';
import { openSocket } from './socket-opener.ts';
import type { WatchedContainer } from './watched-container.ts';
import { createWatchedContainer } from './watched-container.ts';

/** Adoptions that may be refused because Docker does not say how some engine is, before it is left alone. */
const UNSURE_ADOPTIONS_MAX = 3;

export function createDockerRuntime(site: DockerSite): Runtime {
  return new DockerRuntime(site);
}

class DockerRuntime implements Runtime {
  readonly kind = 'docker';
  readonly capabilities: RuntimeCapabilities;
  readonly #site: DockerSite;
  readonly #images: Images;
  readonly #starter: ContainerStarter;
  readonly #watch: DaemonWatch;
  readonly #launches = new Map<LaunchId, WatchedContainer>();
  readonly #byContainer = new Map<string, WatchedContainer>();
  /** Being made: an adoption at the same time takes nothing of theirs for debris. */
  readonly #launching = new Set<LaunchId>();
  readonly #leftovers: Leftovers;
  readonly #closed = new AbortController();
  #unsureAdoptions = 0;

  constructor(site: DockerSite) {
    this.#site = site;
    const { reach, connection, config, environment, stateId, log } = site;
    this.capabilities = {
      unixSockets: reach.unix !== null,
      survivesUs: true,
      sharesHost: false,
      isPrivate: reach.tcp !== 'port',
      exposure: reach.exposure,
    };
    this.#leftovers = createLeftovers(log);
    this.#images = createImages(connection, config.pull, environment, this.#closed.signal, log);
    this.#starter = createContainerStarter(site, this.#images);
    this.#watch = watchDaemon({
      connection,
      stateId,
      log,
      onEnded: (containerId) => void this.#lookAt(this.#byContainer.get(containerId), false),
      onUp: (afterOutage) => {
        this.#lookAtAll(afterOutage);
        this.#leftovers.tryAgain();
      },
      onPing: () => this.#lookAtAll(false),
    });
  }

  async address(launchId: LaunchId, kind: 'unix' | 'tcp'): Promise<ListenAddress> {
    assert(LAUNCH_ID.test(launchId), `launch id ${launchId}`);
    const { reach, sockets, config } = this.#site;
    if (reach.unix !== null && (kind === 'unix' || reach.tcp === null)) {
      return { kind: 'unix', socketPath: sockets.innerPath(launchId) };
    }
    const { port } = config;
    // All of its container's addresses: which ones it has is not known yet.
    if (reach.tcp === 'network') return { kind: 'tcp', host: '0.0.0.0', port, isPrivate: true };
    return { kind: 'tcp', host: '0.0.0.0', port };
  }

  /** An address is a place inside of a container that is not there yet: nothing is held. */
  releaseAddress(_launchId: LaunchId): void {}

  async prepare(image: string | null, options: PrepareOptions): Promise<Preparation> {
    const prepared = await this.#images.prepare(image ?? this.#site.config.image, options);
    if (prepared.kind === 'present') return { kind: 'ready' };
    const cause = prepared.cause === 'image_missing' ? 'image_missing' : 'resources';
    return { kind: 'failed', cause, detail: prepared.detail };
  }

  async launch(spec: LaunchSpec, observer: LaunchObserver): Promise<LaunchResult> {
    assert(!this.#closed.signal.aborted, 'launch after close');
    assert(LAUNCH_ID.test(spec.launchId), `launch id ${spec.launchId}`);
    const { launchId } = spec;
    assert(!this.#launches.has(launchId) && !this.#launching.has(launchId), `launch ${launchId} exists`);
    this.#launching.add(launchId);
    try {
      return await this.#launch(spec, observer);
    } finally {
      this.#launching.delete(launchId);
    }
  }

  async #launch(spec: LaunchSpec, observer: LaunchObserver): Promise<LaunchResult> {
    let record: LaunchRecord = {
      spec,
      runtime: 'docker',
      stage: { kind: 'starting' },
      outputFile: null,
      startedWallMs: Date.now(),
      process: null,
      container: null,
    };
    try {
      await this.#site.records.save(record);
    } catch (error) {
      return { kind: 'failed', cause: 'resources', detail: `no launch record: ${faultOf(error).text}` };
    }
    let mayRun = false;
    const started = await this.#starter.start(spec, {
      created: async (container) => {
        record = { ...record, container };
        await this.#site.records.save(record);
      },
      starting: () => {
        mayRun = true;
      },
    });
    if (started.kind === 'failed') return await this.#startFailed(record, started, mayRun, observer);
    // It runs and is on record: the next gateway goes on with it.
    if (this.#closed.signal.aborted)
      return { kind: 'failed', cause: 'resources', detail: 'the gateway ends' };
    const handle = handleOf(record, started.container, this.#reachableAs(spec.launchId));
    if (!handle.ok) {
      const detail = `the engine cannot be reached: ${handle.error}`;
      const failure: LaunchFailure = { kind: 'failed', cause: 'resources', detail };
      return await this.#startFailed(record, { kind: 'failed', failure, isUncertain: false }, true, observer);
    }
    this.#begin(record, started.container, handle.value, observer, 'start');
    return { kind: 'launched', handle: handle.value };
  }

  #begin(
    record: LaunchRecord,
    container: ContainerInspectInfo,
    handle: EngineHandle,
    observer: LaunchObserver,
    from: 'start' | 'end',
  ): void {
    const { connection } = this.#site;
    const { Id: containerId, State } = container;
    const watched = createWatchedContainer({
      connection,
      containerId,
      record,
      handle,
      pid: State.Pid,
      observer,
    });
    this.#launches.set(record.spec.launchId, watched);
    this.#byContainer.set(containerId, watched);
    if (!State.Running) watched.hasExited(exitOf(State, false));
    watched.follow(from);
    void this.#openSocketOf(watched);
    // Its end may have been told between the look at it and now.
    if (State.Running) void this.#lookAt(watched, false);
  }

  async #openSocketOf(watched: WatchedContainer): Promise<void> {
    const { connection, opensSockets, sockets, log } = this.#site;
    const { handle, containerId } = watched;
    if (!opensSockets || handle.listen.kind !== 'unix') return;
    const over = new AbortController();
    void watched.exited.then(() => over.abort());
    const failed = await openSocket(connection, {
      containerId,
      socketPath: handle.listen.socketPath,
      innerPath: sockets.innerPath(handle.launchId),
      signal: AbortSignal.any([over.signal, this.#closed.signal]),
    });
    if (failed === null) return;
    log(
      'error',
      `the socket of ${handle.model} cannot be opened to us (${failed}): set \`runtime.docker.user\` to ${process.getuid?.()}, or \`runtime.docker.reach\` to \`network\``,
    );
  }

  /**
   * Nothing of it ran, or must. Where something may run and cannot be ended, it is told as launched and ended at once: its
   * devices are then given to nobody before a stop has verified that it is gone.
   */
  async #startFailed(
    record: LaunchRecord,
    { failure, isUncertain }: Extract<StartResult, { readonly kind: 'failed' }>,
    mayRun: boolean,
    observer: LaunchObserver,
  ): Promise<LaunchResult> {
    const { launchId, model } = record.spec;
    const { container: containerId } = record;
    const clear = (): Promise<void> => this.#clear(launchId, containerId);
    const what = `what is left of launch ${launchId} of ${model}`;
    try {
      await clear();
      // Its container may be made yet, and never started.
      if (isUncertain && !mayRun) this.#leftovers.keep(what, clear);
      return failure;
    } catch (error) {
      const { text } = faultOf(error);
      if (!mayRun || containerId === null) {
        this.#site.log('warn', `launch ${launchId} of ${model} has failed and left something: ${text}`);
        this.#leftovers.keep(what, clear);
        return failure;
      }
      const detail = `its start failed and it may run all the same, because Docker could not end it (${text}): ${failure.detail}`;
      return { kind: 'launched', handle: this.#beginEnded(record, containerId, detail, observer) };
    }
  }

  #beginEnded(
    record: LaunchRecord,
    containerId: string,
    detail: string,
    observer: LaunchObserver,
  ): EngineHandle {
    const { connection, config } = this.#site;
    const { launchId, model, listen } = record.spec;
    const handle: EngineHandle = {
      launchId,
      model,
      listen,
      authorization: null,
      reference: `container ${containerName(config.containerPrefix, model, launchId)}`,
      outputFile: null,
      startedWallMs: record.startedWallMs,
    };
    const watched = createWatchedContainer({ connection, containerId, record, handle, pid: 0, observer });
    this.#launches.set(launchId, watched);
    this.#byContainer.set(containerId, watched);
    watched.hasExited({ code: null, signal: null, unknownBecause: detail });
    watched.follow('start');
    return handle;
  }

  #clear(launchId: LaunchId, containerId: string | null): Promise<void> {
    return clearLaunch(this.#site, this.#leftovers, launchId, containerId);
  }

  #lookAtAll(afterOutage: boolean): void {
    for (const watched of this.#launches.values()) void this.#lookAt(watched, afterOutage);
  }

  /** What Docker says of it now. An answer that does not come concludes nothing: it is asked again with the next ping. */
  async #lookAt(watched: WatchedContainer | undefined, afterOutage: boolean): Promise<void> {
    if (watched === undefined || watched.exit() !== null) return;
    const { docker, call } = this.#site.connection;
    try {
      const { State } = await call((abortSignal) =>
        docker.getContainer(watched.containerId).inspect({ abortSignal }),
      );
      if (State.Running) watched.pid = State.Pid;
      else watched.hasExited(exitOf(State, afterOutage));
    } catch (error) {
      if (faultOf(error).status === 404) watched.hasExited(REMOVED_EXIT);
    }
  }

  async note(handle: EngineHandle, stage: LaunchStage): Promise<void> {
    if (!this.#launches.has(handle.launchId)) return;
    try {
      await this.#site.records.setStage(handle.launchId, stage);
    } catch (error) {
      this.#site.log('warn', `${stage.kind} of ${handle.model} could not be kept: ${faultOf(error).text}`);
    }
  }

  stop(handle: EngineHandle, graceMs: number): Promise<StopResult> {
    const watched = this.#launches.get(handle.launchId);
    if (watched === undefined) return Promise.resolve({ kind: 'gone', tookMs: 0, forced: false });
    return watched.joinStop((hurry) => this.#end(watched, graceMs, hurry));
  }

  kill(handle: EngineHandle): Promise<StopResult> {
    this.#launches.get(handle.launchId)?.hurryStop();
    return this.stop(handle, 0);
  }

  /** R3. */
  async #end(watched: WatchedContainer, graceMs: number, hurry: AbortSignal): Promise<StopResult> {
    const startedMs = performance.now();
    await this.note(watched.handle, { kind: 'stopping' });
    const ending = {
      containerId: watched.containerId,
      isRunning: () => watched.exit() === null,
      exited: watched.exited,
      hasState: (state: ContainerInspectInfo['State'] | null) => {
        if (state === null) watched.hasExited(REMOVED_EXIT);
        else if (!state.Running) watched.hasExited(exitOf(state, false));
      },
    };
    const { left, forced } = await endContainer(this.#site.connection, ending, graceMs, hurry);
    if (left !== null) return { kind: 'left', detail: left };
    await watched.delivered;
    try {
      await this.#clear(watched.record.spec.launchId, watched.containerId);
    } catch (error) {
      return { kind: 'left', detail: `its container cannot be removed: ${faultOf(error).text}` };
    }
    this.#launches.delete(watched.record.spec.launchId);
    this.#byContainer.delete(watched.containerId);
    return { kind: 'gone', tookMs: performance.now() - startedMs, forced };
  }

  async adopt(observerFor: (engine: AdoptedEngine) => LaunchObserver): Promise<readonly AdoptedEngine[]> {
    return await adoptContainers(this.#site, {
      isKnown: (launchId) => this.#launches.has(launchId) || this.#launching.has(launchId),
      mayRefuse: () => ++this.#unsureAdoptions <= UNSURE_ADOPTIONS_MAX,
      clear: (launchId, containerId) => this.#clear(launchId, containerId),
      handleOf: (record, container) => handleOf(record, container, this.#reachableAs(record.spec.launchId)),
      begin: (engine, record, container) => {
        // How far a start has come stands in its output; of one that serves, what it said before is no news.
        const from = record.stage.kind === 'starting' ? 'start' : 'end';
        this.#begin(record, container, engine.handle, observerFor(engine), from);
      },
    });
  }

  #reachableAs(launchId: LaunchId) {
    const { sockets, toSource } = this.#site;
    const socketPath = sockets.socketPath(launchId);
    const source = toSource(sockets.directoryOf(launchId));
    return { socketPath, socketSource: source.ok ? source.value : null };
  }

  ownerOf(pid: number): LaunchId | null {
    const id = containerOf(pid, new Set(this.#byContainer.keys()));
    return id === null ? null : (this.#byContainer.get(id)?.record.spec.launchId ?? null);
  }

  async processes(): Promise<ReadonlyMap<LaunchId, readonly number[]>> {
    const found = new Map<LaunchId, readonly number[]>();
    for (const [launchId, watched] of this.#launches) {
      const pids = await processesOf(watched.containerId, watched.pid);
      if (pids.length > 0) found.set(launchId, pids);
    }
    return found;
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    this.#watch.close();
    this.#leftovers.close();
    for (const watched of this.#launches.values()) watched.abandon();
    this.#launches.clear();
    this.#byContainer.clear();
  }
}
