/**
 * The store's thread: the only writer of state.db and activity.db while a gateway serves. One job after the other, each whole
 * or absent. It imports little, because every module costs memory twice.
 */
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { parentPort } from 'node:worker_threads';
import { ActivityFile } from './activity-file.ts';
import { STATE_MIGRATIONS } from './migrations.ts';
import { failureOf, inTransaction, messageOf, openSqliteFile, runStatements } from './sqlite-file.ts';
import type { StoreAnswer, StoreJob, StoreMessage, StoreReply } from './store-jobs.ts';

/** Nobody waits for this thread but its callers, so that it can be patient with an operator's shell. */
const BUSY_TIMEOUT_MS = 5_000;

/**
 * Room that the state database keeps in its own file and journal, so that engines can be recorded on a full disk: a record takes
 * one to four KiB. The journal is folded into the file soon, so that it stays within what it has.
 */
const RESERVE_BYTES = 256 * 1024;
const CHECKPOINT_PAGES = 32;

const states = new Map<string, DatabaseSync>();
const activities = new Map<string, ActivityFile>();

function answerTo(job: StoreJob): StoreAnswer {
  try {
    if (job.kind === 'activity') return { ok: true, ...activityFile(job.path).append(job) };
    refuseOther(job);
    runStatements(stateFile(job.path), job.statements);
    return { ok: true, more: false, notice: null };
  } catch (error) {
    const failure = failureOf(error);
    // The next job opens the file anew: what was in the way may be gone, and a replaced file is seen.
    if (failure !== 'statement') forget(job.path);
    return { ok: false, text: messageOf(error), failure };
  }
}

/** Who removes the file under us would have us write into nothing, or into a new one without what the old one held. */
function refuseOther({ path, inode }: Extract<StoreJob, { kind: 'change' }>): void {
  if (inode === null || statSync(path, { throwIfNoEntry: false })?.ino === inode) return;
  throw new Error(`${path} was removed or replaced while the gateway ran`);
}

function stateFile(path: string): DatabaseSync {
  const known = states.get(path);
  if (known !== undefined) return known;
  const options = { busyTimeoutMs: BUSY_TIMEOUT_MS, migrations: STATE_MIGRATIONS } as const;
  const connection = openSqliteFile(path, { ...options, synchronous: 'FULL', check: false });
  connection.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  states.set(path, connection);
  if (!hasReserve(connection, path)) makeReserve(connection);
  return connection;
}

function hasReserve(connection: DatabaseSync, path: string): boolean {
  const pragma = (name: string): number => Number(connection.prepare(`PRAGMA ${name}`).get()?.[name]);
  const journalBytes = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  return journalBytes >= RESERVE_BYTES && pragma('freelist_count') * pragma('page_size') >= RESERVE_BYTES / 2;
}

function makeReserve(connection: DatabaseSync): void {
  try {
    inTransaction(connection, () =>
      connection.exec(
        `CREATE TABLE reserve (bytes BLOB); INSERT INTO reserve VALUES (zeroblob(${RESERVE_BYTES})); DROP TABLE reserve`,
      ),
    );
    connection.exec('PRAGMA wal_checkpoint(PASSIVE)');
  } catch {
    // The disk is full already; what can be kept is shown by the change itself.
  }
}

function activityFile(path: string): ActivityFile {
  const file = activities.get(path) ?? new ActivityFile(path, BUSY_TIMEOUT_MS);
  activities.set(path, file);
  return file;
}

function forget(path: string): void {
  try {
    states.get(path)?.close();
    activities.get(path)?.close();
  } catch {
    // A connection that cannot be closed is left behind.
  }
  states.delete(path);
}

const port = parentPort;
if (port === null) throw new Error('store-worker runs as a thread');
port.on('message', (message: StoreMessage) => {
  if (message === 'close') {
    for (const path of [...states.keys(), ...activities.keys()]) forget(path);
    port.close();
    return;
  }
  const reply: StoreReply = { id: message.id, answer: answerTo(message.job) };
  port.postMessage(reply);
});
