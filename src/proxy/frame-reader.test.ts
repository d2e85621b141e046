import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as ws from 'ws';
import { FrameReader } from './frame-reader.ts';

interface Frame {
  readonly opcode: number;
  readonly fin: boolean;
  readonly masked: boolean;
  readonly length: number;
}

interface Seen {
  readonly endsAt: number;
  readonly isData: boolean;
  readonly isClose: boolean;
}

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** The encoder is that of `ws`. */
function encoded({ opcode, fin, masked, length }: Frame): Buffer {
  // The types do not know this static method, which all of its sending goes through.
  const encode = (ws as unknown as { Sender: { frame(data: Buffer, options: object): Buffer[] } }).Sender
    .frame;
  const options = { fin, opcode, mask: masked, maskBuffer: Buffer.alloc(4), readOnly: true, rsv1: false };
  return Buffer.concat(encode(Buffer.alloc(length, 0x81), options));
}

/** All frames that end within the pieces, and where. */
function read(pieces: readonly Buffer[], reader = new FrameReader()): Seen[] {
  const seen: Seen[] = [];
  let before = 0;
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length) {
      at = reader.step(piece, at);
      const { isData, isClose } = reader;
      if (reader.atBoundary) seen.push({ endsAt: before + at, isData, isClose });
    }
    before += piece.length;
  }
  return seen;
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  const ends = [...sorted, bytes.length];
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

const lengths = fc.oneof(
  fc.integer({ min: 0, max: 130 }),
  fc.constantFrom(125, 126, 127, 65_535, 65_536, 70_000),
);
const frames: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({
    opcode: fc.constantFrom(CONTINUATION, TEXT, BINARY),
    fin: fc.boolean(),
    masked: fc.boolean(),
    length: lengths,
  }),
  fc.record({
    opcode: fc.constantFrom(CLOSE, PING, PONG),
    fin: fc.constant(true),
    masked: fc.boolean(),
    length: fc.integer({ min: 0, max: 125 }),
  }),
);

test('frames end where their encoder ended them, however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(frames, { maxLength: 12 }),
      fc.array(fc.nat({ max: 400_000 }), { maxLength: 30 }),
      (list, places) => {
        const parts = list.map(encoded);
        let endsAt = 0;
        const expected = list.map(({ opcode }, index) => {
          endsAt += (parts[index] as Buffer).length;
          return { endsAt, isData: opcode < CLOSE, isClose: opcode === CLOSE };
        });
        assert.deepEqual(read(cut(Buffer.concat(parts), places)), expected);
      },
    ),
    { numRuns: 300 },
  );
});

test('byte by byte, each byte is told as data or not before it is taken', () => {
  const list: Frame[] = [
    { opcode: TEXT, fin: false, masked: true, length: 3 },
    { opcode: PING, fin: true, masked: true, length: 2 },
    { opcode: CONTINUATION, fin: true, masked: true, length: 300 },
    { opcode: CLOSE, fin: true, masked: false, length: 0 },
  ];
  for (const [index, frame] of list.entries()) {
    const reader = new FrameReader();
    for (const byte of encoded(frame)) {
      assert.equal(reader.nextIsData(byte), frame.opcode < CLOSE, `frame ${index}`);
      reader.step(Buffer.from([byte]), 0);
    }
    assert.ok(reader.atBoundary);
  }
});

test('control frames longer than the protocol allows, or in fragments, count as data', () => {
  assert.deepEqual(read([encoded({ opcode: PING, fin: true, masked: false, length: 126 })]), [
    { endsAt: 130, isData: true, isClose: false },
  ]);
  assert.deepEqual(read([encoded({ opcode: CLOSE, fin: false, masked: false, length: 2 })]), [
    { endsAt: 4, isData: true, isClose: false },
  ]);
});

test('a frame of absurd length never ends, and any bytes are followed without a fault', () => {
  const reader = new FrameReader();
  read([Buffer.from([0x82, 0xff, ...Array<number>(8).fill(0xff)]), Buffer.alloc(100_000)], reader);
  assert.equal(reader.atBoundary, false);
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), (pieces) => {
      read(pieces.map((piece) => Buffer.from(piece)));
    }),
  );
});
