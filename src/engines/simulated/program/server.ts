/** The HTTP side: uvicorn's manners around the route table. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { SimContext } from './context.ts';
import {
  ApiError,
  type Exchange,
  errorBody,
  newId,
  prepareHead,
  readBody,
  sendEmpty,
  sendJson,
  sendText,
} from './exchange.ts';
import { AnthropicError, anthropicErrorBody } from './messages-routes.ts';
import { acceptRealtime, REALTIME_PATH, refuseUpgrade } from './realtime-routes.ts';
import type { Route } from './route.ts';
import { matchRoute } from './routes.ts';
import { UtilityFailure } from './sleep.ts';
import { parseJsonObject, requireJsonType } from './validation.ts';

/** Only paths under these need a key: everything else is open, dangerous routes included. */
const GUARDED = ['/v1', '/v2', '/inference', '/cohere'] as const;
/** h11's limit on an incomplete event, as vLLM sets it. */
const HEADER_BYTES_MAX = 4 * 1024 * 1024;

export interface SimServer {
  readonly server: Server;
  /** Routes can only be known once the engine says what it can do; until then nothing listens. */
  serve(context: SimContext, routes: readonly Route[]): void;
}

/** Made before the engine starts, so that a taken address is known at once. */
export function createSimServer(keepAliveS: number): SimServer {
  let serving: { readonly context: SimContext; readonly routes: readonly Route[] } | null = null;
  const shouldUpgradeCallback = ({ headers }: IncomingMessage): boolean =>
    headers.upgrade?.toLowerCase() === 'websocket';
  const server = createServer(
    { maxHeaderSize: HEADER_BYTES_MAX, shouldUpgradeCallback },
    (request, response) => {
      if (serving === null) {
        response.socket?.destroy();
        return;
      }
      answer(serving.context, serving.routes, request, response).catch((error: unknown) => {
        process.stderr.write(`${String(error)}\n`);
        response.destroy();
      });
    },
  );
  server.keepAliveTimeout = keepAliveS * 1000;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.on('upgrade', (request, socket, first) => {
    if (serving === null || !takesRealtime(serving.context, request)) {
      refuseUpgrade(socket);
      return;
    }
    acceptRealtime(serving.context, request, socket, first).catch((error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      socket.destroy();
    });
  });
  server.on('clientError', (_error, socket) => {
    if (!socket.writable) return;
    const text = 'Invalid HTTP request received.';
    socket.end(
      `HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${text.length}\r\nconnection: close\r\n\r\n${text}`,
    );
  });
  return {
    server,
    serve: (context, routes) => {
      serving = { context, routes };
    },
  };
}

async function answer(
  context: SimContext,
  routes: readonly Route[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const exchange = exchangeOf(context, request, response);
  const logEnd = context.requestLog.began(request);
  response.once('close', () => {
    logEnd(response.headersSent ? response.statusCode : 0, response.writableFinished);
    finished(context, exchange);
  });
  if (context.faults.probeHang) {
    request.resume();
    return;
  }
  if (context.options.echoRequestIds) response.setHeader('x-request-id', exchange.requestId);
  if (!authorized(context, exchange)) {
    request.resume();
    return sendJson(exchange, 401, { error: 'Unauthorized' });
  }
  const match = matchRoute(routes, exchange.method, exchange.path);
  if (match.kind === 'not_found') {
    request.resume();
    const other = otherSlash(exchange.path);
    if (matchRoute(routes, exchange.method, other).kind !== 'not_found') return redirect(exchange, other);
    return sendJson(exchange, 404, { detail: 'Not Found' });
  }
  if (match.kind === 'wrong_method') {
    request.resume();
    response.setHeader('allow', match.allowed.join(', '));
    return sendJson(exchange, 405, { detail: 'Method Not Allowed' });
  }
  try {
    await run(context, exchange, match.route);
  } catch (error) {
    answerError(context, exchange, error);
  }
}

/** Starlette tries the path with its last slash added or removed before it gives up. */
function otherSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : `${path}/`;
}

function redirect(exchange: Exchange, path: string): void {
  const query = exchange.query.size === 0 ? '' : `?${exchange.query}`;
  exchange.response.setHeader('location', `http://${exchange.request.headers.host ?? ''}${path}${query}`);
  sendEmpty(exchange, 307);
}

async function run(context: SimContext, exchange: Exchange, route: Route): Promise<void> {
  if (route.kind === 'plain') {
    exchange.request.resume();
    await route.handle(context, exchange);
    return;
  }
  const body = await readBody(exchange);
  if (body === null) return;
  actFaultsOnRequest(context, body);
  if (context.faults.malformedAnswer !== null) return malformed(exchange, context.faults.malformedAnswer);
  if (route.kind === 'text') return route.handle(context, exchange, body.toString('utf8'));
  if (route.kind === 'bytes') {
    refuseBeyondQueue(context);
    return route.handle(context, exchange, body);
  }
  requireJsonType(exchange);
  const parsed = parseJsonObject(body);
  refuseBeyondQueue(context);
  await route.handle(context, exchange, parsed);
}

