/**
 * What moves of engines have cost on this machine, kept across restarts of the gateway: without it the first estimates and
 * turns after each restart would rest on guesses. A cost counts only for the launch that it was measured with.
 *  K1. Costs that cannot be read are not known; that never keeps the gateway from starting.
 */
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { numberOrNullIn, textIn } from './rows.ts';
import type { Statement } from './sqlite-file.ts';
import type { StateDatabase } from './state-database.ts';

export interface StoredCost {
  /** Of the launch that was measured (model, flags, devices). */
  readonly signature: string;
  /** Milliseconds; null: not measured yet. */
  readonly startMs: number | null;
  readonly stopMs: number | null;
  readonly sleepMs: number | null;
  readonly wakeMs: number | null;
}

/** By model name. */
export type StoredCosts = Readonly<Record<string, StoredCost>>;

/** Where costs were kept before there was a database. */
const FORMER_FILE = 'learned-costs.json';

/** The former file, if there still is one, moves into the database; what stands there already is newer. */
export function readLearnedCosts(database: StateDatabase): StoredCosts {
  const file = join(database.directory, FORMER_FILE);
  const former = readFormer(file);
  const stored = database.read('what moves have cost', [], (connection) =>
    connection
      .prepare('SELECT * FROM costs')
      .all()
      .map((row): [string, StoredCost] => [
        textIn(row, 'model'),
        {
          signature: textIn(row, 'signature'),
          startMs: numberOrNullIn(row, 'start_ms'),
          stopMs: numberOrNullIn(row, 'stop_ms'),
          sleepMs: numberOrNullIn(row, 'sleep_ms'),
          wakeMs: numberOrNullIn(row, 'wake_ms'),
        },
      ]),
  );
  if (former !== null && database.kept) void takeOver(database, former, file);
  return { ...former, ...Object.fromEntries(stored) };
}

/** The file goes once its costs are safe; if it stays, it adds nothing the next time. */
async function takeOver(database: StateDatabase, former: StoredCosts, file: string): Promise<void> {
  const isKept = await database.change('what moves have cost', [insertCosts('IGNORE', former)]);
  if (isKept) await rm(file, { force: true }).catch(() => undefined);
}

/** Replaces all that is stored. A failure is told by the database. */
export function writeLearnedCosts(database: StateDatabase, costs: StoredCosts): void {
  const statements = [{ sql: 'DELETE FROM costs', rows: [[]] }, insertCosts('REPLACE', costs)];
  void database.change('what moves have cost', statements);
}

/** `conflict`: what becomes of a model that has costs already. */
function insertCosts(conflict: 'IGNORE' | 'REPLACE', costs: StoredCosts): Statement {
  return {
    sql: `INSERT OR ${conflict} INTO costs (model, signature, start_ms, stop_ms, sleep_ms, wake_ms) VALUES (?, ?, ?, ?, ?, ?)`,
    rows: Object.entries(costs).map(([model, { signature, startMs, stopMs, sleepMs, wakeMs }]) => [
      ...[model, signature, startMs, stopMs, sleepMs, wakeMs],
    ]),
  };
}

/** Null without a file that can be read; of a torn or foreign one nothing is known. */
function readFormer(file: string): StoredCosts | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return null;
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return {};
  }
  if (parsed === null || typeof parsed !== 'object') return {};
  const costs = Object.entries(parsed).flatMap(([model, value]): [string, StoredCost][] => {
    const cost = formerCost(value);
    return cost === null ? [] : [[model, cost]];
  });
  return Object.fromEntries(costs);
}

function formerCost(value: unknown): StoredCost | null {
  if (value === null || typeof value !== 'object') return null;
  const { signature, startMs, stopMs } = value as Record<string, unknown>;
  if (typeof signature !== 'string' || !isCost(startMs) || !isCost(stopMs)) return null;
  return { signature, startMs, stopMs, sleepMs: null, wakeMs: null };
}

function isCost(value: unknown): value is number | null {
  return value === null || (typeof value === 'number' && Number.isFinite(value) && value >= 0);
}
