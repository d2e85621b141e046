/**
 * The public address: node:http with its limits, what its parser refuses answered in our error shape, and the phases of
 * an orderly end.
 *
 * 1. Every request that reaches us becomes one `Exchange`; every connection that breaks before that gets an answer if
 *    it can still take one.
 * 2. While another request of the same connection is being answered nothing is written beside it: the connection ends.
 */
import { randomBytes } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import { DenseList } from '../core/dense-list.ts';
import type { ErrorCode, Refusal } from '../core/errors.ts';
import { GatheredPieces } from '../proxy/gathered-pieces.ts';
import { HeldHeads } from '../proxy/held-heads.ts';
import { BodyMemory } from './body-memory.ts';
import { BodySpool } from './body-spool.ts';
import { ClientConnections } from './client-connection.ts';
import { createCorsPolicy } from './cors.ts';
import { type Dialect, errorBody } from './error-body.ts';
import { Exchange } from './exchange.ts';
import type { FrontContext, FrontOptions } from './front-context.ts';
import { FrontRequest, FrontResponse } from './front-messages.ts';
import { endSocketWith } from './gentle-close.ts';
import { type FrontServer, type FrontServerOptions, Listeners } from './listeners.ts';
import { rawAnswer } from './raw-answer.ts';
import { dialectOf } from './routes.ts';
import type { TlsFiles, TlsFilesListener } from './tls-files.ts';
import { WaitEstimates } from './wait-estimates.ts';
import { isLoopbackAddress } from './web-pages.ts';
import { WebSocketExchange } from './web-socket.ts';
import { asksForWebSocket } from './web-socket-head.ts';

/** Timeouts of connections are looked at this many times within the shorter of the two. */
const TIMEOUT_CHECKS = 4;
const TIMEOUT_CHECK_MS_MAX = 5_000;
const NO_BYTES = Buffer.alloc(0);
/** The beginning of a request, as far as its path. */
const REQUEST_START = /^[A-Z]{3,20} (\/[!-~]*)/;
/** A path is looked for in so many bytes of a packet that is no HTTP. */
const REQUEST_START_BYTES = 2_048;

export interface Front {
  /** Resolves with the address in use; port 0 takes a free one. Rejects with Node's error (EADDRINUSE and others). */
  listen(host: string, port: number, tls?: TlsFiles | null): Promise<AddressInfo>;
  /** Serves a Unix socket as well. Rejects with a `SocketFault`. */
  listenOnSocket(path: string): Promise<void>;
  /** Requests between their head and their end. */
  readonly activeRequests: number;
  readonly openConnections: number;
  /** Bytes of request bodies that are held. */
  readonly heldBodyBytes: number;
  /** Bodies in files. */
  readonly bodyFiles: { readonly bytes: number; readonly open: number };
  /** Takes no new connections, ends idle ones, lets running requests end with their connections. Resolves when all have. */
  drain(): Promise<void>;
  /** Ends everything that is left now. Resolves when the server is closed. */
  close(): Promise<void>;
}

export function createFront(options: FrontOptions): Front {
  const context = createContext(options);
  const listeners = new Listeners({
    server: serverOptions(options, context),
    equip: (server) => equip(server, options, context),
    connected: (socket, secure) => void context.connections.add(socket, secure),
    handshakeTimeoutMs: options.server.headersTimeoutMs,
  });
  let following: TlsFiles | null = null;

  const closeListeners = (): Promise<void> => {
    context.draining = true;
    following?.close();
    return listeners.close();
  };

  return {
    async listen(host, port, tls = null) {
      const address = await listeners.listen(host, port, tls);
      context.onLoopback = isLoopbackAddress(address.address);
      following = tls;
      const listener: TlsFilesListener = {
        renewed(pair) {
          listeners.renew(pair);
          options.notice?.('info', 'the certificate was renewed');
        },
        broken: (text) =>
          options.notice?.(
            'warn',
            `the certificate stays as it is, the changed files cannot be used: ${text}`,
          ),
      };
      tls?.follow(listener, options.tlsLookMs);
      return address;
    },
    listenOnSocket: (path) => listeners.listenOnSocket(path),
    get activeRequests() {
      return context.active.size;
    },
    get openConnections() {
      return context.connections.count;
    },
    get heldBodyBytes() {
      return context.bodies.heldBytes;
    },
    drain() {
      const done = closeListeners();
      for (const webSocket of [...context.webSockets]) webSocket.drain();
      return done;
    },
    get bodyFiles() {
      const { spool } = context;
      return { bytes: spool.heldBytes, open: spool.openFiles };
    },
    close() {
      const done = closeListeners();
      for (const exchange of [...context.active.items]) exchange.breakOff();
      listeners.endAllConnections();
      return done;
    },
  };
}

function createContext(options: FrontOptions): FrontContext {
  const { clientStallTimeoutMs, keepAliveTimeoutMs, headersTimeoutMs, uploadBytesPerSMin } = options.server;
  const prefix = randomBytes(6).toString('base64url').replaceAll(/[-_]/g, 'x');
  let count = 0;
  return {
    ...options,
    answers: { heads: new HeldHeads(), pieces: new GatheredPieces() },
    connections: new ClientConnections(options.clock, {
      stallMs: clientStallTimeoutMs,
      idleMs: keepAliveTimeoutMs + headersTimeoutMs,
      uploadBytesPerSMin,
    }),
    bodies: new BodyMemory(options.server.bodyMemoryBytes),
    cors: createCorsPolicy(options.server.corsOrigins),
    estimates: new WaitEstimates(options.clock, (model) => options.gate.estimate(model)),
    spool: new BodySpool(options.spoolDirectory, options.server.bodySpoolBytes),
    active: new DenseList(),
    webSockets: new Set(),
    draining: false,
    onLoopback: false,
    nextRequestId: () => `req-${prefix}-${(++count).toString(36)}`,
  };
}

