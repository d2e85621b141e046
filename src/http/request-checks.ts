/**
 * Judges a request's head before anything else looks at it, and reads the few headers that the front needs, in one
 * pass over Node's `rawHeaders`. It refuses what Node's parser lets through although two servers may read it in two
 * ways: repeated headers, other transfer codings, bodies on GET, targets with a second host in them.
 */

import type { Refusal } from '../core/errors.ts';
import { clipped } from './clipped.ts';

/** The part of Node's IncomingMessage that is judged. */
export interface RawHead {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
}

export interface RequestHead {
  readonly kind: 'ok';
  readonly method: string;
  /** Origin form: path and query, beginning with a slash; `*` for OPTIONS alone. */
  readonly target: string;
  readonly host: string | null;
  /** What page sent the request, where a browser did. */
  readonly origin: string | null;
  readonly fetchSite: string | null;
  readonly contentType: string | null;
  readonly authorization: string | null;
  readonly apiKey: string | null;
  readonly requestId: string | null;
  /** The `X-Model` header: names the model on routes without a JSON body. */
  readonly modelHeader: string | null;
  readonly upgrade: string | null;
  /** How it wishes to wait (wait-wishes.ts). */
  readonly queueTimeout: string | null;
  readonly progress: string | null;
  readonly accept: string | null;
  /** Null for chunked bodies and for requests without a body. */
  readonly contentLength: number | null;
  readonly hasBody: boolean;
  readonly expectsContinue: boolean;
}

export type HeadCheck = RequestHead | { readonly kind: 'fault'; readonly refusal: Refusal };

/** Headers that may stand once only, with the slot that their value is kept in. */
const SINGLE_HEADERS = [
  'host',
  'accept',
  'expect',
  'origin',
  'upgrade',
  'x-model',
  'x-api-key',
  'x-progress',
  'content-type',
  'x-request-id',
  'authorization',
  'content-length',
  'sec-fetch-site',
  'x-queue-timeout',
  'content-encoding',
  'transfer-encoding',
] as const;
type SingleHeader = (typeof SINGLE_HEADERS)[number];

/** Lengths of the names above: another length is no candidate and costs no comparison. */
const CANDIDATE_LENGTHS: readonly boolean[] = Array.from({ length: 32 }, (_, length) =>
  SINGLE_HEADERS.some((name) => name.length === length),
);
const SINGLE_SET: ReadonlySet<string> = new Set(SINGLE_HEADERS);
/** What of a header's value an error repeats. */
const ECHO_CHARS_MAX = 100;
/** Repeating these means the same as a list, so the first one is kept and none refused. */
const REPEATABLE: ReadonlySet<string> = new Set(['accept', 'upgrade', 'x-request-id']);
const BODYLESS_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'TRACE', 'OPTIONS']);

/** Judges the head. Never throws. */
export function checkHead(head: RawHead): HeadCheck {
  const values: Partial<Record<SingleHeader, string>> = {};
  const { rawHeaders } = head;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const written = rawHeaders[index] as string;
    if (CANDIDATE_LENGTHS[written.length] !== true) continue;
    const name = written.toLowerCase();
    if (!SINGLE_SET.has(name)) continue;
    const single = name as SingleHeader;
    if (values[single] === undefined) values[single] = rawHeaders[index + 1] as string;
    else if (!REPEATABLE.has(name)) return fault('request_ambiguous', `the header ${written} stands twice`);
  }
  if (head.httpVersion !== '1.1' && head.httpVersion !== '1.0') {
    return fault('request_malformed', `HTTP version ${head.httpVersion} is not served`);
  }
  if (values.host === undefined && head.httpVersion === '1.1') {
    return fault('request_malformed', 'the header Host is missing');
  }
  const framing = checkFraming(head, values);
  if (framing !== null) return framing;
  const target = originForm(head.method, head.url, values.host);
  if (typeof target !== 'string') return { kind: 'fault', refusal: target };

  const length = values['content-length'];
  const contentLength = length === undefined ? null : Number(length);
  return {
    kind: 'ok',
    method: head.method,
    target,
    host: values.host ?? null,
    origin: values.origin ?? null,
    fetchSite: values['sec-fetch-site'] ?? null,
    contentType: values['content-type'] ?? null,
    authorization: values.authorization ?? null,
    apiKey: values['x-api-key'] ?? null,
    requestId: values['x-request-id'] ?? null,
    modelHeader: values['x-model'] ?? null,
    upgrade: values.upgrade ?? null,
    queueTimeout: values['x-queue-timeout'] ?? null,
    progress: values['x-progress'] ?? null,
    accept: values.accept ?? null,
    contentLength,
    hasBody: values['transfer-encoding'] !== undefined || (contentLength !== null && contentLength > 0),
    expectsContinue: values.expect !== undefined,
  };
}

