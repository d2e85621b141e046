/** Launch records as files, for gateways that are killed: written before anything goes on. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LaunchRecord, LaunchRecords } from '../../src/store/launch-records.ts';

export function openFileRecords(directory: string): LaunchRecords {
  mkdirSync(directory, { recursive: true });
  const pathOf = (launchId: string): string => join(directory, `${launchId}.json`);
  const write = (record: LaunchRecord): void => {
    const path = pathOf(record.spec.launchId);
    const { environment: _, ...spec } = { environment: {}, ...record.spec };
    writeFileSync(`${path}.tmp`, JSON.stringify({ ...record, spec }));
    renameSync(`${path}.tmp`, path);
  };
  const read = (path: string): LaunchRecord => JSON.parse(readFileSync(path, 'utf8')) as LaunchRecord;
  return {
    save: async (record) => write(record),
    async setStage(launchId, stage) {
      if (remembered(directory).includes(launchId)) write({ ...read(pathOf(launchId)), stage });
    },
    remove: async (launchId) => rmSync(pathOf(launchId), { force: true }),
    async list() {
      const records: LaunchRecord[] = [];
      const unreadable: string[] = [];
      for (const launchId of remembered(directory)) {
        try {
          records.push(read(pathOf(launchId)));
        } catch {
          unreadable.push(launchId);
        }
      }
      return { records, unreadable };
    },
  };
}

export function remembered(directory: string): readonly string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length));
}
