/**
 * Records of launches as files, one each: where earlier versions kept them, and where they go while the database cannot be
 * written. The next start takes them over.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LaunchId } from '../core/ids.ts';
import { LAUNCH_ID } from '../core/ids.ts';
import { syncDirectory, UNFINISHED_SUFFIX, writeDurably } from './durable-file.ts';
import { launchRecordText, parseLaunchRecord } from './launch-record-text.ts';
import type { LaunchRecord, LaunchRecordList } from './launch-records.ts';
import { makeDirectory } from './make-directory.ts';

const SUFFIX = '.json';
/** A disk that hangs for longer counts as failed: launches and stops wait for these files. */
const WRITE_LIMIT_MS = 5_000;

export class LaunchFiles {
  readonly #directory: string;
  readonly #limitMs: number;
  /** The last write; each waits for the one before, so that a disk that hangs holds one thread of Node's and not all four. */
  #last: Promise<unknown> = Promise.resolve();
  /** A write is beyond its limit: nothing more is tried until the disk has answered. */
  #isHanging = false;

  constructor(directory: string, limitMs = WRITE_LIMIT_MS) {
    this.#directory = directory;
    this.#limitMs = limitMs;
  }

  /** Replaces the file of that launch, durably. Rejects within a bounded time. */
  async save(record: LaunchRecord): Promise<void> {
    await this.#inTurn(async () => {
      await makeDirectory(this.#directory, 0o700);
      await writeDurably(this.#pathOf(record.spec.launchId), launchRecordText(record));
    });
  }

  /** Rejects within a bounded time. */
  async remove(launchId: LaunchId): Promise<void> {
    await this.#inTurn(async () => {
      await rm(this.#pathOf(launchId), { force: true });
      await syncDirectory(this.#directory);
    });
  }

  async #inTurn(write: () => Promise<void>): Promise<void> {
    const late = new Error(`the disk has not answered within ${this.#limitMs / 1000} s`);
    if (this.#isHanging) throw late;
    let isLate = false;
    const begin = async (): Promise<void> => {
      // Its caller has gone on.
      if (isLate) return;
      await write();
    };
    const written = this.#last.then(begin, begin).finally(() => {
      if (isLate) this.#isHanging = false;
    });
    this.#last = written;
    const { promise: timedOut, reject } = Promise.withResolvers<never>();
    const limit = setTimeout(() => {
      isLate = true;
      this.#isHanging = true;
      reject(late);
    }, this.#limitMs);
    try {
      await Promise.race([written, timedOut]);
    } finally {
      clearTimeout(limit);
    }
  }

  /** `tidies`: what was never finished is removed; only the owner may, who writes none now. What is not ours is left alone. */
  async list(tidies: boolean): Promise<LaunchRecordList> {
    const records: LaunchRecord[] = [];
    const unreadable: LaunchId[] = [];
    for (const name of (await this.#names()).sort()) {
      const path = join(this.#directory, name);
      if (tidies && name.endsWith(UNFINISHED_SUFFIX)) await rm(path, { force: true });
      const launchId = name.slice(0, -SUFFIX.length);
      if (!name.endsWith(SUFFIX) || !LAUNCH_ID.test(launchId)) continue;
      const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
        // A disk that does not let it be read now says nothing about the engine.
        if (error.code === 'ENOENT') return '';
        throw error;
      });
      const record = parseLaunchRecord(text);
      // Another launch's name inside: a copied file must not make two launches of one.
      if (record?.spec.launchId === launchId) records.push(record);
      else unreadable.push(launchId);
    }
    return { records, unreadable };
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  #pathOf(launchId: LaunchId): string {
    return join(this.#directory, launchId + SUFFIX);
  }
}
