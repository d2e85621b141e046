/**
 * activity.db as the store's thread writes it. A broken file is set aside at once: what was asked yesterday is no reason to
 * lose what is asked today.
 */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { ACTIVITY_COLUMNS } from './activity-row.ts';
import { ACTIVITY_MIGRATIONS } from './migrations.ts';
import {
  failureOf,
  inTransaction,
  isBrokenAtOpening,
  messageOf,
  openSqliteFile,
  setAside,
} from './sqlite-file.ts';

/** Rows that one step of pruning removes at most: more than a batch brings, and few enough for a few milliseconds. */
const PRUNED_ROWS_MAX = 1_000;

const INSERT = `INSERT INTO activity (${ACTIVITY_COLUMNS.join()}) VALUES (${ACTIVITY_COLUMNS.map(() => '?').join()})`;

export interface ActivityBatch {
  readonly values: readonly SQLInputValue[];
  readonly rowsMax: number;
  readonly oldestMs: number;
}

export class ActivityFile {
  readonly #path: string;
  readonly #busyTimeoutMs: number;
  #connection: DatabaseSync | null = null;

  constructor(path: string, busyTimeoutMs: number) {
    this.#path = path;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  /** Throws where the file cannot be written; then nothing of the batch is kept. */
  append(batch: ActivityBatch): { readonly more: boolean; readonly notice: string | null } {
    try {
      return { more: this.#write(batch), notice: null };
    } catch (error) {
      const isBroken = this.#connection === null ? isBrokenAtOpening(error) : failureOf(error) === 'broken';
      if (!isBroken) throw error;
      this.close();
      const aside = setAside(this.#path);
      const more = this.#write(batch);
      return {
        more,
        notice: `${this.#path} is broken (${messageOf(error)}); it is kept as ${aside}, and what requests did is kept anew`,
      };
    }
  }

  close(): void {
    const connection = this.#connection;
    this.#connection = null;
    connection?.close();
  }

  #write({ values, rowsMax, oldestMs }: ActivityBatch): boolean {
    this.#connection ??= openSqliteFile(this.#path, {
      synchronous: 'NORMAL',
      busyTimeoutMs: this.#busyTimeoutMs,
      migrations: ACTIVITY_MIGRATIONS,
      check: false,
    });
    const connection = this.#connection;
    return inTransaction(connection, () => {
      const insert = connection.prepare(INSERT);
      const width = ACTIVITY_COLUMNS.length;
      for (let at = 0; at < values.length; at += width) insert.run(...values.slice(at, at + width));
      return prune(connection, rowsMax, oldestMs);
    });
  }
}

/** One step: the oldest rows beyond the limits, never more than PRUNED_ROWS_MAX. Answers whether there may be more. */
function prune(connection: DatabaseSync, rowsMax: number, oldestMs: number): boolean {
  // Only the oldest are ever removed, so that ids have no gaps and their difference counts the rows.
  const { changes } = connection
    .prepare(
      `DELETE FROM activity WHERE id IN (SELECT id FROM activity ORDER BY id LIMIT ?1)
       AND (id <= (SELECT max(id) FROM activity) - ?2 OR ended_ms < ?3)`,
    )
    .run(PRUNED_ROWS_MAX, rowsMax, oldestMs);
  return Number(changes) === PRUNED_ROWS_MAX;
}
