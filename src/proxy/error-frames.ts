/**
 * Finds errors within an engine's event stream: once its head says 200, an engine can tell of a failure only so. They
 * pass unaltered; they are counted here.
 *
 * 1. Recognised by the start of a line and nothing else: `data: {"error": ...}` (chat and completions), `event: error`
 *    (Messages, Responses), `event: response.failed` (Responses). Nothing is parsed, so that a token costs one search for
 *    its line's end and a few comparisons.
 * 2. The count is the same however the bytes are cut into pieces (a property in its test).
 * 3. An event counts once, whichever of its lines say so.
 * 4. Lines end with LF or CR LF. A CR alone, which the format allows and no engine writes, ends none.
 */

/** Longer beginnings of lines are no error: those that engines write have at most half of it. */
const LINE_START_BYTES_MAX = 48;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const QUOTE = 0x22;
const BRACE = 0x7b;
const DATA = Buffer.from('data:');
const EVENT = Buffer.from('event:');
const ERROR_KEY = Buffer.from('"error"');
const FAILED_TYPES = [Buffer.from('error'), Buffer.from('response.failed')];

export class ErrorFrames {
  /** Error events so far. */
  count = 0;
  /** The start of the current line is judged; what follows up to its end says nothing. */
  #judged = false;
  /** The current event was counted. */
  #counted = false;
  /** The start of a line whose rest has not come yet; made for the first one that was cut. */
  #start: Buffer | null = null;
  #startLength = 0;

  /** Takes the next bytes of the stream; keeps nothing of `piece`. */
  look(piece: Buffer): void {
    let at = 0;
    while (at < piece.length) {
      const lineFeed = piece.indexOf(LF, at);
      const isEnded = lineFeed >= 0;
      const end = isEnded ? lineFeed : piece.length;
      if (!this.#judged) this.#lookAtLine(piece, at, end, isEnded);
      if (!isEnded) return;
      this.#judged = false;
      at = end + 1;
    }
  }

  #lookAtLine(piece: Buffer, from: number, end: number, isEnded: boolean): void {
    if (this.#startLength === 0 && (isEnded || end - from >= LINE_START_BYTES_MAX)) {
      this.#judge(piece, from, Math.min(end, from + LINE_START_BYTES_MAX));
      return;
    }
    this.#start ??= Buffer.allocUnsafeSlow(LINE_START_BYTES_MAX);
    const start = this.#start;
    const length = this.#startLength;
    this.#startLength += piece.copy(start, length, from, Math.min(end, from + start.length - length));
    if (isEnded || this.#startLength === start.length) this.#judge(start, 0, this.#startLength);
  }

  #judge(bytes: Buffer, from: number, to: number): void {
    this.#judged = true;
    this.#startLength = 0;
    const end = to > from && bytes[to - 1] === CR ? to - 1 : to;
    // An empty line ends an event.
    if (end === from) this.#counted = false;
    else if (!this.#counted && tellsError(bytes, from, end)) {
      this.#counted = true;
      this.count += 1;
    }
  }
}

/** The line from `from` to `end` begins as one of an error event does. */
function tellsError(bytes: Buffer, from: number, end: number): boolean {
  if (startsWith(bytes, from, end, DATA)) {
    let at = bytes[from + DATA.length] === SPACE ? from + DATA.length + 1 : from + DATA.length;
    if (at >= end || bytes[at] !== BRACE) return false;
    at = afterSpaces(bytes, at + 1, end);
    if (!startsWith(bytes, at, end, ERROR_KEY)) return false;
    at = afterSpaces(bytes, at + ERROR_KEY.length, end);
    if (at >= end || bytes[at] !== COLON) return false;
    at = afterSpaces(bytes, at + 1, end);
    // Some servers write `"error": null` into every event.
    return at < end && (bytes[at] === BRACE || bytes[at] === QUOTE);
  }
  if (!startsWith(bytes, from, end, EVENT)) return false;
  const at = bytes[from + EVENT.length] === SPACE ? from + EVENT.length + 1 : from + EVENT.length;
  return FAILED_TYPES.some((type) => end - at === type.length && startsWith(bytes, at, end, type));
}

function startsWith(bytes: Buffer, at: number, end: number, what: Buffer): boolean {
  if (end - at < what.length) return false;
  for (let index = 0; index < what.length; index++) if (bytes[at + index] !== what[index]) return false;
  return true;
}

function afterSpaces(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && bytes[at] === SPACE) at += 1;
  return at;
}
