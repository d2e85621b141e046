/** What a gateway's store says of its launches, read from the file as anybody could read it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export interface StoredLaunch {
  readonly launchId: string;
  readonly model: string;
  /** How far it was noted to be: `starting`, `serving`, `stopping`, `falling_asleep`, `asleep` or `waking`. */
  readonly stage: string;
  /** The next gateway can find it: the process or the container stands in the record. */
  readonly isFindable: boolean;
}

/** Of a state directory, also while a gateway writes there. */
export function readStoredLaunches(stateDirectory: string): readonly StoredLaunch[] {
  const file = join(stateDirectory, 'state.db');
  if (!existsSync(file)) return [];
  const database = new DatabaseSync(file, { readOnly: true, timeout: 2_000 });
  try {
    const isThere = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'launches'").get();
    if (isThere === undefined) return [];
    return database.prepare('SELECT * FROM launches').all().map(launchOf);
  } finally {
    database.close();
  }
}

function launchOf(row: Readonly<Record<string, unknown>>): StoredLaunch {
  const { process: identity, container } = JSON.parse(String(row['record'])) as {
    readonly process?: unknown;
    readonly container?: unknown;
  };
  return {
    launchId: String(row['launch_id']),
    model: String(row['model']),
    stage: String(row['stage']),
    isFindable: identity != null || container != null,
  };
}
