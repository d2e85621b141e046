/**
 * Follows the frames of one direction of a WebSocket (RFC 6455 section 5.2): where they begin and end, and whether they
 * carry data. It reads headers only, copies nothing, and says the same however the bytes are cut.
 *
 * 1. It judges nothing: what breaks the protocol is the peer's to refuse. It only has to stay able to say "not at a
 *    boundary".
 * 2. A control frame that is longer than the protocol allows, or in fragments, counts as data, so that nothing large
 *    passes as one.
 */

const FINAL_BIT = 0x80;
export const MASKED_BIT = 0x80;
const OPCODE_BITS = 0x0f;
const LENGTH_BITS = 0x7f;
const FIRST_CONTROL_OPCODE = 0x8;
const CLOSE_OPCODE = 0x8;
const CONTROL_PAYLOAD_BYTES_MAX = 125;
/** In place of a length: it follows in two bytes, or in eight. */
const LENGTH_IN_TWO = 126;
const LENGTH_IN_EIGHT = 127;
export const MASK_BYTES = 4;

type Phase = 'first' | 'second' | 'length' | 'rest';

export class FrameReader {
  /** The frame that `step` was in last carries data; false for ping, pong and close. */
  isData = false;
  /** The frame that `step` was in last is a close frame. */
  isClose = false;
  #phase: Phase = 'first';
  #isFinal = false;
  #isMasked = false;
  #lengthBytesLeft = 0;
  /** While its length is read: the length so far; afterwards: bytes of mask and payload to come. */
  #left = 0;

  /** Between two frames. */
  get atBoundary(): boolean {
    return this.#phase === 'first';
  }

  /** Whether the next byte belongs to a frame that carries data. */
  nextIsData(byte: number): boolean {
    return this.#phase === 'first' ? (byte & OPCODE_BITS) < FIRST_CONTROL_OPCODE : this.isData;
  }

  /** Follows `piece` from an offset below its length to the end of the frame or of the piece, and says where it is then. */
  step(piece: Buffer, from: number): number {
    const end = piece.length;
    let at = from;
    if (this.#phase === 'first') this.#readFirst(piece[at++] as number);
    if (this.#phase === 'second' && at < end) this.#readSecond(piece[at++] as number);
    while (this.#phase === 'length' && at < end) this.#readLength(piece[at++] as number);
    if (this.#phase !== 'rest') return at;
    const taken = Math.min(this.#left, end - at);
    this.#left -= taken;
    if (this.#left === 0) this.#phase = 'first';
    return at + taken;
  }

  #readFirst(byte: number): void {
    const opcode = byte & OPCODE_BITS;
    this.#isFinal = (byte & FINAL_BIT) !== 0;
    this.isData = opcode < FIRST_CONTROL_OPCODE;
    this.isClose = opcode === CLOSE_OPCODE;
    this.#phase = 'second';
  }

  #readSecond(byte: number): void {
    const length = byte & LENGTH_BITS;
    this.#isMasked = (byte & MASKED_BIT) !== 0;
    if (!this.isData && (length > CONTROL_PAYLOAD_BYTES_MAX || !this.#isFinal)) {
      this.isData = true;
      this.isClose = false;
    }
    if (length === LENGTH_IN_TWO || length === LENGTH_IN_EIGHT) {
      this.#lengthBytesLeft = length === LENGTH_IN_TWO ? 2 : 8;
      this.#left = 0;
      this.#phase = 'length';
    } else {
      this.#beginRest(length);
    }
  }

  /** Beyond 2^53 the sum is not exact; no connection lives to see the end of such a frame. */
  #readLength(byte: number): void {
    this.#left = this.#left * 256 + byte;
    this.#lengthBytesLeft -= 1;
    if (this.#lengthBytesLeft === 0) this.#beginRest(this.#left);
  }

  #beginRest(length: number): void {
    this.#left = length + (this.#isMasked ? MASK_BYTES : 0);
    this.#phase = this.#left === 0 ? 'first' : 'rest';
  }
}
