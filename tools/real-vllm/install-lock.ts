/**
 * One installer at a time: two runs of the tests on one machine must not write into the same environment.
 *
 * Invariants:
 * 1. The lock is a file that only one process can create; it names its owner by pid and start time, because a pid
 *    alone may have been given to somebody else since.
 * 2. A lock whose owner is gone is taken over by renaming it away first: of two that try, one rename succeeds.
 */
import { readFileSync } from 'node:fs';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const pollIntervalMs = 500;

interface LockOwner {
  readonly pid: number;
  readonly startTicks: string;
}

/** Start time of a process in clock ticks since boot, or null when it does not live (Linux only). */
function startTicksOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name stands in parentheses and may hold blanks: fields are counted behind it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

async function readOwner(path: string): Promise<LockOwner | null> {
  try {
    const owner: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof owner !== 'object' || owner === null) return null;
    const { pid, startTicks } = owner as Partial<LockOwner>;
    return typeof pid === 'number' && typeof startTicks === 'string' ? { pid, startTicks } : null;
  } catch {
    return null;
  }
}

async function tryAcquire(path: string): Promise<boolean> {
  const mine = `${path}.${process.pid}`;
  const owner: LockOwner = { pid: process.pid, startTicks: startTicksOf(process.pid) ?? '' };
  await writeFile(mine, JSON.stringify(owner));
  try {
    // A hard link appears with its content, so that no reader meets an empty lock and takes it for a dead one.
    await link(mine, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    await rm(mine, { force: true });
  }
}

async function removeIfOrphaned(path: string): Promise<void> {
  const owner = await readOwner(path);
  if (owner !== null && startTicksOf(owner.pid) === owner.startTicks) return;
  const grave = `${path}.stale.${process.pid}`;
  try {
    await rename(path, grave);
    const buried = await readOwner(grave);
    // Another process may have taken the lock over between our look and our rename: give it back.
    if (buried !== null && startTicksOf(buried.pid) === buried.startTicks) await link(grave, path);
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await rm(grave, { force: true });
  }
}

/**
 * Runs `work` while holding the lock file. Waits at most `waitLimitMs` for another holder, then throws; `onWait` is
 * told once, with the other's pid.
 */
export async function withInstallLock<T>(
  path: string,
  waitLimitMs: number,
  onWait: (pid: number | null) => void,
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const deadline = performance.now() + waitLimitMs;
  let told = false;
  while (!(await tryAcquire(path))) {
    await removeIfOrphaned(path);
    if (performance.now() > deadline) {
      throw new Error(`another process still holds ${path} after ${Math.round(waitLimitMs / 1000)} s`);
    }
    if (!told) onWait((await readOwner(path))?.pid ?? null);
    told = true;
    await delay(pollIntervalMs);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}
