/**
 * Launches that we own, kept in the state database so that the next gateway finds them.
 *
 *  L1. What `save` and `setStage` have resolved survives a power cut.
 *  L2. No environment and no `authorization` is kept: they are secrets.
 *  L3. While the database cannot be written, records go to files beside it (launch-files.ts): a file that breaks must not
 *      keep models from starting. A file that is there is newer than the row. Only where neither can be kept a launch fails.
 *  L4. Nothing waits for ever for a disk that hangs: the store's thread and the files have limits.
 */
import { join } from 'node:path';
import type { LaunchId } from '../core/ids.ts';
import type { LaunchSpec, LaunchStage } from '../runtimes/runtime.ts';
import { LaunchFiles } from './launch-files.ts';
import { launchRecordText, parseLaunchRecord, stageOf, withoutSecrets } from './launch-record-text.ts';
import { messageOf, type Statement } from './sqlite-file.ts';
import type { ChangeOutcome, StateDatabase } from './state-database.ts';

/** Identity of a process that no later process can have. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks between boot and the start, as /proc tells them; null where there is no /proc. */
  readonly startTicks: string | null;
  readonly bootId: string | null;
}

export interface LaunchRecord {
  readonly spec: Omit<LaunchSpec, 'environment'>;
  /** Which runtime started it, and finds it again. */
  readonly runtime: 'process' | 'docker';
  /** How far it was when this was kept. */
  readonly stage: LaunchStage;
  /** Null where the runtime keeps the output. */
  readonly outputFile: string | null;
  readonly startedWallMs: number;
  /** Null from the moment before the spawn until after it, and in containers. */
  readonly process: ProcessIdentity | null;
  /** Id of the container; null before it was made, and for processes. */
  readonly container: string | null;
}

export interface LaunchRecordList {
  readonly records: readonly LaunchRecord[];
  /** Launches whose record cannot be read: all that is known of them is their id. */
  readonly unreadable: readonly LaunchId[];
}

export interface LaunchRecords {
  /** Replaces the record of that launch. Rejects where it cannot be kept: what the next gateway could not find must not run. */
  save(record: LaunchRecord): Promise<void>;
  /** Of a launch without a record, nothing. Rejects where it cannot be kept. */
  setStage(launchId: LaunchId, stage: LaunchStage): Promise<void>;
  /**
   * Of a launch without a record, nothing. Never rejects: a record that stays, which the database tells, has no engine behind it,
   * and the next gateway removes it.
   */
  remove(launchId: LaunchId): Promise<void>;
  /** In the order of their ids. */
  list(): Promise<LaunchRecordList>;
}

export interface LaunchRecordsOptions {
  /** How long a write of a file may take. Shorter, for tests. */
  readonly fileLimitMs?: number;
}

const DIRECTORY_NAME = 'launches';
const WHAT = 'which engines run';

/** Takes over what files say, unless the database is only read. Rejects where the one or the other cannot be read. */
export async function openLaunchRecords(
  database: StateDatabase,
  options: LaunchRecordsOptions = {},
): Promise<LaunchRecords> {
  const records = new DatabaseLaunchRecords(database, options);
  await records.open();
  return records;
}

class DatabaseLaunchRecords implements LaunchRecords {
  readonly #database: StateDatabase;
  readonly #files: LaunchFiles;
  readonly #records = new Map<LaunchId, LaunchRecord>();
  readonly #unreadable = new Set<LaunchId>();
  /** Launches that may have a file. */
  readonly #filed = new Set<LaunchId>();
  /** The last change under way of each launch. */
  readonly #turns = new Map<LaunchId, Promise<void>>();

  constructor(database: StateDatabase, { fileLimitMs }: LaunchRecordsOptions) {
    this.#database = database;
    this.#files = new LaunchFiles(join(database.directory, DIRECTORY_NAME), fileLimitMs);
  }

