/**
 * The addresses of a front: one TCP port, with TLS or without, and a Unix socket. Each is a server of Node's with the same
 * limits and handlers; they open one by one and end together.
 */
import {
  createServer as createPlainServer,
  type Server as PlainServer,
  type ServerOptions as PlainServerOptions,
} from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { FrontRequest, FrontResponse } from './front-messages.ts';
import type { TlsFiles, TlsPair } from './tls-files.ts';
import { clearStaleSocket, SocketFault } from './unix-socket.ts';

export type FrontServer =
  | PlainServer<typeof FrontRequest, typeof FrontResponse>
  | TlsServer<typeof FrontRequest, typeof FrontResponse>;
export type FrontServerOptions = PlainServerOptions<typeof FrontRequest, typeof FrontResponse>;

/** Takes away the bits that let others than owner and group open the socket. */
const SOCKET_UMASK = 0o117;
const TLS_VERSION_MIN = 'TLSv1.2';

export interface ListenersOptions {
  readonly server: FrontServerOptions;
  /** Called for each server before it listens. */
  readonly equip: (server: FrontServer) => void;
  /** A connection whose requests may come. */
  readonly connected: (socket: Socket, secure: boolean) => void;
  readonly handshakeTimeoutMs: number;
}

export class Listeners {
  readonly #options: ListenersOptions;
  readonly #servers: FrontServer[] = [];
  /** Beneath TLS; a handshake that is not over is no connection for Node's HTTP server yet. */
  readonly #rawSockets = new Set<Socket>();
  #closed: Promise<void> | null = null;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** Resolves with the address in use; rejects with Node's error. With `tls` it speaks HTTPS, and follows the files. */
  async listen(host: string, port: number, tls: TlsFiles | null): Promise<AddressInfo> {
    const server = tls === null ? this.#plainServer() : this.#tlsServer(tls.pair);
    await listening(server, () => server.listen({ host, port }));
    return server.address() as AddressInfo;
  }

  /** Rejects with a `SocketFault` whose message tells the remedy. The file goes with the server. */
  async listenOnSocket(path: string): Promise<void> {
    await clearStaleSocket(path);
    const server = this.#plainServer();
    await listening(server, () => {
      // Node binds within the call, so nobody sees the file with other permissions.
      const before = process.umask(SOCKET_UMASK);
      try {
        server.listen({ path });
      } finally {
        process.umask(before);
      }
    }).catch((error: NodeJS.ErrnoException) => {
      // libuv tells of a directory that is not there as of one that is forbidden.
      throw new SocketFault(
        `server.socket: listening on ${path} failed (${error.code}); its directory must exist, and this user may have to write there.`,
      );
    });
  }

  /** New handshakes use this pair. */
  renew(pair: TlsPair): void {
    for (const server of this.#servers)
      if ('setSecureContext' in server) server.setSecureContext({ ...pair, minVersion: TLS_VERSION_MIN });
  }

  /** Takes no new connections and ends idle ones. Resolves when all have ended. */
  close(): Promise<void> {
    this.#closed ??= Promise.all(
      this.#servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            if (!server.listening) resolve();
            else server.close(() => resolve());
          }),
      ),
    ).then(() => {});
    for (const server of this.#servers) server.closeIdleConnections();
    return this.#closed;
  }

  endAllConnections(): void {
    for (const server of this.#servers) server.closeAllConnections();
    for (const socket of this.#rawSockets) socket.destroy();
  }

  #plainServer(): FrontServer {
    const server = createPlainServer(this.#options.server);
    server.on('connection', (socket) => this.#options.connected(socket, false));
    return this.#equipped(server);
  }

  #tlsServer(pair: TlsPair): FrontServer {
    const server = createTlsServer({
      ...this.#options.server,
      ...pair,
      minVersion: TLS_VERSION_MIN,
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: this.#options.handshakeTimeoutMs,
    });
    server.on('connection', (socket: Socket) => {
      this.#rawSockets.add(socket);
      socket.once('close', () => this.#rawSockets.delete(socket));
    });
    server.on('secureConnection', (socket) => this.#options.connected(socket, true));
    return this.#equipped(server);
  }

  #equipped(server: FrontServer): FrontServer {
    this.#options.equip(server);
    this.#servers.push(server);
    return server;
  }
}

function listening(server: FrontServer, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.removeListener('error', reject);
      resolve();
    });
    listen();
  });
}
