/** An entry of the activity log as a row of its table. */
import type { SQLInputValue } from 'node:sqlite';
import type { ActivityEntry } from '../telemetry/activity.ts';
import { numberIn, numberOrNullIn, type Row, textIn, textOrNullIn } from './rows.ts';

/** In the order of `activityRow`. */
export const ACTIVITY_COLUMNS = [
  ...['ended_ms', 'request_id', 'principal', 'model', 'route', 'method', 'outcome', 'status', 'code'],
  ...['load', 'streamed', 'wait_ms', 'ttfb_ms', 'duration_ms', 'request_bytes', 'response_bytes', 'attempts'],
  'client',
] as const;

/** Longest text that is kept of one field: names and ids of ours are shorter, what clients send may not be. */
const TEXT_CHARS_MAX = 256;

/** Bytes of a row without its texts: numbers, flags and what the queue itself needs. */
const ROW_BYTES = 200;

export function activityRow(entry: ActivityEntry): readonly SQLInputValue[] {
  return [
    whole(entry.endedWallMs),
    text(entry.clientRequestId),
    textOrNull(entry.principal),
    textOrNull(entry.model),
    text(entry.route),
    text(entry.method),
    text(entry.outcome),
    whole(entry.status),
    textOrNull(entry.code),
    textOrNull(entry.load),
    entry.streamed ? 1 : 0,
    whole(entry.waitMs),
    entry.ttfbMs === null ? null : whole(entry.ttfbMs),
    whole(entry.durationMs),
    whole(entry.requestBytes),
    whole(entry.responseBytes),
    whole(entry.attempts),
    textOrNull(entry.clientAddress),
  ];
}

/** About what a row takes in memory. */
export function rowBytes(row: readonly SQLInputValue[]): number {
  let bytes = ROW_BYTES;
  for (const value of row) if (typeof value === 'string') bytes += value.length;
  return bytes;
}

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

/** A figure that is none would make the whole batch fail. */
function whole(value: number): number {
  return Number.isFinite(value) ? Math.round(value) : 0;
}

function text(value: string): string {
  return value.length > TEXT_CHARS_MAX ? value.slice(0, TEXT_CHARS_MAX) : value;
}

function textOrNull(value: string | null): string | null {
  return value === null ? null : text(value);
}
