/**
 * One SQLite file in the state directory for what the gateway has learned on this machine. What it loses costs a few slow
 * starts and no more.
 *
 *  D1. It never keeps the gateway from starting, except where a newer gateway wrote it: a file that is broken is set aside,
 *      and where none can be kept, what is learned lives in memory until the end.
 *  D2. After opening nothing throws. A failure is told once for each kind of access, and the caller goes on without.
 *  D3. A change is whole or absent. The last ones before a power cut may be lost (synchronous NORMAL), never the file.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Notice } from '../config/resolved-config.ts';
import { failure, type Result, success } from '../core/result.ts';
import { MIGRATIONS } from './migrations.ts';

/** Beside us only an operator's shell may hold the file; the whole gateway stands still meanwhile. */
const BUSY_TIMEOUT_MS = 250;

/** Broken files that are kept for a look; when all names are taken, the last one is replaced. */
const BROKEN_KEPT_MAX = 5;

const FILE_NAME = 'state.db';
const IN_MEMORY = ':memory:';

/** Primary result codes of SQLite (https://www.sqlite.org/rescode.html) that say that the file itself is no good. */
const SQLITE_ERROR = 1;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

export interface StateDatabaseOptions {
  /** Made if it is missing, unless only read. */
  readonly directory: string;
  /** `own`: by the gateway that owns the directory. `read`: by commands beside it; nothing is changed or set aside. */
  readonly access: 'own' | 'read';
  /** Told of failures after opening, in a sentence. */
  readonly onFault: (text: string) => void;
}

export interface OpenedStateDatabase {
  readonly database: StateDatabase;
  /** What went wrong without stopping the start. */
  readonly notices: readonly Notice[];
}

/** The error is a sentence for the operator: the file is of a newer gateway. */
export function openStateDatabase(options: StateDatabaseOptions): Result<OpenedStateDatabase, string> {
  const { directory, access, onFault } = options;
  const path = join(directory, FILE_NAME);
  const opened = (connection: DatabaseSync, kept: boolean, notices: readonly Notice[]) =>
    success({ database: new StateDatabase(directory, connection, kept, onFault), notices });
  const notices: Notice[] = [];
  if (access === 'read' && !existsSync(path)) return opened(connect(IN_MEMORY), false, notices);
  try {
    if (access === 'read') return opened(reader(path), false, notices);
    return opened(connectOwn(directory, path, notices), true, notices);
  } catch (error) {
    if (error instanceof NewerFormat) return failure(error.message);
    const consequence =
      access === 'own' ? 'what is learned is lost at the end' : 'nothing that was learned is known';
    notices.push({ level: 'warn', text: `${path} cannot be used, so ${consequence}: ${messageOf(error)}` });
    return opened(connect(IN_MEMORY), false, notices);
  }
}

/** The file, or a new one in its place if it is broken. Throws where there cannot be one. */
function connectOwn(directory: string, path: string, notices: Notice[]): DatabaseSync {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    return connect(path);
  } catch (error) {
    if (!isBroken(error)) throw error;
    const aside = setAside(path);
    notices.push({
      level: 'warn',
      text: `${path} is broken (${messageOf(error)}); it is kept as ${aside}, and what was learned begins anew`,
    });
    return connect(path);
  }
}

/** Of a gateway's file as it stands. */
function reader(path: string): DatabaseSync {
  const connection = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
  return orClosed(connection, () => {
    const format = formatOf(connection, path);
    if (format < MIGRATIONS.length) throw new Error(`it has format ${format}, which \`serve\` will renew`);
  });
}

function connect(path: string): DatabaseSync {
  const connection = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  return orClosed(connection, () => {
    connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    const problem = connection.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
    if (problem !== 'ok') throw new BrokenFile(String(problem).replaceAll(/\s+/g, ' '));
    migrate(connection, formatOf(connection, path));
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

/** Throws for a format that a newer gateway wrote. */
function formatOf(connection: DatabaseSync, path: string): number {
  const format = Number(connection.prepare('PRAGMA user_version').get()?.['user_version']);
  if (format <= MIGRATIONS.length) return format;
  throw new NewerFormat(
    `${path} was written by a newer vllm-gateway (format ${format}, and this one knows ${MIGRATIONS.length}); ` +
      'run that version, or give this one its own runtime.state_directory',
  );
}

function migrate(connection: DatabaseSync, format: number): void {
  for (const [index, step] of MIGRATIONS.entries()) {
    if (index < format) continue;
    inTransaction(connection, () => connection.exec(`${step}; PRAGMA user_version = ${index + 1}`));
  }
}

function inTransaction<T>(connection: DatabaseSync, action: () => T): T {
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

/** Moves the file and its journal away, so that both together can still be looked at. */
function setAside(path: string): string {
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

class BrokenFile extends Error {}
class NewerFormat extends Error {}

/** A failing statement at opening means tables that are not ours: SQLite calls that a plain error. */
function isBroken(error: unknown): boolean {
  if (error instanceof BrokenFile) return true;
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return false;
  // Extended codes carry the primary one in their lowest byte.
  return [SQLITE_ERROR, SQLITE_CORRUPT, SQLITE_NOTADB].includes(error.errcode & 0xff);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export class StateDatabase {
  readonly directory: string;
  /** Whether changes outlive this process; a reader makes none. */
  readonly kept: boolean;
  readonly #connection: DatabaseSync;
  readonly #onFault: (text: string) => void;
  /** Kinds of access whose failure was told; there are as many as callers in the code. */
  readonly #told = new Set<string>();

  constructor(directory: string, connection: DatabaseSync, kept: boolean, onFault: (text: string) => void) {
    this.directory = directory;
    this.kept = kept;
    this.#connection = connection;
    this.#onFault = onFault;
  }

  /** `what` completes "could not read …"; `otherwise` is the answer after a failure. */
  read<T>(what: string, otherwise: T, action: (connection: DatabaseSync) => T): T {
    try {
      return action(this.#connection);
    } catch (error) {
      this.#tell(`could not read ${what}`, error);
      return otherwise;
    }
  }

  /** Runs `action` as one transaction; `what` completes "could not keep …". False: nothing was changed. */
  change(what: string, action: (connection: DatabaseSync) => void): boolean {
    try {
      inTransaction(this.#connection, () => action(this.#connection));
      return true;
    } catch (error) {
      this.#tell(`could not keep ${what}`, error);
      return false;
    }
  }

  close(): void {
    if (this.#connection.isOpen) this.#connection.close();
  }

  #tell(failing: string, error: unknown): void {
    if (this.#told.has(failing)) return;
    this.#told.add(failing);
    this.#onFault(`the state database ${failing}: ${messageOf(error)}`);
  }
}
