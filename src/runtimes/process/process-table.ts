/**
 * The kernel's table of processes, read from /proc: who is alive, and which processes belong to a launch. A launch's
 * processes are found in three ways, because each alone can be escaped: they carry the launch id in their environment,
 * they are in the leader's session, or they descend from one of the others.
 *
 *  T1. A zombie is not alive: it holds no memory and answers nobody.
 *  T2. A process is taken for the launch's only on evidence that a stranger with a reused pid cannot have.
 *  T3. A launch id counts only beside the id of our state directory: other gateways have engines too.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import type { LaunchId } from '../../core/ids.ts';
import { LAUNCH_ID } from '../../core/ids.ts';
import type { ProcessIdentity } from '../../store/launch-records.ts';
import type { EnvironmentReader } from './environment-reader.ts';
import { createEnvironmentReader } from './environment-reader.ts';

/** Names of the variables that every process of an engine carries. */
export const LAUNCH_ID_VARIABLE = 'VLLM_GATEWAY_LAUNCH_ID';
export const STATE_ID_VARIABLE = 'VLLM_GATEWAY_STATE_ID';

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

type Carries = 'yes' | 'no' | 'unknown';

export interface ProcessTable {
  /** Null on systems without /proc: then only process groups are known. */
  readonly bootId: string | null;
  /** Null for a pid that does not exist. */
  facts(pid: number): ProcessFacts | null;
  /** The same process as then, and alive (T1). */
  isAlive(identity: ProcessIdentity): boolean;
  /** Carries our mark, or cannot be read, or shows an intact environment without it. */
  carries(pid: number, launchId: LaunchId): Promise<Carries>;
  /** At once: for processes that do not hang, because the whole gateway waits for it. */
  carriesNow(pid: number, launchId: LaunchId): Carries;
  /** Living processes of a launch, us excepted. */
  members(mark: LaunchMark): Promise<readonly ProcessIdentity[]>;
  /** Of each mark its members by session and descent alone, which one reading of the table tells. */
  families(marks: readonly LaunchMark[]): Promise<readonly (readonly ProcessIdentity[])[]>;
  /** Launches of our state directory that any process carries; what cannot be read in time is left out. */
  marked(): Promise<ReadonlySet<LaunchId>>;
}

/** Some tenths of a millisecond; then whatever else waits has its turn. */
const STATS_AT_ONCE = 64;

/**
 * The table of this system; `root` is for tests. A process carries our mark when it has the launch id and this state id;
 * `stateId` null: whoever has the launch id.
 */
export function openProcessTable(root = '/proc', stateId: string | null = null): ProcessTable {
  const bootId = readBootId(root);
  return bootId === null ? groupsOnly() : procTable(root, bootId, stateId);
}

/** Where a table is read, and whose marks count in it. */
interface Place {
  readonly root: string;
  readonly bootId: string;
  readonly stateId: string | null;
  readonly environments: EnvironmentReader;
}

function procTable(root: string, bootId: string, stateId: string | null): ProcessTable {
  const place: Place = { root, bootId, stateId, environments: createEnvironmentReader(root) };
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
    async carries(pid, launchId) {
      let found: Carries = 'unknown';
      await place.environments.readAll([{ pid }], (_, environment) => {
        if (environment !== null) found = judgeEnvironment(environment, launchId, stateId);
      });
      return found;
    },
    carriesNow(pid, launchId) {
      try {
        return judgeEnvironment(readFileSync(`${root}/${pid}/environ`), launchId, stateId);
      } catch {
        return 'unknown';
      }
    },
    async members(mark) {
      const rows = await readTable(place, mark);
      return identities(belonging(rows, mark, bootId), bootId);
    },
    async families(marks) {
      const rows = marks.length === 0 ? [] : await readTable(place, null);
      return marks.map((mark) => identities(belonging(rows, mark, bootId), bootId));
    },
    marked: () => (stateId === null ? Promise.resolve(new Set()) : readMarks(place, stateId)),
  };
}

interface Row {
  readonly facts: ProcessFacts;
  readonly carries: Carries;
}

