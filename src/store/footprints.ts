/**
 * What engines were seen to take of devices and of the host, kept across restarts. A figure counts only for the launch that
 * it was measured with. Nothing here throws: a failing disk costs the figures, not the gateway.
 */
import { KnownFootprints, problemOf } from './known-footprints.ts';
import { numberIn, numberOrNullIn, type Row, textIn } from './rows.ts';
import type { StateDatabase } from './state-database.ts';

export interface StoredFootprint {
  readonly model: string;
  /** Of the launch that was measured. */
  readonly signature: string;
  readonly deviceCount: number;
  /** The most seen on one device, awake. */
  readonly usedMib: number;
  readonly source: 'per_process' | 'device_difference' | 'imported';
  readonly kvCacheMib: number | null;
  readonly kvCacheTokens: number | null;
  readonly weightsMib: number | null;
  /** What a sleeping engine keeps of one device. */
  readonly residueMib: number | null;
  readonly hostAwakeMib: number | null;
  readonly hostAsleepMib: number | null;
  /** Seconds since 1970. */
  readonly measuredAtS: number;
}

export interface FootprintStore {
  all(): readonly StoredFootprint[];
  /** Replaces what is stored of the same model, signature and number of devices. */
  put(footprint: StoredFootprint): void;
  /** Long names of flags that this executable refused. */
  refusedFlags(executable: string): ReadonlySet<string>;
  addRefusedFlag(executable: string, flag: string): void;
  /** Closes the database that it stands in. */
  close(): void;
}

/** Settings that somebody tries out one after the other leave a footprint each; the oldest ones go. */
const FOOTPRINTS_PER_MODEL_MAX = 16;
const FOOTPRINTS_MAX = 4096;
const REFUSED_FLAGS_MAX = 256;

interface RefusedFlag {
  readonly executable: string;
  readonly flag: string;
}

/** Reads what is stored now, and answers from memory from then on. */
export function createFootprintStore(database: StateDatabase): FootprintStore {
  const known = new KnownFootprints(readFootprints(database), FOOTPRINTS_PER_MODEL_MAX, FOOTPRINTS_MAX);
  let refused: readonly RefusedFlag[] = readRefusedFlags(database);
  return {
    all: () => known.all(),
    put(footprint) {
      const what = 'what an engine takes';
      const problem = problemOf(footprint);
      if (problem !== null) return database.refuse(what, problem);
      known.put(footprint);
      const columns = columnsOf(footprint);
      const names = Object.keys(columns);
      const insert = `INSERT OR REPLACE INTO footprints (${names.join()}) VALUES (${names.map(() => '?').join()})`;
      void database.change(what, [
        { sql: insert, rows: [Object.values(columns)] },
        { sql: keepingNewest('WHERE model = ?1'), rows: [[footprint.model, FOOTPRINTS_PER_MODEL_MAX]] },
        { sql: keepingNewest('WHERE ?1 IS NULL'), rows: [[null, FOOTPRINTS_MAX]] },
      ]);
    },
    refusedFlags: (executable) =>
      new Set(refused.flatMap((one) => (one.executable === executable ? [one.flag] : []))),
    addRefusedFlag(executable, flag) {
      const isKnown = refused.some((one) => one.executable === executable && one.flag === flag);
      if (!isKnown) refused = [...refused, { executable, flag }].slice(-REFUSED_FLAGS_MAX);
      void database.change('a refused flag', [
        { sql: 'INSERT OR IGNORE INTO refused_flags VALUES (?, ?)', rows: [[executable, flag]] },
        {
          sql: 'DELETE FROM refused_flags WHERE rowid NOT IN (SELECT rowid FROM refused_flags ORDER BY rowid DESC LIMIT ?)',
          rows: [[REFUSED_FLAGS_MAX]],
        },
      ]);
    },
    close: () => database.close(),
  };
}

function readFootprints(database: StateDatabase): readonly StoredFootprint[] {
  return database.read('what engines take', [], (connection) =>
    connection.prepare('SELECT * FROM footprints ORDER BY measured_at_s, rowid').all().map(footprintOf),
  );
}

/** The oldest first. */
function readRefusedFlags(database: StateDatabase): readonly RefusedFlag[] {
  return database.read('refused flags', [], (connection) => {
    const rows = connection.prepare('SELECT executable, flag FROM refused_flags ORDER BY rowid').all();
    return rows.map((row) => ({ executable: textIn(row, 'executable'), flag: textIn(row, 'flag') }));
  });
}

/** Of the footprints that `condition` (over ?1) names, all but the ?2 newest go; of equal age the last written stay. */
function keepingNewest(condition: string): string {
  return `DELETE FROM footprints ${condition} AND rowid NOT IN
    (SELECT rowid FROM footprints ${condition} ORDER BY measured_at_s DESC, rowid DESC LIMIT ?2)`;
}

function columnsOf(footprint: StoredFootprint): Record<string, string | number | null> {
  return {
    model: footprint.model,
    signature: footprint.signature,
    device_count: footprint.deviceCount,
    used_mib: footprint.usedMib,
    source: footprint.source,
    kv_cache_mib: footprint.kvCacheMib,
    kv_cache_tokens: footprint.kvCacheTokens,
    weights_mib: footprint.weightsMib,
    residue_mib: footprint.residueMib,
    host_awake_mib: footprint.hostAwakeMib,
    host_asleep_mib: footprint.hostAsleepMib,
    measured_at_s: footprint.measuredAtS,
  };
}

function footprintOf(row: Row): StoredFootprint {
  return {
    model: textIn(row, 'model'),
    signature: textIn(row, 'signature'),
    deviceCount: numberIn(row, 'device_count'),
    usedMib: numberIn(row, 'used_mib'),
    source: sourceIn(row),
    kvCacheMib: numberOrNullIn(row, 'kv_cache_mib'),
    kvCacheTokens: numberOrNullIn(row, 'kv_cache_tokens'),
    weightsMib: numberOrNullIn(row, 'weights_mib'),
    residueMib: numberOrNullIn(row, 'residue_mib'),
    hostAwakeMib: numberOrNullIn(row, 'host_awake_mib'),
    hostAsleepMib: numberOrNullIn(row, 'host_asleep_mib'),
    measuredAtS: numberIn(row, 'measured_at_s'),
  };
}

function sourceIn(row: Row): StoredFootprint['source'] {
  const source = textIn(row, 'source');
  if (source === 'per_process' || source === 'device_difference' || source === 'imported') return source;
  throw new TypeError(`unknown source ${source}`);
}
