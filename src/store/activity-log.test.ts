import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { activityEntry } from '../../test/fixtures/activity.ts';
import type { ActivityEntry, ActivityLog } from '../telemetry/activity.ts';
import { type ActivityLogOptions, openActivityLog } from './activity-log.ts';
import { type ActivityQuestion, readActivity } from './read-activity.ts';
import { smallDisk } from './small-disk-fixtures.ts';
import type { StoreAnswer, StoreJob } from './store-jobs.ts';
import { StoreThread } from './store-thread.ts';

const DAY_MS = 24 * 60 * 60_000;
const RETRY_PAUSE_MS = 50;

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'activity-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

interface Opened {
  readonly log: ActivityLog;
  readonly faults: string[];
  close(): Promise<void>;
}

function open(t: TestContext, directory: string, changes: Partial<ActivityLogOptions> = {}): Opened {
  const faults: string[] = [];
  const onFault = (text: string): void => void faults.push(text);
  const thread = new StoreThread({ onFault });
  const limits = { rowsMax: 100_000, daysMax: 30, retryPauseMs: RETRY_PAUSE_MS };
  const log = openActivityLog({ directory, thread, onFault, ...limits, ...changes });
  const close = async (): Promise<void> => {
    await log.close();
    await thread.close();
  };
  t.after(close);
  return { log, faults, close };
}

function numbered(count: number, changes: Partial<ActivityEntry> = {}): readonly ActivityEntry[] {
  return Array.from({ length: count }, (_, index) =>
    activityEntry({ clientRequestId: `r${index}`, ...changes }),
  );
}

const ALL: ActivityQuestion = { model: null, sinceWallMs: null, failedOnly: false, limit: 100_000 };

function kept(directory: string, question: Partial<ActivityQuestion> = {}): readonly ActivityEntry[] {
  const read = readActivity(directory, { ...ALL, ...question });
  assert.ok(read.ok, read.ok ? '' : read.error);
  return read.value;
}

async function until(holds: () => boolean): Promise<void> {
  for (let round = 0; !holds() && round < 1_000; round += 1) await sleep(10);
  assert.ok(holds());
}

test('entries come back as they were, in their order, soon and without being closed', async (t) => {
  const directory = place(t);
  const { log } = open(t, directory);
  const entries = [
    activityEntry({ endedWallMs: Date.now() - 5_000, principal: 'p', code: 'model_not_found', load: null }),
    activityEntry({
      clientRequestId: 'r2',
      model: null,
      ttfbMs: null,
      streamed: false,
      status: 404,
      outcome: 'refused',
    }),
  ];
  for (const one of entries) log.add(one);
  await until(() => readActivity(directory, ALL).ok && kept(directory).length === 2);
  assert.deepEqual(kept(directory), entries);
  assert.equal(log.dropped, 0);
});

test('A1: a store that stands still keeps nobody waiting; it goes on where it stood', async (t) => {
  const directory = place(t);
  const thread = new StoreThread({
    onFault: assert.fail,
    file: new URL('crashing-store.fixture.ts', import.meta.url),
  });
  const { log, faults, close } = open(t, directory, { thread });
  const stuck = join(directory, 'activity.db.stuck');
  t.after(async () => {
    rmSync(stuck, { force: true });
    await log.close();
    await thread.close();
  });
  writeFileSync(stuck, '');
  // The first batch is with the thread, and nothing but this test frees it: who waited would wait for ever.
  for (const one of numbered(10_000)) log.add(one);
  assert.ok(log.dropped > 1_000, 'what does not fit is counted');
  assert.deepEqual([readdirSync(directory), faults], [['activity.db.stuck'], []]);
  const { dropped } = log;
  rmSync(stuck);
  await until(() => readActivity(directory, ALL).ok && kept(directory).length === 10_000 - dropped);
  await close();
  assert.equal(log.dropped, dropped);
});

