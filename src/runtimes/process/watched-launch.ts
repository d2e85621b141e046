/**
 * One launch while this gateway watches it: its output, its exit, its stop. Invariants 2 and 3 of process-runtime.ts
 * are kept here.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { assert } from '../../core/assert.ts';
import type { ExitStatus } from '../../engines/engine.ts';
import type { LaunchRecord, ProcessIdentity } from '../../store/launch-records.ts';
import { JoinedStop } from '../joined-stop.ts';
import type { EngineHandle, LaunchObserver, LaunchStage, StopResult } from '../runtime.ts';
import type { OutputTail } from './output-tail.ts';
import { openOutputTail } from './output-tail.ts';
import type { LaunchMark, ProcessTable } from './process-table.ts';

/** A process that is not our child is looked at this often. */
const EXIT_POLL_MS = 300;

/** How long after its leader's exit a session number surely has not passed to somebody else. */
const SESSION_TRUST_MS = 10_000;

/** With less on the disk of its output, an engine's last lines are probably lost. */
const OUTPUT_ROOM_BYTES = 16 * 1024;
const DISK_LOOK_LIMIT_MS = 1_000;

/** A disk that hangs keeps an engine's last words for itself, and must not keep its end from being told. */
const OUTPUT_REST_LIMIT_MS = 5_000;

/** Only a parent is told how a process ended. */
const STRANGERS_EXIT: ExitStatus = {
  code: null,
  signal: null,
  unknownBecause: 'it was started by an earlier gateway',
};

export interface WatchedLaunch {
  record(): LaunchRecord;
  handle(): EngineHandle;
  /** What of it is on disk, or will be by the next save. */
  setStage(stage: LaunchStage): void;
  /** How its processes are recognised now. */
  mark(): LaunchMark;
  /** Our own child: its exit comes as an event. Called in the turn of the spawn. */
  ownsChild(child: ChildProcess, identity: ProcessIdentity): void;
  /** An adopted one: its exit is polled. */
  watchesStranger(): void;
  /** Starts to deliver output. Rejects when the file cannot be followed. */
  follow(from: 'start' | 'end', limitBytes: number): Promise<void>;
  /** Begins a stop, or joins the one under way. */
  joinStop(begin: (hurry: AbortSignal) => Promise<StopResult>): Promise<StopResult>;
  /** Ends the grace of the stop under way, if there is one. */
  hurryStop(): void;
  /** Resolves when `exited` has been delivered; only to be awaited when the leader is known to be gone. */
  ended(): Promise<void>;
  /** Stops watching; the observer hears nothing more. */
  abandon(): Promise<void>;
}

/** `record.process` is null for a launch that is about to be spawned. */
export function createWatchedLaunch(
  table: ProcessTable,
  record: LaunchRecord,
  observer: LaunchObserver,
): WatchedLaunch {
  return new Watched(table, record, observer);
}

/** For people and for the control loop; made from what is on disk, so that it is the same after an adoption. */
export function handleOf(record: LaunchRecord): EngineHandle {
  const { spec, outputFile, startedWallMs, process: identity } = record;
  return {
    launchId: spec.launchId,
    model: spec.model,
    listen: spec.listen,
    authorization: null,
    reference: identity === null ? 'not started' : `pid ${identity.pid}`,
    outputFile,
    startedWallMs,
  };
}

class Watched implements WatchedLaunch {
  readonly #table: ProcessTable;
  readonly #observer: LaunchObserver;
  #record: LaunchRecord;
  #tail: OutputTail | null = null;
  #child: ChildProcess | null = null;
  #poll: NodeJS.Timeout | null = null;
  #exit: ExitStatus | null = null;
  #exitedAtMs: number | null = null;
  #delivered: Promise<void> | null = null;
  #abandoned = false;
  readonly #stop = new JoinedStop();
  readonly #ended = Promise.withResolvers<void>();

  constructor(table: ProcessTable, record: LaunchRecord, observer: LaunchObserver) {
    this.#table = table;
    this.#record = record;
    this.#observer = observer;
  }

  record(): LaunchRecord {
    return this.#record;
  }

