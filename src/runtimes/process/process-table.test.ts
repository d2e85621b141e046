import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { LaunchMark, ProcessTable } from './process-table.ts';
import { LAUNCH_ID_VARIABLE, openProcessTable, parseStat, STATE_ID_VARIABLE } from './process-table.ts';

interface FakeProcess {
  readonly pid: number;
  readonly parent?: number;
  readonly session?: number;
  readonly start?: number;
  readonly state?: string;
  readonly threads?: number;
  /** Null: not readable. */
  readonly environ?: string | null;
  /** Its own process table; absent: nothing tells. */
  readonly space?: string;
}

const STATE_ID = 'state-1';
const CARRIES = marked('a-1');
const OTHER = marked('a-11');
const INTACT = 'PATH=/bin\0HOME=/root\0';
const OVERWRITTEN = '\0'.repeat(200);

function marked(launchId: string, stateId = STATE_ID): string {
  return `PATH=/bin\0${LAUNCH_ID_VARIABLE}=${launchId}\0${STATE_ID_VARIABLE}=${stateId}\0`;
}

/** A /proc with these processes, in the kernel's own format. */
async function tableOf(t: TestContext, processes: readonly FakeProcess[]): Promise<ProcessTable> {
  const root = await mkdtemp(join(tmpdir(), 'vg-proc-'));
  t.after(() => rm(root, { recursive: true }));
  await mkdir(join(root, 'self', 'ns'), { recursive: true });
  await symlink('pid:[1]', join(root, 'self', 'ns', 'pid'));
  await mkdir(join(root, 'sys/kernel/random'), { recursive: true });
  await writeFile(join(root, 'sys/kernel/random/boot_id'), 'boot\n');
  for (const one of processes) {
    await mkdir(join(root, String(one.pid)));
    await writeFile(join(root, String(one.pid), 'stat'), statOf(one));
    if (one.space !== undefined) {
      await mkdir(join(root, String(one.pid), 'ns'));
      await symlink(one.space, join(root, String(one.pid), 'ns', 'pid'));
    }
    if (one.environ !== null) await writeFile(join(root, String(one.pid), 'environ'), one.environ ?? INTACT);
  }
  return openProcessTable(root, STATE_ID);
}

function statOf({
  pid,
  parent = 1,
  session = pid,
  start = 500,
  state = 'S',
  threads = 1,
}: FakeProcess): string {
  return `${pid} (a) b (c) ${state} ${parent} ${session} ${session} 0 -1 4194304 1 1 0 0 1 1 0 0 20 0 ${threads} 0 ${start} 1 1\n`;
}

const LEADER = { pid: 100, startTicks: '500', bootId: 'boot' };
const WATCHED: LaunchMark = { launchId: 'a-1', leader: LEADER, watched: true };

async function pidsOf(table: ProcessTable, mark: LaunchMark): Promise<readonly number[]> {
  return (await table.members(mark)).map(({ pid }) => pid).sort((a, b) => a - b);
}

test('a name with spaces and parentheses does not move the fields', () => {
  assert.deepEqual(parseStat(7, statOf({ pid: 7, parent: 3, session: 5, start: 12 })), {
    pid: 7,
    parentPid: 3,
    groupId: 5,
    sessionId: 5,
    startTicks: '12',
    alive: true,
  });
  assert.equal(parseStat(7, 'nonsense'), null);
});

test('T1: a zombie is dead, unless other threads of it live', () => {
  assert.equal(parseStat(7, statOf({ pid: 7, state: 'Z' }))?.alive, false);
  assert.equal(parseStat(7, statOf({ pid: 7, state: 'Z', threads: 4 }))?.alive, true);
});

test('a process is the same only with its start time and in the same boot', async (t) => {
  const table = await tableOf(t, [{ pid: 100 }]);
  assert.equal(table.isAlive(LEADER), true);
  assert.equal(table.isAlive({ ...LEADER, startTicks: '501' }), false);
  assert.equal(table.isAlive({ ...LEADER, bootId: 'earlier' }), false);
  assert.equal(table.isAlive({ ...LEADER, pid: 101 }), false);
});

test('the id is compared whole, and an overwritten or unreadable environment proves nothing', async (t) => {
  const table = await tableOf(t, [
    { pid: 1, environ: CARRIES },
    { pid: 2, environ: OTHER },
    { pid: 3, environ: OVERWRITTEN },
    { pid: 4, environ: null },
  ]);
  const wanted = ['yes', 'no', 'unknown', 'unknown'];
  assert.deepEqual(
    [1, 2, 3, 4].map((pid) => table.carriesNow(pid, 'a-1')),
    wanted,
  );
  assert.deepEqual(await Promise.all([1, 2, 3, 4].map((pid) => table.carries(pid, 'a-1'))), wanted);
});

