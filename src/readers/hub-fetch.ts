/**
 * The fetch that the hub's libraries are given instead of their own.
 *  1. Proxies as configured; the token, or the endpoint's user, goes to the endpoint's origin and nowhere else (redirects to a
 *     store lose it).
 *  2. One time limit for the whole reading; a stalled answer runs into it.
 *  3. Every answer is bounded: by the range that was asked for, or by RESPONSE_BYTES_MAX.
 *  4. Whatever is not a success is a ReadError that says what to do.
 */
import { fetch as undiciFetch } from 'undici';
import type { ReachableHub } from './hub-access.ts';
import { createProxyDispatcher, ProxyError } from './hub-proxy.ts';
import { TEXT_BYTES_MAX } from './model-files.ts';
import { ReadError } from './read-fault.ts';

/** The limit of the whole reading is shorter as a rule. */
const HUB_TIMES = { connectTimeoutMs: 10_000, stallTimeoutMs: 300_000 };

export interface HubFetch {
  readonly fetch: typeof fetch;
  /** Has it given any whole answer yet? A refusal is one. */
  readonly answered: () => boolean;
  /** Ends the connections. */
  close(): Promise<void>;
}

export function createHubFetch(access: ReachableHub, repo: string, signal: AbortSignal): HubFetch {
  const dispatcher = createProxyDispatcher(access, HUB_TIMES);
  const { origin } = new URL(access.endpoint);
  const authorization = authorizationOf(access);
  let answered = false;
  const boundedFetch: typeof fetch = async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    const headers = new Headers(init?.headers);
    if (authorization !== null && new URL(url).origin === origin) headers.set('authorization', authorization);
    const response = await undiciFetch(url, {
      method: init?.method ?? 'GET',
      headers: [...headers],
      signal,
      dispatcher,
    }).catch((error: unknown) => {
      throw unreachable(error, access, signal);
    });
    if (!response.ok) {
      answered = true;
      await response.body?.cancel();
      throw statusError(response.status, response.headers.get('x-error-code'), repo, access);
    }
    const range = askedRange(headers.get('range'));
    if (range !== null && response.status !== 206) {
      await response.body?.cancel();
      throw new ReadError(
        'malformed',
        `${origin} does not serve parts of files, and whole ones are not read`,
      );
    }
    const bytes = await boundedBody(response.body, range ?? TEXT_BYTES_MAX, access, signal);
    answered = true;
    return new Response(bytes, { status: response.status, headers: [...response.headers] });
  };
  return { fetch: boundedFetch, answered: () => answered, close: () => dispatcher.destroy() };
}

function authorizationOf({ credentials, token }: ReachableHub): string | null {
  if (credentials !== null) return `Basic ${credentials}`;
  return token === null ? null : `Bearer ${token}`;
}

/** Bytes that `bytes=a-b` asks for. */
function askedRange(header: string | null): number | null {
  const match = /^bytes=(\d+)-(\d+)$/.exec(header ?? '');
  return match === null ? null : Number(match[2]) - Number(match[1]) + 1;
}

async function boundedBody(
  body: AsyncIterable<Uint8Array> | null,
  limit: number,
  access: ReachableHub,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of body ?? []) {
      length += chunk.length;
      if (length > limit)
        throw new ReadError(
          'too_large',
          `${access.endpoint} sent more than the ${limit} bytes that were asked for`,
        );
      chunks.push(chunk);
    }
  } catch (error) {
    throw unreachable(error, access, signal);
  }
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

function unreachable(error: unknown, { endpoint }: ReachableHub, signal: AbortSignal): unknown {
  if (error instanceof ReadError) return error;
  if (signal.aborted) return new ReadError('timeout', `${endpoint} did not answer in time`);
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof ProxyError) return new ReadError('unreachable', cause.message);
    if ('code' in cause && typeof cause.code === 'string')
      return new ReadError('unreachable', `${endpoint} cannot be reached (${cause.code})`);
  }
  return error;
}

function statusError(status: number, code: string | null, repo: string, access: ReachableHub): ReadError {
  const { endpoint } = access;
  switch (status) {
    case 401:
    case 403:
      return new ReadError('no_access', refusedText(repo, access));
    case 404:
      return new ReadError(
        'not_found',
        code === 'RevisionNotFound' ? `${repo} has no such revision` : `${endpoint} has no model ${repo}`,
      );
    case 429:
      return new ReadError('rate_limited', `${endpoint} refuses for now, there were too many requests`);
    default:
      return new ReadError('unreachable', `${endpoint} answered with status ${status}`);
  }
}

function refusedText(repo: string, { endpoint, credentials, token }: ReachableHub): string {
  if (credentials !== null) return `the user that HF_ENDPOINT names may not read ${repo} on ${endpoint}`;
  return token === null
    ? `${repo} does not exist on ${endpoint}, or is private or gated: set HF_TOKEN`
    : `the token may not read ${repo} on ${endpoint}: ask for access on the model's page`;
}
