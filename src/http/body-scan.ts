/**
 * Finds `model`, `stream` and what Responses need (`background`, `previous_response_id`) in a JSON body by one walk over its
 * bytes.
 *
 * 1. Never another model than the engine sees: what two parsers may read differently (duplicate keys, also by escapes,
 *    other encodings, a byte order mark, lone surrogates in the name) is refused, not guessed.
 * 2. The top level is judged here, so that a broken body starts no engine; what lies deeper is the engine's to judge.
 * 3. A long string costs a native search, not a loop.
 */
import { isUtf8 } from 'node:buffer';
import type { Refusal } from '../core/errors.ts';
import { JsonReader } from './json-reader.ts';

/** What the gateway reads of a body. Byte ranges are half open; they refer to the scanned bytes. */
export interface ScannedBody {
  readonly kind: 'ok';
  /** Null: the body names no model. */
  readonly model: string | null;
  /** True only for a literal `true`. */
  readonly stream: boolean;
  /** False where it is absent, `false` or `null`; engines read true from more than a literal `true`. */
  readonly background: boolean;
  /** `previous_response_id` where it is a string. */
  readonly previousResponseId: string | null;
  /** Range of the value of `model` with its quotes; both -1 without one. */
  readonly modelStart: number;
  readonly modelEnd: number;
  /** Index of the object's `{`. */
  readonly objectStart: number;
  /** Index of the object's `}`. */
  readonly objectEnd: number;
}

export type BodyScan = ScannedBody | { readonly kind: 'fault'; readonly refusal: Refusal };

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN = 0x7b;
const CLOSE = 0x7d;
/** More keys than any route knows; each costs an edit of the body more than its bytes. */
const TOP_LEVEL_KEYS_MAX = 1000;
const LETTER_B = 0x62;
const LETTER_P = 0x70;
/** `previous_response_id` with every letter written as `\uXXXX`: a longer key can be none of those looked for. */
const ESCAPED_KEY_BYTES_MAX = 120;

type Key = 'model' | 'stream' | 'background' | 'previous_response_id';
const KEYS: ReadonlySet<string> = new Set<Key>(['model', 'stream', 'background', 'previous_response_id']);

/** Scans a whole body. Never throws; the cost is linear in the bytes. */
export function scanBody(body: Uint8Array): BodyScan {
  const bytes = asBuffer(body);
  if (!isUtf8(bytes)) return fault('body_not_utf8', { offset: firstInvalidOffset(bytes) });
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    return fault('body_not_json', { detail: 'it begins with a byte order mark' });
  }
  const reader = new JsonReader(bytes);
  reader.skipWhitespace();
  const objectStart = reader.at;
  if (reader.peek() !== OPEN) {
    const detail = objectStart >= bytes.length ? 'it is empty' : 'its top level is not an object';
    return fault('body_not_json', { detail });
  }
  reader.at++;
  return scanMembers(reader, objectStart);
}

function scanMembers(reader: JsonReader, objectStart: number): BodyScan {
  const { bytes } = reader;
  let model: string | null = null;
  let modelStart = -1;
  let modelEnd = -1;
  let stream: boolean | null = null;
  let background: boolean | null = null;
  let previousStart = -1;
  let previousResponseId: string | null = null;
  let objectEnd = -1;
  let keys = 0;
  reader.skipWhitespace();
  if (reader.peek() === CLOSE) objectEnd = reader.at++;
  while (objectEnd < 0) {
    if (++keys > TOP_LEVEL_KEYS_MAX) return fault('body_members', { limit: TOP_LEVEL_KEYS_MAX });
    const key = readKey(reader);
    if (key === 'broken') return brokenBody(reader);
    const start = reader.at;
    if (!reader.skipValue()) return brokenBody(reader);
    if (key === 'model') {
      if (modelStart >= 0) return fault('model_duplicate', { key });
      const name = readModel(bytes, start, reader.at);
      if (typeof name !== 'string') return { kind: 'fault', refusal: name };
      model = name;
      modelStart = start;
      modelEnd = reader.at;
    } else if (key === 'stream') {
      if (stream !== null) return fault('model_duplicate', { key });
      stream = bytes[start] === 0x74;
    } else if (key === 'background') {
      if (background !== null) return fault('model_duplicate', { key });
      background = bytes[start] !== 0x66 && bytes[start] !== 0x6e;
    } else if (key === 'previous_response_id') {
      if (previousStart >= 0) return fault('model_duplicate', { key });
      previousStart = start;
      if (bytes[start] === QUOTE) previousResponseId = decodeString(bytes, start, reader.at);
    }
    reader.skipWhitespace();
    const next = reader.peek();
    if (next === CLOSE) objectEnd = reader.at;
    else if (next !== COMMA) {
      reader.fail('a comma or a closing brace is missing');
      return brokenBody(reader);
    }
    reader.at++;
  }
  reader.skipWhitespace();
  if (reader.at < bytes.length) {
    reader.fail('something follows the object');
    return brokenBody(reader);
  }
  return {
    kind: 'ok',
    model,
    stream: stream === true,
    background: background === true,
    previousResponseId,
    modelStart,
    modelEnd,
    objectStart,
    objectEnd,
  };
}

