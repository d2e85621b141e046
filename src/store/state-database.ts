/**
 * One SQLite file in the state directory for what engines run and for what the gateway has learned on this machine. Losing it
 * costs a few slow starts, and engines that nobody knows any more are ended.
 *
 *  D1. A file that is broken is set aside, and where none can be written, what is learned, and what can still be read, lives
 *      in memory until the end. The gateway only does not start where a newer one wrote the file, or where the file is there
 *      and cannot be read now: taken for empty, it would have healthy engines ended.
 *  D2. After opening nothing throws. A failure is told once for each kind of access, and the caller goes on without.
 *  D3. A change is whole or absent, and what has resolved survives a power cut (synchronous FULL).
 *  D4. In a gateway that serves, changes are made by the store's thread; this one only reads, at the start.
 */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { Notice } from '../config/resolved-config.ts';
import { failure, type Result, success } from '../core/result.ts';
import { STATE_MIGRATIONS } from './migrations.ts';
import {
  copyOfSqliteFile,
  failureOf,
  isBrokenAtOpening,
  isBusy,
  messageOf,
  NewerFormat,
  openSqliteFile,
  openSqliteReader,
  runStatements,
  type Statement,
  setAside,
} from './sqlite-file.ts';
import type { StoreThread } from './store-thread.ts';

/** Beside us only an operator's shell may hold the file; the whole gateway stands still meanwhile. */
const BUSY_TIMEOUT_MS = 250;
/** At the owner's start, when nobody waits for the gateway yet. */
const OPENING_BUSY_TIMEOUT_MS = 5_000;

const FILE_NAME = 'state.db';
const IN_MEMORY = ':memory:';

export interface StateDatabaseOptions {
  /** Made if it is missing, unless only read. */
  readonly directory: string;
  /** `own`: by the gateway that owns the directory. `read`: by commands beside it; nothing is changed or set aside. */
  readonly access: 'own' | 'read';
  /** Told of failures after opening, in a sentence. */
  readonly onFault: (text: string) => void;
  /** Makes the changes; without it they are made at once, in the caller's thread. */
  readonly thread?: StoreThread;
  /** How long the owner waits for a file that somebody holds. Shorter, for tests. */
  readonly openingTimeoutMs?: number;
}

export interface OpenedStateDatabase {
  readonly database: StateDatabase;
  /** What went wrong without stopping the start. */
  readonly notices: readonly Notice[];
}

/** `lost`: the disk did not answer in time, or the writing thread died; nobody knows whether it was made. */
export type ChangeOutcome = 'made' | 'refused' | 'lost';

/** The error is a sentence for the operator: the file is of a newer gateway, or cannot be read now. */
export function openStateDatabase(options: StateDatabaseOptions): Result<OpenedStateDatabase, string> {
  const { directory, access } = options;
  const path = join(directory, FILE_NAME);
  const notices: Notice[] = [];
  const opened = (connection: DatabaseSync, kept: boolean) =>
    success({ database: new StateDatabase(options, connection, kept), notices });
  if (access === 'read' && !isThere(path)) return opened(inMemory(), false);
  try {
    if (access === 'own') return opened(connectOwn(options, path, notices), true);
    return opened(openSqliteReader(path, BUSY_TIMEOUT_MS, STATE_MIGRATIONS.length), false);
  } catch (error) {
    if (error instanceof NewerFormat) return failure(error.message);
    const copy = access === 'own' && failureOf(error) === 'disk' ? copied(path) : null;
    if (access === 'own' && copy === null && isThere(path)) return failure(unreadableText(path, error));
    const consequence =
      access === 'own' ? 'what is learned is lost at the end' : 'nothing that was learned is known';
    notices.push({ level: 'warn', text: `${path} cannot be used, so ${consequence}: ${messageOf(error)}` });
    return opened(copy ?? inMemory(), false);
  }
}

/** A file that may not even be looked at is there. */
function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOTDIR';
  }
}

function unreadableText(path: string, error: unknown): string {
  const remedy = isBusy(error)
    ? 'end what holds it (a shell or a tool that has it open), and start again'
    : 'mend its disk or its permissions, and start again';
  return `${path} cannot be read now (${messageOf(error)}), and without it engines that run well would be ended: ${remedy}`;
}

