/**
 * Reads the id of a response from an engine's answer while it passes: the top-level `id` of a JSON body, or `response.id` of
 * the first event of a stream (`response.created`). It looks at copies and keeps nothing once it knows.
 */
import { decodeString } from './body-scan.ts';
import { JsonReader } from './json-reader.ts';

/** vLLM puts the id first; an answer that has none within this many bytes is not remembered. */
const LOOKED_AT_BYTES_MAX = 64 * 1024;
/** Longer ids are nobody's: vLLM's have 37 characters. */
const RESPONSE_ID_CHARS_MAX = 256;
/** What an id may hold, so that it can stand in a path as it is. */
const RESPONSE_ID = /^[A-Za-z0-9._~:-]+$/;

const QUOTE = 0x22;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN = 0x7b;
const LF = 0x0a;
const DATA = Buffer.from('data:');

export function isResponseId(text: string): boolean {
  return text.length <= RESPONSE_ID_CHARS_MAX && RESPONSE_ID.test(text);
}

export class ResponseIdReader {
  readonly #isEventStream: boolean;
  readonly #found: (id: string) => void;
  /** What came without an id so far. */
  #seen: Buffer | null = null;
  #isDone = false;

  /** `found` is called at most once, from within `piece`. */
  constructor(isEventStream: boolean, found: (id: string) => void) {
    this.#isEventStream = isEventStream;
    this.#found = found;
  }

  /** Takes the next bytes of the body, which stay as they are. */
  piece(piece: Buffer): void {
    if (this.#isDone) return;
    const bytes = this.#seen === null ? piece : Buffer.concat([this.#seen, piece]);
    const id = this.#isEventStream ? idOfStream(bytes) : idOfObject(bytes, 0, ['id']);
    if (id === null && bytes.length < LOOKED_AT_BYTES_MAX) {
      // The piece is valid during the call only.
      this.#seen = this.#seen === null ? Buffer.from(piece) : bytes;
      return;
    }
    this.#isDone = true;
    this.#seen = null;
    if (id !== null && isResponseId(id)) this.#found(id);
  }
}

/** Of the first event with data; comments may stand before it. Null: not there, or not yet. */
function idOfStream(bytes: Buffer): string | null {
  for (let at = bytes.indexOf(DATA); at >= 0; at = bytes.indexOf(DATA, at + DATA.length)) {
    if (at > 0 && bytes[at - 1] !== LF) continue;
    return idOfObject(bytes, at + DATA.length, ['response', 'id']);
  }
  return null;
}

/** The string at a path of keys in the object that begins after `start`; null: not there, no string, or not yet. */
function idOfObject(bytes: Buffer, start: number, path: readonly string[]): string | null {
  const reader = new JsonReader(bytes, start);
  for (const [depth, wanted] of path.entries()) {
    if (!findMember(reader, wanted)) return null;
    const isLast = depth === path.length - 1;
    if (!isLast) continue;
    const valueStart = reader.at;
    if (reader.peek() !== QUOTE || !reader.skipString()) return null;
    return decodeString(bytes, valueStart, reader.at);
  }
  return null;
}

/** Goes to the first byte of a member's value; false where the object does not have it so far. */
function findMember(reader: JsonReader, wanted: string): boolean {
  if (!reader.take(OPEN, 'an object')) return false;
  for (;;) {
    reader.skipWhitespace();
    const keyStart = reader.at;
    if (reader.peek() !== QUOTE || !reader.skipString()) return false;
    const key = reader.bytes.toString('utf8', keyStart + 1, reader.at - 1);
    if (!reader.take(COLON, 'a colon')) return false;
    reader.skipWhitespace();
    if (key === wanted) return true;
    if (!reader.skipValue() || !reader.take(COMMA, 'a comma')) return false;
  }
}