test('questions: a model, since when, what went wrong, how many', async (t) => {
  const directory = place(t);
  const { log, close } = open(t, directory);
  const nowMs = Date.now();
  const ids = (question: Partial<ActivityQuestion>) =>
    kept(directory, question).map(({ clientRequestId }) => clientRequestId);
  log.add(activityEntry({ clientRequestId: 'old', endedWallMs: nowMs - 60_000 }));
  log.add(activityEntry({ clientRequestId: 'cut', endedWallMs: nowMs - 3_000, outcome: 'cut' }));
  log.add(activityEntry({ clientRequestId: 'other', endedWallMs: nowMs - 2_000, model: 'n' }));
  log.add(
    activityEntry({
      clientRequestId: 'refused',
      endedWallMs: nowMs - 1_000,
      outcome: 'refused',
      status: 503,
    }),
  );
  await close();
  assert.deepEqual(ids({}), ['old', 'cut', 'other', 'refused']);
  assert.deepEqual(ids({ model: 'm' }), ['old', 'cut', 'refused']);
  assert.deepEqual(ids({ sinceWallMs: nowMs - 30_000 }), ['cut', 'other', 'refused']);
  assert.deepEqual(ids({ failedOnly: true }), ['cut', 'refused']);
  assert.deepEqual(ids({ limit: 2 }), ['other', 'refused']);
});

test('what a client made long is cut, what is no figure is none, and neither costs a batch', async (t) => {
  const directory = place(t);
  const { log, close } = open(t, directory);
  log.add(activityEntry({ clientRequestId: 'x'.repeat(10_000), waitMs: Number.NaN, durationMs: 1.5 }));
  log.add(activityEntry());
  await close();
  const [first, second] = kept(directory);
  assert.deepEqual([first?.clientRequestId.length, first?.waitMs, first?.durationMs], [256, 0, 2]);
  assert.equal(second?.clientRequestId, 'r1');
});

test('A1: a queue that nobody empties is bounded in rows and in bytes, and drops are counted', async (t) => {
  const jobs: StoreJob[] = [];
  const answer = Promise.withResolvers<StoreAnswer>();
  const run = (job: StoreJob): Promise<StoreAnswer> => {
    jobs.push(job);
    return answer.promise;
  };
  const many = open(t, place(t), { thread: { run } });
  for (const one of numbered(10_000)) many.log.add(one);
  assert.equal(many.log.dropped, 10_000 - 8_192);
  assert.equal(jobs.length, 1, 'A3: one batch at a time');
  const large = open(t, place(t), { thread: { run } });
  // Each text another one: what repeats is kept once.
  for (let index = 0; index < 8_000; index += 1) {
    const long = (name: string): string => `${name}${index}`.padEnd(256, 'x');
    const texts = { clientRequestId: long('i'), model: long('m'), principal: long('p') };
    large.log.add(activityEntry({ ...texts, route: long('r'), code: long('c') }));
  }
  assert.ok(large.log.dropped > 4_000);
  answer.resolve({ ok: false, text: 'gone', failure: 'disk' });
  await Promise.all([many.close(), large.close()]);
  assert.equal(many.log.dropped, 10_000, 'what could not be written at the end is counted too');
  many.log.add(activityEntry());
  assert.equal(many.log.dropped, 10_001);
});

test('retention: rows that are too old go, in steps, also where there are few', async (t) => {
  const directory = place(t);
  const first = open(t, directory, { daysMax: 50 });
  const oldMs = Date.now() - 40 * DAY_MS;
  for (const one of numbered(3_000, { endedWallMs: oldMs })) first.log.add(one);
  await first.close();
  await until(() => kept(directory).length === 3_000);
  const second = open(t, directory);
  second.log.add(activityEntry());
  // One batch takes 1000 rows away; the others follow without a new entry.
  await until(() => kept(directory).length === 1);
  await second.close();
});

