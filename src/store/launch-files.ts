/**
 * Records of launches as files, one each: where earlier versions kept them, and where they go while the database cannot be
 * written. The next start takes them over.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LaunchId } from '../core/ids.ts';
import { LAUNCH_ID } from '../core/ids.ts';
import { syncDirectory, UNFINISHED_SUFFIX, writeDurably } from './durable-file.ts';
import { launchRecordText, parseLaunchRecord } from './launch-record-text.ts';
import type { LaunchRecord, LaunchRecordList } from './launch-records.ts';

const SUFFIX = '.json';

export class LaunchFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Replaces the file of that launch, durably. */
  async save(record: LaunchRecord): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await writeDurably(this.#pathOf(record.spec.launchId), launchRecordText(record));
  }

  async remove(launchId: LaunchId): Promise<void> {
    await rm(this.#pathOf(launchId), { force: true });
    await syncDirectory(this.#directory);
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
