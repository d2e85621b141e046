/**
 * Which web pages of other origins may use the gateway (`server.cors_origins`). Off unless origins are configured.
 *
 * 1. An origin is allowed only when it is spelled exactly as in the configuration: never `*`, never a pattern, never with
 *    credentials (cookies mean nothing here, and keys are sent in headers).
 * 2. Every answer says `Vary: Origin`, so that no cache hands one page's answer to another.
 * 3. An engine's own headers of this kind never pass (hop-headers.ts).
 */

/** Headers of ours, and those that clients read to wait, that a page may see. */
const EXPOSED_HEADERS = [
  'X-Request-Id',
  'X-Model',
  'X-Load',
  'X-Queue-Wait-Ms',
  'X-Queue-Depth',
  'X-Queue-Max-Size',
  'Retry-After',
  'X-Should-Retry',
].join(', ');

/** How long a browser may keep a preflight's answer; none of them keeps it longer than two hours. */
const PREFLIGHT_AGE_S = 7200;
/** Longest list of header names that a preflight's answer repeats. */
const ASKED_HEADERS_CHARS_MAX = 4096;
const HEADER_NAMES = /^[\w!#$%&'*+.^`|~-]+( *, *[\w!#$%&'*+.^`|~-]+)*$/;

const NO_HEADERS: readonly string[] = [];
const OTHER_ORIGIN: readonly string[] = ['vary', 'Origin'];

export interface CorsPolicy {
  isAllowed(origin: string): boolean;
  /** For any answer: a flat list with lower-case names, made once for each origin. */
  headersFor(origin: string | null): readonly string[];
  /**
   * What an answer to OPTIONS says beside `headersFor`: empty unless it is a preflight of an allowed origin.
   * `methods` is a list as in `Allow`.
   */
  preflightHeaders(rawHeaders: readonly string[], methods: string): readonly string[];
}

/** Null for no origins: nothing is said about them at all. */
export function createCorsPolicy(origins: readonly string[]): CorsPolicy | null {
  if (origins.length === 0) return null;
  const known = new Map(
    origins.map((origin): [string, readonly string[]] => [
      origin,
      [
        ...OTHER_ORIGIN,
        'access-control-allow-origin',
        origin,
        'access-control-expose-headers',
        EXPOSED_HEADERS,
      ],
    ]),
  );
  return {
    isAllowed: (origin) => known.has(origin),
    headersFor: (origin) => (origin === null ? OTHER_ORIGIN : (known.get(origin) ?? OTHER_ORIGIN)),
    preflightHeaders(rawHeaders, methods) {
      const origin = headerOf(rawHeaders, 'origin');
      if (origin === null || !known.has(origin)) return NO_HEADERS;
      if (headerOf(rawHeaders, 'access-control-request-method') === null) return NO_HEADERS;
      const answer = ['access-control-allow-methods', methods];
      const asked = headerOf(rawHeaders, 'access-control-request-headers')?.trim() ?? '';
      if (asked.length <= ASKED_HEADERS_CHARS_MAX && HEADER_NAMES.test(asked)) {
        answer.push('access-control-allow-headers', asked);
      }
      answer.push('access-control-max-age', String(PREFLIGHT_AGE_S));
      return answer;
    },
  };
}

/** The first value of a header by its lower-case name. */
export function headerOf(rawHeaders: readonly string[], wanted: string): string | null {
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    if (rawHeaders[index]?.toLowerCase() === wanted) return rawHeaders[index + 1] ?? null;
  }
  return null;
}
