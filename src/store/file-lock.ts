/**
 * A lock of the kernel on a file: an exclusive SQLite transaction that is held open. It is gone with its process, however that
 * ends, and holds between containers too, where process ids mean nothing.
 *
 *  F1. The file is never deleted: who waits for a deleted one would hold a lock that nobody else sees.
 *  F2. Nothing but SQLite opens the file: POSIX drops all locks of a process on a file when it closes any handle of it, and
 *      only SQLite knows which of its handles must stay open for that.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { isBusy } from './sqlite-file.ts';

/** Between two looks at a lock that somebody holds. */
const FILE_LOCK_PAUSE_MS = 500;

export interface FileLock {
  /** Calling it again is harmless. */
  release(): void;
}

export interface FileLockOptions {
  /** Ends the waiting: the promise rejects with its reason. */
  readonly signal: AbortSignal;
  /** Called once, when somebody else holds the lock. */
  readonly onWait?: () => void;
}

/** The lock on `path`, as soon as nobody else has it, in this process or another. The file is made if it is missing. */
export async function acquireFileLock(path: string, options: FileLockOptions): Promise<FileLock> {
  const { signal, onWait } = options;
  for (let round = 0; ; round += 1) {
    signal.throwIfAborted();
    const lock = tryFileLock(path);
    if (lock !== null) return lock;
    if (round === 0) onWait?.();
    await sleep(FILE_LOCK_PAUSE_MS, undefined, { signal });
  }
}

/** Null while somebody else has it. Throws where the file system has no locks, or the file cannot be made. */
export function tryFileLock(path: string): FileLock | null {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const connection = new DatabaseSync(path, { timeout: 0 });
  try {
    // Nothing is ever written, so that a lock needs no journal file, which a crash would leave behind, and no room on the disk.
    connection.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    connection.close();
    if (isBusy(error)) return null;
    throw error;
  }
  return {
    release() {
      if (connection.isOpen) connection.close();
    },
  };
}

/** Whether somebody holds the lock now. Takes a shared lock for a moment, which a holder does not notice. */
export function isFileLocked(path: string): boolean {
  if (!existsSync(path)) return false;
  const connection = new DatabaseSync(path, { readOnly: true, timeout: 0 });
  try {
    connection.prepare('SELECT count(*) FROM sqlite_schema').get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw error;
  } finally {
    connection.close();
  }
}