test('retention: the oldest rows beyond the limit go', async (t) => {
  const directory = place(t);
  const { log, close } = open(t, directory, { rowsMax: 1_500 });
  for (const one of numbered(5_000)) log.add(one);
  await until(() => readActivity(directory, ALL).ok && kept(directory).at(-1)?.clientRequestId === 'r4999');
  await close();
  assert.deepEqual(
    kept(directory).map(({ clientRequestId }) => clientRequestId),
    Array.from({ length: 1_500 }, (_, index) => `r${index + 3_500}`),
  );
});

const BROKEN: Readonly<Record<string, (path: string) => void>> = {
  'what is no database': (path) => writeFileSync(path, 'x'.repeat(10_000)),
  "somebody else's database": (path) => {
    const foreign = new DatabaseSync(path);
    foreign.exec('CREATE TABLE activity (a TEXT)');
    foreign.close();
  },
};

for (const [what, write] of Object.entries(BROKEN)) {
  test(`${what} is set aside, and no entry is lost`, async (t) => {
    const directory = place(t);
    write(join(directory, 'activity.db'));
    const { log, faults, close } = open(t, directory);
    for (const one of numbered(300)) log.add(one);
    await close();
    assert.equal(kept(directory).length, 300);
    assert.equal(log.dropped, 0);
    assert.equal(faults.length, 1);
    assert.match(faults.join(), /activity\.db is broken \(.+\); it is kept as .*activity\.db\.broken-1/);
    assert.ok(readdirSync(directory).includes('activity.db.broken-1'));
  });
}

test('the file of a newer gateway is left alone: what requests did is not kept, and that is told', async (t) => {
  const directory = place(t);
  const newer = new DatabaseSync(join(directory, 'activity.db'));
  newer.exec('PRAGMA user_version = 77');
  newer.close();
  const { log, faults, close } = open(t, directory);
  log.add(activityEntry());
  await close();
  assert.equal(log.dropped, 1);
  assert.match(faults.join('\n'), /cannot be kept in .* was written by a newer vllm-gateway \(format 77/);
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.includes('broken')),
    [],
  );
});

test('A2: a directory that comes back is used again, and the failure was told once', async (t) => {
  const directory = join(place(t), 'gone');
  const { log, faults, close } = open(t, directory);
  for (const one of numbered(300)) log.add(one);
  await until(() => faults.length > 0);
  for (let round = 0; round < 5; round += 1) await sleep(RETRY_PAUSE_MS);
  mkdirSync(directory);
  await until(() => faults.length > 1);
  await close();
  assert.equal(kept(directory).length, 300);
  assert.match(faults[0] ?? '', /^what requests did cannot be kept in .*activity\.db: unable to open/);
  assert.deepEqual(faults.slice(1), ['what requests did is kept again; 0 entries were lost meanwhile']);
});

test('A2: on a disk that is really full nothing waits, drops are counted, and it goes on with room', async (t) => {
  const directory = smallDisk(t, 1_024);
  if (directory === null) return t.skip('needs the right to mount a tmpfs');
  const { log, faults, close } = open(t, directory);
  writeFileSync(join(directory, 'ballast'), Buffer.alloc(500 * 1024));
  // Long names, so that the disk is full long before the queue.
  const entries = numbered(12_000, { principal: 'p'.repeat(200) });
  for (const one of entries.slice(0, 6_000)) log.add(one);
  await until(() => faults.length === 1);
  for (const one of entries.slice(6_000)) log.add(one);
  assert.match(faults.join(), /cannot be kept in .*activity\.db: database or disk is full/);
  assert.ok(log.dropped > 0);
  assert.ok(kept(directory).length > 0, 'what is there can be read');
  // The oldest rows go as before once there is room to work in.
  rmSync(join(directory, 'ballast'));
  await until(() => faults.length >= 2);
  await close();
  assert.match(faults[1] ?? '', /^what requests did is kept again; \d+ entries were lost meanwhile$/);
  const counts = [kept(directory).length, log.dropped];
  assert.equal(
    (counts[0] ?? 0) + (counts[1] ?? 0),
    entries.length,
    `kept and dropped: ${counts.join(' and ')}`,
  );
});