function checkFraming(head: RawHead, values: Partial<Record<SingleHeader, string>>): HeadCheck | null {
  const coding = values['transfer-encoding'];
  const length = values['content-length'];
  if (coding !== undefined) {
    if (coding.trim().toLowerCase() !== 'chunked') {
      return fault('request_malformed', 'Transfer-Encoding must be exactly `chunked`');
    }
    if (head.httpVersion === '1.0') {
      return fault('request_ambiguous', 'Transfer-Encoding does not exist in HTTP/1.0');
    }
    if (length !== undefined) {
      return fault('request_ambiguous', 'Content-Length and Transfer-Encoding exclude each other');
    }
  }
  if (length !== undefined && !isContentLength(length)) {
    return fault('request_malformed', 'Content-Length must be a whole number');
  }
  if (BODYLESS_METHODS.has(head.method) && (coding !== undefined || Number(length ?? 0) > 0)) {
    return fault('request_malformed', `${head.method} must not carry a body`);
  }
  const encoding = values['content-encoding'];
  if (encoding !== undefined && encoding !== '' && encoding.toLowerCase() !== 'identity') {
    return {
      kind: 'fault',
      refusal: { code: 'body_encoding', parameters: { encoding: clipped(encoding, ECHO_CHARS_MAX) } },
    };
  }
  const { expect } = values;
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    return {
      kind: 'fault',
      refusal: { code: 'expectation_failed', parameters: { expect: clipped(expect, ECHO_CHARS_MAX) } },
    };
  }
  return null;
}

function isContentLength(text: string): boolean {
  if (text.length === 0 || text.length > 15) return false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}

/** Path and query of the target; an absolute target must name the same host as the Host header. */
function originForm(method: string, url: string, host: string | undefined): string | Refusal {
  for (let at = 0; at < url.length; at++) {
    const code = url.charCodeAt(at);
    if (code <= 0x20 || code >= 0x7f) {
      return malformed('the target holds a space, a control character or one outside ASCII');
    }
    if (code === 0x23) return malformed('the target holds a fragment');
  }
  if (url.charCodeAt(0) === 0x2f) return url;
  // The server as a whole, which only this method asks about.
  if (url === '*' && method === 'OPTIONS') return url;
  const scheme = /^https?:\/\//i.exec(url);
  if (scheme === null) return malformed('the target must begin with a slash');
  const rest = url.slice(scheme[0].length);
  const end = rest.search(/[/?]/);
  const authority = end < 0 ? rest : rest.slice(0, end);
  const path = end < 0 ? '' : rest.slice(end);
  if (authority === '' || authority.includes('@')) return malformed('the target names no plain host');
  if (host !== undefined && host.toLowerCase() !== authority.toLowerCase()) {
    return {
      code: 'request_ambiguous',
      parameters: { detail: 'the target and the Host header name two hosts' },
    };
  }
  return path.startsWith('/') ? path : `/${path}`;
}

/**
 * Refuses content types on routes with a JSON body. Only types that a web page cannot send without asking first are
 * taken, so that no page can use a gateway on its reader's machine.
 */
export function checkContentType(
  contentType: string | null,
  rule: 'json' | 'multipart' | 'any',
): Refusal | null {
  const semicolon = contentType?.indexOf(';') ?? -1;
  const type = (semicolon < 0 ? contentType : contentType?.slice(0, semicolon))?.trim().toLowerCase() ?? '';
  if (TYPE_RULES[rule](type)) return null;
  const expected = rule === 'multipart' ? 'multipart/form-data' : 'application/json';
  return {
    code: 'content_type',
    parameters: { contentType: clipped(contentType ?? '(none)', ECHO_CHARS_MAX), expected },
  };
}

const TYPE_RULES = {
  json: isJsonType,
  multipart: (type: string) => type === 'multipart/form-data',
  /** Bodies that pass unread: whatever a page must ask for, and files, which audio routes need. */
  any: (type: string) => type !== '' && type !== 'text/plain' && type !== 'application/x-www-form-urlencoded',
} as const;

function isJsonType(type: string): boolean {
  return type === 'application/json' || (type.startsWith('application/') && type.endsWith('+json'));
}

function malformed(detail: string): Refusal {
  return { code: 'request_malformed', parameters: { detail } };
}

function fault(code: 'request_malformed' | 'request_ambiguous', detail: string): HeadCheck {
  return { kind: 'fault', refusal: { code, parameters: { detail } } };
}
