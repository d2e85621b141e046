/**
 * The kernel's table of processes, read from /proc: who is alive, and which processes belong to a launch. A launch's
 * processes are found in three ways, because each alone can be escaped: they carry the launch id in their environment,
 * they are in the leader's session, or they descend from one of the others.
 *
 *  T1. A zombie is not alive: it holds no memory and answers nobody.
 *  T2. A process is taken for the launch's only on evidence that a stranger with a reused pid cannot have.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import type { LaunchId } from '../../core/ids.ts';
import type { ProcessIdentity } from '../../store/launch-records.ts';

/** Name of the variable that every process of an engine carries. */
export const LAUNCH_ID_VARIABLE = 'VLLM_GATEWAY_LAUNCH_ID';

export interface ProcessFacts {
  readonly pid: number;
  readonly parentPid: number;
  readonly groupId: number;
  readonly sessionId: number;
  readonly startTicks: string;
  readonly alive: boolean;
}

export interface LaunchMark {
  readonly launchId: LaunchId;
  /** The process group leader, null when it is not known (we died between record and spawn). */
  readonly leader: ProcessIdentity | null;
  /** We have watched the leader without a gap, so its session number cannot have passed to a stranger. */
  readonly watched: boolean;
}

export interface ProcessTable {
  /** Null on systems without /proc: then only process groups are known. */
  readonly bootId: string | null;
  /** Null for a pid that does not exist. */
  facts(pid: number): ProcessFacts | null;
  /** The same process as then, and alive (T1). */
  isAlive(identity: ProcessIdentity): boolean;
  /** Carries the id, or cannot be read, or shows an intact environment without it. */
  carries(pid: number, launchId: LaunchId): 'yes' | 'no' | 'unknown';
  /** Living processes of a launch, us excepted. */
  members(mark: LaunchMark): Promise<readonly ProcessIdentity[]>;
  /** Of each mark its members by session and descent alone, which one reading of the table tells. */
  families(marks: readonly LaunchMark[]): Promise<readonly (readonly ProcessIdentity[])[]>;
}

/** Files read at once in a scan: enough to be quick, few enough to leave the thread pool to others. */
const READS_AT_ONCE = 16;
/** Some tenths of a millisecond; then whatever else waits has its turn. */
const STATS_AT_ONCE = 64;

/** The table of this system; `root` is for tests. */
export function openProcessTable(root = '/proc'): ProcessTable {
  const bootId = readBootId(root);
  return bootId === null ? groupsOnly() : procTable(root, bootId);
}

function procTable(root: string, bootId: string): ProcessTable {
  const facts = (pid: number): ProcessFacts | null => readFacts(root, pid);
  const isAlive = (identity: ProcessIdentity): boolean => {
    if (identity.bootId !== bootId) return false;
    const found = facts(identity.pid);
    return found?.alive === true && found.startTicks === identity.startTicks;
  };
  return {
    bootId,
    facts,
    isAlive,
    carries(pid, launchId) {
      try {
        return judgeEnvironment(readFileSync(`${root}/${pid}/environ`), launchId);
      } catch {
        return 'unknown';
      }
    },
    async members(mark) {
      const rows = await readTable(root, bootId, mark);
      return identities(belonging(rows, mark, bootId), bootId);
    },
    async families(marks) {
      const rows = marks.length === 0 ? [] : await readTable(root, bootId, null);
      return marks.map((mark) => identities(belonging(rows, mark, bootId), bootId));
    },
  };
}

interface Row {
  readonly facts: ProcessFacts;
  readonly carries: 'yes' | 'no' | 'unknown';
}

function identities(rows: readonly Row[], bootId: string): readonly ProcessIdentity[] {
  return rows.map(({ facts: { pid, startTicks } }) => ({ pid, startTicks, bootId }));
}

/**
 * `mark` null: environments, which cost the most, are not read; else only those of processes that are not older than the
 * leader, because the others began before there was a launch id to be given.
 *
 * `stat` is made by the kernel as it is read and waits for nothing, so the thread pool would cost more than the reading.
 * `environ` waits while the process changes its memory, which one that hangs in a driver does for ever: never here.
 */
