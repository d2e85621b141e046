/**
 * The connections to one engine: undici clients of one connection each, kept in a stack so that the warmest is used
 * first and idle ones age out.
 *
 * 1. A client carries one request at a time; a request that undici queues behind another could not be aborted.
 * 2. Never more than `connectionsMax` clients exist. Whoever sends under a lease finds one free: a lease ends when its
 *    answer is complete, and a client whose answer is complete may be used at once, even before undici says "drain".
 * 3. A client that failed to connect is thrown away, so that nothing inside undici tries again behind our back.
 */
import { buildConnector, Client, Dispatcher } from 'undici';
import type { Endpoint, EndpointCounters, EndpointOptions } from './endpoint-types.ts';

/** Longest head of an answer; a longer one is a malformed answer. */
const ANSWER_HEAD_BYTES_MAX = 64 * 1024;
/** Subtracted from a server's own `Keep-Alive: timeout=` hint, for the time a request is under way to it. */
const KEEP_ALIVE_MARGIN_MS = 1_000;

type Handler = Dispatcher.DispatchHandler;
type Options = Dispatcher.DispatchOptions;

interface Slot {
  readonly client: Client;
  free: boolean;
  /** Of the last request; looked at only while it may still be connecting. */
  handler: Handler | null;
}

interface WaitingRequest {
  readonly options: Options;
  readonly handler: Handler;
}

/** Opens no connection before the first request. */
export function createEndpoint(options: EndpointOptions): Endpoint {
  const dispatcher = new EnginePool(options);
  return {
    options,
    dispatcher,
    counters: dispatcher.counters,
    abandon: (handler) => dispatcher.abandon(handler),
    close: () => dispatcher.closeConnections(),
    destroy: (cause) => dispatcher.destroyConnections(cause),
  };
}

class EnginePool extends Dispatcher {
  readonly counters: EndpointCounters = { connectionsCreated: 0, requestsSent: 0, poolWaits: 0 };
  readonly #options: EndpointOptions;
  readonly #origin: string;
  readonly #connect: buildConnector.connector;
  readonly #slots = new Set<Slot>();
  readonly #free: Slot[] = [];
  /** Only requests without a lease (control calls in a burst) ever stand here; bounded by their callers' timeouts. */
  readonly #waiting: WaitingRequest[] = [];
  #ended: Error | null = null;

  constructor(options: EndpointOptions) {
    super();
    this.#options = options;
    this.#origin = originOf(options);
    this.#connect = buildConnector({
      timeout: options.connectTimeoutMs,
      ...(options.address.kind === 'unix' ? { socketPath: options.address.socketPath } : {}),
    });
  }

  override dispatch(options: Options, handler: Handler): boolean {
    if (this.#ended !== null) {
      this.#reject(options, handler, this.#ended);
      return true;
    }
    const slot = this.#take();
    if (slot === undefined) {
      this.counters.poolWaits += 1;
      this.#waiting.push({ options, handler });
      return false;
    }
    this.#send(slot, options, handler);
    return true;
  }

  closeConnections(): void {
    this.#ended ??= new Error('the endpoint is closed');
    for (const slot of this.#slots) slot.client.close(ignore);
    this.#failWaiting(this.#ended);
  }

  destroyConnections(cause: Error): void {
    this.#ended = cause;
    for (const slot of [...this.#slots]) this.#drop(slot, cause);
    this.#failWaiting(cause);
  }

  abandon(handler: Handler): void {
    const waiting = this.#waiting.findIndex((request) => request.handler === handler);
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
    for (const slot of this.#slots) {
      if (slot.handler === handler && slot.client.stats.size > 0) this.#drop(slot, new Error('abandoned'));
    }
  }

  #send(slot: Slot, options: Options, handler: Handler): void {
    this.counters.requestsSent += 1;
    slot.handler = handler;
    slot.client.dispatch(options, handler);
    // Undici refused the request before queueing it (a header it cannot send): no drain event will follow.
    if (slot.client.stats.size === 0) this.#release(slot);
  }

  #take(): Slot | undefined {
    const slot = this.#free.pop();
    if (slot !== undefined) {
      slot.free = false;
      return slot;
    }
    if (this.#slots.size < this.#options.connectionsMax) return this.#open();
    for (const settling of this.#slots) {
      if (settling.client.stats.size === 0) return settling;
    }
    return undefined;
  }

  #open(): Slot {
    const options = this.#options;
    const client = new Client(this.#origin, {
      connect: this.#connect,
      pipelining: 1,
      keepAliveTimeout: options.keepAliveMs,
      keepAliveMaxTimeout: options.keepAliveMs,
      keepAliveTimeoutThreshold: KEEP_ALIVE_MARGIN_MS,
      maxHeaderSize: ANSWER_HEAD_BYTES_MAX,
      headersTimeout: options.silenceTimeoutMs,
      bodyTimeout: options.silenceTimeoutMs,
    });
    const slot: Slot = { client, free: false, handler: null };
    client.on('drain', () => this.#release(slot));
    client.on('connect', () => {
      this.counters.connectionsCreated += 1;
    });
    client.on('connectionError', (_origin, _targets, error) => this.#drop(slot, error));
    this.#slots.add(slot);
    return slot;
  }

  #release(slot: Slot): void {
    if (slot.free || !this.#slots.has(slot) || this.#ended !== null) return;
    // A settling client may have been used again before its drain event came.
    if (slot.client.stats.size > 0) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      this.#send(slot, waiting.options, waiting.handler);
      return;
    }
    slot.free = true;
    this.#free.push(slot);
  }

  #drop(slot: Slot, cause: Error): void {
    this.#slots.delete(slot);
    if (slot.free) this.#free.splice(this.#free.indexOf(slot), 1);
    slot.free = false;
    slot.client.destroy(cause, ignore);
    const waiting = this.#ended === null ? this.#waiting.shift() : undefined;
    if (waiting !== undefined) this.dispatch(waiting.options, waiting.handler);
  }

  #failWaiting(cause: Error): void {
    for (const { options, handler } of this.#waiting.splice(0)) this.#reject(options, handler, cause);
  }

  /** A destroyed client tells the handler in whichever of undici's two handler shapes it has. */
  #reject(options: Options, handler: Handler, cause: Error): void {
    const client = new Client(this.#origin);
    client.destroy(cause, ignore);
    client.dispatch(options, handler);
  }
}

function originOf(options: EndpointOptions): string {
  const { address } = options;
  switch (address.kind) {
    case 'unix':
      return 'http://localhost';
    case 'tcp':
      return `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
    case 'url':
      return new URL(address.baseUrl).origin;
  }
}

function ignore(): void {}
