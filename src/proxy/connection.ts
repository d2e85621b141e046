/**
 * One kept-alive connection to an engine, with at most one request on it.
 *
 * 1. All reads of all connections go into one buffer: nothing may keep a piece of it beyond the call that brings it.
 * 2. A request's handler hears one end. Before it does, the connection is already back with its owner or gone, so that
 *    the handler may send the next request at once.
 * 3. A connection is used again only when the answer said so, everything was written and nothing came after it.
 * 4. When a write fails, what has arrived is read before the request fails: it may be the answer.
 * 5. What the engine does wrong ends its request; what is wrong with us is thrown on and ends the process, because a
 *    broken invariant that nobody sees leaves leases and counts wrong for good.
 */
import type { NetConnectOpts, Socket } from 'node:net';
import { freeBytes } from '../core/free-bytes.ts';
import { AnswerParser, type AnswerSink } from './answer-parser.ts';
import { writeDirectly } from './direct-write.ts';
import type { AnswerHandler, Transmission, UpstreamRequest } from './endpoint-types.ts';
import { FileUpload, type UploadListener } from './file-upload.ts';
import { type LastWordsReader, readBeforeFailing } from './last-words.ts';
import { MalformedAnswer, socketErrorText, type TransportFault } from './transport-fault.ts';

const READ_BUFFER_BYTES = 64 * 1024;
/** Bodies up to this size are copied behind their head, so that one write carries both. */
const COPIED_BODY_BYTES_MAX = 16 * 1024;
/** Larger bodies are written in pieces of this size: a socket tells of a write only when all of it has left. */
const BODY_PIECE_BYTES = 256 * 1024;
const readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

/** Who owns connections: the endpoint. */
export interface ConnectionOwner {
  readonly hostHeader: string;
  /** Counts up while time passes; the owner compares it with `lastTick`. */
  readonly tick: number;
  /** Ticks in which an answer was awaited, since the last byte of any. */
  muteTicks: number;
  /** Opens a socket; `onread` has to be among its options. */
  openSocket(onread: OnRead): Socket;
  readonly connectedEvent: 'connect' | 'secureConnect';
  connectionOpened(): void;
  /** The request has ended and the connection may be used again. */
  connectionFree(connection: Connection): void;
  /** The connection is no more, whatever it did. May come more than once. */
  connectionGone(connection: Connection): void;
  /** The engine had ended a kept connection before it was used again; it will have ended idle ones, too. */
  keptConnectionLost(): void;
}

export type OnRead = NonNullable<NetConnectOpts['onread']>;

export class Connection implements Transmission, AnswerSink, UploadListener, LastWordsReader {
  /** Of the last sign of life: bytes of the request that left, bytes of the answer's body. */
  lastTick = 0;
  /** How long the engine says it keeps an idle connection; null: it does not say. */
  get keepAliveHintMs(): number | null {
    return this.#parser.keepAliveHintMs;
  }
  readonly #owner: ConnectionOwner;
  readonly #socket: Socket;
  readonly #parser: AnswerParser;
  #handler: AnswerHandler | null = null;
  /** Waits for the socket to connect. */
  #unsent: UpstreamRequest | null = null;
  #connected = false;
  /** An answer came over it before the request that is on it now. */
  #kept = false;
  /** Bytes came since the request was sent. */
  #heard = false;
  /** Pieces of the body wait for the one before them. */
  #unwritten = false;
  /** Sends a body from its file; null: there is none, or all of it was handed to the socket. */
  #upload: FileUpload | null = null;
  /** The request's body while it may still be on its way, where it is long. */
  #longBody: Uint8Array | null = null;
  #paused = false;
  /** A byte of the answer's body came. */
  #answering = false;
  #gone = false;

