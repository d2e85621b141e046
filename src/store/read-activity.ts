/** What the activity log has kept, for commands beside the gateway. Nothing is changed. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { SQLInputValue } from 'node:sqlite';
import { failure, type Result, success } from '../core/result.ts';
import type { ActivityEntry } from '../telemetry/activity.ts';
import { ACTIVITY_FILE_NAME } from './activity-log.ts';
import { activityEntryOf } from './activity-row.ts';
import { ACTIVITY_MIGRATIONS } from './migrations.ts';
import { messageOf, openSqliteReader } from './sqlite-file.ts';

const BUSY_TIMEOUT_MS = 1_000;

export interface ActivityQuestion {
  /** Null: all models. */
  readonly model: string | null;
  /** Only requests that ended since, in milliseconds since 1970; null: all that is kept. */
  readonly sinceWallMs: number | null;
  /** Only requests that did not end well. */
  readonly failedOnly: boolean;
  /** The newest ones. */
  readonly limit: number;
}

/** Status and outcome do not always agree: a stream that breaks has begun with 200. */
const FAILED = "(status = 0 OR status >= 400 OR outcome NOT IN ('answered', 'own'))";

/** Whether a request did not end well, as `failedOnly` asks. */
export function hasFailed({ status, outcome }: ActivityEntry): boolean {
  return status === 0 || status >= 400 || (outcome !== 'answered' && outcome !== 'own');
}

/** The newest last. The error is a sentence for the operator. */
export function readActivity(
  directory: string,
  question: ActivityQuestion,
): Result<readonly ActivityEntry[], string> {
  const path = join(directory, ACTIVITY_FILE_NAME);
  if (!existsSync(path)) return failure(`no gateway has kept what requests did in ${directory}`);
  try {
    const connection = openSqliteReader(path, BUSY_TIMEOUT_MS, ACTIVITY_MIGRATIONS.length);
    try {
      const { conditions, values } = conditionsOf(question);
      const rows = connection
        .prepare(
          `SELECT * FROM activity WHERE ${conditions.join(' AND ')} ORDER BY ended_ms DESC, id DESC LIMIT ?`,
        )
        .all(...values, question.limit);
      return success(rows.map(activityEntryOf).reverse());
    } finally {
      connection.close();
    }
  } catch (error) {
    return failure(`${path} cannot be read: ${messageOf(error)}`);
  }
}

function conditionsOf({ model, sinceWallMs, failedOnly }: ActivityQuestion): {
  readonly conditions: readonly string[];
  readonly values: readonly SQLInputValue[];
} {
  const conditions = ['TRUE'];
  const values: SQLInputValue[] = [];
  if (sinceWallMs !== null) {
    conditions.push('ended_ms >= ?');
    values.push(sinceWallMs);
  }
  if (model !== null) {
    conditions.push('model = ?');
    values.push(model);
  }
  if (failedOnly) conditions.push(FAILED);
  return { conditions, values };
}
