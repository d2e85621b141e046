/** A front before an engine that speaks WebSocket, its clients, and what became of them. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type ClientOptions, type ServerOptions, WebSocketServer, WebSocket as WsClient } from 'ws';
import { type Fixture, type FixtureOptions, MODEL, startFixture } from './front-fixture.ts';

export interface EngineSocket {
  readonly socket: WsClient;
  readonly request: IncomingMessage;
  /** Code and reason once it is closed. */
  readonly closed: Promise<Closed>;
}

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

export interface WebSocketFixture extends Fixture {
  readonly url: string;
  /** WebSockets of the engine so far. */
  readonly engineSockets: readonly EngineSocket[];
  /** The engine's side of the next or an earlier one. */
  engineSocket(index?: number): Promise<EngineSocket>;
  /** A client of `ws`, open. */
  open(options?: ClientOptions & { readonly protocols?: readonly string[] }): Promise<WsClient>;
  /** The same, not awaited. */
  dial(options?: ClientOptions & { readonly protocols?: readonly string[] }): WsClient;
}

export interface WebSocketFixtureOptions extends FixtureOptions {
  readonly ws?: ServerOptions;
  /** Echoes by default. */
  readonly onSocket?: (socket: WsClient) => void;
  /** Answers requests for a WebSocket itself. */
  readonly answer?: (response: ServerResponse) => void;
}

export async function startWebSocketFixture(
  context: TestContext,
  options: WebSocketFixtureOptions = {},
): Promise<WebSocketFixture> {
  const engineSockets: EngineSocket[] = [];
  const waiters = new Set<() => void>();
  const http = createServer((_request, response) => options.answer?.(response));
  if (options.answer === undefined) {
    const server = new WebSocketServer({ server: http, ...options.ws });
    server.on('connection', (socket, request) => {
      engineSockets.push({ socket, request, closed: closedWith(socket) });
      socket.on('error', () => undefined);
      (options.onSocket ?? echo)(socket);
      for (const waiter of [...waiters]) waiter();
    });
  }
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { port: enginePort } = http.address() as AddressInfo;
  const fixture = await startFixture(context, { ...options, enginePort });
  const clients: WsClient[] = [];
  context.after(() => {
    for (const client of clients) client.terminate();
    for (const { socket } of engineSockets) socket.terminate();
    http.closeAllConnections();
    http.close();
  });
  const url = `ws://127.0.0.1:${fixture.port}/v1/realtime?model=${MODEL}`;
  const dial: WebSocketFixture['dial'] = ({ protocols, ...clientOptions } = {}) => {
    const client = new WsClient(url, [...(protocols ?? [])], clientOptions);
    client.on('error', () => undefined);
    clients.push(client);
    return client;
  };
  return {
    ...fixture,
    url,
    engineSockets,
    async engineSocket(index = 0) {
      for (;;) {
        const found = engineSockets[index];
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => waiters.add(resolve));
      }
    },
    dial,
    async open(clientOptions) {
      const client = dial(clientOptions);
      await once(client, 'open');
      return client;
    },
  };
}

function echo(socket: WsClient): void {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
}

/** How a socket of `ws` was closed: 1006 where its connection broke. */
export function closedWith(socket: WsClient): Promise<Closed> {
  return new Promise((resolve) => {
    socket.once('close', (code: number, reason: Buffer) => resolve({ code, reason: reason.toString() }));
  });
}

/** The next message as text. */
export async function nextMessage(socket: WsClient): Promise<string> {
  const [data] = (await once(socket, 'message')) as [Buffer];
  return data.toString();
}

/** The answer in place of 101. */
export async function refusedWith(client: WsClient): Promise<{
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}> {
  const [, response] = (await once(client, 'unexpected-response')) as [unknown, IncomingMessage];
  let body = '';
  for await (const piece of response.setEncoding('utf8') as AsyncIterable<string>) body += piece;
  return { status: response.statusCode ?? 0, headers: response.headers, body };
}
