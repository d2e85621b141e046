/** The results as tables of Markdown. */
import type { CostRow } from './cost.ts';
import type { LargeRow } from './large.ts';
import type { LatencyRow } from './latency.ts';
import type { StreamsRow } from './streams.ts';

export function costTable(rows: readonly CostRow[]): string {
  return table(
    ['proxy', 'CPU us/request', 'x nginx', 'requests/s', 'CPU us/chunk', 'x nginx', 'RSS MiB'],
    rows.map((row) => [
      ...[`${row.name} ${row.version}`, row.cpuUsPerRequest, row.perRequest, row.requestsPerSecond],
      ...[row.cpuUsPerChunk, row.perChunk, row.residentMib],
    ]),
  );
}

export function latencyTable(rows: readonly LatencyRow[]): string {
  return table(
    ['at 100 requests/s', 'p50 ms', 'p99 ms', 'added p50', 'added p99'],
    rows.map(({ name, p50Ms, p99Ms, addedP50Ms, addedP99Ms }) => [
      ...[name, p50Ms, p99Ms, addedP50Ms, addedP99Ms],
    ]),
  );
}

export function streamsTable(rows: readonly StreamsRow[]): string {
  return table(
    [
      'streams of 50 events/s',
      'peak MiB at 1,000',
      'time x nominal at 1,000',
      'most in time',
      'cores for that',
    ],
    rows.map((row) => [row.name, row.peakMib, row.lagAt1000, row.streamsInTime, row.cpuShare]),
  );
}

export function largeTable(rows: readonly LargeRow[]): string {
  return table(
    ['request of 10 MB', 'CPU ms', 'x nginx'],
    rows.map(({ name, cpuMsPerRequest, ratio }) => [name, cpuMsPerRequest, ratio]),
  );
}

type Cell = string | number | null;

function table(heads: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const lines = [heads, heads.map(() => '---'), ...rows.map((row) => row.map(cellText))];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function cellText(cell: Cell): string {
  if (cell === null || (typeof cell === 'number' && Number.isNaN(cell))) return 'n/a';
  return typeof cell === 'number' ? cell.toLocaleString('en-US', { maximumFractionDigits: 3 }) : cell;
}
