/**
 * A request for another protocol, on a connection of its own, until its answer is known: 101 hands the socket over, any
 * other answer passes like that of an ordinary request.
 *
 * 1. Exactly one of `onUpgraded`, `onComplete` and `onError` is called, and none after `abort`.
 * 2. The connection is used for this request only and ends with its answer, unless that is 101.
 */
import type { Socket } from 'node:net';
import { AnswerParser, type AnswerSink } from './answer-parser.ts';
import type { EndpointOptions, Transmission, UpgradeHandler, UpstreamRequest } from './endpoint-types.ts';
import { MalformedAnswer, socketErrorText, type TransportFault } from './transport-fault.ts';

/** Who owns it: the endpoint. */
export interface UpgradeOwner {
  readonly options: EndpointOptions;
  readonly hostHeader: string;
  readonly connectedEvent: 'connect' | 'secureConnect';
  /** Null: read by events, and half-open on its end. */
  openSocket(onread: null): Socket;
  connectionOpened(): void;
  upgradeGone(upgrade: Upgrade): void;
}

/** What of the answer is still awaited. */
type State = 'connection' | 'head' | 'body' | 'upgraded' | 'done';

export class Upgrade implements Transmission, AnswerSink {
  readonly #owner: UpgradeOwner;
  readonly #request: UpstreamRequest;
  readonly #handler: UpgradeHandler;
  readonly #socket: Socket;
  readonly #parser = new AnswerParser(this);
  #state: State = 'connection';
  #timer: NodeJS.Timeout | null = null;
  #upgradeHead: { readonly statusText: string; readonly rawHeaders: readonly string[] } | null = null;

  constructor(owner: UpgradeOwner, request: UpstreamRequest, handler: UpgradeHandler) {
    this.#owner = owner;
    this.#request = request;
    this.#handler = handler;
    this.#socket = owner.openSocket(null);
    this.#socket.once(owner.connectedEvent, () => this.#connected());
    this.#socket.on('error', (error) => this.#broke(`(${socketErrorText(error)})`));
    this.#socket.on('data', (piece: Buffer) => this.#read(piece));
    this.#socket.once('end', () => this.#ended());
    this.#socket.once('close', () => {
      this.#broke('(closed)');
      owner.upgradeGone(this);
    });
    this.#await(owner.options.connectTimeoutMs);
  }

  abort(handler: UpgradeHandler): void {
    if (this.#handler === handler && this.#state !== 'upgraded') this.#end();
  }

  resume(handler: UpgradeHandler): void {
    if (this.#handler !== handler || this.#state !== 'body') return;
    this.#await(this.#owner.options.streamIdleTimeoutMs);
    this.#socket.resume();
  }

  /** The engine gives way. What is not answered yet goes on, as other requests do. */
  leave(): void {
    if (this.#state === 'upgraded') this.#handler.onLeaving();
  }

  /** The engine is gone. */
  lose(detail: string): void {
    if (this.#state === 'upgraded') this.#socket.destroy();
    else this.#fail({ kind: this.#state === 'connection' ? 'not_sent' : 'connection_lost', detail });
  }

  // Called by the parser.

  onHead(status: number, statusText: string, rawHeaders: readonly string[]): void {
    if (status === 101) {
      this.#upgradeHead = { statusText, rawHeaders };
      return;
    }
    this.#state = 'body';
    this.#handler.onHead(status, statusText, rawHeaders);
  }

  onData(piece: Buffer): void {
    if (this.#state !== 'body') return;
    if (this.#handler.onData(piece)) return;
    // Waiting for the client is not the engine's silence.
    this.#clearTimer();
    this.#socket.pause();
  }

  #connected(): void {
    if (this.#state !== 'connection') return;
    this.#state = 'head';
    this.#owner.connectionOpened();
    this.#await(this.#owner.options.firstByteTimeoutMs);
    const { method, path, headers } = this.#request;
    let head = `${method} ${path} HTTP/1.1\r\nhost: ${this.#owner.hostHeader}\r\n`;
    for (let index = 0; index + 1 < headers.length; index += 2)
      head += `${headers[index]}: ${headers[index + 1]}\r\n`;
    this.#parser.begin(method, true);
    this.#socket.write(`${head}\r\n`, 'latin1');
  }

  #read(piece: Buffer): void {
    if (this.#state !== 'head' && this.#state !== 'body') return;
    if (this.#state === 'body') this.#await(this.#owner.options.streamIdleTimeoutMs);
    let complete: boolean;
    try {
      complete = this.#parser.execute(piece);
    } catch (error) {
      if (!(error instanceof MalformedAnswer)) throw error;
      this.#fail({ kind: 'malformed', detail: error.message });
      return;
    }
    const upgraded = this.#upgradeHead;
    if (upgraded !== null) this.#handOver(upgraded, piece.subarray(this.#parser.endsAt));
    else if (complete) this.#complete();
  }

  #handOver(head: { statusText: string; rawHeaders: readonly string[] }, first: Buffer): void {
    const socket = this.#socket;
    this.#state = 'upgraded';
    this.#clearTimer();
    socket.removeAllListeners('data');
    socket.removeAllListeners('end');
    socket.pause();
    this.#handler.onUpgraded(head.statusText, head.rawHeaders, socket, first);
  }

  #complete(): void {
    if (this.#state === 'done') return;
    this.#end();
    this.#handler.onComplete();
  }

  #ended(): void {
    if (this.#state === 'body' && this.#parser.endOfConnection()) this.#complete();
    else this.#broke('(the engine closed it)');
  }

  #broke(why: string): void {
    if (this.#state === 'connection') this.#fail({ kind: 'not_sent', detail: `no connection ${why}` });
    else this.#fail({ kind: 'connection_lost', detail: `the connection broke ${why}` });
  }

  #fail(fault: TransportFault): void {
    if (this.#state === 'upgraded' || this.#state === 'done') return;
    this.#end();
    this.#handler.onError(fault);
  }

  /** Nothing is told any more. */
  #end(): void {
    this.#state = 'done';
    this.#clearTimer();
    this.#socket.destroy();
  }

  #await(limitMs: number): void {
    this.#clearTimer();
    this.#timer = setTimeout(() => this.#late(), limitMs).unref();
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #late(): void {
    switch (this.#state) {
      case 'connection':
        this.#fail({ kind: 'not_sent', detail: 'no connection (timed out)' });
        break;
      case 'head':
        this.#fail({ kind: 'no_first_byte', detail: 'its answer did not begin in time' });
        break;
      case 'body':
        this.#fail({ kind: 'idle', detail: 'it sent nothing more for too long' });
        break;
      case 'upgraded':
      case 'done':
        break;
    }
  }
}
