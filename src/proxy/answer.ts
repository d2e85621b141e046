/**
 * The client's side of an engine's answer: head, body chunks, the end, or an honest break.
 *
 * 1. The head is held until the first body byte (or `HeldHeads` gives up waiting for it): until then `begun` is false
 *    and the request may still be sent to another engine.
 * 2. While the client's socket is full the engine is paused, so that at most the socket's buffers are held. Whoever owns
 *    the client's connection cuts it when the client takes nothing.
 * 3. An answer that breaks never ends like one that is complete.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { writeDirectly } from './direct-write.ts';
import type { GatheredPieces, PieceOwner } from './gathered-pieces.ts';
import type { HeldHead, HeldHeads } from './held-heads.ts';

/** Whole bodies up to this size leave with their head as one string, in one write. */
const JOINED_BODY_BYTES_MAX = 16 * 1024;
/** Smaller pieces do not go out one by one: an event is larger, and an engine that sends less sends many. */
const LONE_PIECE_BYTES_MIN = 64;
const LF_LF = 0x0a0a;
const CR_CR = 0x0d0d;
const CRLF_CRLF = 0x0d0a0d0a;

/** The head of an answer as it goes to the client. */
export interface AnswerHead {
  readonly status: number;
  readonly statusText: string;
  /** Flat list with the framing headers in it. */
  readonly headers: string[];
  readonly eventStream: boolean;
  /** Null where the length is not known beforehand. */
  readonly contentLength: number | null;
  /** The headers say `Transfer-Encoding: chunked`. */
  readonly chunked: boolean;
  /** Neither length nor chunks: the body ends where the connection ends. */
  readonly endsWithConnection: boolean;
  /** An early head of ours went out in its place: it is not written. */
  readonly sent: boolean;
}

export interface AnswerSettings {
  readonly heads: HeldHeads;
  readonly pieces: GatheredPieces;
}

export interface AnswerOwner {
  /** The first byte is on its way to the client. */
  answerBegan(): void;
  /** The engine's head cannot be written; only for a head that went out alone, other calls throw. */
  answerUnwritable(error: Error): void;
  /** The client takes data again. */
  answerDrained(): void;
}

/** How body bytes reach the socket: by Node's own writer, or framed by us straight into the socket. */
type Route = 'response' | 'socket';

export class Answer implements HeldHead, PieceOwner {
  listIndex = -1;
  /** True once anything went to the client. */
  begun = false;
  /** Bytes of the body so far. */
  bytes = 0;
  readonly #response: ServerResponse;
  readonly #settings: AnswerSettings;
  readonly #owner: AnswerOwner;
  #head: AnswerHead | null = null;
  #route: Route = 'response';
  #socket: Socket | null = null;
  #ended = false;
  /** Set while the engine is paused: what to call when the client takes data again. */
  #drained: (() => void) | null = null;
  /** The last four bytes of an event stream, to know whether it stands between two events. */
  #tail = 0;

  constructor(response: ServerResponse, settings: AnswerSettings, owner: AnswerOwner) {
    this.#response = response;
    this.#settings = settings;
    this.#owner = owner;
  }

  get isEventStream(): boolean {
    return this.#head?.eventStream === true;
  }

  /** True when the last byte sent was inside an event. */
  get midEvent(): boolean {
    if (this.bytes === 0) return false;
    const lastTwo = this.#tail & 0xffff;
    return lastTwo !== LF_LF && lastTwo !== CR_CR && this.#tail !== CRLF_CRLF;
  }

  begin(head: AnswerHead): void {
    this.#head = head;
    if (!head.sent) this.#settings.heads.hold(this);
  }

