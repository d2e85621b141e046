/**
 * All that a gateway keeps, opened in the order that keeps two gateways apart: first the lock, then the rest. The
 * directory must be private to us already.
 */
import type { Notice } from '../config/resolved-config.ts';
import { failure, type Result, success } from '../core/result.ts';
import { type LaunchRecords, openLaunchRecords } from './launch-records.ts';
import { messageOf } from './sqlite-file.ts';
import { openStateDatabase, type StateDatabase } from './state-database.ts';
import { stateId } from './state-id.ts';
import { acquireStateLock, heldText, type StateLock } from './state-lock.ts';
import { StoreThread } from './store-thread.ts';

export interface StateStore {
  readonly lock: StateLock;
  /** The mark of this directory on engines. */
  readonly stateId: string;
  readonly database: StateDatabase;
  readonly launches: LaunchRecords;
  /** Writes what the databases and the activity log give it. */
  readonly thread: StoreThread;
  /** What went wrong without stopping the start. */
  readonly notices: readonly Notice[];
  /** Writes what is under way, within a limit, and gives the lock back last. */
  close(): Promise<void>;
}

export interface StateStoreOptions {
  readonly directory: string;
  /** Told of failures after opening, in a sentence, each kind once. */
  readonly onFault: (text: string) => void;
}

/** The error is a sentence for the operator: who holds the directory, or why it cannot be used. */
export async function openStateStore(options: StateStoreOptions): Promise<Result<StateStore, string>> {
  const { directory } = options;
  try {
    const acquired = await acquireStateLock(directory);
    if (acquired.kind === 'held') return failure(heldText(directory, acquired.owner));
    const opened = await openLocked(options, acquired.lock).catch((error: unknown) =>
      failure(`the state directory ${directory} cannot be used: ${messageOf(error)}`),
    );
    if (!opened.ok) await acquired.lock.release();
    return opened;
  } catch (error) {
    return failure(`the state directory ${directory} cannot be locked: ${messageOf(error)}`);
  }
}

async function openLocked(options: StateStoreOptions, lock: StateLock): Promise<Result<StateStore, string>> {
  const { directory, onFault } = options;
  const id = await stateId(directory);
  const thread = new StoreThread({ onFault });
  const opened = openStateDatabase({ directory, access: 'own', onFault, thread });
  if (!opened.ok) return opened;
  const { database, notices } = opened.value;
  const close = async (): Promise<void> => {
    await thread.close();
    database.close();
  };
  try {
    const launches = await openLaunchRecords(database);
    return success({
      ...{ lock, stateId: id, database, launches, thread, notices },
      async close() {
        await close();
        await lock.release();
      },
    });
  } catch (error) {
    await close();
    throw error;
  }
}