async function readTable(root: string, bootId: string, mark: LaunchMark | null): Promise<readonly Row[]> {
  const pids = (await readdir(root)).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: ProcessFacts[] = [];
  for (const [index, pid] of pids.entries()) {
    const facts = readFacts(root, pid);
    if (facts !== null) found.push(facts);
    if (index % STATS_AT_ONCE === STATS_AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  // Unread, it is no evidence: only a leader that is proven to be ours makes the rest ours (T2).
  if (mark === null) return found.map((facts) => ({ facts, carries: 'no' }));
  const { leader, launchId } = mark;
  const isOlder = (facts: ProcessFacts): boolean =>
    leader?.bootId === bootId && leader.startTicks !== null && !notBefore(facts, leader);
  const rows: Row[] = found.filter(isOlder).map((facts) => ({ facts, carries: 'no' }));
  const young = found.filter((facts) => !isOlder(facts));
  const readNext = async (): Promise<void> => {
    for (let facts = young.pop(); facts !== undefined; facts = young.pop()) {
      const environment = await readFile(`${root}/${facts.pid}/environ`).catch(() => null);
      const carries = environment === null ? 'unknown' : judgeEnvironment(environment, launchId);
      rows.push({ facts, carries });
    }
  };
  await Promise.all(Array.from({ length: READS_AT_ONCE }, readNext));
  return rows;
}

function readFacts(root: string, pid: number): ProcessFacts | null {
  try {
    return parseStat(pid, readFileSync(`${root}/${pid}/stat`, 'latin1'));
  } catch {
    return null;
  }
}

/** T2. Pure, apart from our own pid. */
function belonging(rows: readonly Row[], mark: LaunchMark, bootId: string): readonly Row[] {
  const { leader } = mark;
  const there = leader === null ? undefined : rows.find(({ facts }) => facts.pid === leader.pid);
  const sessionIsOurs =
    leader !== null &&
    leader.bootId === bootId &&
    (there === undefined || there.facts.startTicks === leader.startTicks);
  const leaderProven = sessionIsOurs && (mark.watched || there?.facts.alive === true);
  const ours = new Set<number>();
  for (const { facts, carries } of rows) {
    const inSession =
      sessionIsOurs &&
      (facts.sessionId === leader.pid || facts.groupId === leader.pid) &&
      notBefore(facts, leader);
    // An intact environment without the id proves nothing against a child of a leader that we know to be ours.
    if (carries === 'yes' || (inSession && (leaderProven || carries === 'unknown'))) ours.add(facts.pid);
  }
  ours.delete(process.pid);
  addDescendants(rows, ours);
  return rows.filter(({ facts }) => ours.has(facts.pid) && facts.alive);
}

function notBefore(facts: ProcessFacts, leader: ProcessIdentity): boolean {
  return leader.startTicks !== null && BigInt(facts.startTicks) >= BigInt(leader.startTicks);
}

function addDescendants(rows: readonly Row[], ours: Set<number>): void {
  for (let grew = ours.size > 0; grew; ) {
    grew = false;
    for (const { facts } of rows) {
      if (!ours.has(facts.parentPid) || ours.has(facts.pid) || facts.pid === process.pid) continue;
      ours.add(facts.pid);
      grew = true;
    }
  }
}

/** `pid (name, which may hold anything) state ppid pgrp session …`; fields are counted from the last parenthesis. */
export function parseStat(pid: number, text: string): ProcessFacts | null {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parentPid, groupId, sessionId] = fields;
  const threads = Number(fields[17]);
  const startTicks = fields[19];
  if (state === undefined || startTicks === undefined || !/^\d+$/.test(startTicks)) return null;
  // A main thread that ended before its other threads shows as a zombie, but the process lives and holds its memory.
  const dead = state === 'X' || state === 'x' || (state === 'Z' && !(threads > 1));
  return {
    pid,
    parentPid: Number(parentPid),
    groupId: Number(groupId),
    sessionId: Number(sessionId),
    startTicks,
    alive: !dead,
  };
}

/** A process that set its title has overwritten its environment: no entry is left, which proves nothing. */
function judgeEnvironment(environment: Buffer, launchId: LaunchId): 'yes' | 'no' | 'unknown' {
  const entries = environment.toString('latin1').split('\0');
  if (entries.includes(`${LAUNCH_ID_VARIABLE}=${launchId}`)) return 'yes';
  return entries.some((entry) => /^[A-Za-z_]\w*=/.test(entry)) ? 'no' : 'unknown';
}

function readBootId(root: string): string | null {
  try {
    readdirSync(`${root}/self`);
    return readFileSync(`${root}/sys/kernel/random/boot_id`, 'utf8').trim();
  } catch {
    return null;
  }
}

/** Without /proc a leader is known by its pid alone, so nothing that an earlier gateway left can be trusted. */
function groupsOnly(): ProcessTable {
  return {
    bootId: null,
    facts: () => null,
    isAlive: ({ pid }) => groupExists(pid),
    carries: () => 'unknown',
    members: async (mark) => leaderOf(mark),
    families: async (marks) => marks.map(leaderOf),
  };
}

function leaderOf({ leader, watched }: LaunchMark): readonly ProcessIdentity[] {
  return leader !== null && watched && groupExists(leader.pid) ? [leader] : [];
}

function groupExists(leaderPid: number): boolean {
  try {
    process.kill(-leaderPid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
