/**
 * Reads HTTP/1.x answers of an engine, strictly: what could be read in two ways is malformed. It sees each byte once,
 * copies nothing of a body, and gives the same result however the bytes are cut into reads (a property in its test).
 *
 * 1. An answer's length is known in exactly one way: none (HEAD, 204, 304), Content-Length, chunked, or until the end of
 *    the connection. Two at once, or other transfer codings, are malformed.
 * 2. A line ends with CR LF and nothing else, and neither stands alone: a peer that reads lines otherwise would see
 *    another end of the answer than we do. What cannot become valid any more is malformed at once.
 * 3. Informational answers are dropped; a 101 that nobody asked for is malformed, one that was asked for is the answer.
 * 4. Heads, their number, chunk lines and trailers have limits.
 *
 * It is ours and not undici's because it is a third of a request's cost there: header objects, a call into WebAssembly
 * and back for each header, a timer for each request.
 */
import { AnswerFraming } from './answer-framing.ts';
import { MalformedAnswer } from './transport-fault.ts';

/** A head of this size or more is malformed. */
const HEAD_KIB_MAX = 64;
const HEAD_BYTES_MAX = HEAD_KIB_MAX * 1024;
/** Informational answers before the real one. */
const INTERIM_HEADS_MAX = 16;
const CHUNK_SIZE_DIGITS_MAX = 12;
/** Of one chunk; read and dropped. */
const CHUNK_EXTENSION_BYTES_MAX = 16 * 1024;
/** All of an answer together; read and dropped. */
const TRAILER_BYTES_MAX = 16 * 1024;

/** Colon, CR and LF of a trailer. */
const LINE_OVERHEAD_BYTES = 3;

const HEAD_END = Buffer.from('\r\n\r\n');
const NO_BYTES = Buffer.alloc(0);
const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
const COLON = 0x3a;
/** Control characters but for tabs, and line breaks of one character. */
const BAD_IN_HEAD = /[^\t\r\n -~\x80-\xff]|\r(?!\n)|(?<!\r)\n/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/;
const FIRST_BYTES = Buffer.from('HTTP/1.');
/** Bytes of a name. */
const IS_TOKEN: readonly boolean[] = Array.from({ length: 256 }, (_, byte) =>
  TOKEN.test(String.fromCharCode(byte)),
);

/** Where in an answer the next byte belongs. */
type State =
  | 'head'
  | 'length_body'
  | 'open_body'
  | 'chunk_size'
  | 'chunk_extension'
  | 'chunk_size_lf'
  | 'chunk_data'
  | 'chunk_data_cr'
  | 'chunk_data_lf'
  | 'trailer_start'
  | 'trailer_name'
  | 'trailer_value'
  | 'trailer_lf'
  | 'last_lf'
  | 'done';

export interface AnswerSink {
  onHead(status: number, statusText: string, rawHeaders: readonly string[]): void;
  onData(piece: Buffer): void;
}

export class AnswerParser {
  /** From the engine's `Keep-Alive: timeout=`, in milliseconds; null without one. */
  keepAliveHintMs: number | null = null;
  /** Of a complete answer: the connection may carry another request. */
  reusable = false;
  /** Where in the last input a complete answer ended. */
  endsAt = 0;
  readonly #sink: AnswerSink;
  #state: State = 'done';
  #isHead = false;
  #takesUpgrade = false;
  /** Bytes left of the body or the chunk. */
  #left = 0;
  #digits = 0;
  #interimHeads = 0;
  /** Bytes of the chunk's extension or of the trailers so far. */
  #dropped = 0;
  #pending: Buffer = NO_BYTES;

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  /** The head of the real answer is not complete yet. */
  get awaitsHead(): boolean {
    return this.#state === 'head';
  }

  /** Expects the answer to the next request. `takesUpgrade`: it asks for another protocol. */
  begin(method: string, takesUpgrade = false): void {
    this.#state = 'head';
    this.#takesUpgrade = takesUpgrade;
    this.#isHead = method === 'HEAD';
    this.#interimHeads = 0;
    this.#pending = NO_BYTES;
  }