function refuseBeyondQueue(context: SimContext): void {
  const limit = context.options.maxQueuedRequests;
  if (limit === null || context.generation.counts().waiting < limit) return;
  context.metrics.countRejection('max_num_queued_reqs');
  throw new ApiError(503, 'ServiceUnavailableError', 'The server is overloaded: too many queued requests.');
}

function actFaultsOnRequest(context: SimContext, body: Buffer): void {
  const { crashOnText, coreDeathOnText } = context.faults;
  if (crashOnText !== null && body.includes(crashOnText)) {
    context.core.killNow();
    process.kill(process.pid, 'SIGSEGV');
  }
  if (coreDeathOnText !== null && body.includes(coreDeathOnText)) context.life.engineDied();
}

function answerError(context: SimContext, exchange: Exchange, error: unknown): void {
  if (error instanceof AnthropicError) {
    sendJson(exchange, error.cause.status, anthropicErrorBody(error.cause));
  } else if (error instanceof ApiError) {
    sendJson(exchange, error.status, errorBody(error));
  } else if (error instanceof UtilityFailure) {
    context.log.api('launcher.py:120', error.message, 'ERROR');
    sendJson(exchange, 500, errorBody(new ApiError(500, 'InternalServerError', error.message)));
  } else {
    context.log.apiTraceback(String(error instanceof Error ? error.stack : error).split('\n'));
    sendText(exchange, 500, 'Internal Server Error');
  }
}

function exchangeOf(context: SimContext, request: IncomingMessage, response: ServerResponse): Exchange {
  const given = request.headers['x-request-id'];
  return {
    request,
    response,
    method: request.method ?? 'GET',
    ...targetOf(context, request),
    requestId: typeof given === 'string' && given !== '' ? given : newId(),
  };
}

function targetOf(context: SimContext, request: IncomingMessage): Pick<Exchange, 'path' | 'query'> {
  const url = request.url ?? '/';
  const mark = url.indexOf('?');
  const full = mark < 0 ? url : url.slice(0, mark);
  const root = context.options.rootPath;
  const path = root !== '' && full.startsWith(root) ? full.slice(root.length) : full;
  return { path: decodePath(path), query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)) };
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Any model that generates may be asked; vLLM has the path only for models that hear. */
function takesRealtime(context: SimContext, request: IncomingMessage): boolean {
  const { path } = targetOf(context, request);
  return path === REALTIME_PATH && context.options.sim.task === 'generate' && hasKey(context, request);
}

function authorized(context: SimContext, exchange: Exchange): boolean {
  if (exchange.method === 'OPTIONS') return true;
  if (!GUARDED.some((prefix) => exchange.path.startsWith(prefix))) return true;
  return hasKey(context, exchange.request);
}

function hasKey(context: SimContext, request: IncomingMessage): boolean {
  const keys = context.options.apiKeys;
  if (keys.length === 0) return true;
  const header = request.headers.authorization ?? '';
  const space = header.indexOf(' ');
  return (
    space > 0 && header.slice(0, space).toLowerCase() === 'bearer' && keys.includes(header.slice(space + 1))
  );
}

function finished(context: SimContext, exchange: Exchange): void {
  const { request, response } = exchange;
  context.metrics.countHttp(exchange.method, exchange.path, response.statusCode);
  if (!context.options.accessLog || context.options.accessLogExcluded.has(exchange.path)) return;
  if (!response.headersSent) return;
  const from =
    request.socket.remoteAddress === undefined
      ? ''
      : `${request.socket.remoteAddress}:${request.socket.remotePort}`;
  context.log.access(
    `INFO:     ${from} - "${exchange.method} ${request.url} HTTP/${request.httpVersion}" ${response.statusCode} ${STATUS_WORDS.get(response.statusCode) ?? ''}`,
  );
}

const STATUS_WORDS: ReadonlyMap<number, string> = new Map([
  [200, 'OK'],
  [307, 'Temporary Redirect'],
  [400, 'Bad Request'],
  [401, 'Unauthorized'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [405, 'Method Not Allowed'],
  [422, 'Unprocessable Entity'],
  [500, 'Internal Server Error'],
  [503, 'Service Unavailable'],
]);

/** Answers that break HTTP itself, for testing who reads them. */
function malformed(exchange: Exchange, kind: 'chunk' | 'header' | 'length'): void {
  const { socket } = exchange.response;
  if (socket === null) return;
  prepareHead(exchange);
  const start = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
  switch (kind) {
    case 'chunk':
      socket.end(`${start}transfer-encoding: chunked\r\n\r\nZZZ\r\n{"broken":true}\r\n0\r\n\r\n`);
      break;
    case 'header':
      socket.end('HTTP/1.1 200 OK\r\ncontent type: application/json\r\n\r\n{}');
      break;
    case 'length':
      socket.end(`${start}content-length: 1000\r\n\r\n{"broken":true}`);
      break;
  }
}
