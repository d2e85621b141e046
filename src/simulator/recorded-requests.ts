/**
 * Requests recorded in a CSV file, one a row, whatever its columns are called. One pass checks the file and learns names,
 * count and span; each run reads it again, a chunk at a time.
 */
import { CsvReader } from './csv-reader.ts';
import type { RequestSource, RequestStream, SimulatedRequest } from './request-source.ts';

export interface RecordedRequests extends RequestSource {
  readonly count: number;
  /** Time of the first and the last row. */
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Reads the header, and tells how a row of this file becomes a request. It throws what `reader.fault` makes. */
export type RowReader = (reader: CsvReader) => (row: readonly string[]) => SimulatedRequest;

/** @throws InputFault */
export function recordedRequests(file: string, rowReader: RowReader): RecordedRequests {
  const stream = new RecordedStream(file, rowReader);
  const models = new Set<string>();
  let count = 0;
  let firstMs = 0;
  let lastMs = 0;
  try {
    for (let request = stream.next(); request !== null; request = stream.next()) {
      models.add(request.model);
      if (count === 0) firstMs = request.atMs;
      lastMs = request.atMs;
      count += 1;
    }
    if (count === 0) throw stream.fault('there are no requests', 'Give it at least one row below the header');
  } finally {
    stream.close();
  }
  return { models: [...models], count, firstMs, lastMs, open: () => new RecordedStream(file, rowReader) };
}

class RecordedStream implements RequestStream {
  readonly #reader: CsvReader;
  readonly #requestOf: (row: readonly string[]) => SimulatedRequest;
  /** One string for each name: a field that is kept would keep its whole row alive. */
  readonly #names = new Map<string, string>();
  #lastMs = 0;

  constructor(file: string, rowReader: RowReader) {
    this.#reader = new CsvReader(file);
    try {
      this.#requestOf = rowReader(this.#reader);
    } catch (error) {
      this.#reader.close();
      throw error;
    }
  }

  next(): SimulatedRequest | null {
    const row = this.#reader.next();
    if (row === null) return null;
    const request = this.#requestOf(row);
    if (request.atMs < this.#lastMs)
      throw this.fault(
        `time goes back, from ${this.#lastMs} to ${request.atMs} ms`,
        'Sort the rows by their time',
      );
    this.#lastMs = request.atMs;
    return { ...request, model: this.#nameOf(request.model) };
  }

  fault(problem: string, remedy: string): Error {
    return this.#reader.fault(problem, remedy);
  }

  close(): void {
    this.#reader.close();
  }

  #nameOf(field: string): string {
    const known = this.#names.get(field);
    if (known !== undefined) return known;
    const copy = Buffer.from(field).toString();
    this.#names.set(copy, copy);
    return copy;
  }
}

/** A whole number of tokens. @throws InputFault */
export function tokenCount(reader: CsvReader, row: readonly string[], place: number, column: string): number {
  const text = row[place] ?? '';
  const count = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(count) || count < 0)
    throw reader.fault(`${column} is ${quoted(text)}`, 'Give a whole number of tokens from 0 on');
  return count;
}

export function quoted(text: string): string {
  return text === '' ? 'missing' : JSON.stringify(text);
}
