/**
 * activity.db as the store's thread writes it. A broken file is set aside at once: what was asked yesterday is no reason to
 * lose what is asked today.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { ACTIVITY_COLUMNS } from './activity-row.ts';
import { ACTIVITY_MIGRATIONS } from './migrations.ts';
import { type PackedRows, packedCount, unpackedRows } from './packed-rows.ts';
import {
  failureOf,
  inTransaction,
  isBrokenAtOpening,
  messageOf,
  openSqliteFile,
  setAside,
} from './sqlite-file.ts';

/** Rows that one step of pruning removes at most: more than a batch brings, and few enough for a few milliseconds. */
const PRUNED_ROWS_MAX = 2_000;

/** One statement for this many rows costs a third less than one for each. */
const ROWS_PER_INSERT = 32;
const ROW = `(${ACTIVITY_COLUMNS.map(() => '?').join()})`;
const INSERT = `INSERT INTO activity (${ACTIVITY_COLUMNS.join()}) VALUES `;

/** Statements of one open file: compiling them for each batch would cost as much as it does. */
interface Statements {
  readonly connection: DatabaseSync;
  readonly insertOne: StatementSync;
  readonly insertMany: StatementSync;
  readonly extent: StatementSync;
  readonly prune: StatementSync;
}

export interface ActivityBatch {
  readonly rows: PackedRows;
  readonly rowsMax: number;
  readonly oldestMs: number;
}

export class ActivityFile {
  readonly #path: string;
  readonly #busyTimeoutMs: number;
  #open: Statements | null = null;

  constructor(path: string, busyTimeoutMs: number) {
    this.#path = path;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  /** Throws where the file cannot be written; then nothing of the batch is kept. */
  append(batch: ActivityBatch): { readonly more: boolean; readonly notice: string | null } {
    try {
      return { more: this.#write(batch), notice: null };
    } catch (error) {
      const isBroken = this.#open === null ? isBrokenAtOpening(error) : failureOf(error) === 'broken';
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
    const open = this.#open;
    this.#open = null;
    open?.connection.close();
  }

  #write({ rows, rowsMax, oldestMs }: ActivityBatch): boolean {
    this.#open ??= openStatements(this.#path, this.#busyTimeoutMs);
    const open = this.#open;
    return inTransaction(open.connection, () => {
      const count = packedCount(rows);
      let at = 0;
      for (; at + ROWS_PER_INSERT <= count; at += ROWS_PER_INSERT)
        open.insertMany.run(...unpackedRows(rows, at, at + ROWS_PER_INSERT));
      for (; at < count; at += 1) open.insertOne.run(...unpackedRows(rows, at, at + 1));
      return prune(open, rowsMax, oldestMs);
    });
  }
}

function openStatements(path: string, busyTimeoutMs: number): Statements {
  const connection = openSqliteFile(path, {
    synchronous: 'NORMAL',
    busyTimeoutMs,
    migrations: ACTIVITY_MIGRATIONS,
    check: false,
  });
  try {
    return {
      connection,
      insertOne: connection.prepare(INSERT + ROW),
      insertMany: connection.prepare(INSERT + new Array(ROWS_PER_INSERT).fill(ROW).join()),
      extent: connection.prepare(
        `SELECT (SELECT max(id) FROM activity) - (SELECT min(id) FROM activity) + 1 AS rows,
         (SELECT min(ended_ms) FROM activity) AS oldest`,
      ),
      prune: connection.prepare(
        `DELETE FROM activity WHERE id IN (SELECT id FROM activity ORDER BY id LIMIT ?1)
         AND (id <= (SELECT max(id) FROM activity) - ?2 OR ended_ms < ?3)`,
      ),
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** One step: the oldest rows beyond the limits, never more than PRUNED_ROWS_MAX. Answers whether there may be more. */
function prune({ extent, prune: remove }: Statements, rowsMax: number, oldestMs: number): boolean {
  // Only the oldest are ever removed, so that ids have no gaps and their difference counts the rows.
  const { rows, oldest } = extent.get() ?? {};
  if (Number(rows ?? 0) <= rowsMax && Number(oldest ?? oldestMs) >= oldestMs) return false;
  const { changes } = remove.run(PRUNED_ROWS_MAX, rowsMax, oldestMs);
  return Number(changes) === PRUNED_ROWS_MAX;
}
