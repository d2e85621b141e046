/**
 * Bytes of Docker's log stream to messages. Each frame has a head of eight bytes (stream, three zeros, length as big
 * endian) and one message, which begins with its time when times were asked for. Pure.
 */

/** A frame longer than this is no frame: Docker cuts messages at 16 KiB. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024;
const HEAD_BYTES = 8;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /;
const TIME_CHARS = 31;

export interface LogMessage {
  readonly stream: 'stdout' | 'stderr';
  /** As Docker writes it, nine digits after the second, so that times compare as text; empty when it has none. */
  readonly time: string;
  /** With its newline, unless it was cut or is the last one. */
  readonly bytes: Buffer;
}

export interface LogFrames {
  /** Throws for bytes that are no frames. */
  push(chunk: Uint8Array): void;
}

export function createLogFrames(onMessage: (message: LogMessage) => void): LogFrames {
  let pending = Buffer.alloc(0);
  return {
    push(chunk) {
      pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
      let from = 0;
      while (pending.length - from >= HEAD_BYTES) {
        const bytes = pending.readUInt32BE(from + 4);
        if (bytes > FRAME_BYTES_MAX) throw new Error(`a log frame of ${bytes} bytes`);
        const end = from + HEAD_BYTES + bytes;
        if (pending.length < end) break;
        const stream = pending[from] === 2 ? 'stderr' : 'stdout';
        onMessage(messageOf(stream, pending.subarray(from + HEAD_BYTES, end)));
        from = end;
      }
      pending = pending.subarray(from);
    },
  };
}

function messageOf(stream: LogMessage['stream'], payload: Buffer): LogMessage {
  const head = payload.toString('latin1', 0, TIME_CHARS);
  if (!TIME.test(head)) return { stream, time: '', bytes: payload };
  return { stream, time: head.slice(0, -1), bytes: payload.subarray(TIME_CHARS) };
}

/** The time as Docker's `since` wants it: seconds and nanoseconds. */
export function sinceOf(time: string): string {
  const seconds = Math.floor(Date.parse(`${time.slice(0, 19)}Z`) / 1000);
  return `${seconds}.${time.slice(20, 29)}`;
}
