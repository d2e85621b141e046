/**
 * The tables of our databases, step by step. Step n makes format n (`user_version`) out of format n - 1. A released
 * step is never changed: what is wrong with it is mended by the next one.
 */

/** Of state.db: what engines run, and what was learned of them. */
export const STATE_MIGRATIONS: readonly string[] = [
  `
  -- What engines were seen to take, by the launch that was measured. MiB of one device.
  CREATE TABLE footprints (
    model TEXT NOT NULL,
    signature TEXT NOT NULL,
    device_count INTEGER NOT NULL CHECK (device_count BETWEEN 0 AND 1024),
    used_mib REAL NOT NULL CHECK (used_mib BETWEEN 0 AND 1e9),
    source TEXT NOT NULL CHECK (source IN ('per_process', 'device_difference', 'imported')),
    kv_cache_mib REAL CHECK (kv_cache_mib BETWEEN 0 AND 1e9),
    kv_cache_tokens INTEGER CHECK (kv_cache_tokens BETWEEN 0 AND 1e15),
    weights_mib REAL CHECK (weights_mib BETWEEN 0 AND 1e9),
    residue_mib REAL CHECK (residue_mib BETWEEN 0 AND 1e9),
    host_awake_mib REAL CHECK (host_awake_mib BETWEEN 0 AND 1e9),
    host_asleep_mib REAL CHECK (host_asleep_mib BETWEEN 0 AND 1e9),
    measured_at_s REAL NOT NULL CHECK (measured_at_s BETWEEN 0 AND 1e12),
    PRIMARY KEY (model, signature, device_count)
  ) STRICT;
  -- Flags that an engine did not know, so that they are not generated again.
  CREATE TABLE refused_flags (
    executable TEXT NOT NULL,
    flag TEXT NOT NULL,
    PRIMARY KEY (executable, flag)
  ) STRICT;
  -- What moves have cost, in milliseconds.
  CREATE TABLE costs (
    model TEXT NOT NULL PRIMARY KEY,
    signature TEXT NOT NULL,
    start_ms REAL CHECK (start_ms BETWEEN 0 AND 1e12),
    stop_ms REAL CHECK (stop_ms BETWEEN 0 AND 1e12),
    sleep_ms REAL CHECK (sleep_ms BETWEEN 0 AND 1e12),
    wake_ms REAL CHECK (wake_ms BETWEEN 0 AND 1e12)
  ) STRICT;
  -- Entries of the original's file of footprints that were taken over, by the hash of that file.
  CREATE TABLE imported_entries (
    content_hash TEXT NOT NULL,
    model TEXT NOT NULL,
    PRIMARY KEY (content_hash, model)
  ) STRICT;
  `,
  `
  -- Engines that are ours until they are gone. No environment: it holds tokens.
  CREATE TABLE launches (
    launch_id TEXT NOT NULL PRIMARY KEY,
    model TEXT NOT NULL,
    runtime TEXT NOT NULL,
    stage TEXT NOT NULL,
    sleep_level INTEGER,
    -- The rest as JSON, whose shape the gateway checks.
    record TEXT NOT NULL
  ) STRICT;
  `,
];

/** Of activity.db: what became of requests. Times in milliseconds, ended_ms since 1970. */
export const ACTIVITY_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE activity (
    id INTEGER PRIMARY KEY,
    ended_ms INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    principal TEXT,
    model TEXT,
    route TEXT NOT NULL,
    method TEXT NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER NOT NULL,
    code TEXT,
    load TEXT,
    streamed INTEGER NOT NULL,
    wait_ms INTEGER NOT NULL,
    ttfb_ms INTEGER,
    duration_ms INTEGER NOT NULL,
    request_bytes INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    attempts INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX activity_ended ON activity (ended_ms);
  `,
  // Where a request came from.
  'ALTER TABLE activity ADD COLUMN client TEXT;',
];
