/**
 * Steps over JSON text byte by byte, without building values: what the body scan and the splice have in common.
 *
 * 1. Every step ends at or before the end of the bytes, and the whole walk is linear in them whatever they hold.
 * 2. Brackets are matched by kind and strings are skipped as a JSON parser would, so that bytes inside a value are never
 *    taken for a key of the object around it.
 * 3. Inside nested values only brackets and strings are judged: the engine parses the rest and says what is wrong there.
 */

/** Deepest nesting that is read; Python's own parser stops near 1000, tool schemas stay below 30. */
export const JSON_NESTING_MAX = 512;

/** Bytes of a string looked at one by one before the native search takes over, which costs more to call than to run. */
const STRING_PEEK_BYTES = 48;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;

/** Closing brackets that are owed, shared by all readers: a walk over a nested value is never interrupted by another. */
const closers = new Uint8Array(JSON_NESTING_MAX);

export class JsonReader {
  readonly bytes: Buffer;
  /** Index of the next byte to read. */
  at: number;
  /** Why the last step failed, as the end of a sentence; empty while all is well. */
  detail = '';

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  /** The next byte, -1 at the end. */
  peek(): number {
    return this.at < this.bytes.length ? (this.bytes[this.at] as number) : -1;
  }

  skipWhitespace(): void {
    const { bytes } = this;
    let at = this.at;
    while (at < bytes.length) {
      const byte = bytes[at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
      at++;
    }
    this.at = at;
  }

  /** Takes one expected byte after whitespace. */
  take(byte: number, what: string): boolean {
    this.skipWhitespace();
    if (this.peek() !== byte) return this.fail(`${what} is missing`);
    this.at++;
    return true;
  }

  fail(what: string): false {
    this.detail =
      this.at >= this.bytes.length
        ? `it ends at byte ${this.bytes.length} where ${what}`
        : `${what} at byte ${this.at}`;
    return false;
  }

  /** Skips a string whose opening quote is the next byte. Escapes and control characters are not judged here. */
  skipString(): boolean {
    const { bytes } = this;
    const start = this.at + 1;
    let at = start;
    while (true) {
      const peekEnd = Math.min(at + STRING_PEEK_BYTES, bytes.length);
      while (at < peekEnd) {
        const byte = bytes[at];
        if (byte === QUOTE) {
          this.at = at + 1;
          return true;
        }
        at += byte === BACKSLASH ? 2 : 1;
      }
      const quote = at < bytes.length ? bytes.indexOf(QUOTE, at) : -1;
      if (quote < 0) {
        this.at = bytes.length;
        return this.fail('a string is not closed');
      }
      let first = quote;
      while (first > at && bytes[first - 1] === BACKSLASH) first--;
      at = quote + 1;
      if ((quote - first) % 2 === 0) {
        this.at = at;
        return true;
      }
    }
  }

  /** Skips any value of the top-level object; the next byte is its first. */
  skipValue(): boolean {
    switch (this.peek()) {
      case QUOTE:
        return this.skipString();
      case 0x7b:
      case 0x5b:
        return this.#skipNested();
      case 0x74:
        return this.#skipWord('true');
      case 0x66:
        return this.#skipWord('false');
      case 0x6e:
        return this.#skipWord('null');
      default:
        return this.#skipNumber();
    }
  }

  #skipNested(): boolean {
    const { bytes } = this;
    let depth = 0;
    let at = this.at;
    while (at < bytes.length) {
      const byte = bytes[at] as number;
      if (byte === QUOTE) {
        this.at = at;
        if (!this.skipString()) return false;
        at = this.at;
        continue;
      }
      if (byte === 0x7b || byte === 0x5b) {
        if (depth === JSON_NESTING_MAX) {
          this.at = at;
          return this.fail(`nesting deeper than ${JSON_NESTING_MAX} levels begins`);
        }
        closers[depth++] = byte + 2;
      } else if (byte === 0x7d || byte === 0x5d) {
        if (closers[--depth] !== byte) {
          this.at = at;
          return this.fail('a bracket of the wrong kind closes');
        }
        if (depth === 0) {
          this.at = at + 1;
          return true;
        }
      }
      at++;
    }
    this.at = at;
    return this.fail('a bracket is not closed');
  }

  #skipWord(word: string): boolean {
    for (let offset = 0; offset < word.length; offset++) {
      if (this.bytes[this.at + offset] !== word.charCodeAt(offset))
        return this.fail('an unknown word stands');
    }
    this.at += word.length;
    return true;
  }

  /** `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`; NaN and Infinity are not JSON, though Python reads them. */
  #skipNumber(): boolean {
    if (this.peek() === 0x2d) this.at++;
    if (this.peek() === 0x30) this.at++;
    else if (!this.#skipDigits()) return this.fail('a value is missing');
    if (this.peek() === 0x2e) {
      this.at++;
      if (!this.#skipDigits()) return this.fail('a number is incomplete');
    }
    const exponent = this.peek();
    if (exponent === 0x65 || exponent === 0x45) {
      this.at++;
      const sign = this.peek();
      if (sign === 0x2b || sign === 0x2d) this.at++;
      if (!this.#skipDigits()) return this.fail('a number is incomplete');
    }
    return true;
  }

  #skipDigits(): boolean {
    const { bytes } = this;
    const start = this.at;
    let at = start;
    while (at < bytes.length) {
      const byte = bytes[at] as number;
      if (byte < 0x30 || byte > 0x39) break;
      at++;
    }
    this.at = at;
    return at > start;
  }
}

/** Whether the bytes begin a JSON object; null: they are whitespace so far. */
export function beginsObject(bytes: Buffer): boolean | null {
  const reader = new JsonReader(bytes);
  reader.skipWhitespace();
  const byte = reader.peek();
  return byte < 0 ? null : byte === OPEN;
}
