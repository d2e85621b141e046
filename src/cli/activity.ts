/** `vllm-gateway activity`: what became of the last requests, beside a gateway that runs or after one that ran. */
import type { Environment } from '../config/environment.ts';
import { formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import { failure, type Result, success } from '../core/result.ts';
import { hasFailed, readActivity } from '../store/read-activity.ts';
import type { ActivityEntry } from '../telemetry/activity.ts';
import type { TextWriter } from './check.ts';
import { duration } from './text-layout.ts';
import { VERSION } from './version.ts';

export interface ActivityOptions {
  /** Whose `runtime.state_directory` is looked into. */
  readonly file?: string | undefined;
  /** Instead of a configuration's. */
  readonly stateDirectory?: string | undefined;
  readonly model?: string | undefined;
  /** Such as `90s`, `15m`, `1h` or `7d`. */
  readonly since?: string | undefined;
  /** Only what did not end well. */
  readonly failed?: boolean | undefined;
  readonly limit?: number | undefined;
  readonly json?: boolean | undefined;
  readonly environment: Environment;
}

const LIMIT_DEFAULT = 50;
/** All of them are held in memory at once. */
const LIMIT_MAX = 100_000;
const MS_PER: Readonly<Record<string, number>> = { s: 1e3, m: 6e4, min: 6e4, h: 3.6e6, d: 8.64e7 };
const NONE = '-';

/** Aligned right: status and times. */
const FIGURE_COLUMNS: ReadonlySet<number> = new Set([2, 3, 4, 5]);

/** The exit code: 0 if the log could be read, also where nothing matches; 1 otherwise. */
export async function runActivity(options: ActivityOptions, output: TextWriter): Promise<number> {
  const { json = false } = options;
  const asked = await readAsked(options);
  if (!asked.ok) {
    const texts = asked.error;
    output.write(
      json
        ? `${JSON.stringify({ version: VERSION, ok: false, faults: texts }, null, 2)}\n`
        : `${texts.join('\n')}\n`,
    );
    return 1;
  }
  const entries = asked.value;
  output.write(
    json
      ? `${JSON.stringify({ version: VERSION, requests: entries.map(jsonOf) }, null, 2)}\n`
      : `${textReport(entries)}\n`,
  );
  return 0;
}

type Faults = readonly string[];

async function readAsked(options: ActivityOptions): Promise<Result<readonly ActivityEntry[], Faults>> {
  const { model, since, failed = false, limit = LIMIT_DEFAULT } = options;
  const sinceMs = since === undefined ? null : millisecondsOf(since);
  if (sinceMs === undefined) {
    return failure([`--since takes a time such as 90s, 15m, 1h or 7d; found \`${since}\``]);
  }
  const directory = await stateDirectoryOf(options);
  if (!directory.ok) return directory;
  const read = readActivity(directory.value, {
    model: model ?? null,
    sinceWallMs: sinceMs === null ? null : Date.now() - sinceMs,
    failedOnly: failed,
    limit: Math.min(limit, LIMIT_MAX),
  });
  return read.ok ? read : failure([read.error]);
}

async function stateDirectoryOf(options: ActivityOptions): Promise<Result<string, Faults>> {
  const { file, stateDirectory, environment } = options;
  if (stateDirectory !== undefined) return success(stateDirectory);
  const loaded = await loadConfig({ file, environment });
  return loaded.ok ? success(loaded.value.runtime.stateDirectory) : failure(loaded.error.map(formatFault));
}

/** Written as in the configuration, whose own times end where timers do; undefined: it is no time. */
function millisecondsOf(text: string): number | undefined {
  const [, figure = '', unit = ''] = /^(\d{1,9}(?:\.\d{1,9})?)(s|m|min|h|d)$/.exec(text) ?? [];
  const ms = Number(figure) * (MS_PER[unit] ?? 0);
  return ms > 0 ? ms : undefined;
}

function textReport(entries: readonly ActivityEntry[]): string {
  if (entries.length === 0) return 'No such requests.';
  const rows = entries.map((entry) => [
    timeOf(entry),
    entry.model ?? NONE,
    entry.status === 0 ? NONE : String(entry.status),
    duration(entry.waitMs),
    entry.ttfbMs === null ? NONE : duration(entry.ttfbMs),
    duration(entry.durationMs),
    whatHappened(entry),
  ]);
  const failed = entries.filter(hasFailed).length;
  const count = `${entries.length} ${entries.length === 1 ? 'request' : 'requests'}`;
  const head = ['ended (UTC)', 'model', 'status', 'wait', 'first byte', 'in all', 'what'];
  return [...aligned([head, ...rows]), '', `${count}, ${failed} of them did not end well.`].join('\n');
}

/** Each column as wide as its widest cell, however long the lines become: ids are there to be copied whole. */
function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return FIGURE_COLUMNS.has(column) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

/** To the second: what is nearer together is told apart by its order. */
function timeOf({ endedWallMs }: ActivityEntry): string {
  return new Date(endedWallMs).toISOString().slice(0, 19).replace('T', ' ');
}

function whatHappened(entry: ActivityEntry): string {
  const { route, outcome, code, load, attempts, clientRequestId } = entry;
  const parts = [
    ...[route, outcome],
    ...(code === null ? [] : [code]),
    ...(load === null ? [] : [load]),
    ...(attempts > 1 ? [`${attempts} tries`] : []),
  ];
  return [...parts, clientRequestId].join(' ');
}

function jsonOf(entry: ActivityEntry): object {
  return {
    ended: new Date(entry.endedWallMs).toISOString(),
    request_id: entry.clientRequestId,
    client: entry.clientAddress,
    principal: entry.principal,
    model: entry.model,
    route: entry.route,
    method: entry.method,
    outcome: entry.outcome,
    status: entry.status,
    code: entry.code,
    load: entry.load,
    streamed: entry.streamed,
    wait_ms: entry.waitMs,
    ttfb_ms: entry.ttfbMs,
    duration_ms: entry.durationMs,
    request_bytes: entry.requestBytes,
    response_bytes: entry.responseBytes,
    attempts: entry.attempts,
  };
}
