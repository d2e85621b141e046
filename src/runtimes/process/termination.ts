/**
 * The end of an engine, verified. Killing the leader is not enough: vLLM's engine core lives on and holds the device's
 * memory, and children may have left the group.
 *
 *  E1. SIGTERM goes to the whole group once; SIGKILL to the group and to every process of the launch.
 *  E2. It is over only when a scan of all processes finds none of the launch.
 *  E3. It never takes longer than the grace, the orphans' grace and `KILL_VERIFY_MS_MAX` together.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessIdentity } from '../../store/launch-records.ts';
import type { LaunchMark, ProcessTable } from './process-table.ts';

/** Processes that outlive their leader get this long to end by themselves. */
const ORPHAN_GRACE_MS = 1_000;
/** A killed process that is still there after this hangs in the kernel (a driver, a dead network disk). */
const KILL_VERIFY_MS_MAX = 10_000;

const POLL_MIN_MS = 4;
const POLL_MAX_MS = 100;
/** How often the known processes are looked at before all are scanned again. */
const SCAN_EVERY_MS = 1_000;

/** Processes named when some are left. */
const LEFT_SHOWN_MAX = 8;

export interface Termination {
  /** Gone, or what is left and cannot be killed. */
  readonly left: string | null;
  readonly forced: boolean;
}

/** `hurry` aborted: the grace is over at once. */
export async function terminate(
  table: ProcessTable,
  mark: LaunchMark,
  graceMs: number,
  hurry: AbortSignal,
): Promise<Termination> {
  const members = createMembers(table, mark);
  if ((await members.scan()).length === 0) return { left: null, forced: false };
  if (graceMs > 0 && !hurry.aborted) {
    signalGroup(table, mark, members.alive(), 'SIGTERM');
    if (await endsByItself(table, mark, members, graceMs, hurry)) return { left: null, forced: false };
  }
  return await killAll(table, mark, members);
}

/**
 * The processes of a launch as they become known. One that was seen once stays known while it lives: a child that left
 * the session and cleared its environment is the launch's only as long as its parent lives to prove it.
 */
interface Members {
  alive(): readonly ProcessIdentity[];
  /** Looks for more, and returns all that live. */
  scan(): Promise<readonly ProcessIdentity[]>;
}

function createMembers(table: ProcessTable, mark: LaunchMark): Members {
  let known: readonly ProcessIdentity[] = [];
  const alive = (): readonly ProcessIdentity[] => {
    known = known.filter((member) => table.isAlive(member));
    return known;
  };
  return {
    alive,
    async scan() {
      const found = await table.members(mark);
      const before = alive().filter((member) => !found.some(({ pid }) => pid === member.pid));
      known = [...before, ...found];
      return known;
    },
  };
}

async function endsByItself(
  table: ProcessTable,
  mark: LaunchMark,
  members: Members,
  graceMs: number,
  hurry: AbortSignal,
): Promise<boolean> {
  let deadlineMs = performance.now() + graceMs;
  let scanAtMs = performance.now() + SCAN_EVERY_MS;
  let leaderGone = false;
  let pollMs = POLL_MIN_MS;
  while (performance.now() < deadlineMs && !hurry.aborted) {
    if (!leaderGone && mark.leader !== null && !table.isAlive(mark.leader)) {
      leaderGone = true;
      deadlineMs = Math.min(deadlineMs, performance.now() + ORPHAN_GRACE_MS);
    }
    if (members.alive().length === 0 || performance.now() >= scanAtMs) {
      if ((await members.scan()).length === 0) return true;
      scanAtMs = performance.now() + SCAN_EVERY_MS;
    }
    await pause(Math.min(pollMs, Math.max(1, deadlineMs - performance.now())), hurry);
    pollMs = Math.min(POLL_MAX_MS, pollMs * 1.25);
  }
  return (await members.scan()).length === 0;
}

/** E1, E2. Repeated, because a process may fork between the scan and the signal. */
async function killAll(table: ProcessTable, mark: LaunchMark, members: Members): Promise<Termination> {
  const deadlineMs = performance.now() + KILL_VERIFY_MS_MAX;
  let pollMs = POLL_MIN_MS;
  for (;;) {
    const living = await members.scan();
    if (living.length === 0) return { left: null, forced: true };
    if (performance.now() >= deadlineMs) return { left: nameLeft(living), forced: true };
    signalGroup(table, mark, living, 'SIGKILL');
    for (const { pid } of members.alive()) send(pid, 'SIGKILL');
    await sleep(pollMs);
    pollMs = Math.min(POLL_MAX_MS, pollMs * 1.25);
  }
}

/** The group is signalled as a whole only while one of the launch's own processes keeps its number from being reused. */
function signalGroup(
  table: ProcessTable,
  { leader }: LaunchMark,
  members: readonly ProcessIdentity[],
  signal: NodeJS.Signals,
): void {
  if (leader === null) {
    for (const { pid } of members) send(pid, signal);
    return;
  }
  const held =
    table.bootId === null || members.some((member) => table.facts(member.pid)?.groupId === leader.pid);
  if (held) send(-leader.pid, signal);
  else for (const { pid } of members) send(pid, signal);
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended in the meantime, or is not ours to signal: the next scan tells.
  }
}

async function pause(delayMs: number, hurry: AbortSignal): Promise<void> {
  await sleep(delayMs, undefined, { signal: hurry }).catch(() => undefined);
}

function nameLeft(members: readonly ProcessIdentity[]): string {
  const shown = members.slice(0, LEFT_SHOWN_MAX).map(({ pid }) => pid);
  const more = members.length > shown.length ? ' and more' : '';
  return `processes ${shown.join(', ')}${more} do not end, even when killed`;
}