/** Reads a key and its colon; stops at the first byte of the value. */
function readKey(reader: JsonReader): Key | 'other' | 'broken' {
  reader.skipWhitespace();
  const start = reader.at + 1;
  if (reader.peek() !== QUOTE) {
    reader.fail('a key in double quotes is missing');
    return 'broken';
  }
  if (!reader.skipString()) return 'broken';
  const key = keyKind(reader.bytes, start, reader.at - 1);
  if (key === 'broken') {
    reader.at = start;
    reader.fail('a key with a bad escape or a control character begins');
    return key;
  }
  if (!reader.take(COLON, 'a colon')) return 'broken';
  reader.skipWhitespace();
  return key;
}

function keyKind(bytes: Buffer, start: number, end: number): Key | 'other' | 'broken' {
  let escaped = false;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < 0x20) return 'broken';
    if (byte === BACKSLASH) escaped = true;
  }
  const length = end - start;
  if (!escaped && !isCandidate(length, bytes[start])) return 'other';
  if (escaped && length > ESCAPED_KEY_BYTES_MAX) return 'other';
  const key = escaped ? decodeString(bytes, start - 1, end + 1) : bytes.toString('latin1', start, end);
  if (key === null) return 'broken';
  return KEYS.has(key) ? (key as Key) : 'other';
}

/** Only these keys are made into strings. */
function isCandidate(length: number, first: number | undefined): boolean {
  return (
    length === 5 ||
    length === 6 ||
    (length === 10 && first === LETTER_B) ||
    (length === 20 && first === LETTER_P)
  );
}

function readModel(bytes: Buffer, start: number, end: number): string | Refusal {
  if (bytes[start] !== QUOTE) {
    return { code: 'model_not_string', parameters: { found: kindOf(bytes[start]) } };
  }
  const name = decodeString(bytes, start, end);
  if (name === null) {
    const detail = `\`model\` has a bad escape or a control character after byte ${start}`;
    return { code: 'body_not_json', parameters: { detail } };
  }
  if (!name.isWellFormed()) {
    const detail = '`model` has half of a surrogate pair, which parsers read differently';
    return { code: 'body_not_json', parameters: { detail } };
  }
  return name;
}

function kindOf(byte: number | undefined): string {
  if (byte === OPEN) return 'an object';
  if (byte === 0x5b) return 'an array';
  if (byte === 0x6e) return 'null';
  return byte === 0x74 || byte === 0x66 ? 'a boolean' : 'a number';
}

/** The value of the JSON string at `[start, end)`, quotes included; null if it is not one. */
export function decodeString(bytes: Buffer, start: number, end: number): string | null {
  try {
    return JSON.parse(bytes.toString('utf8', start, end)) as string;
  } catch {
    return null;
  }
}

/** The same memory as a Buffer, whose searches are native. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function fault(code: Refusal['code'], parameters: Refusal['parameters']): BodyScan {
  return { kind: 'fault', refusal: { code, parameters } };
}

function brokenBody(reader: JsonReader): BodyScan {
  return fault('body_not_json', { detail: reader.detail });
}

/** Where UTF-8 ends, found with few native checks: pieces shrink until one sequence is left. */
function firstInvalidOffset(bytes: Buffer): number {
  let at = 0;
  for (const piece of [65_536, 1024, 16]) {
    while (at < bytes.length) {
      const end = sequenceBoundary(bytes, at + piece);
      if (!isUtf8(bytes.subarray(at, end))) break;
      at = end;
    }
  }
  while (at < bytes.length) {
    const end = at + sequenceLength(bytes[at] as number);
    if (end > bytes.length || !isUtf8(bytes.subarray(at, end))) break;
    at = end;
  }
  return at;
}

function sequenceLength(lead: number): number {
  if (lead < 0xc0) return 1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** The first index at or after `at` that does not lie inside a sequence, at most three bytes on. */
function sequenceBoundary(bytes: Buffer, at: number): number {
  let end = Math.min(at, bytes.length);
  for (let step = 0; step < 3 && end < bytes.length && ((bytes[end] as number) & 0xc0) === 0x80; step++)
    end++;
  return end;
}
