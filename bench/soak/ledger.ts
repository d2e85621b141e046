/**
 * The independent ledger: three books of the same requests, kept by the clients, by the engines and by the gateway, and what must
 * hold between them. Answers in words what does not; empty: nothing.
 *
 * 1. Every number ended exactly once at its client, and had at most one end in the gateway's book; exactly one, unless
 *    its client left or never got it sent.
 * 2. What a client got as an engine's answer, an engine gave: one whole end with the same status. What the gateway
 *    answered itself, no engine did.
 * 3. What an engine began, it ended, and it was some client's. It began no request more often than the gateway sent it.
 * 4. The gateway's metrics count what its book holds.
 */
import type { RequestLine } from '../../src/engines/simulated/program/request-log.ts';
import type { ActivityEntry } from '../../src/telemetry/activity.ts';
import type { Entry } from './ask.ts';

export type Row = Pick<
  ActivityEntry,
  'clientRequestId' | 'model' | 'route' | 'outcome' | 'status' | 'code' | 'attempts'
>;

export interface Books {
  readonly sent: number;
  readonly entries: readonly Entry[];
  /** Without those of our own routes. */
  readonly rows: readonly Row[];
  readonly engineLines: readonly RequestLine[];
  /** `vllm_gateway_requests_total` by model, outcome, status and code with blanks between,, without our own routes. */
  readonly counted: ReadonlyMap<string, number>;
}

/** Begins and ends of one request at engines. */
interface EngineSide {
  begun: number;
  ended: number;
  /** Statuses of the ends that were whole. */
  readonly whole: number[];
}

/** The holder of a background response is a second row under its create's id. */
const BACKGROUND = / \(background\)$/;
const FAULTS_SHOWN_MAX = 40;

function countKey(row: Row): string {
  return [row.model ?? '', row.outcome, row.status, row.code ?? ''].join(' ');
}

export function faultsOf(books: Books): readonly string[] {
  const rows = grouped(books.rows.filter(({ route }) => !BACKGROUND.test(route)));
  const engines = engineSides(books.engineLines);
  const known = new Set(books.entries.map(({ id }) => id));
  const faults = [...faultsOfNumbers(books)];
  for (const entry of books.entries) {
    const of = (text: string): number => faults.push(`${entry.id} (${entry.kind}): ${text}`);
    faultsOfEntry(entry, rows.get(entry.id) ?? [], engines.get(entry.id) ?? NOWHERE, of);
  }
  for (const id of rows.keys())
    if (!known.has(id)) faults.push(`${id}: in the gateway's book, and nobody sent it`);
  for (const id of engines.keys()) if (!known.has(id)) faults.push(`${id}: at an engine, and nobody sent it`);
  faults.push(...faultsOfCounts(books));
  const more = faults.length - FAULTS_SHOWN_MAX;
  return more > 0 ? [...faults.slice(0, FAULTS_SHOWN_MAX), `and ${more} more`] : faults;
}

const NOWHERE: EngineSide = { begun: 0, ended: 0, whole: [] };

function faultsOfNumbers({ sent, entries }: Books): string[] {
  const numbers = new Set(entries.map(({ number }) => number));
  return [
    ...(numbers.size === entries.length ? [] : [`${entries.length - numbers.size} requests ended twice`]),
    ...(numbers.size === sent ? [] : [`${sent - numbers.size} of ${sent} requests never ended`]),
  ];
}

function faultsOfEntry(
  { ending, by }: Entry,
  rows: readonly Row[],
  engine: EngineSide,
  fault: (text: string) => void,
): void {
  const [row] = rows;
  if (rows.length > 1) fault(`${rows.length} rows in the gateway's book`);
  if (engine.begun !== engine.ended)
    fault(`begun ${engine.begun} times at engines, ended ${engine.ended} times`);
  if (row !== undefined && engine.begun > row.attempts)
    fault(`begun ${engine.begun} times at engines, sent ${row.attempts} times`);
  if (engine.whole.length > 1) fault(`answered wholly ${engine.whole.length} times by engines`);
  switch (ending.kind) {
    case 'wrong':
      fault(ending.detail);
      break;
    case 'unsent':
      if (row !== undefined || engine.begun > 0) fault('its connection ended, and it was seen');
      break;
    case 'left':
      if (row === undefined && engine.begun > 0) fault('at an engine, and not in the gateway’s book');
      break;
    case 'answered':
      if (row === undefined) fault("answered, and not in the gateway's book");
      else if (row.status !== ending.status)
        fault(`answered with ${ending.status}, in the book with ${row.status}`);
      if (by === 'gateway' && engine.begun > 0) fault('answered by the gateway, and at an engine');
      if (by === 'engine' && engine.whole[0] !== ending.status)
        fault(`answered with ${ending.status}, by engines with ${engine.whole.join() || 'nothing whole'}`);
      break;
    case 'error':
      if (row === undefined) fault(`told of ${ending.code}, and not in the gateway's book`);
      else if (row.status !== ending.status)
        fault(`told with ${ending.status}, in the book with ${row.status}`);
      else if (ending.origin === 'gateway' && row.code === null && ending.status !== 101)
        fault(`told of ${ending.code}, in the book without an error`);
      if (ending.origin === 'engine' && engine.begun === 0)
        fault(`told of an engine's ${ending.code}, and no engine had it`);
      break;
  }
}

function faultsOfCounts({ rows, counted }: Books): string[] {
  const own = new Map<string, number>();
  for (const row of rows) {
    if (BACKGROUND.test(row.route)) continue;
    const key = countKey(row);
    own.set(key, (own.get(key) ?? 0) + 1);
  }
  return [...new Set([...own.keys(), ...counted.keys()])]
    .filter((key) => (own.get(key) ?? 0) !== (counted.get(key) ?? 0))
    .map((key) => `${key}: ${counted.get(key) ?? 0} by the metrics, ${own.get(key) ?? 0} in the book`);
}

function grouped(rows: readonly Row[]): ReadonlyMap<string, readonly Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const group = groups.get(row.clientRequestId);
    if (group === undefined) groups.set(row.clientRequestId, [row]);
    else group.push(row);
  }
  return groups;
}

function engineSides(lines: readonly RequestLine[]): ReadonlyMap<string, EngineSide> {
  const sides = new Map<string, EngineSide>();
  for (const { id, event, status, isWhole } of lines) {
    const side = sides.get(id) ?? { begun: 0, ended: 0, whole: [] };
    sides.set(id, side);
    if (event === 'begin') side.begun += 1;
    else side.ended += 1;
    if (isWhole) side.whole.push(status);
  }
  return sides;
}