function identities(rows: readonly Row[], bootId: string): readonly ProcessIdentity[] {
  return rows.map(({ facts: { pid, startTicks } }) => ({ pid, startTicks, bootId }));
}

/**
 * `mark` null: environments, which cost the most, are not read; else only those of processes that are not older than the
 * leader, because the others began before there was a launch id to be given.
 *
 * `stat` is made by the kernel as it is read and waits for nothing, so the thread pool would cost more than the reading.
 * `environ` waits while the process changes its memory, which one that hangs in a driver does for ever: never here, and in the thread pool within limits.
 */
async function readTable(place: Place, mark: LaunchMark | null): Promise<readonly Row[]> {
  const { bootId, stateId, environments } = place;
  const found = await readAllFacts(place.root);
  // Unread, it is no evidence: only a leader that is proven to be ours makes the rest ours (T2).
  if (mark === null) return found.map((facts) => ({ facts, carries: 'no' }));
  const { leader, launchId } = mark;
  const isOlder = (facts: ProcessFacts): boolean =>
    leader?.bootId === bootId && leader.startTicks !== null && !notBefore(facts, leader);
  const rows: Row[] = found.filter(isOlder).map((facts) => ({ facts, carries: 'no' }));
  const young = found.filter((facts) => !isOlder(facts));
  await environments.readAll(young, (facts, environment) => {
    const carries = environment === null ? 'unknown' : judgeEnvironment(environment, launchId, stateId);
    rows.push({ facts, carries });
  });
  return rows;
}

/**
 * Ours excepted: we may have been started by an engine. In a container of Docker an engine is that runtime's, and a copy of one
 * (`docker commit`) is a stranger: they have tables of their own, ours do not.
 */
async function readMarks(place: Place, stateId: string): Promise<ReadonlySet<LaunchId>> {
  const own = spaceOf(place.root, 'self');
  const others = (await readAllFacts(place.root)).filter(({ pid, alive }) => alive && pid !== process.pid);
  const marks = new Set<LaunchId>();
  await place.environments.readAll(others, ({ pid }, environment) => {
    const launchId = environment === null ? null : markOf(environment, stateId);
    if (launchId === null) return;
    const space = spaceOf(place.root, String(pid));
    if (own === null || space === null || space === own) marks.add(launchId);
  });
  return marks;
}

/** The process table that a process sees itself in; null: that cannot be told. */
function spaceOf(root: string, pid: string): string | null {
  try {
    return readlinkSync(`${root}/${pid}/ns/pid`);
  } catch {
    return null;
  }
}

async function readAllFacts(root: string): Promise<readonly ProcessFacts[]> {
  const pids = (await readdir(root)).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: ProcessFacts[] = [];
  for (const [index, pid] of pids.entries()) {
    const facts = readFacts(root, pid);
    if (facts !== null) found.push(facts);
    if (index % STATS_AT_ONCE === STATS_AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  return found;
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
function judgeEnvironment(environment: Buffer, launchId: LaunchId, stateId: string | null): Carries {
  const entries = environment.toString('latin1').split('\0');
  const isOurs = stateId === null || entries.includes(`${STATE_ID_VARIABLE}=${stateId}`);
  if (isOurs && entries.includes(`${LAUNCH_ID_VARIABLE}=${launchId}`)) return 'yes';
  return entries.some((entry) => /^[A-Za-z_]\w*=/.test(entry)) ? 'no' : 'unknown';
}

/** Null without our state id, or without a launch id that one of us can have made. */
function markOf(environment: Buffer, stateId: string): LaunchId | null {
  const entries = environment.toString('latin1').split('\0');
  if (!entries.includes(`${STATE_ID_VARIABLE}=${stateId}`)) return null;
  const prefix = `${LAUNCH_ID_VARIABLE}=`;
  const launchId = entries.find((entry) => entry.startsWith(prefix))?.slice(prefix.length) ?? '';
  return LAUNCH_ID.test(launchId) ? launchId : null;
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
    carries: async () => 'unknown',
    carriesNow: () => 'unknown',
    members: async (mark) => leaderOf(mark),
    families: async (marks) => marks.map(leaderOf),
    marked: async () => new Set(),
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
