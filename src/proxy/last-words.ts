/**
 * Lets a socket read on when a write has failed. An engine that answers before it has read the whole request (413, say)
 * and closes its connection resets it; Node destroys a socket as soon as one of its writes hears of that, and the answer
 * that lies in the system's buffer would be lost with it.
 */
import type { Socket } from 'node:net';

/** What had arrived has been read when the event loop went round so often without reading anything. */
const QUIET_TURNS = 3;
/** How often it is looked whether a paused reader goes on. */
const PAUSED_LOOK_MS = 50;

export interface LastWordsReader {
  /** It reads nothing at present, and will go on. */
  readonly isPaused: boolean;
  /** Nothing more can be sent. False: nothing is awaited either, and the socket may fail at once. */
  writeFailed(): boolean;
}

/**
 * From now on an error other than one of reading lets `socket` fail only when all that had arrived was read. Whoever
 * destroys it without an error is obeyed at once; the reader's own limits bound how long it stays paused.
 */
export function readBeforeFailing(socket: Socket, reader: LastWordsReader): void {
  const destroy = socket.destroy;
  let isFailing = false;
  socket.destroy = (error?: Error) => {
    if (isFailing || error === undefined || isReadError(error) || !reader.writeFailed()) {
      return destroy.call(socket, error);
    }
    isFailing = true;
    failLater(socket, reader, () => destroy.call(socket, error));
    return socket;
  };
}

function failLater(socket: Socket, reader: LastWordsReader, fail: () => void): void {
  let bytes = socket.bytesRead;
  let quietTurns = 0;
  const look = (): void => {
    if (socket.destroyed) return;
    if (reader.isPaused || socket.bytesRead > bytes) quietTurns = 0;
    else quietTurns += 1;
    bytes = socket.bytesRead;
    if (quietTurns > QUIET_TURNS) fail();
    else if (reader.isPaused) setTimeout(look, PAUSED_LOOK_MS);
    else setImmediate(look);
  };
  setImmediate(look);
}

function isReadError(error: Error): boolean {
  return 'syscall' in error && error.syscall === 'read';
}
