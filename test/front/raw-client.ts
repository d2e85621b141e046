/** A client on a bare socket: sends any bytes, reads answers strictly, and sees how a connection ends. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly statusText: string;
  /** Lower-case names; repeated ones joined by `, `. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** The body ended where it should: its length, its last chunk, or a FIN where only the connection can end it. */
  readonly complete: boolean;
}

export class RawClient {
  readonly socket: Socket;
  /** `fin` or `reset` once the peer has ended the connection. */
  ended: 'fin' | 'reset' | null = null;
  /** Joined only when somebody looks, or a large body would cost its square. */
  #parts: Buffer[] = [];
  #partsBytes = 0;
  readonly #listeners = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data: Buffer) => {
      this.#parts.push(data);
      this.#partsBytes += data.length;
      this.#notify();
    });
    socket.on('end', () => this.#end('fin'));
    socket.on('error', () => this.#end('reset'));
    socket.on('close', () => this.#end('reset'));
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    const client = new RawClient(socket);
    await once(socket, 'connect');
    return client;
  }

  send(bytes: string | Buffer): this {
    this.socket.write(bytes);
    return this;
  }

  /** A POST of JSON. */
  post(path: string, body: string | object, headers: readonly string[] = []): this {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const lines = [
      `POST ${path} HTTP/1.1`,
      'Host: gateway',
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(text)}`,
      ...headers,
    ];
    return this.send(`${lines.join('\r\n')}\r\n\r\n${text}`);
  }

  get(path: string, headers: readonly string[] = []): this {
    return this.send([`GET ${path} HTTP/1.1`, 'Host: gateway', ...headers, '', ''].join('\r\n'));
  }

  get #received(): Buffer {
    const joined = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
    this.#received = joined ?? Buffer.alloc(0);
    return this.#parts[0] ?? Buffer.alloc(0);
  }

  set #received(bytes: Buffer) {
    this.#parts = [bytes];
    this.#partsBytes = bytes.length;
  }

  /** What came so far and was not read as an answer. */
  get received(): string {
    return this.#received.toString('utf8');
  }

  /** Waits until `condition` holds for what came so far, or the connection ended. */
  async until(condition: (received: string) => boolean): Promise<string> {
    while (!condition(this.received) && this.ended === null) await this.#change();
    return this.received;
  }

  async untilEnded(): Promise<'fin' | 'reset'> {
    for (;;) {
      if (this.ended !== null) return this.ended;
      await this.#change();
    }
  }

  /** Reads the next answer; one that breaks off comes back as incomplete. Interim answers are skipped. */
  async answer(method = 'POST'): Promise<RawAnswer> {
    for (;;) {
      const headEnd = this.#received.indexOf('\r\n\r\n');
      if (headEnd >= 0) {
        const head = parseHead(this.#received.toString('latin1', 0, headEnd));
        if (head.status >= 200) return this.#body(head, headEnd + 4, method);
        this.#received = this.#received.subarray(headEnd + 4);
        continue;
      }
      if (this.ended !== null)
        throw new Error(`no answer: ${this.ended} after ${JSON.stringify(this.received)}`);
      await this.#change();
    }
  }

  close(): void {
    this.socket.destroy();
  }

  async #body(head: Omit<RawAnswer, 'body' | 'complete'>, from: number, method: string): Promise<RawAnswer> {
    const length = Number(head.headers.get('content-length') ?? 0);
    for (;;) {
      if (
        this.ended === null &&
        method !== 'HEAD' &&
        head.status !== 304 &&
        this.#partsBytes < from + length
      ) {
        await this.#change();
        continue;
      }
      const taken = takeBody(head, this.#received.subarray(from), method, this.ended);
      if (taken !== null) {
        this.#received = this.#received.subarray(from + taken.bytes);
        return { ...head, body: taken.body, complete: taken.complete };
      }
      await this.#change();
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const listener = (): void => {
        this.#listeners.delete(listener);
        resolve();
      };
      this.#listeners.add(listener);
    });
  }

  #end(how: 'fin' | 'reset'): void {
    this.ended ??= how;
    this.#notify();
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function parseHead(text: string): Omit<RawAnswer, 'body' | 'complete'> {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const match = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(statusLine);
  if (match === null) throw new Error(`bad status line ${statusLine}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return { status: Number(match[1]), statusText: match[2] ?? '', headers };
}

interface Taken {
  readonly body: string;
  readonly bytes: number;
  readonly complete: boolean;
}

/** Null: not all there yet. */
function takeBody(
  head: Omit<RawAnswer, 'body' | 'complete'>,
  bytes: Buffer,
  method: string,
  ended: 'fin' | 'reset' | null,
): Taken | null {
  const bodyless = method === 'HEAD' || head.status === 204 || head.status === 304;
  if (bodyless) return { body: '', bytes: 0, complete: true };
  const length = head.headers.get('content-length');
  if (length !== undefined) {
    const size = Number(length);
    if (bytes.length >= size) return { body: bytes.toString('utf8', 0, size), bytes: size, complete: true };
    return ended === null ? null : { body: bytes.toString('utf8'), bytes: bytes.length, complete: false };
  }
  if (head.headers.get('transfer-encoding') === 'chunked') return takeChunks(bytes, ended);
  return ended === null
    ? null
    : { body: bytes.toString('utf8'), bytes: bytes.length, complete: ended === 'fin' };
}

function takeChunks(bytes: Buffer, ended: 'fin' | 'reset' | null): Taken | null {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) break;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (Number.isNaN(size)) throw new Error(`bad chunk size in ${bytes.toString('latin1')}`);
    const end = lineEnd + 2 + size + 2;
    if (bytes.length < end) break;
    if (size === 0) return { body: Buffer.concat(parts).toString('utf8'), bytes: end, complete: true };
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = end;
  }
  return ended === null
    ? null
    : { body: Buffer.concat(parts).toString('utf8'), bytes: bytes.length, complete: false };
}