  sendHead(): void {
    try {
      this.#writeHead();
    } catch (error) {
      this.#owner.answerUnwritable(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#response.flushHeaders();
    this.#chooseRoute();
  }

  /** False: the client cannot take more now; `answerDrained` follows. Keeps nothing of `chunk`. */
  write(chunk: Buffer): boolean {
    this.bytes += chunk.length;
    const head = this.#head;
    if (head === null || this.#ended) return true;
    if (head.eventStream) this.#tail = tailOf(this.#tail, chunk);
    let accepted: boolean;
    if (!this.begun) {
      this.#settings.heads.release(this);
      this.#writeHead();
      if (chunk.length === head.contentLength) {
        this.#end(chunk);
        return true;
      }
      accepted = this.#response.write(Buffer.from(chunk));
      this.#chooseRoute();
    } else {
      const { writableLength, writableHighWaterMark } = this.#target;
      if (writableLength === 0 && chunk.length >= LONE_PIECE_BYTES_MIN) {
        accepted = this.#send(chunk);
      } else {
        const { pieces } = this.#settings;
        pieces.hold(this, chunk);
        accepted = writableLength + pieces.heldBytes(this) < writableHighWaterMark;
      }
    }
    if (!accepted && this.#drained === null) this.#pause();
    return accepted;
  }

  sendPieces(bytes: Buffer): void {
    // What was waiting may have left meanwhile: then no `drain` comes.
    if (this.#send(bytes)) this.#drained?.();
  }

  /** The engine's answer is complete. */
  end(): void {
    if (this.#ended) return;
    if (!this.begun) {
      this.#settings.heads.release(this);
      this.#writeHead();
    }
    this.#end(null);
  }

  /** Ends an answer that broke off: an event stream with `frame`, anything else so that the client sees it. */
  fail(frame: Buffer): void {
    if (this.#ended) return;
    const response = this.#response;
    // A declared length leaves no room for a frame.
    if (!this.isEventStream || this.#head?.contentLength !== null) {
      this.breakOff();
      return;
    }
    this.#unpause();
    this.#settings.pieces.release(this);
    this.#send(frame);
    // The frame says that the stream failed; the connection goes with it, so that nothing takes it for a clean one. A
    // response that waits behind a pipelined one has no socket yet, its request always has.
    const { socket } = response.req;
    response.once('finish', () => socket.destroySoon());
    this.#end(null);
  }

  /** Closes the client's connection in mid-answer. */
  breakOff(): void {
    this.discard();
    this.#ended = true;
    const { socket } = this.#response;
    // An answer that ends with the connection would look complete after a FIN.
    if (socket !== null && this.#head?.endsWithConnection === true) socket.resetAndDestroy();
    this.#response.destroy();
  }

  /** Forgets a head that was not sent; the response is free for another answer. */
  discard(): void {
    if (this.#head !== null && !this.begun) this.#settings.heads.release(this);
    this.#settings.pieces.drop(this);
    this.#unpause();
  }

  #send(chunk: Buffer): boolean {
    if (this.#route === 'socket' && this.#socket !== null) return writeFrame(this.#socket, chunk);
    return this.#response.write(Buffer.from(chunk));
  }

  #writeHead(): void {
    const head = this.#head;
    if (head === null) return;
    // Throws where the engine's head cannot be repeated; nothing was sent then.
    if (!head.sent) this.#response.writeHead(head.status, head.statusText, head.headers);
    this.begun = true;
    this.#owner.answerBegan();
  }

  /** A response that waits behind a pipelined one has no socket yet: Node's writer keeps its bytes until its turn. */
  #chooseRoute(): void {
    this.#socket = this.#response.socket;
    if (this.#head?.chunked === true && this.#socket !== null) this.#route = 'socket';
  }

  #end(chunk: Buffer | null): void {
    this.#ended = true;
    this.#unpause();
    this.#settings.pieces.release(this);
    if (chunk === null) this.#response.end();
    else if (chunk.length > JOINED_BODY_BYTES_MAX) this.#response.end(Buffer.from(chunk));
    else this.#response.end(chunk.toString('latin1'), 'latin1');
  }

  /** Closures are made here and not per answer: most answers are never paused. */
  #pause(): void {
    this.#drained = () => {
      this.#unpause();
      this.#owner.answerDrained();
    };
    this.#target.once('drain', this.#drained);
  }

  #unpause(): void {
    if (this.#drained === null) return;
    this.#target.removeListener('drain', this.#drained);
    this.#drained = null;
  }

  get #target(): Socket | ServerResponse {
    return this.#route === 'socket' && this.#socket !== null ? this.#socket : this.#response;
  }
}

/** Writes one chunk of a chunked body; false when the socket is full. */
function writeFrame(socket: Socket, chunk: Buffer): boolean {
  const { length } = chunk;
  if (length === 0) return true;
  const size = length.toString(16);
  const frame = Buffer.allocUnsafe(size.length + length + 4);
  let at = frame.write(size, 0, 'latin1');
  frame[at++] = 0x0d;
  frame[at++] = 0x0a;
  frame.set(chunk, at);
  at += length;
  frame[at++] = 0x0d;
  frame[at] = 0x0a;
  return writeDirectly(socket, frame);
}

/** The last four bytes after `chunk`, as a number. */
function tailOf(tail: number, chunk: Buffer): number {
  let bytes = tail;
  for (let at = Math.max(0, chunk.length - 4); at < chunk.length; at++)
    bytes = (bytes << 8) | (chunk[at] as number);
  return bytes;
}