  handle(): EngineHandle {
    return handleOf(this.#record);
  }

  setStage(stage: LaunchStage): void {
    this.#record = { ...this.#record, stage };
  }

  mark(): LaunchMark {
    const watched = this.#exitedAtMs === null || performance.now() - this.#exitedAtMs < SESSION_TRUST_MS;
    return { launchId: this.#record.spec.launchId, leader: this.#record.process, watched };
  }

  ownsChild(child: ChildProcess, identity: ProcessIdentity): void {
    this.#record = { ...this.#record, process: identity };
    this.#child = child;
    child.once('exit', (code, signal) => this.#hasExited({ code, signal }));
  }

  watchesStranger(): void {
    const identity = this.#record.process;
    assert(identity !== null, 'an adopted launch has a process');
    this.#poll = setInterval(() => {
      if (!this.#table.isAlive(identity)) this.#hasExited(STRANGERS_EXIT);
    }, EXIT_POLL_MS);
  }

  async follow(from: 'start' | 'end', limitBytes: number): Promise<void> {
    const path = this.#record.outputFile;
    assert(path !== null, 'a process has a file for its output');
    this.#tail = await openOutputTail({
      path,
      from,
      limitBytes,
      onLine: (line) => {
        if (!this.#abandoned) this.#observer.line(line);
      },
    });
    // It may have ended before its output was followed; the caller hears of the launch first.
    if (this.#exit !== null) setImmediate(() => this.#deliverExit());
  }

  joinStop(begin: (hurry: AbortSignal) => Promise<StopResult>): Promise<StopResult> {
    return this.#stop.join(begin);
  }

  hurryStop(): void {
    this.#stop.hurry();
  }

  async ended(): Promise<void> {
    const identity = this.#record.process;
    // Nobody tells us of a stranger's exit, and a launch whose output was never followed has no one to tell.
    if (this.#child === null && identity !== null) this.#hasExited(STRANGERS_EXIT);
    if (this.#tail === null) return;
    await this.#ended.promise;
  }

  async abandon(): Promise<void> {
    this.#abandoned = true;
    this.#stopPolling();
    this.#child?.removeAllListeners('exit');
    this.#child?.unref();
    await this.#endOutput((tail) => tail.close());
  }

  #hasExited(exit: ExitStatus): void {
    if (this.#exit !== null) return;
    this.#exit = exit;
    this.#exitedAtMs = performance.now();
    this.#stopPolling();
    if (this.#tail !== null) this.#deliverExit();
  }

  /** R4. */
  #deliverExit(): void {
    this.#delivered ??= this.#deliver();
  }

  async #deliver(): Promise<void> {
    await this.#endOutput(async (tail) => {
      await tail.drain();
      await tail.close();
    });
    if (!this.#stop.isUnderWay && (this.#exit?.code ?? 0) !== 0) await this.#tellFullDisk();
    if (!this.#abandoned && this.#exit !== null) this.#observer.exited(this.#exit);
    this.#ended.resolve();
  }

  /** Nothing is delivered afterwards. Never rejects: a disk that fails costs the output alone. */
  async #endOutput(end: (tail: OutputTail) => Promise<void>): Promise<void> {
    const tail = this.#tail;
    if (tail === null) return;
    const late = once(AbortSignal.timeout(OUTPUT_REST_LIMIT_MS), 'abort');
    await Promise.race([end(tail), late]).catch(() => undefined);
    void tail.close().catch(() => undefined);
  }

  /** The engine could not say it: its words go to the same disk. */
  async #tellFullDisk(): Promise<void> {
    const directory = dirname(this.#record.outputFile ?? '');
    const limit = AbortSignal.timeout(DISK_LOOK_LIMIT_MS);
    const looked = statfs(directory).then(({ bavail, bsize }) => bavail * bsize);
    const late = once(limit, 'abort').then(() => Number.POSITIVE_INFINITY);
    const freeBytes = await Promise.race([looked, late]).catch(() => Number.POSITIVE_INFINITY);
    if (freeBytes >= OUTPUT_ROOM_BYTES || this.#abandoned) return;
    this.#observer.line(
      `the disk of ${directory} is full (no space left on device): what the engine wrote last may be missing`,
    );
  }

  #stopPolling(): void {
    if (this.#poll !== null) clearInterval(this.#poll);
  }
}
