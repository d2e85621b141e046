/**
 * An engine that tells each request what it got of it, by header and body, in one of several framings. What it gets it
 * compares with a ledger that was written before the bytes were sent.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createPrng } from '../../src/core/prng.ts';
import type { Ledger } from './ledger.ts';
import { keyOf, readStrictly, valuesOf } from './strict-reader.ts';
import { MARK } from './valid-request.ts';

const ANSWER_DELAY_MS_MAX = 3;

export class EchoEngine {
  received = 0;
  readonly #ledger: Ledger;
  readonly #random = createPrng(1);
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setEncoding('latin1');
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    let pending = '';
    socket.on('data', (data: string) => {
      pending += data;
      const { requests, tail } = readStrictly(pending);
      if (tail === 'malformed' || requests.length > 1) {
        this.#ledger.violation(`the engine got ${tail} bytes: ${JSON.stringify(pending.slice(0, 300))}`);
        socket.destroy();
        return;
      }
      const [request] = requests;
      if (request === undefined) return;
      pending = '';
      this.received += 1;
      const key = keyOf(request.method, valuesOf(request, MARK), request.body);
      this.#ledger.received(key, request);
      const delayMs = this.#random.integer(ANSWER_DELAY_MS_MAX);
      if (delayMs === 0) this.#answer(socket, key, request.method);
      else setTimeout(() => this.#answer(socket, key, request.method), delayMs);
    });
  }

  #answer(socket: Socket, key: string, method: string): void {
    if (socket.destroyed) return;
    const body = JSON.stringify({ key, pad: 'e'.repeat(this.#random.integer(500)) });
    const head = `HTTP/1.1 200 OK\r\n${MARK}-key: ${key}\r\n`;
    const kind = method === 'HEAD' ? 0 : this.#random.integer(3);
    if (kind === 0) {
      const text = `${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
      socket.write(method === 'HEAD' ? text : text + body, 'latin1');
      return;
    }
    const type = kind === 1 ? 'application/json' : 'text/event-stream';
    const text = kind === 1 ? body : `data: ${body}\n\n`;
    const middle = this.#random.integer(text.length);
    const chunk = (part: string): string => (part === '' ? '' : `${part.length.toString(16)}\r\n${part}\r\n`);
    socket.write(
      `${head}content-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n${chunk(text.slice(0, middle))}`,
      'latin1',
    );
    setImmediate(() => {
      if (!socket.destroyed) socket.write(`${chunk(text.slice(middle))}0\r\n\r\n`, 'latin1');
    });
  }
}