/** What can still be read of a file on a full disk: its engines run on. Null: nothing. */
function copied(path: string): DatabaseSync | null {
  try {
    return existsSync(path) ? copyOfSqliteFile(path, STATE_MIGRATIONS) : null;
  } catch {
    return null;
  }
}

/** The file, or a new one in its place if it is broken. Throws where there cannot be one. */
function connectOwn(options: StateDatabaseOptions, path: string, notices: Notice[]): DatabaseSync {
  const { directory, openingTimeoutMs = OPENING_BUSY_TIMEOUT_MS } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const connection = orSetAside(path, notices, () => connect(path, openingTimeoutMs));
  connection.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  return connection;
}

function orSetAside(path: string, notices: Notice[], open: () => DatabaseSync): DatabaseSync {
  try {
    return open();
  } catch (error) {
    if (!isBrokenAtOpening(error)) throw error;
    const aside = setAside(path);
    notices.push({
      level: 'warn',
      text: `${path} is broken (${messageOf(error)}); it is kept as ${aside}, and what was learned begins anew`,
    });
    return open();
  }
}

function connect(path: string, busyTimeoutMs = BUSY_TIMEOUT_MS): DatabaseSync {
  return openSqliteFile(path, {
    synchronous: 'FULL',
    busyTimeoutMs,
    migrations: STATE_MIGRATIONS,
    check: true,
  });
}

function inMemory(): DatabaseSync {
  return connect(IN_MEMORY);
}

export class StateDatabase {
  readonly directory: string;
  /** Whether changes outlive this process; a reader makes none. */
  readonly kept: boolean;
  readonly #path: string;
  readonly #inode: number | null;
  readonly #connection: DatabaseSync;
  readonly #thread: StoreThread | null;
  readonly #onFault: (text: string) => void;
  /** Kinds of access whose failure was told; there are as many as callers in the code. */
  readonly #told = new Set<string>();

  constructor(options: StateDatabaseOptions, connection: DatabaseSync, kept: boolean) {
    this.directory = options.directory;
    this.kept = kept;
    this.#path = join(options.directory, FILE_NAME);
    this.#inode = kept ? (statSync(this.#path, { throwIfNoEntry: false })?.ino ?? null) : null;
    this.#connection = connection;
    this.#thread = kept ? (options.thread ?? null) : null;
    this.#onFault = options.onFault;
  }

  /** `what` completes "could not read …"; `otherwise` is the answer after a failure. Sees what is committed. */
  read<T>(what: string, otherwise: T, action: (connection: DatabaseSync) => T): T {
    try {
      return action(this.#connection);
    } catch (error) {
      this.#tell(`could not read ${what}`, messageOf(error));
      return otherwise;
    }
  }

  /**
   * Runs the statements as one transaction; `what` completes "could not keep …". Changes are made in the order of the calls.
   * Never rejects; false: nothing was changed.
   */
  async change(what: string, statements: readonly Statement[]): Promise<boolean> {
    return (await this.tryChange(what, statements)) === 'made';
  }

  /** As `change`, for whoever has another place for it. */
  async tryChange(what: string, statements: readonly Statement[]): Promise<ChangeOutcome> {
    if (this.#thread === null || !this.#connection.isOpen)
      return this.#changeHere(what, statements) ? 'made' : 'refused';
    const job = { kind: 'change', path: this.#path, inode: this.#inode, statements } as const;
    const answer = await this.#thread.run(job);
    if (answer.ok) return 'made';
    this.#tell(`could not keep ${what}`, answer.text);
    return answer.failure === 'lost' ? 'lost' : 'refused';
  }

  /** For values that are refused before they come to the file. */
  refuse(what: string, why: string): void {
    this.#tell(`could not keep ${what}`, why);
  }

  /** Changes that the thread has taken are still made. */
  close(): void {
    if (this.#connection.isOpen) this.#connection.close();
  }

  #changeHere(what: string, statements: readonly Statement[]): boolean {
    try {
      runStatements(this.#connection, statements);
      return true;
    } catch (error) {
      this.#tell(`could not keep ${what}`, messageOf(error));
      return false;
    }
  }

  #tell(failing: string, why: string): void {
    if (this.#told.has(failing)) return;
    this.#told.add(failing);
    this.#onFault(`the state database ${failing}: ${why}`);
  }
}
