/** One HTTP request and its answer, with the habits of vLLM's stack (FastAPI on uvicorn). */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Bodies are held in memory; nothing legitimate comes near. */
const BODY_BYTES_MAX = 512 * 1024 * 1024;

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  /** Without the query and without `--root-path`. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The client's X-Request-Id, or one of ours. */
  readonly requestId: string;
}

/** Any JSON object, as far as we know it. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** An error in the shape that a handler of vLLM answers with. */
export class ApiError extends Error {
  readonly status: number;
  readonly type: string;
  readonly param: string | null;

  constructor(status: number, type: string, message: string, param: string | null = null) {
    super(message);
    this.status = status;
    this.type = type;
    this.param = param;
  }
}

export function badRequest(message: string, param: string | null = null): ApiError {
  return new ApiError(400, 'BadRequestError', message, param);
}

export function errorBody(error: ApiError): JsonObject {
  return { error: { message: error.message, type: error.type, param: error.param, code: error.status } };
}

export function newId(): string {
  return randomBytes(16).toString('hex');
}

export function sendJson(exchange: Exchange, status: number, body: unknown): void {
  send(exchange, status, 'application/json', JSON.stringify(body));
}

export function sendText(
  exchange: Exchange,
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  send(exchange, status, contentType, text);
}

export function sendEmpty(exchange: Exchange, status: number): void {
  prepareHead(exchange);
  exchange.response.writeHead(status, { 'content-length': '0' });
  exchange.response.end();
}

function send(exchange: Exchange, status: number, contentType: string, text: string): void {
  const { response } = exchange;
  if (response.destroyed || response.headersSent) return;
  prepareHead(exchange);
  const payload = Buffer.from(text);
  response.writeHead(status, { 'content-length': String(payload.length), 'content-type': contentType });
  response.end(exchange.method === 'HEAD' ? undefined : payload);
}

/** uvicorn names itself, and speaks of the connection only to announce its end. */
export function prepareHead(exchange: Exchange): void {
  exchange.response.setHeader('server', 'uvicorn');
  if (exchange.response.shouldKeepAlive) exchange.response.removeHeader('connection');
}

/** Reads the whole body; null when the client left in the middle. */
export async function readBody(exchange: Exchange): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of exchange.request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > BODY_BYTES_MAX)
        throw new ApiError(413, 'Request Entity Too Large', 'Request body too large');
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    return null;
  }
  return Buffer.concat(chunks, length);
}
