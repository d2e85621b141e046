/**
 * Hears from the daemon what ends, for as long as we live, and comes back when the daemon does.
 *
 *  W1. `onUp` is called each time the events are heard again (first at opening), before any later event: what happened
 *      meanwhile must be looked up then.
 *  W2. Between two tries it waits at most `RETRY_MAX_MS`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../telemetry/log.ts';
import type { DockerConnection } from './connection.ts';
import { pingDaemon } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import { jsonLines } from './json-lines.ts';
import { STATE_ID_LABEL } from './marks.ts';

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 3_000;
/** A daemon that hangs, or a connection that died unseen, is noticed by a ping of this rhythm and limit. */
const PING_EVERY_MS = 15_000;
const PING_LIMIT_MS = 10_000;

export interface DaemonWatch {
  isUp(): boolean;
  close(): void;
}

export interface DaemonWatchOptions {
  readonly connection: DockerConnection;
  readonly stateId: string;
  /** A container of ours has ended or was removed. */
  readonly onEnded: (containerId: string) => void;
  /** `afterOutage`: not the first time. */
  readonly onUp: (afterOutage: boolean) => void;
  /** It answers, now and then: should an event have been lost, this is the time to look. */
  readonly onPing: () => void;
  readonly log: Log;
}

export function watchDaemon(options: DaemonWatchOptions): DaemonWatch {
  const watch = new Watch(options);
  void watch.run();
  return watch;
}

class Watch implements DaemonWatch {
  readonly #options: DaemonWatchOptions;
  readonly #closed = new AbortController();
  #isUp = false;
  #wasUp = false;

  constructor(options: DaemonWatchOptions) {
    this.#options = options;
  }

  isUp(): boolean {
    return this.#isUp;
  }

  close(): void {
    this.#closed.abort();
  }

  async run(): Promise<void> {
    let retryMs = RETRY_MIN_MS;
    while (!this.#closed.signal.aborted) {
      const text = await this.#listen();
      if (this.#closed.signal.aborted) return;
      if (this.#isUp) {
        retryMs = RETRY_MIN_MS;
        const { host } = this.#options.connection;
        this.#options.log(
          'warn',
          `Docker at ${host} has gone (${text}); engines are looked up when it is back`,
        );
      }
      this.#isUp = false;
      await sleep(retryMs, undefined, { signal: this.#closed.signal }).catch(() => undefined);
      retryMs = Math.min(RETRY_MAX_MS, retryMs * 2);
    }
  }

  /** Until the connection ends; says why. */
  async #listen(): Promise<string> {
    const { connection, stateId } = this.#options;
    const over = new AbortController();
    const abortSignal = AbortSignal.any([this.#closed.signal, over.signal]);
    void this.#keepPinging(over, abortSignal);
    try {
      const stream = await connection.docker.getEvents({
        filters: {
          type: ['container'],
          event: ['die', 'destroy'],
          label: [`${STATE_ID_LABEL}=${stateId}`],
        },
        abortSignal,
      });
      this.#hasConnected();
      for await (const event of jsonLines(stream)) this.#hear(event);
      return 'it closed the connection';
    } catch (error) {
      return faultOf(error).text;
    } finally {
      over.abort();
    }
  }

  #hasConnected(): void {
    const { onUp, log, connection } = this.#options;
    const isAgain = this.#wasUp;
    if (isAgain) log('info', `Docker at ${connection.host} is back`);
    this.#isUp = true;
    this.#wasUp = true;
    onUp(isAgain);
  }

  async #keepPinging(over: AbortController, abortSignal: AbortSignal): Promise<void> {
    while (!abortSignal.aborted) {
      await sleep(PING_EVERY_MS, undefined, { signal: abortSignal, ref: false }).catch(() => undefined);
      if (abortSignal.aborted) return;
      await pingDaemon(this.#options.connection, PING_LIMIT_MS).then(
        () => this.#options.onPing(),
        () => over.abort(),
      );
    }
  }

  #hear(event: unknown): void {
    if (typeof event !== 'object' || event === null || !('id' in event)) return;
    if (typeof event.id === 'string') this.#options.onEnded(event.id);
  }
}
