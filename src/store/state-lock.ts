/**
 * One gateway owns a state directory: two would adopt and kill each other's engines. The lock is the kernel's (`owner.lock`);
 * beside it `owner.json` names the owner for people, and proves nothing.
 */
import { readFile, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeDurably } from './durable-file.ts';
import { isFileLocked, tryFileLock } from './file-lock.ts';

/** Who holds a state directory, or held it last. */
export interface StateOwner {
  /** As the owner sees itself: in a container its own first process may be 1. */
  readonly pid: number;
  /** In a container, the container's id. */
  readonly hostName: string;
  readonly startedWallMs: number;
  /** Where it listens; null: it did not say. */
  readonly address: string | null;
}

export interface StateLock {
  /** Names the address for those who come later; a failing disk costs only that. */
  tellAddress(address: string): Promise<void>;
  release(): Promise<void>;
}

export type StateLockResult =
  | { readonly kind: 'acquired'; readonly lock: StateLock }
  /** `owner` is null where its file cannot be read. */
  | { readonly kind: 'held'; readonly owner: StateOwner | null };

const LOCK_NAME = 'owner.lock';
const OWNER_NAME = 'owner.json';

/** Somebody who only looks holds the lock for a moment; an owner holds it throughout. */
const ROUNDS_MAX = 5;
const ROUND_PAUSE_MS = 40;

/** Throws where the directory cannot be written or its file system has no locks. */
export async function acquireStateLock(directory: string): Promise<StateLockResult> {
  const path = join(directory, LOCK_NAME);
  for (let round = 1; ; round += 1) {
    const held = tryFileLock(path);
    if (held !== null) {
      const own = { pid: process.pid, hostName: hostname(), startedWallMs: Date.now(), address: null };
      await writeOwner(directory, own);
      return { kind: 'acquired', lock: lockOf(directory, own, () => held.release()) };
    }
    if (round === ROUNDS_MAX) return { kind: 'held', owner: await readOwner(directory) };
    await sleep(ROUND_PAUSE_MS);
  }
}

/** Who the directory names as its owner and whether the lock is held now; null where nobody ever owned it or that cannot be read. */
export async function readStateOwner(
  directory: string,
): Promise<(StateOwner & { readonly isHeld: boolean }) | null> {
  const owner = await readOwner(directory);
  return owner === null ? null : { ...owner, isHeld: isFileLocked(join(directory, LOCK_NAME)) };
}

/** For people: who holds the directory, and what to do. */
export function heldText(directory: string, owner: StateOwner | null): string {
  const remedy = 'stop it, or give this one its own runtime.state_directory';
  if (owner === null) return `another gateway owns the state directory ${directory}; ${remedy}`;
  const where = owner.hostName === hostname() ? '' : ` on ${owner.hostName}`;
  const address = owner.address === null ? '' : `, at ${owner.address}`;
  return `another gateway (pid ${owner.pid}${where}${address}) owns the state directory ${directory}; ${remedy}`;
}

function lockOf(directory: string, own: StateOwner, release: () => void): StateLock {
  let isReleased = false;
  return {
    async tellAddress(address) {
      if (!isReleased) await writeOwner(directory, { ...own, address });
    },
    async release() {
      if (isReleased) return;
      isReleased = true;
      // Still under the lock: afterwards the file may be the next owner's.
      await rm(join(directory, OWNER_NAME), { force: true }).catch(() => undefined);
      release();
    },
  };
}

/** On a full disk the lock holds all the same, and the owner stays unnamed. */
async function writeOwner(directory: string, owner: StateOwner): Promise<void> {
  const path = join(directory, OWNER_NAME);
  await writeDurably(path, JSON.stringify(owner)).catch(() =>
    rm(path, { force: true }).catch(() => undefined),
  );
}

async function readOwner(directory: string): Promise<StateOwner | null> {
  try {
    const found = JSON.parse(await readFile(join(directory, OWNER_NAME), 'utf8')) as Record<string, unknown>;
    const { pid, hostName, startedWallMs, address } = found;
    if (typeof pid !== 'number' || typeof hostName !== 'string' || typeof startedWallMs !== 'number')
      return null;
    return { pid, hostName, startedWallMs, address: typeof address === 'string' ? address : null };
  } catch {
    return null;
  }
}
