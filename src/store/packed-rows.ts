/**
 * Rows of the activity log on their way to the store's thread, packed into numbers and a list of texts: a row costs its request
 * no object that lives until the disk has it, and crosses to the thread as bytes.
 *
 *  P1. A row is WIDTH numbers: its figures in the order of FIGURE_COLUMNS, NaN for null; then for each of TEXT_COLUMNS the index
 *      of its text, -1 for null.
 *  P2. A text that repeats stands in the list once, but for the request's id, which does not repeat. At most KNOWN_TEXTS_MAX are
 *      recognized; the others stand there for each of their rows.
 */
import type { SQLInputValue } from 'node:sqlite';
import type { ActivityEntry } from '../telemetry/activity.ts';
import { ACTIVITY_COLUMNS, FIGURE_COLUMNS, TEXT_COLUMNS } from './activity-row.ts';

const FIGURES = FIGURE_COLUMNS.length;
/** Values of a row. */
const WIDTH = ACTIVITY_COLUMNS.length;
const ROWS_MIN = 32;
/** More than the models, routes, outcomes and callers of most gateways. */
const KNOWN_TEXTS_MAX = 256;
/** Longest text that is kept of one field: names and ids of ours are shorter, what clients send may not be. */
const TEXT_CHARS_MAX = 256;
/** Bytes of a row without its texts: figures and what the queue itself needs. */
const ROW_BYTES = 200;
/** The most that a row takes: none of its texts stands there yet. */
export const ROW_BYTES_MAX = ROW_BYTES + TEXT_COLUMNS.length * TEXT_CHARS_MAX;

/** As it crosses threads: plain data. */
export interface PackedRows {
  readonly numbers: Float64Array;
  readonly texts: readonly string[];
}

/** Rows are added until `rowsMax` are there; `clear` makes it empty again and keeps its memory. */
export class RowPack {
  readonly #rowsMax: number;
  #numbers = new Float64Array(ROWS_MIN * WIDTH);
  #texts: string[] = [];
  readonly #known = new Map<string, number>();
  /** By text column: what the last row had there, and where it stands. */
  readonly #lastTexts: (string | null)[] = new Array(TEXT_COLUMNS.length).fill(null);
  readonly #lastIndexes: number[] = new Array(TEXT_COLUMNS.length).fill(-1);
  #rows = 0;
  #bytes = 0;

  constructor(rowsMax: number) {
    this.#rowsMax = rowsMax;
  }

  get rows(): number {
    return this.#rows;
  }

  get isFull(): boolean {
    return this.#rows >= this.#rowsMax;
  }

  /** About what its rows take in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a copy. Not for a full one. */
  add(entry: ActivityEntry): void {
    const at = this.#rows * WIDTH;
    if (at === this.#numbers.length) this.#grow();
    const numbers = this.#numbers;
    numbers[at] = whole(entry.endedWallMs);
    numbers[at + 1] = whole(entry.status);
    numbers[at + 2] = entry.streamed ? 1 : 0;
    numbers[at + 3] = whole(entry.waitMs);
    numbers[at + 4] = entry.ttfbMs === null ? Number.NaN : whole(entry.ttfbMs);
    numbers[at + 5] = whole(entry.durationMs);
    numbers[at + 6] = whole(entry.requestBytes);
    numbers[at + 7] = whole(entry.responseBytes);
    numbers[at + 8] = whole(entry.attempts);
    numbers[at + 9] = this.#append(entry.clientRequestId);
    numbers[at + 10] = this.#indexOf(1, entry.principal);
    numbers[at + 11] = this.#indexOf(2, entry.model);
    numbers[at + 12] = this.#indexOf(3, entry.route);
    numbers[at + 13] = this.#indexOf(4, entry.method);
    numbers[at + 14] = this.#indexOf(5, entry.outcome);
    numbers[at + 15] = this.#indexOf(6, entry.code);
    numbers[at + 16] = this.#indexOf(7, entry.load);
    numbers[at + 17] = this.#indexOf(8, entry.clientAddress);
    this.#rows += 1;
    this.#bytes += ROW_BYTES;
  }

  /** A copy for another thread. */
  packed(): PackedRows {
    return { numbers: this.#numbers.slice(0, this.#rows * WIDTH), texts: this.#texts };
  }

  clear(): void {
    // Who has packed it may still hold the list.
    this.#texts = [];
    this.#known.clear();
    this.#lastTexts.fill(null);
    this.#lastIndexes.fill(-1);
    this.#rows = 0;
    this.#bytes = 0;
  }

  #indexOf(column: number, text: string | null): number {
    if (text === null) return -1;
    // The same text as in the row before, mostly.
    if (this.#lastTexts[column] === text) return this.#lastIndexes[column] ?? -1;
    let index = this.#known.get(text);
    if (index === undefined) {
      index = this.#append(text);
      if (this.#known.size < KNOWN_TEXTS_MAX && text.length <= TEXT_CHARS_MAX) this.#known.set(text, index);
    }
    this.#lastTexts[column] = text;
    this.#lastIndexes[column] = index;
    return index;
  }

  #append(text: string): number {
    const kept = text.length > TEXT_CHARS_MAX ? text.slice(0, TEXT_CHARS_MAX) : text;
    this.#bytes += kept.length;
    return this.#texts.push(kept) - 1;
  }

  #grow(): void {
    const larger = new Float64Array(Math.min(this.#numbers.length * 2, this.#rowsMax * WIDTH));
    larger.set(this.#numbers);
    this.#numbers = larger;
  }
}

/** The values of rows `from` to before `to`, row after row in the order of ACTIVITY_COLUMNS. */
export function unpackedRows({ numbers, texts }: PackedRows, from: number, to: number): SQLInputValue[] {
  const values: SQLInputValue[] = [];
  for (let row = from; row < to; row += 1) {
    const at = row * WIDTH;
    for (let index = at; index < at + FIGURES; index += 1) {
      const figure = numbers[index] ?? Number.NaN;
      values.push(Number.isNaN(figure) ? null : figure);
    }
    for (let index = at + FIGURES; index < at + WIDTH; index += 1)
      values.push(texts[numbers[index] ?? -1] ?? null);
  }
  return values;
}

export function packedCount({ numbers }: PackedRows): number {
  return numbers.length / WIDTH;
}

/** A figure that is none would make the whole batch fail. */
function whole(value: number): number {
  return Number.isFinite(value) ? Math.round(value) : 0;
}
