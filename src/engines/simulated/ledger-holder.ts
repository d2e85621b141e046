/**
 * Who holds a claim, told across process tables. Engines in containers have tables of their own, where our process ids
 * mean nothing: there a claim counts while its process holds a lock of the kernel on a file beside the ledger.
 *
 *  H1. The lock is gone with its process, however that ends.
 *  H2. A process never opens its own lock's file again: POSIX would drop the lock when that handle is closed.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

/** Claims whose numbers here are remembered. */
const NUMBERS_KEPT_MAX = 1_000;

/** The process table that we are in; null where the system does not say. */
export function ownProcessSpace(): string | null {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return null;
  }
}

/** Locks of this process by directory, kept until it ends. */
const own = new Map<string, { readonly name: string; readonly database: DatabaseSync }>();

/** The name of the lock that this process holds in `directory`; it is taken at the first call. */
export function ownLock(directory: string): string {
  const held = own.get(directory);
  if (held !== undefined) return held.name;
  const name = `holder.${randomBytes(8).toString('hex')}.lock`;
  const database = open(join(directory, name));
  if (database === null) throw new Error(`the lock ${name} of a claim cannot be taken`);
  own.set(directory, { name, database });
  return name;
}

/** Whether the process that took this lock still lives. */
export function isLockHeld(directory: string, name: string): boolean {
  if (own.get(directory)?.name === name) return true;
  const path = join(directory, name);
  if (!existsSync(path)) return false;
  const database = open(path);
  if (database === null) return true;
  database.close();
  // Nobody takes a lock of this name again.
  rmSync(path, { force: true });
  return false;
}

/** Null while another process has it. */
function open(path: string): DatabaseSync | null {
  const { DatabaseSync: Database } = process.getBuiltinModule('node:sqlite');
  const database = new Database(path, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return database;
  } catch {
    database.close();
    return null;
  }
}

const numbers = new Map<string, number>();

/** The number here of a process that is `pid` in the table `space`, which lies within ours; null: it cannot be seen. */
export function numberHere(space: string, pid: number): number | null {
  const key = `${space} ${pid}`;
  const known = numbers.get(key);
  if (known !== undefined && isIn(space, known, pid)) return known;
  numbers.delete(key);
  for (const name of readdirSync('/proc')) {
    const candidate = Number(name);
    if (!(candidate > 0) || !isIn(space, candidate, pid)) continue;
    if (numbers.size >= NUMBERS_KEPT_MAX) numbers.clear();
    numbers.set(key, candidate);
    return candidate;
  }
  return null;
}

function isIn(space: string, candidate: number, pid: number): boolean {
  try {
    if (readlinkSync(`/proc/${candidate}/ns/pid`) !== space) return false;
    const status = readFileSync(`/proc/${candidate}/status`, 'latin1');
    return /^NSpid:.*?(\d+)$/m.exec(status)?.[1] === String(pid);
  } catch {
    return false;
  }
}