test('a launch is its carriers, its session and their descendants, whatever their environment', async (t) => {
  const table = await tableOf(t, [
    { pid: 100, environ: CARRIES },
    { pid: 101, parent: 100, session: 100, environ: INTACT },
    { pid: 102, parent: 1, session: 100, environ: OVERWRITTEN },
    { pid: 103, parent: 1, session: 103, environ: CARRIES },
    { pid: 104, parent: 103, session: 104, environ: INTACT },
    { pid: 105, parent: 100, session: 105, state: 'Z' },
    { pid: 200, parent: 1, session: 200, environ: OTHER },
    { pid: 201, parent: 1, session: 201, environ: OVERWRITTEN },
  ]);
  assert.deepEqual(await pidsOf(table, WATCHED), [100, 101, 102, 103, 104]);
});

test('T2: the session of a stranger who got the leader’s pid is not the launch’s', async (t) => {
  const table = await tableOf(t, [
    { pid: 100, start: 900, environ: OVERWRITTEN },
    { pid: 101, parent: 100, session: 100, start: 901, environ: OVERWRITTEN },
    { pid: 103, parent: 1, session: 103, environ: CARRIES },
  ]);
  assert.deepEqual(await pidsOf(table, WATCHED), [103]);
  assert.deepEqual(await pidsOf(table, { ...WATCHED, watched: false }), [103]);
});

test('T2: of a session without its leader and without our watch, only what hides its environment is taken', async (t) => {
  const table = await tableOf(t, [
    { pid: 101, parent: 1, session: 100, start: 600, environ: INTACT },
    { pid: 102, parent: 1, session: 100, start: 600, environ: OVERWRITTEN },
    { pid: 103, parent: 1, session: 100, start: 400, environ: OVERWRITTEN },
  ]);
  assert.deepEqual(await pidsOf(table, { ...WATCHED, watched: false }), [102]);
  assert.deepEqual(await pidsOf(table, WATCHED), [101, 102]);
  const earlier = { ...LEADER, bootId: 'earlier' };
  assert.deepEqual(await pidsOf(table, { ...WATCHED, leader: earlier, watched: false }), []);
});

test('we are never a member, also when we were started by an engine', async (t) => {
  const table = await tableOf(t, [
    { pid: 100, environ: CARRIES },
    { pid: process.pid, parent: 100, session: 100, environ: CARRIES },
  ]);
  assert.deepEqual(await pidsOf(table, WATCHED), [100]);
});

test('without /proc only a watched group is known', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'vg-proc-'));
  t.after(() => rm(root, { recursive: true }));
  const table = openProcessTable(root);
  assert.equal(table.bootId, null);
  const nobody = { pid: 2 ** 22 + 1, startTicks: null, bootId: null };
  assert.deepEqual(await table.members({ launchId: 'a-1', leader: nobody, watched: true }), []);
  assert.equal(table.isAlive(nobody), false);
});

test('what is older than the leader cannot carry the id, and its environment is not asked for', async (t) => {
  const processes = [
    { pid: 90, start: 499, environ: CARRIES },
    { pid: 100, start: 500, environ: CARRIES },
    { pid: 101, start: 500, environ: CARRIES },
  ];
  const table = await tableOf(t, processes);
  assert.deepEqual(await pidsOf(table, WATCHED), [100, 101]);
  // Without a leader nothing is known to be older.
  assert.deepEqual(await pidsOf(table, { ...WATCHED, leader: null }), [90, 100, 101]);
});

test('T3: the id of a launch counts only beside the id of our state directory', async (t) => {
  const table = await tableOf(t, [
    { pid: 11, environ: CARRIES },
    { pid: 12, environ: marked('a-1', 'state-2') },
    { pid: 13, environ: `${LAUNCH_ID_VARIABLE}=a-1\0` },
  ]);
  assert.deepEqual(
    [11, 12, 13].map((pid) => table.carriesNow(pid, 'a-1')),
    ['yes', 'no', 'no'],
  );
  assert.deepEqual(await pidsOf(table, { ...WATCHED, leader: null }), [11]);
});

test('all launches of our state directory are found by one scan, the dead, the strange and we excepted', async (t) => {
  const table = await tableOf(t, [
    { pid: 1, environ: CARRIES },
    { pid: 2, environ: CARRIES },
    { pid: 3, environ: OTHER, space: 'pid:[1]' },
    // In a container.
    { pid: 9, environ: marked('c-1'), space: 'pid:[2]' },
    { pid: 4, environ: marked('b-1', 'state-2') },
    { pid: 5, environ: marked('../../b') },
    { pid: 6, environ: `${LAUNCH_ID_VARIABLE}=b-2\0` },
    { pid: 7, environ: marked('b-3'), state: 'Z' },
    { pid: 8, environ: null },
    { pid: process.pid, environ: marked('b-4') },
  ]);
  assert.deepEqual([...(await table.marked())].sort(), ['a-1', 'a-11']);
});
