/** An entry of the activity log as a row of its table. */
import type { ActivityEntry } from '../telemetry/activity.ts';
import { numberIn, numberOrNullIn, type Row, textIn, textOrNullIn } from './rows.ts';

/** Columns of numbers, in the order in which they are packed (packed-rows.ts). */
export const FIGURE_COLUMNS = [
  ...['ended_ms', 'status', 'streamed', 'wait_ms', 'ttfb_ms', 'duration_ms'],
  ...['request_bytes', 'response_bytes', 'attempts'],
] as const;

/** Columns of texts, in the order in which they are packed. */
export const TEXT_COLUMNS = [
  ...['request_id', 'principal', 'model', 'route', 'method', 'outcome', 'code', 'load', 'client'],
] as const;

export const ACTIVITY_COLUMNS = [...FIGURE_COLUMNS, ...TEXT_COLUMNS] as const;

export function activityEntryOf(row: Row): ActivityEntry {
  return {
    endedWallMs: numberIn(row, 'ended_ms'),
    clientRequestId: textIn(row, 'request_id'),
    principal: textOrNullIn(row, 'principal'),
    model: textOrNullIn(row, 'model'),
    route: textIn(row, 'route'),
    method: textIn(row, 'method'),
    outcome: textIn(row, 'outcome'),
    status: numberIn(row, 'status'),
    code: textOrNullIn(row, 'code'),
    load: textOrNullIn(row, 'load'),
    streamed: numberIn(row, 'streamed') === 1,
    waitMs: numberIn(row, 'wait_ms'),
    ttfbMs: numberOrNullIn(row, 'ttfb_ms'),
    durationMs: numberIn(row, 'duration_ms'),
    requestBytes: numberIn(row, 'request_bytes'),
    responseBytes: numberIn(row, 'response_bytes'),
    attempts: numberIn(row, 'attempts'),
    clientAddress: textOrNullIn(row, 'client'),
  };
}
