/**
 * One gateway owns a state directory: two would adopt and kill each other's engines. The lock is a file that names its
 * owner; it is stale when that very process (pid and start time) is no more.
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeDurably } from './durable-file.ts';
import type { ProcessIdentity } from './launch-records.ts';

export interface StateLock {
  release(): Promise<void>;
}

export type StateLockResult =
  | { readonly kind: 'acquired'; readonly lock: StateLock }
  | { readonly kind: 'held'; readonly owner: ProcessIdentity };

const LOCK_NAME = 'owner.json';

/** Each round loses only against another gateway that starts in the same moment. */
const ROUNDS_MAX = 5;

/** Time in which a gateway that judged the same stale lock may still act on it. */
const TAKEOVER_SETTLE_MS = 50;

/** `isAlive` tells whether exactly this process still runs. */
export async function acquireStateLock(
  directory: string,
  self: ProcessIdentity,
  isAlive: (identity: ProcessIdentity) => boolean,
): Promise<StateLockResult> {
  const path = join(directory, LOCK_NAME);
  const ticket = `${path}.${randomBytes(6).toString('hex')}`;
  const text = JSON.stringify({ ...self, ticket: randomBytes(8).toString('hex') });
  await writeDurably(ticket, text);
  try {
    let tookOver = false;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      if (await linkIfAbsent(ticket, path)) {
        if (tookOver) await sleep(TAKEOVER_SETTLE_MS);
        if ((await readText(path)) === text) return { kind: 'acquired', lock: lockOf(path, text) };
        continue;
      }
      const found = await readText(path);
      const owner = found === null ? null : parseOwner(found);
      if (owner !== null && isAlive(owner)) return { kind: 'held', owner };
      tookOver = true;
      if (found !== null) await setAside(path, found);
    }
  } finally {
    await rm(ticket, { force: true });
  }
  throw new Error(`${path} changes hands again and again`);
}

/** Who the lock names, alive or not; null without a lock that can be read. */
export async function readStateOwner(directory: string): Promise<ProcessIdentity | null> {
  const text = await readText(join(directory, LOCK_NAME));
  return text === null ? null : parseOwner(text);
}

function lockOf(path: string, text: string): StateLock {
  return {
    async release() {
      if ((await readText(path)) === text) await rm(path, { force: true });
    },
  };
}

/** Removes the lock that was judged stale, and puts it back if it turns out to be a newer one. */
async function setAside(path: string, judged: string): Promise<void> {
  const aside = `${path}.stale-${randomBytes(6).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if ((await readText(aside)) !== judged) await linkIfAbsent(aside, path);
  await rm(aside, { force: true });
}

async function linkIfAbsent(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function parseOwner(text: string): ProcessIdentity | null {
  try {
    const { pid, startTicks, bootId } = JSON.parse(text) as Record<string, unknown>;
    if (typeof pid !== 'number') return null;
    return {
      pid,
      startTicks: typeof startTicks === 'string' ? startTicks : null,
      bootId: typeof bootId === 'string' ? bootId : null,
    };
  } catch {
    return null;
  }
}