  constructor(owner: ConnectionOwner) {
    this.#owner = owner;
    this.#parser = new AnswerParser(this);
    this.#socket = owner.openSocket({
      buffer: readBuffer,
      callback: (bytes) => this.#read(bytes),
    });
    readBeforeFailing(this.#socket, this);
    this.#socket.once(owner.connectedEvent, () => this.#connectedNow());
    this.#socket.on('error', (error) => this.#broke(`(${socketErrorText(error)})`));
    this.#socket.once('end', () => this.#endedByEngine());
    this.#socket.once('close', () => this.#broke('(closed)'));
  }

  get isBusy(): boolean {
    return this.#handler !== null;
  }

  get isConnected(): boolean {
    return this.#connected;
  }

  /** Its client takes nothing at present. */
  get isPaused(): boolean {
    return this.#paused;
  }

  /** The body of the answer has begun. Heads come before their engine has done anything, so they tell nothing. */
  get isAnswering(): boolean {
    return this.#answering;
  }

  /** Only on a connection without a request. */
  send(request: UpstreamRequest, handler: AnswerHandler): void {
    this.#handler = handler;
    this.#heard = false;
    this.#answering = false;
    this.lastTick = this.#owner.tick;
    if (this.#connected) this.#write(request, handler);
    else this.#unsent = request;
  }

  abort(handler: AnswerHandler): void {
    if (this.#handler === handler) this.destroy();
  }

  resume(handler: AnswerHandler): void {
    if (this.#handler !== handler || !this.#paused) return;
    this.#paused = false;
    this.lastTick = this.#owner.tick;
    this.#socket.resume();
  }

  /** Ends the connection; its handler, if any, hears nothing. */
  destroy(): void {
    this.#handler = null;
    this.#leave();
  }

  /** Ends the connection and the request on it. */
  fail(fault: TransportFault): void {
    const handler = this.#handler;
    this.destroy();
    handler?.onError(fault);
  }

  // Called by the parser.

  onHead(status: number, statusText: string, rawHeaders: readonly string[]): void {
    this.#handler?.onHead(status, statusText, rawHeaders);
  }

  onData(piece: Buffer): void {
    this.#answering = true;
    this.#owner.muteTicks = 0;
    if (this.#handler?.onData(piece) === false) this.#paused = true;
  }

  #complete(): void {
    const handler = this.#handler;
    this.#handler = null;
    this.#paused = false;
    this.#kept = true;
    this.#owner.muteTicks = 0;
    // An answer that came before the whole request was written leaves the rest of the request in the way.
    const written = !this.#unwritten && this.#socket.writableLength === 0;
    const body = this.#longBody;
    this.#longBody = null;
    if (body !== null && written && !this.#gone) freeBytes(body);
    if (!this.#parser.reusable || this.#gone || !written) this.#leave();
    else this.#owner.connectionFree(this);
    handler?.onComplete();
  }

  #connectedNow(): void {
    if (this.#gone) return;
    this.#connected = true;
    this.lastTick = this.#owner.tick;
    this.#owner.connectionOpened();
    const request = this.#unsent;
    const handler = this.#handler;
    this.#unsent = null;
    if (request !== null && handler !== null) this.#write(request, handler);
  }

  #write(request: UpstreamRequest, handler: AnswerHandler): void {
    const { method, path, headers, body } = request;
    this.#parser.begin(method);
    let head = `${method} ${path} HTTP/1.1\r\nhost: ${this.#owner.hostHeader}\r\n`;
    for (let index = 0; index + 1 < headers.length; index += 2)
      head += `${headers[index]}: ${headers[index + 1]}\r\n`;
    const length = body === null ? 0 : body.length;
    if (length > 0 || (method !== 'GET' && method !== 'HEAD')) head += `content-length: ${length}\r\n\r\n`;
    else head += '\r\n';
    const socket = this.#socket;
    if (body === null || length === 0) {
      socket.write(head, 'latin1');
    } else if (!(body instanceof Uint8Array)) {
      socket.write(head, 'latin1');
      this.#unwritten = true;
      this.#upload = new FileUpload(body, socket, this);
      this.#upload.start();
    } else if (length <= COPIED_BODY_BYTES_MAX) {
      const whole = Buffer.allocUnsafe(head.length + length);
      whole.write(head, 0, 'latin1');
      whole.set(body, head.length);
      writeDirectly(socket, whole);
    } else {
      socket.cork();
      socket.write(head, 'latin1');
      this.#longBody = body;
      this.#writeBody(body, 0, handler);
      socket.uncork();
    }
  }

  #writeBody(body: Uint8Array, from: number, handler: AnswerHandler): void {
    const end = Math.min(body.length, from + BODY_PIECE_BYTES);
    this.#unwritten = end < body.length;
    this.#socket.write(body.subarray(from, end), (error) => {
      if (error || this.#handler !== handler) return;
      // An engine that takes a long request slowly is not silent.
      this.lastTick = this.#owner.tick;
      if (end < body.length) this.#writeBody(body, end, handler);
    });
  }

  // Called by the upload.

  uploadMoved(): void {
    this.lastTick = this.#owner.tick;
    if (this.#upload?.isComplete !== true) return;
    this.#upload = null;
    this.#unwritten = false;
  }

  uploadFailed(detail: string): void {
    this.fail({ kind: 'body_lost', detail });
  }

  // Called by the socket.

  writeFailed(): boolean {
    if (this.#handler === null || !this.#connected || this.#gone) return false;
    this.#upload?.stop();
    this.#upload = null;
    this.#longBody = null;
    // Whatever comes now, nothing is sent over this connection again.
    this.#unwritten = true;
    return true;
  }

  /** False stops reading until `resume`. */
  #read(bytes: number): boolean {
    this.#heard = true;
    if (this.#handler === null) this.#leave();
    else if (this.#parse(readBuffer.subarray(0, bytes))) this.#complete();
    return !this.#paused;
  }

  /** True: the answer is complete. */
  #parse(piece: Buffer): boolean {
    try {
      const complete = this.#parser.execute(piece);
      // Interim answers, a head in trickles and chunks without data could otherwise hold a lease for ever.
      if (this.#answering) this.lastTick = this.#owner.tick;
      return complete;
    } catch (error) {
      if (!(error instanceof MalformedAnswer)) throw error;
      this.fail({ kind: 'malformed', detail: error.message });
      return false;
    }
  }

  #endedByEngine(): void {
    if (this.#handler !== null && this.#parser.endOfConnection()) this.#complete();
    else this.#broke('(the engine closed it)');
  }

  #broke(why: string): void {
    const handler = this.#handler;
    if (this.#gone && handler === null) return;
    // Before the handler hears of it: what it sends next then goes out on a new connection.
    if (handler !== null && this.#kept && !this.#heard) this.#owner.keptConnectionLost();
    const kind = this.#connected ? 'connection_lost' : 'not_sent';
    this.fail({ kind, detail: `${this.#connected ? 'the connection broke' : 'no connection'} ${why}` });
  }

  #leave(): void {
    this.#unsent = null;
    this.#upload?.stop();
    this.#upload = null;
    this.#longBody = null;
    if (!this.#gone) {
      this.#gone = true;
      this.#owner.connectionGone(this);
    }
    this.#socket.destroy();
  }
}
