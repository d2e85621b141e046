/**
 * What the head of a request for a WebSocket says, beyond what every head does (RFC 6455 section 4.2.1), and what of it
 * goes to the engine and back.
 *
 * A page in a browser can set no header but `Sec-WebSocket-Protocol`, so OpenAI's clients put their key there. It is
 * taken out before the list goes to the engine.
 */
import type { Refusal } from '../core/errors.ts';
import type { ClientConnection } from './client-connection.ts';
import { upstreamHeaders } from './hop-headers.ts';
import { rawHead } from './raw-answer.ts';
import type { RawHead } from './request-checks.ts';

const KEY_PROTOCOL_PREFIX = 'openai-insecure-api-key.';
const VERSION = '13';
/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;
const PROTOCOL = 'sec-websocket-protocol';

/** For what wants a WebSocket and cannot get one. */
export const NO_WEB_SOCKET: Refusal = {
  code: 'request_malformed',
  parameters: {
    detail:
      'a WebSocket begins with GET, HTTP/1.1 and `Connection: upgrade`, on a connection without other requests',
  },
};

type UpgradeHead = Pick<RawHead, 'httpVersion' | 'rawHeaders'> & { readonly method?: string | undefined };

/** Whether the request leaves HTTP here. Answers to earlier requests of its connection would come between. */
export function asksForWebSocket(request: UpgradeHead, connection: ClientConnection): boolean {
  if (request.method !== 'GET' || request.httpVersion !== '1.1') return false;
  if (connection.requests.length > 0 || connection.isEnding) return false;
  return values(request.rawHeaders, 'upgrade').some((value) => value.toLowerCase() === 'websocket');
}

/** Judges the handshake of a request that `asksForWebSocket`. */
export function checkHandshake(rawHeaders: readonly string[]): Refusal | null {
  if (values(rawHeaders, 'upgrade').length !== 1)
    return malformed('`Upgrade` must be `websocket` and nothing beside it');
  const version = single(rawHeaders, 'sec-websocket-version');
  if (version !== VERSION) {
    const refusal = malformed(`Sec-WebSocket-Version must be ${VERSION}`);
    return { ...refusal, headers: { 'sec-websocket-version': VERSION } };
  }
  const key = single(rawHeaders, 'sec-websocket-key');
  return key !== null && KEY.test(key) ? null : malformed('Sec-WebSocket-Key must be 16 bytes in base64');
}

export interface OfferedProtocols {
  /** An API key that stood among them; null: none. */
  readonly key: string | null;
  /** The others, in their order. */
  readonly names: readonly string[];
}

export function offeredProtocols(rawHeaders: readonly string[]): OfferedProtocols {
  let key: string | null = null;
  const names: string[] = [];
  for (const name of values(rawHeaders, PROTOCOL)) {
    if (name.startsWith(KEY_PROTOCOL_PREFIX)) key ??= name.slice(KEY_PROTOCOL_PREFIX.length);
    else names.push(name);
  }
  return { key, names };
}

/** The request's headers for the engine. Flat list. */
export function handshakeHeaders(
  rawHeaders: readonly string[],
  protocols: OfferedProtocols,
  options: { readonly requestId: string; readonly endpointHeaders: Readonly<Record<string, string>> },
): string[] {
  const headers = upstreamHeaders(withoutProtocols(rawHeaders), { ...options, contentLength: null });
  if (protocols.names.length > 0) headers.push(PROTOCOL, protocols.names.join(', '));
  headers.push('connection', 'Upgrade', 'upgrade', 'websocket');
  return headers;
}

/**
 * The protocol to name where the engine chose none: clients that offer any give up without one, and a client with its
 * key among them had to offer some. Null: the engine's answer stands.
 */
export function protocolToName(protocols: OfferedProtocols, engineHeaders: readonly string[]): string | null {
  if (protocols.key === null || values(engineHeaders, PROTOCOL).length > 0) return null;
  return protocols.names[0] ?? null;
}

/** The answer that opens it. `headers`: the engine's, as clients get them. */
export function switchingHead(
  statusText: string,
  headers: readonly string[],
  protocol: string | null,
): Buffer {
  const all = ['connection', 'Upgrade', 'upgrade', 'websocket'];
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] as string;
    if (name.toLowerCase() !== 'content-length') all.push(name, headers[index + 1] as string);
  }
  if (protocol !== null) all.push(PROTOCOL, protocol);
  return rawHead(101, statusText || 'Switching Protocols', all);
}

function withoutProtocols(rawHeaders: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.toLowerCase() !== PROTOCOL) kept.push(name, rawHeaders[index + 1] as string);
  }
  return kept;
}

/** The members of all headers of a name that holds a list. */
function values(rawHeaders: readonly string[], wanted: string): string[] {
  const found: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.length !== wanted.length || name.toLowerCase() !== wanted) continue;
    for (const part of (rawHeaders[index + 1] as string).split(',')) {
      const value = part.trim();
      if (value !== '') found.push(value);
    }
  }
  return found;
}

/** Null also where it stands twice. */
function single(rawHeaders: readonly string[], wanted: string): string | null {
  const found = values(rawHeaders, wanted);
  return found.length === 1 ? (found[0] ?? null) : null;
}

function malformed(detail: string): Refusal {
  return { code: 'request_malformed', parameters: { detail } };
}
