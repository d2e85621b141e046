/**
 * Finds `model` and `stream` among the parts of a multipart form while its bytes come, whatever the order of the parts.
 *
 * 1. Never another model than the engine sees: what two readers may understand differently (a second `model`, a
 *    boundary with something behind it, text before the first or after the last boundary, odd heads) is refused.
 * 2. Nothing is kept but the head and the value of what is looked for; the rest costs one native search.
 * 3. The bytes themselves belong to the caller; positions count from the form's first byte.
 */
import { isUtf8 } from 'node:buffer';
import type { Refusal } from '../core/errors.ts';
import { type PartHead, readPartHead } from './part-head.ts';

/** Starlette takes 1000 files and 1000 fields. */
const PARTS_MAX = 1000;
const PART_HEAD_BYTES_MAX = 8 * 1024;
/** Longer names exist nowhere (MODEL_NAME_CHARS_MAX of names.ts, in UTF-8). */
const MODEL_VALUE_BYTES_MAX = 2048;
/** `stream` is true for these words in any case, as for pydantic. */
const TRUE_WORDS: ReadonlySet<string> = new Set(['true', '1', 'yes', 'y', 'on', 't']);
const STREAM_VALUE_BYTES_MAX = 16;
/** Line ends after the last boundary. */
const EPILOGUE_BYTES_MAX = 16;

const CR = 0x0d;
const LF = 0x0a;
const HYPHEN = 0x2d;
const LINE_END = Buffer.from('\r\n');
const HEAD_END = Buffer.from('\r\n\r\n');
const NO_BYTES = Buffer.alloc(0);

export interface ScannedForm {
  readonly kind: 'ok';
  readonly boundary: string;
  /** Null: no part has this name. */
  readonly model: string | null;
  /** Range of the value of `model`; both 0 without one. */
  readonly modelStart: number;
  readonly modelEnd: number;
  /** Where the head of that part begins, if it has a Content-Length; otherwise null. */
  readonly modelHeadStart: number | null;
  readonly stream: boolean;
}

export type FormScan = ScannedForm | { readonly kind: 'fault'; readonly refusal: Refusal };

type Phase = 'opening' | 'delimited' | 'head' | 'data' | 'epilogue';
type Wanted = 'model' | 'stream';

export class MultipartScan {
  readonly #boundary: string;
  /** What ends a part: a line end and the boundary. */
  readonly #delimiter: Buffer;
  #phase: Phase = 'opening';
  #refusal: Refusal | null = null;
  /** Bytes that mean nothing before others have come. A line end stands before the form, so that its first boundary is one. */
  #carry: Buffer = LINE_END;
  /** Position of the first byte of `#carry`. */
  #offset = -LINE_END.length;
  /** Index of the next byte within the piece at hand. */
  #at = 0;
  #parts = 0;
  #wanted: Wanted | null = null;
  #value: Buffer = NO_BYTES;
  #headStart = 0;
  #partHasLength = false;
  #model: string | null = null;
  #modelStart = 0;
  #modelEnd = 0;
  #modelHeadStart: number | null = null;
  #stream: boolean | null = null;
  #epilogueBytes = 0;

  constructor(boundary: string) {
    this.#boundary = boundary;
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  }

  /** Takes the next bytes. A refusal is final, and comes again whatever follows. */
  push(chunk: Buffer): Refusal | null {
    if (this.#refusal !== null) return this.#refusal;
    const bytes = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk]);
    this.#at = 0;
    while (this.#refusal === null && this.#step(bytes));
    this.#carry = this.#at < bytes.length ? bytes.subarray(this.#at) : NO_BYTES;
    this.#offset += this.#at;
    return this.#refusal;
  }

  /** What the form says. Call it when all bytes have come. */
  end(): FormScan {
    if (this.#phase !== 'epilogue' && this.#refusal === null) this.#fail('it ends before its last boundary');
    if (this.#refusal !== null) return { kind: 'fault', refusal: this.#refusal };
    return {
      kind: 'ok',
      boundary: this.#boundary,
      model: this.#model,
      modelStart: this.#modelStart,
      modelEnd: this.#modelEnd,
      modelHeadStart: this.#modelHeadStart,
      stream: this.#stream === true,
    };
  }

  /** False: more bytes are needed. */
  #step(bytes: Buffer): boolean {
    switch (this.#phase) {
      case 'opening':
        return this.#open(bytes);
      case 'delimited':
        return this.#followBoundary(bytes);
      case 'head':
        return this.#readHead(bytes);
      case 'data':
        return this.#skipData(bytes);
      case 'epilogue':
        return this.#skipEpilogue(bytes);
    }
  }

  #open(bytes: Buffer): boolean {
    const delimiter = this.#delimiter;
    const length = Math.min(bytes.length, delimiter.length);
    if (bytes.compare(delimiter, 0, length, 0, length) !== 0)
      return this.#fail('it does not begin with its boundary');
    if (length < delimiter.length) return false;
    this.#at = length;
    this.#phase = 'delimited';
    return true;
  }