function serverOptions(options: FrontOptions, context: FrontContext): FrontServerOptions {
  const { headersTimeoutMs, requestTimeoutMs, headerLimitBytes, keepAliveTimeoutMs } = options.server;
  return {
    IncomingMessage: FrontRequest,
    ServerResponse: FrontResponse,
    maxHeaderSize: headerLimitBytes,
    headersTimeout: Math.min(headersTimeoutMs, requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(
      TIMEOUT_CHECK_MS_MAX,
      Math.ceil(Math.min(headersTimeoutMs, requestTimeoutMs) / TIMEOUT_CHECKS),
    ),
    // Its answer would not have our shape; `checkHead` looks for the header.
    requireHostHeader: false,
    noDelay: true,
    // Whatever else wants another protocol is served as if it did not.
    shouldUpgradeCallback: (request) => asksForWebSocket(request, context.connections.of(request.socket)),
  };
}

function equip(server: FrontServer, options: FrontOptions, context: FrontContext): void {
  // Node drops headers beyond a count silently; the size limit bounds them without that.
  server.maxHeadersCount = 0;
  server.maxRequestsPerSocket = 0;
  server.timeout = 0;

  server.on('request', (request, response) => new Exchange(context, request, response, false).start());
  server.on('checkContinue', (request, response) => new Exchange(context, request, response, true).start());
  server.on('checkExpectation', (request, response) =>
    new Exchange(context, request, response, true).start(),
  );
  server.on('upgrade', (request, socket, first) =>
    new WebSocketExchange(context, request, socket as Socket, first).start(),
  );
  server.on('connect', (_request, socket) => {
    const refusal: Refusal = { code: 'upgrade_unsupported', parameters: { protocol: 'a tunnel (CONNECT)' } };
    endSocketWith(
      socket,
      rawAnswer(errorBody(refusal, { dialect: 'openai', requestId: context.nextRequestId() })),
    );
  });
  server.on('clientError', (error, socket) =>
    answerBrokenConnection(error, socket as Socket, options, context),
  );
}

/** Node's own note of the response whose turn it is. */
interface AnsweringSocket extends Socket {
  readonly _httpMessage?: FrontResponse | null;
}

/** Node gives up on a connection: it is out of time, or what it sent is no HTTP. */
function answerBrokenConnection(
  error: NodeJS.ErrnoException,
  socket: Socket,
  options: FrontOptions,
  context: FrontContext,
): void {
  const client = context.connections.of(socket);
  const running = client.requests;
  const reading = running.find((exchange) => exchange.isReading);
  // More than the request that was to be the last: it is ignored, and the connection ends with the answer.
  const isBeyondLast = error.code === 'HPE_CLOSED_CONNECTION';
  if (isBeyondLast && running.length > 0 && !socket.readableEnded) return;
  const refusal = refusalFor(error, reading !== undefined, options);
  if (refusal === null || running.length > 1 || (running.length === 1 && reading === undefined)) {
    socket.destroy();
    return;
  }
  // An answer of ours may be done with in our books and still wait for its turn: nothing may overtake it.
  const writing = (socket as AnsweringSocket)._httpMessage ?? null;
  const owner: object | null = writing?.closeListener ?? null;
  const isOvertaking = owner !== null && owner !== reading;
  if (isOvertaking || (reading === undefined && (client.isAnswered || isBeyondLast))) {
    endSocketWith(socket, NO_BYTES);
    return;
  }
  const requestId = reading?.clientRequestId ?? context.nextRequestId();
  const dialect = reading?.dialect ?? dialectOfPacket(error);
  const body = errorBody(refusal, { dialect, requestId });
  if (reading !== undefined) body.headers.push(...reading.corsHeaders);
  const answer = rawAnswer(body);
  // The parser is dead: Node's response could not end its request any more, so the bare socket is written to.
  reading?.answeredRaw(refusal, answer.length);
  endSocketWith(socket, answer);
}

function refusalFor(error: NodeJS.ErrnoException, inBody: boolean, options: FrontOptions): Refusal | null {
  const { requestTimeoutMs, headersTimeoutMs } = options.server;
  const code = error.code ?? '';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const timeout: ErrorCode = inBody ? 'body_timeout' : 'headers_timeout';
    return { code: timeout, parameters: { seconds: (inBody ? requestTimeoutMs : headersTimeoutMs) / 1000 } };
  }
  if (code === 'HPE_HEADER_OVERFLOW') return { code: 'headers_too_large', parameters: {} };
  // The client went away in the middle: nobody is left to read an answer.
  if (!code.startsWith('HPE_') || code === 'HPE_INVALID_EOF_STATE') return null;
  const reason = 'reason' in error && typeof error.reason === 'string' ? error.reason : error.message;
  return { code: 'request_malformed', parameters: { detail: `it is no valid HTTP (${reason})` } };
}

/** The dialect of the path that a refused packet begins with; OpenAI's where it begins with something else. */
function dialectOfPacket(error: NodeJS.ErrnoException): Dialect {
  if (!('rawPacket' in error) || !Buffer.isBuffer(error.rawPacket)) return 'openai';
  const path = REQUEST_START.exec(error.rawPacket.toString('latin1', 0, REQUEST_START_BYTES))?.[1];
  return path === undefined ? 'openai' : dialectOf(path);
}
