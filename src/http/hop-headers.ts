/**
 * Which headers cross the gateway, in both directions: one pass over flat `[name, value, ...]` lists as Node and undici
 * use them, because this runs for each request.
 *
 * 1. Headers of one connection (RFC 9110 section 7.6.1 and whatever `Connection` names) end here.
 * 2. The client's key, cookies and forwarding headers never reach an engine.
 * 3. Everything else passes as it is, repeated headers included.
 */

/** Never forwarded to an engine; hop-by-hop, ours, or set anew by the connection to the engine. */
const REQUEST_DROPPED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'host',
  'authorization',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
  'cookie',
  'cookie2',
  'expect',
  // Events that we may have to end with an error frame must not be compressed.
  'accept-encoding',
  'content-length',
  'x-model',
  'x-request-id',
  'x-progress',
  'x-queue-timeout',
  'forwarded',
  'via',
  'x-real-ip',
  // Some servers serve what these name instead of the target, behind the back of the route table.
  'x-original-url',
  'x-rewrite-url',
  // Picks an engine's rank; which one serves is the engine's own balance.
  'x-data-parallel-rank',
]);

/** vLLM's `/invocations` takes the model from this in place of the body's, behind the back of the body scan. */
const MODEL_SWITCHING = 'x-amzn-sagemaker-adapter-identifier';

/** Never sent to a client: hop-by-hop, or ours to say. */
const RESPONSE_DROPPED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id',
  'x-accel-buffering',
  'x-queue-depth',
  'x-queue-wait-ms',
  'x-model',
  'x-load',
]);

const CORS_PREFIX = 'access-control-';

const END_TO_END: ReadonlySet<string> = new Set(['accept', 'cache-control', 'x-request-id']);

/** Longest name in the sets above; longer ones pass without a look. */
const DROPPED_NAME_CHARS_MAX = 20;
const NO_NAMES: readonly string[] = [];

export interface UpstreamHeaderOptions {
  readonly requestId: string;
  /** Bytes of the body as sent; null when the transport counts them itself or there is no body. */
  readonly contentLength: number | null;
  /** The endpoint's own headers (a foreign server's Authorization), lower-case names; they replace the client's. */
  readonly endpointHeaders: Readonly<Record<string, string>>;
}

/** Headers for the engine from the client's `rawHeaders`. Flat list. */
export function upstreamHeaders(rawHeaders: readonly string[], options: UpstreamHeaderOptions): string[] {
  const named = connectionNames(rawHeaders);
  const { endpointHeaders } = options;
  const headers: string[] = ['x-request-id', options.requestId];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const lower = name.toLowerCase();
    if (lower.length <= DROPPED_NAME_CHARS_MAX && REQUEST_DROPPED.has(lower)) continue;
    if (lower.startsWith('x-forwarded-') || lower === MODEL_SWITCHING) continue;
    if (named.length > 0 && named.includes(lower) && !isEndToEnd(lower)) continue;
    if (Object.hasOwn(endpointHeaders, lower)) continue;
    headers.push(name, rawHeaders[index + 1] as string);
  }
  for (const name in endpointHeaders) headers.push(name, endpointHeaders[name] as string);
  if (options.contentLength !== null) headers.push('content-length', String(options.contentLength));
  return headers;
}

export interface ClientHeaderOptions {
  readonly requestId: string;
  /** False for 204, which must not declare a length. */
  readonly hasLength: boolean;
  /** Further headers of ours, flat, lower-case names, e.g. `['x-queue-depth', '0']`. */
  readonly extra: readonly string[];
}

export interface ClientHeaders {
  /** Flat list for `writeHead`. */
  readonly headers: string[];
  /** Server-sent events as they are: into compressed ones no event of ours could be put. */
  readonly eventStream: boolean;
  /** The engine's Content-Length, null for chunked answers. */
  readonly contentLength: number | null;
}

/** Headers for the client from an engine's raw headers (Buffers as undici gives them, or strings). */
export function clientHeaders(
  rawHeaders: readonly (string | Buffer)[],
  options: ClientHeaderOptions,
): ClientHeaders {
  const headers: string[] = ['x-request-id', options.requestId];
  let named = NO_NAMES;
  let chunked = false;
  let eventStream = false;
  let encoded = false;
  let contentLength: number | null = null;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = text(rawHeaders[index]);
    const lower = name.toLowerCase();
    if (lower.length <= DROPPED_NAME_CHARS_MAX && RESPONSE_DROPPED.has(lower)) {
      if (lower === 'transfer-encoding') chunked = true;
      else if (lower === 'connection') named = named.concat(listedNames(text(rawHeaders[index + 1])));
      continue;
    }
    // Which pages may read an answer is decided here (cors.ts), not by each engine.
    if (lower.startsWith(CORS_PREFIX)) continue;
    const value = text(rawHeaders[index + 1]);
    if (lower === 'content-length') {
      contentLength = Number(value);
      continue;
    }
    if (lower === 'content-type') eventStream = isEventStream(value);
    else if (lower === 'content-encoding') encoded ||= value.toLowerCase() !== 'identity';
    headers.push(name, value);
  }
  if (named.length > 0) removeNames(headers, named);
  if (chunked || !options.hasLength) contentLength = null;
  if (contentLength !== null) headers.push('content-length', String(contentLength));
  if (eventStream) {
    forbidCaching(headers);
    headers.push('x-accel-buffering', 'no');
  }
  for (const part of options.extra) headers.push(part);
  return { headers, eventStream: eventStream && !encoded, contentLength };
}

/** Says `no-cache` where the engine does not forbid caching itself. */
function forbidCaching(headers: string[]): void {
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (headers[index]?.toLowerCase() !== 'cache-control') continue;
    if (!/no-cache|no-store/i.test(headers[index + 1] ?? '')) headers[index + 1] = 'no-cache';
    return;
  }
  headers.push('cache-control', 'no-cache');
}

/** A media type of server-sent events, whatever its parameters. */
export function isEventStream(contentType: string): boolean {
  const end = contentType.indexOf(';');
  const type = end < 0 ? contentType : contentType.slice(0, end);
  return type.trim().toLowerCase() === 'text/event-stream';
}

function text(part: string | Buffer | undefined): string {
  if (typeof part === 'string') return part;
  return part === undefined ? '' : part.toString('latin1');
}

/** Names listed by all `Connection` headers, lower-case, without the two that every client sends. */
function connectionNames(rawHeaders: readonly string[]): readonly string[] {
  let named = NO_NAMES;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue;
    const value = rawHeaders[index + 1] as string;
    if (value !== 'keep-alive' && value !== 'close') named = named.concat(listedNames(value));
  }
  return named;
}

function listedNames(value: string): string[] {
  if (value === 'keep-alive' || value === 'close') return [];
  return value.split(',').map((name) => name.trim().toLowerCase());
}

/** Headers that no `Connection` can make one of the connection: they say what the message is and who may keep it. */
function isEndToEnd(lower: string): boolean {
  return lower.startsWith('content-') || lower.startsWith('anthropic-') || END_TO_END.has(lower);
}

/** Takes named headers out in place. */
function removeNames(headers: string[], named: readonly string[]): void {
  let kept = 2;
  for (let index = 2; index < headers.length; index += 2) {
    const name = headers[index] as string;
    const lower = name.toLowerCase();
    if (named.includes(lower) && !isEndToEnd(lower)) continue;
    headers[kept++] = name;
    headers[kept++] = headers[index + 1] as string;
  }
  headers.length = kept;
}