  async open(): Promise<void> {
    for (const [launchId, record] of readLaunches(this.#database)) {
      if (record === null) this.#unreadable.add(launchId);
      else this.#records.set(launchId, record);
    }
    const { records, unreadable } = await this.#files.list(this.#database.kept);
    for (const launchId of unreadable) {
      this.#filed.add(launchId);
      if (!this.#records.has(launchId)) this.#unreadable.add(launchId);
    }
    for (const record of records) {
      const { launchId } = record.spec;
      this.#filed.add(launchId);
      this.#unreadable.delete(launchId);
      this.#records.set(launchId, record);
      // What the database does not take stays where it is.
      if ((await this.#change([replacing(record)])) === 'made') await this.#removeFile(launchId);
    }
  }

  async save(record: LaunchRecord): Promise<void> {
    const kept = withoutSecrets(record);
    const { launchId } = kept.spec;
    this.#records.set(launchId, kept);
    this.#unreadable.delete(launchId);
    await this.#inTurn(launchId, () => this.#keep(launchId, replacing(kept), 'record'));
  }

  async setStage(launchId: LaunchId, stage: LaunchStage): Promise<void> {
    const known = this.#records.get(launchId);
    if (known === undefined) return;
    const record = { ...known, stage };
    this.#records.set(launchId, record);
    // A launch with a file may have no row.
    await this.#inTurn(launchId, () =>
      this.#keep(launchId, this.#filed.has(launchId) ? replacing(record) : staging(launchId, stage), 'stage'),
    );
  }

  async remove(launchId: LaunchId): Promise<void> {
    const isKnown = this.#records.delete(launchId);
    if (!this.#unreadable.delete(launchId) && !isKnown) return;
    await this.#inTurn(launchId, async () => {
      await this.#change([{ sql: 'DELETE FROM launches WHERE launch_id = ?', rows: [[launchId]] }]);
      await this.#removeFile(launchId).catch(() => undefined);
    });
  }

  async list(): Promise<LaunchRecordList> {
    const records = [...this.#records.values()];
    records.sort((a, b) => (a.spec.launchId < b.spec.launchId ? -1 : 1));
    return { records, unreadable: [...this.#unreadable].sort() };
  }

  async #keep(launchId: LaunchId, statement: Statement, what: 'record' | 'stage'): Promise<void> {
    const outcome = await this.#change([statement]);
    if (outcome === 'made') return await this.#removeFile(launchId);
    // The same disk would hang again, and a stage is a hint: the record is there, and the engine can be asked.
    if (outcome === 'lost' && what === 'stage')
      throw new Error(`the stage of ${launchId} could not be kept: the disk does not answer`);
    // It was removed meanwhile, and that comes next.
    const record = this.#records.get(launchId);
    if (record === undefined) return;
    this.#filed.add(launchId);
    try {
      await this.#files.save(record);
      await this.#saveOthers();
    } catch (error) {
      const { directory } = this.#database;
      throw new Error(
        `neither the state database nor a file in ${directory} can be written: ${messageOf(error)}`,
      );
    }
  }

  /** The rows of a database that refuses one may be lost as well: each launch then has a file, those under way by themselves. */
  async #saveOthers(): Promise<void> {
    for (const [launchId, record] of this.#records) {
      if (this.#filed.has(launchId) || this.#turns.has(launchId)) continue;
      this.#filed.add(launchId);
      await this.#inTurn(launchId, () => this.#files.save(record));
    }
  }

  async #change(statements: readonly Statement[]): Promise<ChangeOutcome> {
    return this.#database.kept ? await this.#database.tryChange(WHAT, statements) : 'refused';
  }

  async #removeFile(launchId: LaunchId): Promise<void> {
    if (!this.#filed.has(launchId)) return;
    await this.#files.remove(launchId);
    this.#filed.delete(launchId);
  }

  /** Changes of one launch come one after the other, in the order of the calls; a failed one holds up nothing. */
  async #inTurn(launchId: LaunchId, action: () => Promise<void>): Promise<void> {
    const before = this.#turns.get(launchId);
    const turn = before === undefined ? action() : before.then(action, action);
    this.#turns.set(launchId, turn);
    try {
      await turn;
    } finally {
      if (this.#turns.get(launchId) === turn) this.#turns.delete(launchId);
    }
  }
}

/** Null for a row that cannot be read; one without a name is nobody's. Throws where the table cannot be read: that is not none. */
function readLaunches(database: StateDatabase): readonly (readonly [LaunchId, LaunchRecord | null])[] {
  const rows = database.read(WHAT, null, (connection) =>
    connection.prepare('SELECT launch_id, stage, sleep_level, record FROM launches').all(),
  );
  if (rows === null) throw new Error(`the state database does not say ${WHAT}`);
  return rows.flatMap((row): (readonly [LaunchId, LaunchRecord | null])[] => {
    const launchId = row['launch_id'];
    if (typeof launchId !== 'string') return [];
    const stage = stageOf(row['stage'], row['sleep_level']);
    const text = row['record'];
    const record = typeof text === 'string' ? parseLaunchRecord(text) : null;
    const isWhole = record?.spec.launchId === launchId && stage !== null;
    return [[launchId, isWhole ? { ...record, stage } : null]];
  });
}

function replacing(record: LaunchRecord): Statement {
  const { spec, runtime, stage } = record;
  return {
    sql: 'INSERT OR REPLACE INTO launches (launch_id, model, runtime, stage, sleep_level, record) VALUES (?, ?, ?, ?, ?, ?)',
    rows: [[spec.launchId, spec.model, runtime, stage.kind, levelOf(stage), launchRecordText(record)]],
  };
}

function staging(launchId: LaunchId, stage: LaunchStage): Statement {
  return {
    sql: 'UPDATE launches SET stage = ?, sleep_level = ? WHERE launch_id = ?',
    rows: [[stage.kind, levelOf(stage), launchId]],
  };
}

function levelOf(stage: LaunchStage): number | null {
  return 'level' in stage ? stage.level : null;
}