  /**
   * True: the answer is complete. Bytes beyond its end belong to nobody: they are not read, and the connection is not
   * reusable. Throws `MalformedAnswer`.
   */
  execute(input: Buffer): boolean {
    const end = input.length;
    let at = 0;
    while (at < end && this.#state !== 'done') {
      switch (this.#state) {
        case 'head':
          at = this.#readHead(input, at);
          break;
        case 'length_body':
        case 'chunk_data':
          at = this.#readCounted(input, at);
          break;
        case 'open_body':
          this.#sink.onData(at === 0 ? input : input.subarray(at));
          at = end;
          break;
        case 'chunk_size':
          at = this.#readChunkSize(input, at);
          break;
        case 'chunk_extension':
          at = this.#dropLine(input, at, CHUNK_EXTENSION_BYTES_MAX, 'chunk_size_lf');
          break;
        case 'chunk_size_lf':
          at = this.#expect(input, at, LF);
          this.#beginChunk();
          break;
        case 'chunk_data_cr':
          at = this.#expect(input, at, CR);
          this.#state = 'chunk_data_lf';
          break;
        case 'chunk_data_lf':
          at = this.#expect(input, at, LF);
          this.#beginChunkSize();
          break;
        case 'trailer_start':
          at = this.#beginTrailer(input, at);
          break;
        case 'trailer_name':
          at = this.#dropTrailerName(input, at);
          break;
        case 'trailer_value':
          at = this.#dropLine(input, at, TRAILER_BYTES_MAX, 'trailer_lf');
          break;
        case 'trailer_lf':
          at = this.#expect(input, at, LF);
          this.#state = 'trailer_start';
          break;
        case 'last_lf':
          at = this.#expect(input, at, LF);
          this.#state = 'done';
          break;
      }
    }
    if (at < end) this.reusable = false;
    this.endsAt = at;
    return this.#state === 'done';
  }

