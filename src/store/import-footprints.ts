/**
 * Takes over what the original gateway measured, so that its users need not measure every model anew. Each entry is taken
 * over once for each content of the file, and only when a model of that name is configured as it was measured; the others
 * are looked at again at the next start. What we have measured ourselves is never replaced.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Notice, ResolvedModel, SchedulingConfig } from '../config/resolved-config.ts';
import type { FootprintStore } from './footprints.ts';
import { matchesConfiguration, type OriginalFootprint, parseFootprints } from './original-footprints.ts';
import { textIn } from './rows.ts';
import type { StateDatabase } from './state-database.ts';

/** An entry takes some 200 bytes. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;

/** Problems beyond these are counted. */
const PROBLEMS_TOLD_MAX = 5;

export interface ImportOptions {
  readonly file: string;
  readonly database: StateDatabase;
  readonly footprints: FootprintStore;
  readonly models: Iterable<ResolvedModel>;
  readonly placementMode: SchedulingConfig['placementMode'];
  /** As footprints are stored under. */
  readonly signatureOf: (model: ResolvedModel) => string;
  /** Seconds since 1970. */
  readonly nowS: number;
}

/** Never rejects: whatever went wrong is in the notices. */
export async function importFootprints(options: ImportOptions): Promise<readonly Notice[]> {
  const { file, database } = options;
  const none = (level: Notice['level'], why: string): readonly Notice[] => [
    { level, text: `no footprints are imported from ${file}: ${why}` },
  ];
  let text: string;
  try {
    const { size } = await stat(file);
    if (size > FILE_BYTES_MAX) return none('warn', `it is larger than ${FILE_BYTES_MAX / 1024 / 1024} MiB`);
    text = await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return code === 'ENOENT' ? none('info', 'it does not exist') : none('warn', code);
  }
  const { entries, problems } = parseFootprints(text);
  const hash = createHash('sha256').update(text).digest('hex');
  const fresh = takeOver(options, entries, importedModels(database, hash));
  if (fresh.length > 0) remember(database, hash, fresh);
  return [...problemNotices(file, problems), ...importedNotices(file, fresh)];
}

/** The models whose entries were used, or found to be known better already. */
function takeOver(
  options: ImportOptions,
  entries: readonly OriginalFootprint[],
  done: ReadonlySet<string>,
): readonly string[] {
  const models = new Map([...options.models].map((model) => [model.name, model]));
  const known = options.footprints.all();
  return entries.flatMap((entry) => {
    const model = models.get(entry.model);
    if (model === undefined || done.has(entry.model)) return [];
    if (!matchesConfiguration(entry, model, options.placementMode)) return [];
    const signature = options.signatureOf(model);
    const { deviceCount } = model.need;
    const measured = known.some(
      (one) =>
        one.model === model.name &&
        one.signature === signature &&
        one.deviceCount === deviceCount &&
        one.source !== 'imported',
    );
    if (!measured) {
      options.footprints.put({
        model: model.name,
        signature,
        deviceCount,
        usedMib: entry.usedMib,
        source: 'imported',
        kvCacheMib: null,
        kvCacheTokens: null,
        weightsMib: null,
        residueMib: null,
        hostAwakeMib: null,
        hostAsleepMib: null,
        measuredAtS: options.nowS,
      });
    }
    return [model.name];
  });
}

function importedModels(database: StateDatabase, hash: string): ReadonlySet<string> {
  return database.read('imported footprints', new Set<string>(), (connection) => {
    const rows = connection.prepare('SELECT model FROM imported_entries WHERE content_hash = ?').all(hash);
    return new Set(rows.map((row) => textIn(row, 'model')));
  });
}

/** Only of the content that the file has now: it bounds the table, and an older content will not come back. */
function remember(database: StateDatabase, hash: string, models: readonly string[]): void {
  void database.change('imported footprints', [
    { sql: 'DELETE FROM imported_entries WHERE content_hash <> ?', rows: [[hash]] },
    {
      sql: 'INSERT OR IGNORE INTO imported_entries VALUES (?, ?)',
      rows: models.map((model) => [hash, model]),
    },
  ]);
}

function problemNotices(file: string, problems: readonly string[]): Notice[] {
  if (problems.length === 0) return [];
  const more = problems.length - PROBLEMS_TOLD_MAX;
  const told = problems.slice(0, PROBLEMS_TOLD_MAX).join('; ');
  const text = `not everything in ${file} could be understood: ${told}${more > 0 ? `; and ${more} more` : ''}`;
  return [{ level: 'warn', text }];
}

function importedNotices(file: string, models: readonly string[]): Notice[] {
  if (models.length === 0) return [];
  return [{ level: 'info', text: `footprints imported from ${file}: ${models.join(', ')}` }];
}
