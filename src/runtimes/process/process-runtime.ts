/**
 * Engines as processes of this host. What makes them outlive us: a session of their own, output to a file, and a record
 * on disk. What makes them ours again: pid, start time and launch id together. Keeps R1-R4 of runtime.ts.
 *
 *  1. A launch is known to the disk before the kernel knows it, and forgotten only when nothing of it is left.
 *  2. `exited` is delivered after `launch` has resolved and after the rest of the output.
 *  3. A stop that has resolved has delivered `exited` before.
 */
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { assert } from '../../core/assert.ts';
import type { LaunchId } from '../../core/ids.ts';
import { LAUNCH_ID } from '../../core/ids.ts';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';
import type { LaunchRecord, LaunchRecords, ProcessIdentity } from '../../store/launch-records.ts';
import type {
  AdoptedEngine,
  EngineHandle,
  LaunchObserver,
  LaunchResult,
  LaunchSpec,
  LaunchStage,
  Preparation,
  Runtime,
  RuntimeCapabilities,
  StopResult,
} from '../runtime.ts';
import { createFreePorts, LOOPBACK_HOST } from './free-port.ts';
import type { ProcessTable } from './process-table.ts';
import { LAUNCH_ID_VARIABLE, openProcessTable, STATE_ID_VARIABLE } from './process-table.ts';
import { type SpawnResult, spawnDetached } from './spawn.ts';
import type { StateDirectory } from './state-directory.ts';
import { openStateDirectory } from './state-directory.ts';
import { gatherSurvival, judgeSurvival } from './survival.ts';
import { terminate } from './termination.ts';
import type { WatchedLaunch } from './watched-launch.ts';
import { createWatchedLaunch, handleOf } from './watched-launch.ts';

/** A note that a disk does not take in this time is given up: nobody's stop waits for it. */
const NOTE_MS_MAX = 5_000;

const EXPOSURE =
  'an engine that listens on a TCP port of this host is open to all of its users, and so would be its development routes: let it listen on a Unix socket (`{socket}` in its `command`)';

export interface ProcessRuntimeOptions {
  /** Made if missing, private to this user. Its lock is held by whoever opens the runtime. */
  readonly stateDirectory: string;
  /** Id of that directory: what carries it, and no other process, is ours. */
  readonly stateId: string;
  /** Where launches are kept; may hold those of other runtimes too, which are left alone. */
  readonly launches: LaunchRecords;
  readonly outputLimitBytes: number;
  /**
   * Told of each launch that was ended because no record knows it (any more). `left` says what could not be ended and is tried
   * again by the next gateway; null: nothing.
   */
  readonly onForgotten?: (launchId: LaunchId, left: string | null) => void;
}

/** The error is a sentence for the operator: why the directory cannot be used. */
export async function openProcessRuntime(options: ProcessRuntimeOptions): Promise<Result<Runtime, string>> {
  const table = openProcessTable('/proc', options.stateId);
  try {
    const directory = await openStateDirectory(options.stateDirectory);
    return success(new ProcessRuntime(table, directory, options));
  } catch (error) {
    return failure(`the state directory cannot be used: ${messageOf(error)}`);
  }
}

class ProcessRuntime implements Runtime {
  readonly kind = 'process';
  readonly capabilities: RuntimeCapabilities;
  readonly #table: ProcessTable;
  readonly #directory: StateDirectory;
  readonly #stateId: string;
  readonly #records: LaunchRecords;
  readonly #outputLimitBytes: number;
  readonly #onForgotten: NonNullable<ProcessRuntimeOptions['onForgotten']>;
  readonly #ports = createFreePorts();
  readonly #launches = new Map<LaunchId, WatchedLaunch>();
  /** Launches that have begun and are not watched yet. */
  readonly #beginning = new Set<Promise<LaunchResult>>();
  #closed = false;

  constructor(table: ProcessTable, directory: StateDirectory, options: ProcessRuntimeOptions) {
    this.#table = table;
    this.#directory = directory;
    this.#stateId = options.stateId;
    this.#records = options.launches;
    this.#outputLimitBytes = options.outputLimitBytes;
    this.#onForgotten = options.onForgotten ?? (() => undefined);
    this.capabilities = {
      unixSockets: process.platform !== 'win32',
      survivesUs: judgeSurvival(gatherSurvival(table.bootId !== null)).survivesUs,
      sharesHost: true,
      isPrivate: false,
      exposure: EXPOSURE,
    };
  }

