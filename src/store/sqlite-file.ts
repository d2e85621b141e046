/** What our SQLite files have in common: opening, formats, transactions, and what is done with a broken one. */
import { existsSync, renameSync, rmSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';

/** Broken files that are kept for a look; when all names are taken, the last one is replaced. */
const BROKEN_KEPT_MAX = 5;

/** Primary result codes of SQLite (https://www.sqlite.org/rescode.html). */
const CODES = {
  ERROR: 1,
  PERM: 3,
  BUSY: 5,
  LOCKED: 6,
  NOMEM: 7,
  READONLY: 8,
  IOERR: 10,
  CORRUPT: 11,
  FULL: 13,
  CANTOPEN: 14,
  NOTADB: 26,
} as const;

/** How a failure of SQLite is to be taken: the file is no good, the disk or somebody else is in the way, or the statement is wrong. */
export type SqliteFailure = 'broken' | 'disk' | 'statement';

const DISK_CODES: readonly number[] = [
  ...[CODES.PERM, CODES.BUSY, CODES.LOCKED, CODES.NOMEM],
  ...[CODES.READONLY, CODES.IOERR, CODES.FULL, CODES.CANTOPEN],
];
const BROKEN_CODES: readonly number[] = [CODES.CORRUPT, CODES.NOTADB];

/** A newer gateway wrote the file. The message is a sentence for the operator. */
export class NewerFormat extends Error {}
class BrokenFile extends Error {}

/** One SQL statement, run once for each row of parameters. */
export interface Statement {
  readonly sql: string;
  readonly rows: readonly (readonly SQLInputValue[])[];
}

export interface SqliteFileOptions {
  readonly synchronous: 'NORMAL' | 'FULL';
  /** Waits this long for somebody else's transaction; the thread stands still meanwhile. */
  readonly busyTimeoutMs: number;
  /** Step n makes format n (`user_version`) out of format n - 1. */
  readonly migrations: readonly string[];
  /** Reads the whole file; only for small ones. */
  readonly check: boolean;
}

/** Opens `path` for writing, made if it is missing, in its newest format. Throws. */
export function openSqliteFile(path: string, options: SqliteFileOptions): DatabaseSync {
  const connection = new DatabaseSync(path, { timeout: options.busyTimeoutMs });
  return orClosed(connection, () => {
    connection.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${options.synchronous}`);
    if (options.check) {
      const problem = connection.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
      if (problem !== 'ok') throw new BrokenFile(String(problem).replaceAll(/\s+/g, ' '));
    }
    migrate(connection, options.migrations, formatOf(connection, path, options.migrations.length));
  });
}

/** Opens a file that others write, as it stands. Throws for one of an earlier format. */
export function openSqliteReader(path: string, busyTimeoutMs: number, newest: number): DatabaseSync {
  const connection = new DatabaseSync(path, { readOnly: true, timeout: busyTimeoutMs });
  return orClosed(connection, () => {
    const format = formatOf(connection, path, newest);
    if (format < newest) throw new Error(`it has format ${format}, which \`serve\` will renew`);
  });
}

/**
 * What stands in `path`, in memory: for a file that can be read but not written, because even opening one takes some room on
 * its disk. Throws where it cannot be read either, or is not of the newest format.
 */
export function copyOfSqliteFile(path: string, migrations: readonly string[]): DatabaseSync {
  const connection = new DatabaseSync(':memory:');
  return orClosed(connection, () => {
    migrate(connection, migrations, 0);
    // Alone with the file, SQLite needs no shared index beside it. It holds for what is attached from now on.
    connection.exec('PRAGMA locking_mode = EXCLUSIVE');
    connection.prepare('ATTACH ? AS disk').run(path);
    const format = Number(connection.prepare('PRAGMA disk.user_version').get()?.['user_version']);
    if (format > migrations.length) throw newerFormat(path, format, migrations.length);
    if (format < migrations.length) throw new Error(`it has format ${format}`);
    const tables = connection.prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table'").all();
    for (const { name } of tables) connection.exec(`INSERT INTO main.${name} SELECT * FROM disk.${name}`);
    connection.exec('DETACH disk');
  });
}

/** Throws for a format that a newer gateway wrote. */
function formatOf(connection: DatabaseSync, path: string, newest: number): number {
  const format = Number(connection.prepare('PRAGMA user_version').get()?.['user_version']);
  if (format <= newest) return format;
  throw newerFormat(path, format, newest);
}

function newerFormat(path: string, format: number, newest: number): NewerFormat {
  return new NewerFormat(
    `${path} was written by a newer vllm-gateway (format ${format}, and this one knows ${newest}); ` +
      'run that version, or give this one its own runtime.state_directory',
  );
}

function migrate(connection: DatabaseSync, migrations: readonly string[], format: number): void {
  for (const [index, step] of migrations.entries()) {
    if (index < format) continue;
    inTransaction(connection, () => connection.exec(`${step}; PRAGMA user_version = ${index + 1}`));
  }
}

export function inTransaction<T>(connection: DatabaseSync, action: () => T): T {
  connection.exec('BEGIN IMMEDIATE');
  try {
    const value = action();
    connection.exec('COMMIT');
    return value;
  } catch (error) {
    if (connection.isTransaction) connection.exec('ROLLBACK');
    throw error;
  }
}

/** All statements as one transaction. */
export function runStatements(connection: DatabaseSync, statements: readonly Statement[]): void {
  inTransaction(connection, () => {
    for (const { sql, rows } of statements) {
      const prepared = connection.prepare(sql);
      for (const row of rows) prepared.run(...row);
    }
  });
}

function orClosed(connection: DatabaseSync, prepare: () => void): DatabaseSync {
  try {
    prepare();
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Moves the file and its journal away, so that both together can still be looked at; answers the new path. */
export function setAside(path: string): string {
  let aside = '';
  for (let count = 1; count <= BROKEN_KEPT_MAX; count += 1) {
    aside = `${path}.broken-${count}`;
    if (!existsSync(aside)) break;
  }
  renameSync(path, aside);
  rmSync(`${aside}-wal`, { force: true });
  if (existsSync(`${path}-wal`)) renameSync(`${path}-wal`, `${aside}-wal`);
  rmSync(`${path}-shm`, { force: true });
  return aside;
}

/** A failing statement at opening means tables that are not ours: SQLite calls that a plain error. */
export function isBrokenAtOpening(error: unknown): boolean {
  return error instanceof BrokenFile || primaryCodeOf(error) === CODES.ERROR || failureOf(error) === 'broken';
}

export function failureOf(error: unknown): SqliteFailure {
  const code = primaryCodeOf(error);
  if (code === null) return 'statement';
  if (BROKEN_CODES.includes(code)) return 'broken';
  return DISK_CODES.includes(code) ? 'disk' : 'statement';
}

/** Whether somebody else's lock is in the way. */
export function isBusy(error: unknown): boolean {
  return primaryCodeOf(error) === CODES.BUSY;
}

/** Extended codes carry the primary one in their lowest byte. */
function primaryCodeOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return null;
  return error.errcode & 0xff;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
