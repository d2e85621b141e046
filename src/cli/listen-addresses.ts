/** Where a gateway listens, in words: for its start, for `check`, and for what goes wrong. */
import type { AddressInfo } from 'node:net';
import type { ResolvedConfig } from '../config/resolved-config.ts';
import { SocketFault } from '../http/unix-socket.ts';

/** As an address that can be pasted. */
export function addressText({ address, family, port }: AddressInfo, secure: boolean): string {
  return `${secure ? 'https' : 'http'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

/** The addresses of a configuration, before anything listens: `127.0.0.1:9000 with TLS and unix:/run/g.sock`. */
export function addressesText({ server }: ResolvedConfig): string {
  const { host, port, tls, socketPath } = server;
  const name = host.includes(':') ? `[${host}]` : host;
  return `${name}:${port}${tls === null ? '' : ' with TLS'}${socketPath === null ? '' : ` and unix:${socketPath}`}`;
}

/** What kept a gateway from listening, with its remedy. */
export function listenFault({ server }: ResolvedConfig, error: unknown): string {
  if (error instanceof SocketFault) return error.message;
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const where = `${server.host}:${server.port}`;
  if (code === 'EADDRINUSE') return `${where} is in use by another program; choose another --port.`;
  if (code === 'EACCES') return `This user may not listen on ${where}; ports from 1024 on are open to all.`;
  return `Listening on ${where} failed: ${code}.`;
}
