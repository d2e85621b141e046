/**
 * Requests in the columns of the Chutes data set (arXiv 2608.13573): `chute_id,started_at,it,ot`. `started_at` is a time as
 * text (without a zone: UTC) or as a number of seconds, milliseconds or microseconds since 1970. The first row is time 0.
 */
import type { CsvReader } from './csv-reader.ts';
import { quoted, type RecordedRequests, recordedRequests, tokenCount } from './recorded-requests.ts';
import type { SimulatedRequest } from './request-source.ts';

const COLUMNS = ['chute_id', 'started_at', 'it', 'ot'] as const;
const ISO_TIME = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(Z|[+-]\d\d(?::?\d\d)?)?$/i;
/** Seconds reach it in the year 5138, milliseconds have passed it in 1973. */
const SECONDS_MAX = 1e11;
const MILLISECONDS_MAX = 1e14;

/** @throws InputFault */
export function openChutes(file: string): RecordedRequests {
  return recordedRequests(file, chutesRows);
}

function chutesRows(reader: CsvReader): (row: readonly string[]) => SimulatedRequest {
  const places = reader.header(COLUMNS);
  let firstMs: number | null = null;
  return (row) => {
    const timeText = row[places.started_at] ?? '';
    const timeMs = instantMs(timeText.trim());
    if (timeMs === null)
      throw reader.fault(
        `started_at is ${quoted(timeText)}`,
        'Give a time such as 2025-03-01T12:00:00Z, or seconds since 1970',
      );
    firstMs ??= timeMs;
    const model = row[places.chute_id] ?? '';
    if (model === '') throw reader.fault('chute_id is missing', 'Name the chute of the request');
    return {
      atMs: timeMs - firstMs,
      model,
      promptTokens: tokenCount(reader, row, places.it, 'it'),
      outputTokens: tokenCount(reader, row, places.ot, 'ot'),
    };
  };
}

/** Milliseconds since 1970; null: the text is no time. */
function instantMs(text: string): number | null {
  if (/^\d+(\.\d+)?$/.test(text)) {
    const figure = Number(text);
    if (figure < SECONDS_MAX) return figure * 1000;
    return figure < MILLISECONDS_MAX ? figure : figure / 1000;
  }
  const parts = ISO_TIME.exec(text);
  if (parts === null) return null;
  const [, date, time, zone = 'Z'] = parts;
  const timeMs = Date.parse(`${date}T${time}${/^[+-]\d\d$/.test(zone) ? `${zone}:00` : zone}`);
  return Number.isNaN(timeMs) ? null : timeMs;
}
