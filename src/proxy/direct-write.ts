/**
 * Writes to a socket past Node's stream where nothing waits in it: the same system call, without a request object, its
 * callbacks and a turn of the event loop, which cost more than the call itself. What the kernel does not take at once goes
 * the usual way, and so does everything on sockets without a descriptor of their own (TLS, other systems).
 */
import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';

interface SocketWithHandle extends Socket {
  /** Node's handle: its descriptor is negative where there is none. */
  readonly _handle?: { readonly fd?: number } | null;
  readonly encrypted?: boolean;
}

/** As `socket.write`, also in what it returns; the bytes may be used again when it returns only where they were taken whole. */
export function writeDirectly(socket: Socket, bytes: Uint8Array): boolean {
  const { _handle: handle, encrypted } = socket as SocketWithHandle;
  const fd = handle?.fd ?? -1;
  if (
    fd < 0 ||
    encrypted === true ||
    socket.writableLength > 0 ||
    socket.writableCorked > 0 ||
    !socket.writable
  )
    return socket.write(bytes);
  let written = 0;
  try {
    written = writeSync(fd, bytes);
  } catch {
    // A full socket, or a broken one: the stream finds out for itself and tells as usual.
  }
  return written === bytes.length || socket.write(written === 0 ? bytes : bytes.subarray(written));
}
