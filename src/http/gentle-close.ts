/**
 * Ends a connection on which the client is still sending, so that it gets our answer: a socket closed with unread bytes
 * is reset, and the reset can destroy an answer that is still under way. What comes meanwhile is thrown away.
 */
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FrontRequest } from './front-messages.ts';

/** How long and how much a client may go on sending after it was refused. */
const LINGER_MS = 2_000;
const LINGER_BYTES_MAX = 4 * 1024 * 1024;

/** The answer is written completely (its length stands in its head); the response ends when the client stops. */
export function endAfterBody(request: FrontRequest, response: ServerResponse): void {
  let bytes = 0;
  request.bodyReader = null;
  const end = (): void => {
    clearTimeout(timer);
    request.removeListener('data', count);
    response.end();
  };
  const count = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes > LINGER_BYTES_MAX) end();
  };
  const timer = setTimeout(end, LINGER_MS);
  request.on('data', count);
  request.once('end', end);
  response.once('close', end);
}

/** Writes a whole answer to a bare socket and closes it. */
export function endSocketWith(socket: Duplex, answer: Buffer): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  let bytes = 0;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.once('end', () => socket.destroy());
  socket.on('error', ignore);
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > LINGER_BYTES_MAX) socket.destroy();
  });
  socket.end(answer);
}

/** The peer may reset the connection that we close; nobody is left to be told. */
function ignore(): void {}