  #followBoundary(bytes: Buffer): boolean {
    const at = this.#at;
    if (bytes.length < at + 2) return false;
    const first = bytes[at];
    const second = bytes[at + 1];
    this.#at += 2;
    if (first === HYPHEN && second === HYPHEN) {
      this.#phase = 'epilogue';
      return true;
    }
    if (first !== CR || second !== LF)
      return this.#fail('a boundary is followed by something else than a line end');
    if (++this.#parts > PARTS_MAX) return this.#fail(`it has more than ${PARTS_MAX} parts`);
    this.#phase = 'head';
    this.#headStart = this.#offset + this.#at;
    return true;
  }

  #readHead(bytes: Buffer): boolean {
    const start = this.#at;
    const end = bytes.indexOf(HEAD_END, start);
    if ((end < 0 ? bytes.length : end) - start > PART_HEAD_BYTES_MAX) {
      return this.#fail(`the head of a part is longer than ${PART_HEAD_BYTES_MAX} bytes`);
    }
    if (bytes[start] === CR && bytes[start + 1] === LF) return this.#fail('a part has no head');
    if (end < 0) return false;
    const head = readPartHead(bytes.toString('latin1', start, end));
    if (!head.ok) return this.#fail(head.error);
    this.#at = end + HEAD_END.length;
    this.#phase = 'data';
    return this.#beginPart(head.value);
  }

  #beginPart(head: PartHead): boolean {
    const { name } = head;
    this.#wanted = null;
    if (name !== 'model' && name !== 'stream') return true;
    if (name === 'model' ? this.#model !== null : this.#stream !== null) {
      return this.#refuse({ code: 'model_duplicate', parameters: { key: name } });
    }
    if (head.isFile) return this.#fail(`the part \`${name}\` has a file name`);
    if (head.unreadable !== null) return this.#fail(`the part \`${name}\` ${head.unreadable}`);
    this.#wanted = name;
    this.#value = NO_BYTES;
    this.#partHasLength = head.hasLength;
    if (name === 'model') this.#modelStart = this.#offset + this.#at;
    return true;
  }

  #skipData(bytes: Buffer): boolean {
    const delimiter = this.#delimiter;
    const start = this.#at;
    const found = bytes.indexOf(delimiter, start);
    if (found >= 0) {
      this.#at = found + delimiter.length;
      this.#phase = 'delimited';
      if (this.#wanted === null) return true;
      return this.#keep(bytes.subarray(start, found)) && this.#endValue(this.#wanted, this.#offset + found);
    }
    // A carriage return begins the delimiter and stands nowhere else in it: only the last one can be its beginning.
    const last = bytes.lastIndexOf(CR);
    const isBeginning =
      last >= Math.max(start, bytes.length - delimiter.length + 1) &&
      bytes.compare(delimiter, 0, bytes.length - last, last) === 0;
    this.#at = isBeginning ? last : bytes.length;
    if (this.#wanted !== null) this.#keep(bytes.subarray(start, this.#at));
    return false;
  }

  #keep(piece: Buffer): boolean {
    const isModel = this.#wanted === 'model';
    const length = this.#value.length + piece.length;
    if (isModel && length > MODEL_VALUE_BYTES_MAX) {
      return this.#fail(`the part \`model\` is longer than ${MODEL_VALUE_BYTES_MAX} bytes`);
    }
    if (isModel || this.#value.length <= STREAM_VALUE_BYTES_MAX)
      this.#value = Buffer.concat([this.#value, piece]);
    return true;
  }

  #endValue(wanted: Wanted, end: number): boolean {
    const value = this.#value;
    this.#value = NO_BYTES;
    if (wanted === 'stream') {
      this.#stream =
        value.length <= STREAM_VALUE_BYTES_MAX && TRUE_WORDS.has(value.toString('latin1').toLowerCase());
      return true;
    }
    if (!isUtf8(value)) return this.#fail('the part `model` is not UTF-8');
    this.#model = value.toString('utf8');
    this.#modelEnd = end;
    this.#modelHeadStart = this.#partHasLength ? this.#headStart : null;
    return true;
  }

  #skipEpilogue(bytes: Buffer): boolean {
    for (; this.#at < bytes.length; this.#at++) {
      const byte = bytes[this.#at];
      if (++this.#epilogueBytes > EPILOGUE_BYTES_MAX || (byte !== CR && byte !== LF)) {
        return this.#fail('something follows its last boundary');
      }
    }
    return false;
  }

  /** Always false. */
  #fail(detail: string): boolean {
    return this.#refuse({ code: 'form_malformed', parameters: { detail } });
  }

  #refuse(refusal: Refusal): boolean {
    this.#refusal = refusal;
    return false;
  }
}
