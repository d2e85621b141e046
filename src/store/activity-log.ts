/**
 * The activity log: requests' ends go into a bounded queue and in batches to the store's thread.
 *
 *  A1. `add` never throws, never waits, and never keeps more than QUEUE_ROWS_MAX rows and QUEUE_BYTES_MAX bytes.
 *  A2. While the disk fails the queue keeps what it can, and the log goes on when there is room again; that is told once for
 *      each time that it fails, and what did not fit is counted.
 *  A3. One batch is under way at a time: a launch's record waits behind no more than that.
 */
import { join } from 'node:path';
import type { ActivityEntry, ActivityLog } from '../telemetry/activity.ts';
import { ROW_BYTES_MAX, RowPack } from './packed-rows.ts';
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
  /** The oldest first. */
  readonly #packs: RowPack[] = [];
  /** One that was written: its memory serves again. */
  #spare: RowPack | null = null;
  /** The first one was given to the thread: it takes no more rows, and is tried again as it is. */
  #isFirstSealed = false;
  #queuedRows = 0;
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
    const hasRoom = this.#queuedRows < QUEUE_ROWS_MAX && this.#queuedBytes + ROW_BYTES_MAX <= QUEUE_BYTES_MAX;
    if (this.#isClosed || !hasRoom) {
      this.#dropped += 1;
      return;
    }
    const pack = this.#openPack();
    const { bytes } = pack;
    pack.add(entry);
    this.#queuedRows += 1;
    this.#queuedBytes += pack.bytes - bytes;
    if (this.#failingSince !== null || this.#isWriting) return;
    if (pack.isFull) this.#writeNow();
    else this.#writeSoon(BATCH_WAIT_MS);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#pruning);
    if (!this.#isWriting && this.#queuedRows > 0) this.#writeNow();
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
    while (this.#packs.length > 0) this.#drop();
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
    void this.#write(this.#packs[0] ?? this.#openPack());
  }

  /** An empty one has old rows removed. */
  async #write(pack: RowPack): Promise<void> {
    const { thread, rowsMax, daysMax } = this.#options;
    this.#isFirstSealed = true;
    const answer = await thread.run({
      kind: 'activity',
      path: this.#path,
      rows: pack.packed(),
      rowsMax,
      oldestMs: Date.now() - daysMax * DAY_MS,
    });
    this.#isWriting = false;
    if (answer.ok) this.#written(answer);
    else this.#failed(answer);
  }

  #written({ more, notice }: Extract<StoreAnswer, { ok: true }>): void {
    this.#takeFirst();
    if (notice !== null) this.#options.onFault(notice);
    if (this.#failingSince !== null) {
      const lost = this.#dropped - this.#failingSince;
      this.#failingSince = null;
      this.#options.onFault(`what requests did is kept again; ${lost} entries were lost meanwhile`);
    }
    const isUrgent = this.#packs[0]?.isFull === true || (this.#isClosed && this.#queuedRows > 0);
    if (isUrgent) this.#writeNow();
    else if (this.#isClosed) this.#onQuiet?.();
    else if (more) this.#writeSoon(0);
    else if (this.#queuedRows > 0) this.#writeSoon(BATCH_WAIT_MS);
  }

  #failed({ failure, text }: Extract<StoreAnswer, { ok: false }>): void {
    if (this.#failingSince === null) {
      this.#failingSince = this.#dropped;
      this.#options.onFault(`what requests did cannot be kept in ${this.#path}: ${text}`);
    }
    // Only a disk may take later what it refuses now; the rest would be refused for ever, or written twice.
    if (failure !== 'disk') this.#drop();
    if (this.#isClosed) this.#onQuiet?.();
    else this.#writeSoon(this.#options.retryPauseMs ?? RETRY_PAUSE_MS);
  }

  /** Gives up the first pack. */
  #drop(): void {
    this.#dropped += this.#packs[0]?.rows ?? 0;
    this.#takeFirst();
  }

  #takeFirst(): void {
    const pack = this.#packs.shift();
    if (pack === undefined) return;
    this.#isFirstSealed = false;
    this.#queuedRows -= pack.rows;
    this.#queuedBytes -= pack.bytes;
    pack.clear();
    this.#spare = pack;
  }

  /** The pack that takes rows now. */
  #openPack(): RowPack {
    const { length } = this.#packs;
    const last = this.#packs[length - 1];
    if (last !== undefined && !last.isFull && !(length === 1 && this.#isFirstSealed)) return last;
    const pack = this.#spare ?? new RowPack(BATCH_ROWS_MAX);
    this.#spare = null;
    this.#packs.push(pack);
    return pack;
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
