/** A Unix socket's file: one that a dead gateway left is taken away, one that somebody serves is not. */
import { lstat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';

/** What the kernel keeps of a path, without its closing zero. */
const PATH_BYTES_MAX = 107;
/** Connecting to a socket of this machine is answered at once, or its listener's queue is full. */
const ASK_LIMIT_MS = 2_000;

/** Why a socket cannot be listened on; the message is a sentence for the operator. */
export class SocketFault extends Error {
  override readonly name = 'SocketFault';
}

/** Null: the path is short enough. */
export function socketPathFault(path: string): string | null {
  const bytes = Buffer.byteLength(path);
  return bytes <= PATH_BYTES_MAX
    ? null
    : `server.socket: ${path} is too long for a Unix socket (${bytes} bytes, at most ${PATH_BYTES_MAX}); choose a shorter path.`;
}

/** Makes the path free. Rejects with a `SocketFault` where something is there that is not a dead program's socket. */
export async function clearStaleSocket(path: string): Promise<void> {
  const fault = socketPathFault(path);
  if (fault !== null) throw new SocketFault(fault);
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw new SocketFault(`server.socket: ${path} cannot be looked at (${error.code}).`);
  });
  if (found === null) return;
  if (!found.isSocket()) {
    throw new SocketFault(
      `server.socket: ${path} is there and is no socket; take it away, or choose another path.`,
    );
  }
  const answer = await ask(path);
  if (answer === 'ECONNREFUSED') {
    await unlink(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT')
        throw new SocketFault(
          `server.socket: the socket of a program that has ended, ${path}, cannot be removed (${error.code}).`,
        );
    });
  } else if (answer !== 'ENOENT') {
    throw new SocketFault(
      answer === null
        ? `server.socket: another program serves on ${path}; end it, or choose another path.`
        : `server.socket: whether somebody serves on ${path} cannot be found out (${answer}); choose another path.`,
    );
  }
}

/** Null: somebody serves there; otherwise the code of the error. */
function ask(path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const end = (answer: string | null): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(ASK_LIMIT_MS, () => end('ETIMEDOUT'));
    socket.once('connect', () => end(null));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}
