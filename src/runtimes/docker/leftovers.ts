/**
 * What could not be cleared, tried again: slowly, and when Docker is back. What is still there when the gateway ends, the
 * next one clears.
 */
import type { Log } from '../../telemetry/log.ts';
import { faultOf } from './docker-fault.ts';

const RETRY_EVERY_MS = 30_000;
/** An hour; then it is the next gateway's. */
const TRIES_MAX = 120;

export interface Leftovers {
  /** Tried again until it succeeds. A second one with the same key replaces the first. */
  keep(key: string, clear: () => Promise<void>): void;
  /** All of them, now. */
  tryAgain(): void;
  /** Nothing is tried any more. */
  close(): void;
}

export function createLeftovers(log: Log): Leftovers {
  return new RetriedLeftovers(log);
}

interface Leftover {
  readonly clear: () => Promise<void>;
  tries: number;
  isTrying: boolean;
}

class RetriedLeftovers implements Leftovers {
  readonly #log: Log;
  readonly #left = new Map<string, Leftover>();
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(log: Log) {
    this.#log = log;
  }

  keep(key: string, clear: () => Promise<void>): void {
    this.#left.set(key, { clear, tries: 0, isTrying: false });
    this.#arm();
  }

  tryAgain(): void {
    for (const [key, leftover] of this.#left) if (!leftover.isTrying) void this.#try(key, leftover);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#left.clear();
  }

  #arm(): void {
    if (this.#isClosed || this.#timer !== null || this.#left.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.tryAgain();
      this.#arm();
    }, RETRY_EVERY_MS);
    this.#timer.unref();
  }

  async #try(key: string, leftover: Leftover): Promise<void> {
    leftover.isTrying = true;
    leftover.tries += 1;
    let isOver = true;
    try {
      await leftover.clear();
    } catch (error) {
      isOver = leftover.tries >= TRIES_MAX;
      if (isOver) this.#log('warn', `${key} is left for the next gateway: ${faultOf(error).text}`);
    }
    leftover.isTrying = false;
    if (isOver && this.#left.get(key) === leftover) this.#left.delete(key);
  }
}
