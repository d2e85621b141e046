/**
 * The activity log: requests' ends go into a bounded queue and in batches to the store's thread.
 *
 *  A1. `add` never throws, never waits, and never keeps more than QUEUE_ROWS_MAX rows and QUEUE_BYTES_MAX bytes.
 *  A2. While the disk fails the queue keeps what it can, and the log goes on when there is room again; that is told once for
 *      each time that it fails, and what did not fit is counted.
 *  A3. One batch is under way at a time: a launch's record waits behind no more than that.
 */
import { join } from 'node:path';
import type { SQLInputValue } from 'node:sqlite';
import type { ActivityEntry, ActivityLog } from '../telemetry/activity.ts';
import { activityRow, rowBytes } from './activity-row.ts';
import type { StoreAnswer } from './store-jobs.ts';
import type { StoreThread } from './store-thread.ts';

const QUEUE_ROWS_MAX = 8_192;
const QUEUE_BYTES_MAX = 4 * 1024 * 1024;
const BATCH_ROWS_MAX = 1_024;
/** An entry is on disk about this long after its request. */
const BATCH_WAIT_MS = 1_000;
/** Between two tries of a disk that fails. */
const RETRY_PAUSE_MS = 10_000;
/** Rows grow too old also while nobody asks. */
const PRUNE_EVERY_MS = 60 * 60_000;
const CLOSE_LIMIT_MS = 5_000;
const DAY_MS = 24 * 60 * 60_000;

export const ACTIVITY_FILE_NAME = 'activity.db';

export interface ActivityLogOptions {
  readonly directory: string;
  /** The oldest rows beyond these go. */
  readonly rowsMax: number;
  readonly daysMax: number;
  readonly thread: Pick<StoreThread, 'run'>;
  /** Told of failures, and that they are over, in a sentence. */
  readonly onFault: (text: string) => void;
  /** Shorter, for tests. */
  readonly retryPauseMs?: number;
}

export function openActivityLog(options: ActivityLogOptions): ActivityLog {
  return new QueuedActivityLog(options);
}

class QueuedActivityLog implements ActivityLog {
  readonly #options: ActivityLogOptions;
  readonly #path: string;
  #queue: (readonly SQLInputValue[])[] = [];
  #queuedBytes = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #pruning: NodeJS.Timeout;
  #isWriting = false;
  /** Drops before the failure that lasts now; null: none does. */
  #failingSince: number | null = null;
  #isClosed = false;
  #onQuiet: (() => void) | null = null;

  constructor(options: ActivityLogOptions) {
    this.#options = options;
    this.#path = join(options.directory, ACTIVITY_FILE_NAME);
    this.#pruning = setInterval(() => this.#writeSoon(0), PRUNE_EVERY_MS);
    this.#pruning.unref();
  }

  get dropped(): number {
    return this.#dropped;
  }

  add(entry: ActivityEntry): void {
    const row = activityRow(entry);
    const bytes = rowBytes(row);
    const hasRoom = this.#queue.length < QUEUE_ROWS_MAX && this.#queuedBytes + bytes <= QUEUE_BYTES_MAX;
    if (this.#isClosed || !hasRoom) {
      this.#dropped += 1;
      return;
    }
    this.#queue.push(row);
    this.#queuedBytes += bytes;
    if (this.#failingSince !== null || this.#isWriting) return;
    if (this.#queue.length >= BATCH_ROWS_MAX) this.#writeNow();
    else this.#writeSoon(BATCH_WAIT_MS);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#pruning);
    if (!this.#isWriting && this.#queue.length > 0) this.#writeNow();
    if (this.#isWriting) {
      await new Promise<void>((resolve) => {
        const limit = setTimeout(resolve, CLOSE_LIMIT_MS);
        this.#onQuiet = () => {
          clearTimeout(limit);
          resolve();
        };
      });
    }
    this.#stopTimer();
    this.#drop(this.#queue.length);
  }

  #writeSoon(waitMs: number): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => this.#writeNow(), waitMs);
    this.#timer.unref();
  }

  #writeNow(): void {
    this.#stopTimer();
    if (this.#isWriting) return;
    this.#isWriting = true;
    void this.#write(Math.min(this.#queue.length, BATCH_ROWS_MAX));
  }

  async #write(count: number): Promise<void> {
    const { thread, rowsMax, daysMax } = this.#options;
    const values: SQLInputValue[] = [];
    for (let index = 0; index < count; index += 1)
      for (const value of this.#queue[index] ?? []) values.push(value);
    const answer = await thread.run({
      kind: 'activity',
      path: this.#path,
      values,
      rowsMax,
      oldestMs: Date.now() - daysMax * DAY_MS,
    });
    this.#isWriting = false;
    if (answer.ok) this.#written(count, answer);
    else this.#failed(count, answer);
  }

  #written(count: number, { more, notice }: Extract<StoreAnswer, { ok: true }>): void {
    this.#take(count);
    if (notice !== null) this.#options.onFault(notice);
    if (this.#failingSince !== null) {
      const lost = this.#dropped - this.#failingSince;
      this.#failingSince = null;
      this.#options.onFault(`what requests did is kept again; ${lost} entries were lost meanwhile`);
    }
    const isUrgent = this.#queue.length >= BATCH_ROWS_MAX || (this.#isClosed && this.#queue.length > 0);
    if (isUrgent) this.#writeNow();
    else if (this.#isClosed) this.#onQuiet?.();
    else if (more) this.#writeSoon(0);
    else if (this.#queue.length > 0) this.#writeSoon(BATCH_WAIT_MS);
  }

  #failed(count: number, { failure, text }: Extract<StoreAnswer, { ok: false }>): void {
    if (this.#failingSince === null) {
      this.#failingSince = this.#dropped;
      this.#options.onFault(`what requests did cannot be kept in ${this.#path}: ${text}`);
    }
    // Only a disk may take later what it refuses now; the rest would be refused for ever, or written twice.
    if (failure !== 'disk') this.#drop(count);
    if (this.#isClosed) this.#onQuiet?.();
    else this.#writeSoon(this.#options.retryPauseMs ?? RETRY_PAUSE_MS);
  }

  #drop(count: number): void {
    this.#take(count);
    this.#dropped += count;
  }

  #take(count: number): void {
    for (const row of this.#queue.splice(0, count)) this.#queuedBytes -= rowBytes(row);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
