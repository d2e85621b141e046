/** Reads a CSV file row by row, a chunk of the file at a time: its memory does not grow with the file. */
import { closeSync, openSync, readSync } from 'node:fs';
import { InputFault, unreadable } from './input-fault.ts';

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const BYTE_ORDER_MARK = '\ufeff';

/** Where each named column stands in a row. */
export type ColumnPlaces<Name extends string> = Readonly<Record<Name, number>>;

export class CsvReader {
  readonly file: string;
  /** Of the row that was read last, from 1. */
  line = 0;
  #descriptor: number | null;
  readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  #start = 0;
  #end = 0;
  #isAtEnd = false;

  /** @throws InputFault */
  constructor(file: string) {
    this.file = file;
    try {
      this.#descriptor = openSync(file, 'r');
    } catch (error) {
      throw unreadable(file, error);
    }
  }

  /** The fields of the next row that is not empty; null: there are no more. @throws InputFault */
  next(): readonly string[] | null {
    for (let text = this.#nextLine(); text !== null; text = this.#nextLine()) {
      if (text !== '') return text.includes('"') ? quotedFields(text) : text.split(',');
    }
    return null;
  }

  /** Reads the header: columns may stand in any order, and others beside them. @throws InputFault */
  header<Name extends string>(names: readonly Name[]): ColumnPlaces<Name> {
    const found = (this.next() ?? []).map((name) => name.replace(BYTE_ORDER_MARK, '').trim());
    const missing = names.filter((name) => !found.includes(name));
    if (missing.length > 0)
      throw this.fault(`the header lacks ${missing.join(', ')}`, `Begin it with the line ${names.join(',')}`);
    const places = new Map<string, number>(names.map((name) => [name, found.indexOf(name)]));
    return Object.fromEntries(places) as Record<Name, number>;
  }

  /** About the row that was read last. */
  fault(problem: string, remedy: string): InputFault {
    return new InputFault({ source: this.file, place: Math.max(1, this.line), problem, remedy });
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  #nextLine(): string | null {
    for (;;) {
      const newline = this.#chunk.subarray(this.#start, this.#end).indexOf(NEWLINE);
      if (newline !== -1) return this.#take(this.#start + newline, 1);
      if (this.#isAtEnd) return this.#start < this.#end ? this.#take(this.#end, 0) : null;
      this.#fill();
    }
  }

  #take(end: number, skip: number): string {
    const last = end > this.#start && this.#chunk[end - 1] === CARRIAGE_RETURN ? end - 1 : end;
    const text = this.#chunk.toString('utf8', this.#start, last);
    this.#start = end + skip;
    this.line += 1;
    return text;
  }

  #fill(): void {
    this.#chunk.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    if (this.#end === CHUNK_BYTES) {
      this.line += 1;
      throw this.fault(`a row of more than ${CHUNK_BYTES} bytes`, 'Check that the file is a CSV file');
    }
    try {
      const count =
        this.#descriptor === null
          ? 0
          : readSync(this.#descriptor, this.#chunk, this.#end, CHUNK_BYTES - this.#end, null);
      this.#end += count;
      this.#isAtEnd = count === 0;
    } catch (error) {
      throw unreadable(this.file, error);
    }
  }
}

/** Fields may stand in double quotes, and a doubled quote inside them means itself. */
function quotedFields(text: string): readonly string[] {
  const fields: string[] = [];
  let field = '';
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '"' && isQuoted && text.charAt(at + 1) === '"') {
      field += char;
      at += 1;
    } else if (char === '"') isQuoted = !isQuoted;
    else if (char === ',' && !isQuoted) {
      fields.push(field);
      field = '';
    } else field += char;
  }
  return [...fields, field];
}