  async address(launchId: LaunchId, kind: 'unix' | 'tcp') {
    assert(LAUNCH_ID.test(launchId), `launch id ${launchId}`);
    if (kind === 'unix') return { kind, socketPath: this.#directory.socketPath(launchId) } as const;
    return { kind, host: LOOPBACK_HOST, port: await this.#ports.take(launchId) } as const;
  }

  releaseAddress(launchId: LaunchId): void {
    this.#ports.give(launchId);
  }

  /** Processes need no image: what is named for containers is no fault here. */
  prepare(): Promise<Preparation> {
    return Promise.resolve({ kind: 'ready' });
  }

  async launch(spec: LaunchSpec, observer: LaunchObserver): Promise<LaunchResult> {
    assert(!this.#closed, 'launch after close');
    assert(LAUNCH_ID.test(spec.launchId), `launch id ${spec.launchId}`);
    assert(!this.#launches.has(spec.launchId), `launch ${spec.launchId} exists`);
    const launching = this.#launch(spec, observer);
    this.#beginning.add(launching);
    try {
      return await launching;
    } finally {
      this.#beginning.delete(launching);
    }
  }

  async #launch(spec: LaunchSpec, observer: LaunchObserver): Promise<LaunchResult> {
    const outputFile = this.#directory.outputPath(spec.launchId);
    const { environment: _, ...kept } = spec;
    const record: LaunchRecord = {
      spec: kept,
      runtime: this.kind,
      stage: { kind: 'starting' },
      outputFile,
      startedWallMs: Date.now(),
      process: null,
      container: null,
    };
    try {
      await this.#removeSocket(spec);
      await this.#records.save(record);
    } catch (error) {
      this.#ports.give(spec.launchId);
      return { kind: 'failed', cause: 'resources', detail: `no launch record: ${messageOf(error)}` };
    }
    const watched = createWatchedLaunch(this.#table, record, observer);
    if (this.#closed) {
      await this.#forget(watched);
      return { kind: 'failed', cause: 'resources', detail: 'the gateway ends' };
    }
    return await this.#spawn(spec, outputFile, watched);
  }

  async #spawn(spec: LaunchSpec, outputFile: string, watched: WatchedLaunch): Promise<LaunchResult> {
    const environment = {
      ...spec.environment,
      [LAUNCH_ID_VARIABLE]: spec.launchId,
      [STATE_ID_VARIABLE]: this.#stateId,
    };
    const spawned = await this.#spawnOrFail(spec.argv, environment, outputFile, (child, pid) =>
      watched.ownsChild(child, identityOf(this.#table, pid)),
    );
    if (spawned.kind === 'failed') {
      await rm(outputFile, { force: true });
      await this.#forget(watched);
      return spawned;
    }
    this.#launches.set(spec.launchId, watched);
    try {
      await this.#records.save(watched.record());
      await watched.follow('start', this.#outputLimitBytes);
    } catch (error) {
      // An engine that the next gateway could not find must not run.
      await this.kill(watched.handle());
      return { kind: 'failed', cause: 'resources', detail: messageOf(error) };
    }
    return { kind: 'launched', handle: watched.handle() };
  }

  /** An output file that cannot be opened is a failure like any other. */
  async #spawnOrFail(...of: Parameters<typeof spawnDetached>): Promise<SpawnResult> {
    try {
      return await spawnDetached(...of);
    } catch (error) {
      return { kind: 'failed', cause: 'resources', detail: messageOf(error) };
    }
  }

  async note(handle: EngineHandle, stage: LaunchStage): Promise<void> {
    const watched = this.#launches.get(handle.launchId);
    if (watched === undefined) return;
    watched.setStage(stage);
    const limit = new AbortController();
    const kept = this.#records.setStage(handle.launchId, stage).catch(() => undefined);
    await Promise.race([
      kept,
      sleep(NOTE_MS_MAX, undefined, { signal: limit.signal }).catch(() => undefined),
    ]);
    limit.abort();
  }

  stop(handle: EngineHandle, graceMs: number): Promise<StopResult> {
    const watched = this.#launches.get(handle.launchId);
    if (watched === undefined) return Promise.resolve({ kind: 'gone', tookMs: 0, forced: false });
    return watched.joinStop((hurry) => this.#end(watched, graceMs, hurry));
  }

  kill(handle: EngineHandle): Promise<StopResult> {
    const watched = this.#launches.get(handle.launchId);
    watched?.hurryStop();
    return this.stop(handle, 0);
  }

  ownerOf(pid: number): LaunchId | null {
    const facts = this.#table.facts(pid);
    if (facts === null) return null;
    for (const [launchId, watched] of this.#launches) {
      const { leader } = watched.mark();
      const inSession =
        leader?.startTicks != null &&
        (facts.sessionId === leader.pid || facts.groupId === leader.pid) &&
        BigInt(facts.startTicks) >= BigInt(leader.startTicks);
      if (inSession || this.#table.carriesNow(pid, launchId) === 'yes') return launchId;
    }
    return null;
  }

  async processes(): Promise<ReadonlyMap<LaunchId, readonly number[]>> {
    const marks = [...this.#launches.values()].map((watched) => watched.mark());
    const found = await this.#table.families(marks);
    return new Map(marks.flatMap(({ launchId }, at) => pidsOf(launchId, found[at] ?? [])));
  }

  /** R3. */
  async #end(watched: WatchedLaunch, graceMs: number, hurry: AbortSignal): Promise<StopResult> {
    const startedMs = performance.now();
    // R5. A stop that was noted before need not be noted again: it is being finished, or was asked for twice.
    if (watched.record().stage.kind !== 'stopping') await this.note(watched.handle(), { kind: 'stopping' });
    const { left, forced } = await terminate(this.#table, watched.mark(), graceMs, hurry);
    if (left !== null) return { kind: 'left', detail: left };
    await watched.ended();
    this.#launches.delete(watched.handle().launchId);
    try {
      await this.#forget(watched);
    } catch (error) {
      return { kind: 'left', detail: `its files cannot be removed: ${messageOf(error)}` };
    }
    return { kind: 'gone', tookMs: performance.now() - startedMs, forced };
  }

  async #forget(watched: WatchedLaunch): Promise<void> {
    const { spec } = watched.record();
    await this.#removeSocket(spec);
    await this.#records.remove(spec.launchId);
    this.#ports.give(spec.launchId);
  }

  async #removeSocket({ listen }: Pick<LaunchSpec, 'listen'>): Promise<void> {
    if (listen.kind === 'unix') await rm(listen.socketPath, { force: true });
  }

  async adopt(observerFor: (engine: AdoptedEngine) => LaunchObserver): Promise<readonly AdoptedEngine[]> {
    // Before the records: a launch that begins meanwhile is recorded before any process of it can be seen.
    const marked = await this.#table.marked();
    const { records, unreadable } = await this.#records.list();
    const adopted: AdoptedEngine[] = [];
    const debris: Promise<unknown>[] = [];
    for (const record of records) {
      if (record.runtime !== this.kind || this.#launches.has(record.spec.launchId)) continue;
      const engine = (await this.#isOurs(record)) ? await this.#takeOver(record, observerFor) : null;
      if (engine !== null) adopted.push(engine);
      else debris.push(this.#clear(record.spec.launchId, record));
    }
    const known = new Set([...records.map(({ spec }) => spec.launchId), ...unreadable]);
    // A torn database forgets launches; the mark of their processes does not.
    const forgotten = [...marked].filter((launchId) => !known.has(launchId) && !this.#launches.has(launchId));
    const ends = [...forgotten, ...unreadable].map(async (launchId) => {
      const left = await this.#clear(launchId, null);
      if (marked.has(launchId)) this.#onForgotten(launchId, left);
    });
    await Promise.all([...debris, ...ends]);
    // Tidying only: engines that were found must not be lost for it.
    await this.#removeStraySockets().catch(() => undefined);
    await this.#directory.pruneOutputs(new Set(this.#launches.keys())).catch(() => undefined);
    return adopted;
  }

  async #isOurs({ process: identity, spec }: LaunchRecord): Promise<boolean> {
    return (
      identity !== null &&
      // Without /proc an engine of an earlier gateway cannot be told from a stranger with its pid.
      this.#table.bootId !== null &&
      this.#table.isAlive(identity) &&
      (await this.#table.carries(identity.pid, spec.launchId)) !== 'no'
    );
  }

  /** Null when its output cannot be followed: an engine that we cannot watch is not kept. */
  async #takeOver(
    record: LaunchRecord,
    observerFor: (engine: AdoptedEngine) => LaunchObserver,
  ): Promise<AdoptedEngine | null> {
    const spec: LaunchSpec = { ...record.spec, environment: {} };
    const engine = { handle: handleOf(record), spec, stage: record.stage };
    const watched = createWatchedLaunch(this.#table, record, observerFor(engine));
    try {
      // How far a start has come stands in its output; of one that serves, what it said before is no news.
      await watched.follow(record.stage.kind === 'starting' ? 'start' : 'end', this.#outputLimitBytes);
    } catch {
      return null;
    }
    watched.watchesStranger();
    this.#launches.set(spec.launchId, watched);
    return engine;
  }

  /**
   * What is left of a launch that is not worth keeping: processes that carry its id, its socket, its record. Answers what could
   * not be ended.
   */
  async #clear(launchId: LaunchId, record: LaunchRecord | null): Promise<string | null> {
    const identity = record?.process ?? null;
    // A process that has the leader's pid and time but surely not its id is a stranger: nothing is concluded from it.
    const leader =
      identity !== null && (await this.#table.carries(identity.pid, launchId)) === 'no' ? null : identity;
    const mark = { launchId, leader, watched: false };
    const { left } = await terminate(this.#table, mark, 0, new AbortController().signal);
    // What cannot be killed now is tried again by the next gateway.
    if (left !== null) return left;
    if (record !== null) await this.#removeSocket(record.spec);
    await this.#records.remove(launchId);
    return null;
  }

  async #removeStraySockets(): Promise<void> {
    for (const launchId of await this.#directory.socketOwners()) {
      if (!this.#launches.has(launchId)) await rm(this.#directory.socketPath(launchId), { force: true });
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // Whoever is left watching would keep this process from ending. Each has limits of its own.
    await Promise.allSettled(this.#beginning);
    await Promise.all([...this.#launches.values()].map((watched) => watched.abandon()));
    this.#launches.clear();
  }
}

function pidsOf(
  launchId: LaunchId,
  processes: readonly ProcessIdentity[],
): (readonly [LaunchId, readonly number[]])[] {
  return processes.length === 0 ? [] : [[launchId, processes.map(({ pid }) => pid)]];
}

function identityOf(table: ProcessTable, pid: number): ProcessIdentity {
  return { pid, startTicks: table.facts(pid)?.startTicks ?? null, bootId: table.bootId };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