  /** The connection ended. True: the answer was one that ends so, and is complete now. */
  endOfConnection(): boolean {
    if (this.#state !== 'open_body') return false;
    this.#state = 'done';
    return true;
  }

  #readHead(input: Buffer, at: number): number {
    let head = at === 0 ? input : input.subarray(at);
    const before = this.#pending.length;
    if (before > 0) head = Buffer.concat([this.#pending, head]);
    const end = head.indexOf(HEAD_END, Math.max(0, before - HEAD_END.length + 1));
    // Without an end, its first bytes may already be here.
    if ((end < 0 ? head.length - HEAD_END.length + 1 : end) >= HEAD_BYTES_MAX)
      throw new MalformedAnswer(`its headers exceed ${HEAD_KIB_MAX} KiB`);
    if (end < 0) {
      const known = Math.min(head.length, FIRST_BYTES.length);
      if (head.compare(FIRST_BYTES, 0, known, 0, known) !== 0)
        throw new MalformedAnswer('it is no HTTP/1 answer');
      checkPartOfHead(head, before);
      // The input is the connection's own buffer, which the next read overwrites.
      this.#pending = before > 0 ? head : Buffer.from(head);
      return input.length;
    }
    this.#pending = NO_BYTES;
    this.#parseHead(head.toString('latin1', 0, end));
    return at + end + HEAD_END.length - before;
  }

  #parseHead(text: string): void {
    if (BAD_IN_HEAD.test(text)) throw new MalformedAnswer('a forbidden character in its headers');
    const lineEnd = text.indexOf('\r\n');
    const statusLine = STATUS_LINE.exec(lineEnd < 0 ? text : text.slice(0, lineEnd));
    if (statusLine === null) throw new MalformedAnswer('its status line is not valid');
    const [, minor, code, statusText = ''] = statusLine;
    const status = Number(code);
    const rawHeaders: string[] = [];
    const framing = new AnswerFraming(minor === '1');
    let at = lineEnd < 0 ? text.length : lineEnd + 2;
    while (at < text.length) {
      let end = text.indexOf('\r\n', at);
      if (end < 0) end = text.length;
      const colon = text.indexOf(':', at);
      if (colon < 0 || colon > end) throw new MalformedAnswer('a header line without a colon');
      const name = text.slice(at, colon);
      if (!TOKEN.test(name)) throw new MalformedAnswer('a header name is not valid');
      const value = trimmed(text, colon + 1, end);
      rawHeaders.push(name, value);
      framing.look(name, value);
      at = end + 2;
    }
    this.#beginBody(status, statusText, rawHeaders, framing);
  }

  #beginBody(status: number, statusText: string, rawHeaders: string[], framing: AnswerFraming): void {
    if (status === 101) {
      if (!this.#takesUpgrade) throw new MalformedAnswer('it changed the protocol unasked');
      this.reusable = false;
      this.#state = 'done';
      this.#sink.onHead(status, statusText, rawHeaders);
      return;
    }
    framing.check();
    const { contentLength, chunked } = framing;
    if (status < 200) {
      // The real answer follows.
      if (framing.announcesBody) throw new MalformedAnswer('an interim answer with a body');
      if (++this.#interimHeads > INTERIM_HEADS_MAX)
        throw new MalformedAnswer(`more than ${INTERIM_HEADS_MAX} interim answers`);
      return;
    }
    this.keepAliveHintMs = framing.keepAliveHintMs;
    this.reusable = framing.keepAlive;
    this.#sink.onHead(status, statusText, rawHeaders);
    if (this.#isHead || status === 204 || status === 304 || contentLength === 0) {
      this.#state = 'done';
      // Some servers send the body nevertheless: it would be taken for the answer to the next request.
      if (framing.announcesBody) this.reusable = false;
    } else if (contentLength !== null) {
      this.#state = 'length_body';
      this.#left = contentLength;
    } else if (chunked) {
      this.#beginChunkSize();
    } else {
      this.#state = 'open_body';
      this.reusable = false;
    }
  }

  #readCounted(input: Buffer, at: number): number {
    const take = Math.min(this.#left, input.length - at);
    const end = at + take;
    this.#left -= take;
    const isLast = this.#left === 0;
    if (isLast && this.#state === 'chunk_data') this.#state = 'chunk_data_cr';
    this.#sink.onData(at === 0 && end === input.length ? input : input.subarray(at, end));
    if (isLast && this.#state === 'length_body') this.#state = 'done';
    return end;
  }

  #readChunkSize(input: Buffer, from: number): number {
    let at = from;
    while (at < input.length) {
      const byte = input[at++] as number;
      const digit = hexDigit(byte);
      if (digit >= 0) {
        if (++this.#digits > CHUNK_SIZE_DIGITS_MAX) throw new MalformedAnswer('a chunk is too large');
        this.#left = this.#left * 16 + digit;
        continue;
      }
      if (this.#digits === 0) throw new MalformedAnswer('a chunk size is not valid');
      if (byte === CR) {
        this.#state = 'chunk_size_lf';
      } else if (byte === SEMICOLON) {
        this.#state = 'chunk_extension';
      } else {
        throw new MalformedAnswer('a chunk size is not valid');
      }
      break;
    }
    return at;
  }

  #beginChunkSize(): void {
    this.#state = 'chunk_size';
    this.#left = 0;
    this.#digits = 0;
    this.#dropped = 0;
  }

  #beginChunk(): void {
    if (this.#left > 0) {
      this.#state = 'chunk_data';
    } else {
      this.#state = 'trailer_start';
      this.#dropped = 0;
    }
  }

  /** The empty line ends the answer. */
  #beginTrailer(input: Buffer, at: number): number {
    const byte = input[at] as number;
    if (byte === CR) {
      this.#state = 'last_lf';
      return at + 1;
    }
    if (IS_TOKEN[byte] !== true) throw new MalformedAnswer('a trailer is not valid');
    this.#drop(LINE_OVERHEAD_BYTES, TRAILER_BYTES_MAX);
    this.#state = 'trailer_name';
    return at;
  }

  #dropTrailerName(input: Buffer, from: number): number {
    let at = from;
    while (at < input.length && IS_TOKEN[input[at] as number] === true) at += 1;
    this.#drop(at - from, TRAILER_BYTES_MAX);
    if (at === input.length) return at;
    if (input[at] !== COLON) throw new MalformedAnswer('a trailer is not valid');
    this.#state = 'trailer_value';
    return at + 1;
  }

  /** Reads over the rest of a line, up to its CR. */
  #dropLine(input: Buffer, from: number, bytesMax: number, next: State): number {
    let at = from;
    while (at < input.length && isTextByte(input[at] as number)) at += 1;
    this.#drop(at - from, bytesMax);
    if (at === input.length) return at;
    if (input[at] !== CR) throw new MalformedAnswer('a chunk extension or trailer is not valid');
    this.#state = next;
    return at + 1;
  }

  #drop(bytes: number, bytesMax: number): void {
    this.#dropped += bytes;
    if (this.#dropped > bytesMax) throw new MalformedAnswer('chunk extensions or trailers are too large');
  }

  #expect(input: Buffer, at: number, byte: number): number {
    if (input[at] !== byte) throw new MalformedAnswer('a chunk does not end where it should');
    return at + 1;
  }
}

/** Finds in a head without its end what no further byte can mend. The first `before` bytes were looked at already. */
function checkPartOfHead(head: Buffer, before: number): void {
  const from = before > 0 && head[before - 1] === CR ? before - 1 : before;
  const to = head[head.length - 1] === CR ? head.length - 1 : head.length;
  if (BAD_IN_HEAD.test(head.toString('latin1', from, to)))
    throw new MalformedAnswer('a forbidden character in its headers');
}

function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Tabs and everything that is no control character. */
function isTextByte(byte: number): boolean {
  return (byte >= 0x20 && byte !== 0x7f) || byte === 0x09;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
