/** One way of a tunnel: from its source to its destination, with what is known of the frames on it. */
import type { Socket } from 'node:net';
import { FrameReader } from './frame-reader.ts';

/** Bytes that a destination has not taken; with more the source is paused. Not below a socket's own mark for `drain`. */
export const HELD_BYTES_MAX = 256 * 1024;

const NOTHING: readonly Buffer[] = [];

export class TunnelWay {
  readonly source: Socket;
  readonly destination: Socket;
  readonly reader = new FrameReader();
  /** From the source. */
  bytes = 0;
  /** Waits until the tunnel wakes; the source is paused meanwhile. */
  held: readonly Buffer[] = NOTHING;
  /** The source ended behind what is held. */
  endHeld = false;
  /** The source has sent a whole close frame. */
  isClosed = false;
  /** The source has ended. */
  isEnded = false;
  /** The destination got a close frame of ours, or one of the source where that came first: nothing more passes. */
  closeSaid = false;

  constructor(source: Socket, destination: Socket) {
    this.source = source;
    this.destination = destination;
  }

  /** As the reader's, and remembers close frames. */
  step(piece: Buffer, from: number): number {
    const { reader } = this;
    const at = reader.step(piece, from);
    if (reader.isClose && reader.atBoundary) this.isClosed = true;
    return at;
  }

  /** Reads the frames of a piece. True: it holds bytes of frames with data. */
  follow(piece: Buffer): boolean {
    const { reader } = this;
    let hasData = false;
    let at = 0;
    while (at < piece.length) {
      at = this.step(piece, at);
      if (reader.isData) hasData = true;
    }
    return hasData;
  }

  /** Sends on what came from the source. */
  pass(piece: Buffer): void {
    this.write(piece);
    if (this.destination.writableLength >= HELD_BYTES_MAX) this.source.pause();
  }

  write(bytes: Buffer): void {
    if (this.destination.writable) this.destination.write(bytes);
  }

  hold(piece: Buffer): void {
    this.held = [...this.held, piece];
    this.source.pause();
  }

  takeHeld(): readonly Buffer[] {
    const { held } = this;
    this.held = NOTHING;
    return held;
  }

  resumeSource(): void {
    if (this.held.length === 0 && this.destination.writableLength < HELD_BYTES_MAX) this.source.resume();
  }

  /** Breaks the destination's connection as abnormally as it can be broken. */
  breakDestination(): void {
    breakSocket(this.destination);
  }
}

/** A reset where the transport has one. */
function breakSocket(socket: Socket): void {
  try {
    socket.resetAndDestroy();
  } catch {
    // TLS and Unix sockets have none.
    socket.destroy();
  }
}
