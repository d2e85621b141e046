/**
 * An engine for tests, on a bare socket so that it can be as wrong as a real one: it reads requests as HTTP/1.1 says
 * and a test decides what bytes go back and when.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');

/** A request as the engine got it. */
export class FakeRequest {
  readonly method: string;
  readonly path: string;
  /** Lower-case names; repeated ones joined by `, `. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  readonly socket: Socket;

  constructor(head: string, body: string, socket: Socket) {
    const [requestLine = '', ...lines] = head.split('\r\n');
    const [method = '', path = ''] = requestLine.split(' ');
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      const before = headers.get(name);
      headers.set(name, before === undefined ? value : `${before}, ${value}`);
    }
    this.method = method;
    this.path = path;
    this.headers = headers;
    this.body = body;
    this.socket = socket;
  }

  /** Resolves when the connection of this request is closed, by whomever. */
  get closed(): Promise<void> {
    if (this.socket.closed) return Promise.resolve();
    return new Promise((resolve) => this.socket.once('close', () => resolve()));
  }

  /** Writes bytes as they are. */
  raw(bytes: string | Buffer): this {
    if (typeof bytes === 'string') this.socket.write(bytes, 'latin1');
    else this.socket.write(bytes);
    return this;
  }

  json(value: unknown, status = 200): this {
    const body = Buffer.from(JSON.stringify(value));
    this.raw(
      `HTTP/1.1 ${status} Whatever\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`,
    );
    return this.raw(body);
  }

  startEvents(): this {
    return this.raw(
      'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n',
    );
  }

  /** One chunk of a chunked body. */
  chunk(text: string): this {
    const bytes = Buffer.from(text);
    this.socket.cork();
    this.raw(`${bytes.length.toString(16)}\r\n`)
      .raw(bytes)
      .raw('\r\n');
    this.socket.uncork();
    return this;
  }

  endChunks(): this {
    return this.raw('0\r\n\r\n');
  }

  /** Dies as a killed process does. */
  reset(): void {
    if (!this.socket.destroyed) this.socket.resetAndDestroy();
  }
}

export type FakeBehaviour = (request: FakeRequest) => void;

export class FakeEngine {
  connections = 0;
  readonly requests: FakeRequest[] = [];
  behaviour: FakeBehaviour;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  /** Without a behaviour it answers `{"ok":true}`. */
  constructor(behaviour: FakeBehaviour = (request) => request.json({ ok: true })) {
    this.behaviour = behaviour;
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  /** Resolves with the port, or listens on a Unix socket. */
  async listen(at: { readonly port: number } | { readonly path: string } = { port: 0 }): Promise<number> {
    this.#server.listen('path' in at ? at : { port: at.port, host: '127.0.0.1' });
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return typeof address === 'object' ? ((address as AddressInfo | null)?.port ?? 0) : 0;
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  /** The request with this index, waiting for it if it has not come yet. */
  async request(index: number): Promise<FakeRequest> {
    if (this.requests.length <= index) {
      await new Promise<void>((resolve) => this.#waiters.push({ count: index + 1, resolve }));
    }
    const request = this.requests[index];
    if (request === undefined) throw new Error(`no request ${index}`);
    return request;
  }

  /** Ends the listener and all connections, as a dying process does. */
  async die(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(socket: Socket): void {
    this.connections += 1;
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    let pending: Buffer = Buffer.alloc(0);
    socket.on('data', (data: Buffer) => {
      pending = Buffer.concat([pending, data]);
      for (;;) {
        const headEnd = pending.indexOf(HEAD_END);
        if (headEnd < 0) return;
        const head = pending.toString('latin1', 0, headEnd);
        const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
        const end = headEnd + HEAD_END.length + length;
        if (pending.length < end) return;
        const body = pending.toString('utf8', headEnd + HEAD_END.length, end);
        pending = pending.subarray(end);
        this.#take(new FakeRequest(head, body, socket));
      }
    });
  }

  #take(request: FakeRequest): void {
    this.requests.push(request);
    for (const waiter of [...this.#waiters]) {
      if (this.requests.length < waiter.count) continue;
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      waiter.resolve();
    }
    this.behaviour(request);
  }
}
