/**
 * Follows a container's output through the engine API, from wherever the last connection broke.
 *
 *  F1. Each message is delivered once and in Docker's order, also over a restart of the daemon: the next connection asks
 *      from the last message's time on and leaves out what was delivered.
 *  F2. `finish` resolves when all that Docker has kept was delivered, or after `DRAIN_LIMIT_MS`.
 *  F3. Nothing is delivered after `close`.
 * What Docker itself drops (its files are bounded) is lost; what nobody read before is read as far as it is kept.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLineSplitter } from '../process/line-splitter.ts';
import type { DockerConnection } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import { createLogFrames, type LogMessage, sinceOf } from './log-frames.ts';

const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 2_000;
/** Longest wait for the rest of an ended container's output. */
const DRAIN_LIMIT_MS = 5_000;

export interface LogFollower {
  /** The container has ended: delivers the rest. */
  finish(): Promise<void>;
  close(): void;
}

export interface LogFollowerOptions {
  readonly connection: DockerConnection;
  readonly containerId: string;
  /** `end` for the output of an engine that ran before us. */
  readonly from: 'start' | 'end';
  readonly onLine: (line: string) => void;
}

export function followLogs(options: LogFollowerOptions): LogFollower {
  const follower = new Follower(options);
  void follower.run();
  return follower;
}

class Follower implements LogFollower {
  readonly #options: LogFollowerOptions;
  readonly #position: Position;
  readonly #done = Promise.withResolvers<void>();
  readonly #splitters;
  #closed = new AbortController();
  #hasEnded = false;
  /** The wait before the next connection ends early when the container has ended. */
  #retry: AbortController | null = null;

  constructor(options: LogFollowerOptions) {
    this.#options = options;
    this.#position = createPosition(options.from);
    const deliver = (line: string): void => {
      if (!this.#closed.signal.aborted) options.onLine(line);
    };
    this.#splitters = { stdout: createLineSplitter(deliver), stderr: createLineSplitter(deliver) };
  }

  async run(): Promise<void> {
    let retryMs = RETRY_MIN_MS;
    while (!this.#closed.signal.aborted) {
      // What is read after the container has ended is complete.
      const isLast = this.#hasEnded;
      const outcome = await this.#readOnce();
      if (outcome === 'no_container' || (outcome === 'ended' && isLast)) break;
      retryMs = outcome === 'ended' ? RETRY_MIN_MS : Math.min(RETRY_MAX_MS, retryMs * 2);
      // A stream ends together with its container, of which we hear in a moment.
      if (!this.#hasEnded) await this.#pause(retryMs);
      else if (outcome === 'failed') await this.#pause(RETRY_MIN_MS);
    }
    this.#splitters.stdout.flush();
    this.#splitters.stderr.flush();
    this.#done.resolve();
  }

  async finish(): Promise<void> {
    this.#hasEnded = true;
    this.#retry?.abort();
    const limit = new AbortController();
    await Promise.race([
      this.#done.promise,
      sleep(DRAIN_LIMIT_MS, undefined, { signal: limit.signal }).catch(() => undefined),
    ]);
    limit.abort();
    this.close();
  }

  close(): void {
    this.#closed.abort();
    this.#retry?.abort();
  }

  async #pause(delayMs: number): Promise<void> {
    this.#retry = new AbortController();
    await sleep(delayMs, undefined, { signal: this.#retry.signal }).catch(() => undefined);
    this.#retry = null;
  }

  async #readOnce(): Promise<'ended' | 'failed' | 'no_container'> {
    const { connection, containerId } = this.#options;
    try {
      const stream = await connection.docker.getContainer(containerId).logs({
        follow: true,
        stdout: true,
        stderr: true,
        timestamps: true,
        ...this.#position.query(),
        abortSignal: this.#closed.signal,
      });
      this.#position.opened();
      const frames = createLogFrames((message) => {
        if (this.#position.advance(message)) this.#splitters[message.stream].push(message.bytes);
      });
      for await (const chunk of stream) frames.push(chunk as Buffer);
      return 'ended';
    } catch (error) {
      return faultOf(error).status === 404 ? 'no_container' : 'failed';
    }
  }
}

/** How far the messages were delivered. */
interface Position {
  query(): { readonly since?: string; readonly tail?: number };
  opened(): void;
  /** False for a message that was delivered before. */
  advance(message: LogMessage): boolean;
}

/** Of one stream: only within a stream are the times in order, because Docker copies both side by side. */
interface StreamPosition {
  last: string;
  /** Messages of exactly that time; several may share one. */
  deliveredAtLast: number;
  /** What comes may have been delivered by an earlier connection. */
  isResuming: boolean;
  seenAtLast: number;
}

function createPosition(from: 'start' | 'end'): Position {
  const fresh = (): StreamPosition => ({ last: '', deliveredAtLast: 0, isResuming: false, seenAtLast: 0 });
  const streams = { stdout: fresh(), stderr: fresh() };
  let openedAtMs: number | null = null;
  return {
    query() {
      for (const stream of Object.values(streams)) {
        stream.isResuming = stream.last !== '';
        stream.seenAtLast = 0;
      }
      const lasts = Object.values(streams)
        .map(({ last }) => last)
        .filter((last) => last !== '');
      // One that was silent may have said something while nobody listened: then the other one's time is the earliest
      // that is sure.
      const [earliest] = lasts.sort();
      if (earliest !== undefined) return { since: sinceOf(earliest) };
      if (from === 'start') return {};
      return openedAtMs === null ? { tail: 0 } : { since: (openedAtMs / 1000).toFixed(3) };
    },
    opened() {
      openedAtMs ??= Date.now();
    },
    advance({ stream, time }) {
      const position = streams[stream];
      if (position.isResuming) {
        if (time < position.last) return false;
        if (time === position.last) {
          position.seenAtLast += 1;
          if (position.seenAtLast <= position.deliveredAtLast) return false;
        } else position.isResuming = false;
      }
      position.deliveredAtLast = time === position.last ? position.deliveredAtLast + 1 : 1;
      position.last = time;
      return true;
    },
  };
}
