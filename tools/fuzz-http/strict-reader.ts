/**
 * Reads the bytes of one client connection as RFC 9112 says: which requests they hold, where each ends, and how they go on
 * after the last. Written apart from Node's parser and from the gateway's checks, to compare both with it.
 *
 * Two things are read as leniently as Node's parser does, because no reading of them moves the border of a request: several
 * spaces between the parts of a request line, and CR and LF in any order before it.
 */
import { createHash } from 'node:crypto';

export interface StrictRequest {
  readonly method: string;
  readonly target: string;
  readonly minor: number;
  /** Of its head. */
  readonly headBytes: number;
  /** Lower-case names, values without the white space around them. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

/**
 * How the bytes go on after the complete requests: `clean`: not at all; `incomplete`: with the beginning of a request;
 * `malformed`: with what is none; `ended`: with whatever, because a request asked for the end of the connection.
 */
export type Tail = 'clean' | 'incomplete' | 'malformed' | 'ended';

export interface Reading {
  readonly requests: readonly StrictRequest[];
  readonly tail: Tail;
}

/** Node knows these and some more; a method that it does not know is no request to it. */
const REQUEST_LINE =
  /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT) +([\x21-\x7e\x80-\xff]+) +HTTP\/1\.([01])$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,12})(?:;[\t\x20-\x7e\x80-\xff]*)?$/;
/** What says where a message ends has no place behind it. */
const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding']);
const DIGITS = /^[0-9]{1,15}$/;

/** Thrown with how the bytes go on. */
class Stop extends Error {
  readonly tail: Tail;

  constructor(tail: Tail) {
    super(tail);
    this.tail = tail;
  }
}

/** `bytes` as latin1. */
export function readStrictly(bytes: string): Reading {
  const requests: StrictRequest[] = [];
  const cursor = new Cursor(bytes);
  try {
    for (;;) {
      cursor.skipEmptyLines();
      if (cursor.atEnd) return { requests, tail: 'clean' };
      const request = readRequest(cursor);
      requests.push(request);
      if (endsConnection(request)) return { requests, tail: cursor.atEnd ? 'clean' : 'ended' };
    }
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    return { requests, tail: error.tail };
  }
}

export function valuesOf({ headers }: StrictRequest, wanted: string): string[] {
  return headers.filter(([name]) => name === wanted).map(([, value]) => value);
}

/** What an engine must have got of a request, and no other. */
export function keyOf(method: string, marks: readonly string[], body: string): string {
  const hash = createHash('sha1').update(body, 'latin1').digest('hex').slice(0, 16);
  return `${method} ${marks.join(',')} ${hash}`;
}

class Cursor {
  readonly #bytes: string;
  #at = 0;

  constructor(bytes: string) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  skipEmptyLines(): void {
    while (this.#bytes[this.#at] === '\r' || this.#bytes[this.#at] === '\n') this.#at += 1;
  }

  /** Without its end, which is CR LF. */
  line(): string {
    const end = this.#bytes.indexOf('\n', this.#at);
    if (end < 0) throw new Stop('incomplete');
    if (this.#bytes[end - 1] !== '\r' || end === this.#at) throw new Stop('malformed');
    const line = this.#bytes.slice(this.#at, end - 1);
    this.#at = end + 1;
    return line;
  }

  take(count: number): string {
    if (this.#at + count > this.#bytes.length) throw new Stop('incomplete');
    const taken = this.#bytes.slice(this.#at, this.#at + count);
    this.#at += count;
    return taken;
  }
}

function readRequest(cursor: Cursor): StrictRequest {
  const match = REQUEST_LINE.exec(cursor.line());
  if (match === null) throw new Stop('malformed');
  const [, method = '', target = '', minor = ''] = match;
  const headers = readFields(cursor);
  const headBytes = headers.reduce(
    (sum, [name, value]) => sum + name.length + value.length + 4,
    target.length,
  );
  const head = { method, target, minor: Number(minor), headBytes, headers, body: '' };
  return { ...head, body: readBody(cursor, head) };
}

function readFields(cursor: Cursor): (readonly [string, string])[] {
  const fields: (readonly [string, string])[] = [];
  for (;;) {
    const line = cursor.line();
    if (line === '') return fields;
    const match = FIELD.exec(line);
    if (match === null) throw new Stop('malformed');
    fields.push([(match[1] ?? '').toLowerCase(), (match[2] ?? '').replace(/[ \t]+$/, '')]);
  }
}

function readBody(cursor: Cursor, head: StrictRequest): string {
  const codings = valuesOf(head, 'transfer-encoding');
  const lengths = valuesOf(head, 'content-length');
  if (codings.length > 0) {
    const isChunked = codings.length === 1 && codings[0]?.toLowerCase() === 'chunked';
    if (!isChunked || lengths.length > 0 || head.minor === 0) throw new Stop('malformed');
    return readChunks(cursor);
  }
  if (lengths.length === 0) return '';
  const [length = ''] = lengths;
  if (lengths.length > 1 || !DIGITS.test(length)) throw new Stop('malformed');
  return cursor.take(Number(length));
}

function readChunks(cursor: Cursor): string {
  let body = '';
  for (;;) {
    const match = CHUNK_LINE.exec(cursor.line());
    if (match === null) throw new Stop('malformed');
    const size = Number.parseInt(match[1] ?? '', 16);
    if (size === 0) {
      if (readFields(cursor).some(([name]) => FRAMING.has(name))) throw new Stop('malformed');
      return body;
    }
    body += cursor.take(size);
    if (cursor.take(2) !== '\r\n') throw new Stop('malformed');
  }
}

function endsConnection(request: StrictRequest): boolean {
  const options = valuesOf(request, 'connection').flatMap((value) =>
    value.toLowerCase().split(/[ \t]*,[ \t]*/),
  );
  if (options.includes('close')) return true;
  return request.minor === 0 && !options.includes('keep-alive');
}
