/**
 * One launch while this gateway watches it: its output, its exit, its stop.
 *
 *  1. `exited` is delivered once, after `follow` was called and after the rest of the output.
 *  2. Nothing is delivered after `abandon`.
 */
import type { ExitStatus } from '../../engines/engine.ts';
import type { LaunchRecord } from '../../store/launch-records.ts';
import { JoinedStop } from '../joined-stop.ts';
import type { EngineHandle, LaunchObserver, StopResult } from '../runtime.ts';
import type { DockerConnection } from './connection.ts';
import type { LogFollower } from './log-follower.ts';
import { followLogs } from './log-follower.ts';

export interface WatchedContainer {
  readonly containerId: string;
  readonly record: LaunchRecord;
  readonly handle: EngineHandle;
  /** First process as Docker's host counts; 0: none. */
  pid: number;
  /** How it ended; null while it runs, as far as is known. */
  exit(): ExitStatus | null;
  follow(from: 'start' | 'end'): void;
  /** Told by whoever hears of it first. */
  hasExited(exit: ExitStatus): void;
  /** Resolves when the exit is known. */
  readonly exited: Promise<void>;
  /** Resolves when the observer has been told. */
  readonly delivered: Promise<void>;
  /** Begins a stop, or joins the one under way. */
  joinStop(begin: (hurry: AbortSignal) => Promise<StopResult>): Promise<StopResult>;
  /** Ends the grace of the stop under way, if there is one. */
  hurryStop(): void;
  abandon(): void;
}

export interface WatchedContainerOptions {
  readonly connection: DockerConnection;
  readonly containerId: string;
  readonly record: LaunchRecord;
  readonly handle: EngineHandle;
  readonly pid: number;
  readonly observer: LaunchObserver;
}

export function createWatchedContainer(options: WatchedContainerOptions): WatchedContainer {
  return new Watched(options);
}

class Watched implements WatchedContainer {
  readonly containerId: string;
  readonly record: LaunchRecord;
  readonly handle: EngineHandle;
  pid: number;
  readonly #connection: DockerConnection;
  readonly #observer: LaunchObserver;
  readonly #exited = Promise.withResolvers<void>();
  readonly #delivered = Promise.withResolvers<void>();
  #follower: LogFollower | null = null;
  #exit: ExitStatus | null = null;
  #isDelivering = false;
  #isAbandoned = false;
  readonly #stop = new JoinedStop();

  constructor({ connection, containerId, record, handle, pid, observer }: WatchedContainerOptions) {
    this.#connection = connection;
    this.containerId = containerId;
    this.record = record;
    this.handle = handle;
    this.pid = pid;
    this.#observer = observer;
  }

  get exited(): Promise<void> {
    return this.#exited.promise;
  }

  get delivered(): Promise<void> {
    return this.#delivered.promise;
  }

  exit(): ExitStatus | null {
    return this.#exit;
  }

  follow(from: 'start' | 'end'): void {
    this.#follower = followLogs({
      connection: this.#connection,
      containerId: this.containerId,
      from,
      onLine: (line) => {
        if (!this.#isAbandoned) this.#observer.line(line);
      },
    });
    // It may have ended already; the caller hears of the launch first.
    if (this.#exit !== null) setImmediate(() => this.#deliverOnce());
  }

  hasExited(exit: ExitStatus): void {
    if (this.#exit !== null) return;
    this.#exit = exit;
    this.pid = 0;
    this.#exited.resolve();
    if (this.#follower !== null) this.#deliverOnce();
  }

  #deliverOnce(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    void this.#deliver();
  }

  async #deliver(): Promise<void> {
    await this.#follower?.finish();
    if (!this.#isAbandoned && this.#exit !== null) this.#observer.exited(this.#exit);
    this.#delivered.resolve();
  }

  joinStop(begin: (hurry: AbortSignal) => Promise<StopResult>): Promise<StopResult> {
    return this.#stop.join(begin);
  }

  hurryStop(): void {
    this.#stop.hurry();
  }

  abandon(): void {
    this.#isAbandoned = true;
    this.#follower?.close();
  }
}
