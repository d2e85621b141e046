/**
 * Requests to a hub and to the stores that it sends us to.
 *  1. The token, or the endpoint's user, goes to the endpoint's origin and nowhere else.
 *  2. Proxies as configured; redirects are followed here, because of 1.
 *  3. Silence of a server ends in a time limit; what can pass is a PassingError, all else a FetchError that says what to do.
 */
import type { Dispatcher, request as undiciRequest } from 'undici';
import type { HubAccess, ReachableHub } from '../readers/hub-access.ts';
import type { ProxyError } from '../readers/hub-proxy.ts';
import { codeOf, FetchError, PassingError } from './fetch-error.ts';
import { ANSWER_BYTES_MAX, type FetchLimits, REDIRECTS_MAX } from './fetch-limits.ts';
import { untilAborted } from './until-aborted.ts';

export interface OpenAnswer {
  readonly status: number;
  header(name: string): string | null;
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the connection without reading on. */
  discard(): void;
}

export interface OpenOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export interface HubTransport {
  /** An answer with a status below 300 or 416; others are thrown. `what`: for the sentence. */
  open(url: string, what: AskedFor, options: OpenOptions): Promise<OpenAnswer>;
  close(): Promise<void>;
}

/** What is asked for, for the sentence of a failure. */
export interface AskedFor {
  /** Name of the repository; null: the address is not one of a hub. */
  readonly repo: string | null;
  /** File in it. */
  readonly file: string | null;
}

/** Nothing is opened before the first request. */
export function createHubTransport(access: HubAccess, limits: FetchLimits): HubTransport {
  let client: Promise<HubClient> | null = null;
  const ask = async (
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> => {
    client ??= openClient(access, limits);
    const { request, dispatcher } = await client;
    const authorization = authorizationFor(url, access);
    try {
      const answer = request(bare(url), {
        dispatcher,
        signal,
        headers: {
          'accept-encoding': 'identity',
          'user-agent': 'vllm-gateway',
          ...headers,
          ...(authorization === null ? {} : { authorization }),
        },
      });
      // undici itself heeds the signal only once there is a connection.
      return await untilAborted(answer, signal, discard);
    } catch (error) {
      throw connectionError(error, url, signal);
    }
  };
  return {
    async open(address, what, { headers = {}, signal }) {
      let url = addressOf(address);
      for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects += 1) {
        const response = await ask(url, headers, signal);
        const location = headerOf(response, 'location');
        if (response.statusCode < 300 || response.statusCode === 416) return answerOf(response, url, signal);
        discard(response);
        if (location === null || response.statusCode >= 400) throw statusError(response, url, what, access);
        url = addressOf(new URL(location, url).href);
      }
      throw new FetchError(
        'repository_unreachable',
        `${originText(url)} redirects more than ${REDIRECTS_MAX} times`,
        false,
      );
    },
    close: async () => (await client)?.dispatcher.destroy(),
  };
}

interface HubClient {
  readonly request: typeof undiciRequest;
  readonly dispatcher: Dispatcher;
}

async function openClient(access: HubAccess, limits: FetchLimits): Promise<HubClient> {
  const [{ request }, { createProxyDispatcher }] = await Promise.all([
    import('undici'),
    import('../readers/hub-proxy.ts'),
  ]);
  return { request, dispatcher: createProxyDispatcher(access, limits) };
}

/** The `fetch` that the hub's library is given; answers are bounded, and read whole. */
export function asFetch(
  transport: HubTransport,
  what: AskedFor,
  signal: AbortSignal,
  again: <T>(ask: () => Promise<T>) => Promise<T>,
): typeof fetch {
  return (input, init) =>
    again(async () => {
      const url = input instanceof Request ? input.url : String(input);
      const headers = Object.fromEntries(new Headers(init?.headers));
      const answer = await transport.open(url, what, { headers, signal });
      const bytes = await wholeBody(answer, url);
      const link = answer.header('link');
      return new Response(bytes, { status: 200, ...(link === null ? {} : { headers: { link } }) });
    });
}

/** The body of a small answer. */
export async function wholeBody(answer: OpenAnswer, url: string): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body) {
    length += chunk.length;
    if (length > ANSWER_BYTES_MAX)
      throw new FetchError('fetch_failed', `${originText(new URL(url))} sent an answer without end`, false);
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function addressOf(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new FetchError('repository_unreachable', 'a hub redirects to something that is no address', false);
  return url;
}

/** Without user and password, which go into a header of their own. */
function bare(url: URL): URL {
  const plain = new URL(url);
  plain.username = '';
  plain.password = '';
  return plain;
}

function authorizationFor(url: URL, { endpoint, credentials, token }: HubAccess): string | null {
  if (url.username !== '' || url.password !== '')
    return basic(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`);
  if (endpoint === null || url.origin !== new URL(endpoint).origin) return null;
  if (credentials !== null) return `Basic ${credentials}`;
  return token === null ? null : `Bearer ${token}`;
}

function basic(user: string): string {
  return `Basic ${Buffer.from(user).toString('base64')}`;
}

function answerOf(response: Dispatcher.ResponseData, url: URL, signal: AbortSignal): OpenAnswer {
  const body = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of response.body) yield chunk as Uint8Array;
    } catch (error) {
      throw connectionError(error, url, signal);
    }
  };
  return {
    status: response.statusCode,
    header: (name) => headerOf(response, name),
    body: body(),
    discard: () => discard(response),
  };
}

function discard({ body }: Dispatcher.ResponseData): void {
  body.on('error', () => {}).destroy();
}

function headerOf({ headers }: Dispatcher.ResponseData, name: string): string | null {
  const value = headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? null;
}

/** Scheme, host and port: addresses of stores carry signatures in their query. */
export function originText(url: URL): string {
  return url.origin;
}

function connectionError(error: unknown, url: URL, signal: AbortSignal): unknown {
  if (error instanceof FetchError || signal.aborted) return error;
  if (isProxyError(error))
    return error.isPassing
      ? new PassingError(error.message)
      : new FetchError('repository_unreachable', error.message, false);
  const code = codeOf(error);
  const where = originText(url);
  switch (code) {
    case null:
      return error;
    case 'UND_ERR_BODY_TIMEOUT':
      return new PassingError(`${where} stopped sending in the middle of a file`);
    case 'UND_ERR_HEADERS_TIMEOUT':
      return new PassingError(`${where} accepted a request and did not answer`);
    case 'UND_ERR_CONNECT_TIMEOUT':
      return new PassingError(`${where} cannot be reached (no answer to a connection)`);
    // Not by us: our signal is not aborted.
    case 'UND_ERR_ABORTED':
    case 'UND_ERR_SOCKET':
    case 'ECONNRESET':
    case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
      return new PassingError(`${where} broke the connection off`);
    default:
      return new PassingError(`${where} cannot be reached (${code})`);
  }
}

/** By its name: its class comes with undici, which is not loaded for this. */
function isProxyError(error: unknown): error is ProxyError {
  return error instanceof Error && error.name === 'ProxyError';
}

function statusError(
  response: Dispatcher.ResponseData,
  url: URL,
  what: AskedFor,
  access: HubAccess,
): FetchError {
  const status = response.statusCode;
  const where = originText(url);
  const isHub = access.endpoint !== null && url.origin === new URL(access.endpoint).origin;
  if (status === 429 || status === 503) {
    const retryAfterMs =
      retryAfter(headerOf(response, 'retry-after')) ?? windowRest(headerOf(response, 'ratelimit'));
    const word =
      status === 429 ? 'refuses for now, there were too many requests' : 'is not available for now';
    return new PassingError(`${where} ${word} (status ${status})`, retryAfterMs);
  }
  if (status >= 500 || status === 408) return new PassingError(`${where} answered with status ${status}`);
  if (status === 407)
    return new FetchError(
      'repository_unreachable',
      `a proxy on the way to ${where} refused (407): set HTTPS_PROXY or HTTP_PROXY with a user and a password that it takes`,
      false,
    );
  const { repo, file } = what;
  if (repo === null || !isHub) return strangerError(status, where, what);
  if (status === 401 || status === 403) return refusedError(repo, access as ReachableHub, response);
  if (status === 404) {
    const code = headerOf(response, 'x-error-code');
    const missing =
      code === 'RevisionNotFound'
        ? `${repo} has no such revision on ${where}: correct \`--revision\` in extra_args`
        : file !== null && code !== 'RepoNotFound'
          ? `${repo} has no file ${file} on ${where}`
          : `${where} has no model ${repo}: correct its name`;
    return new FetchError('model_not_found', missing, false);
  }
  return new FetchError(
    'repository_unreachable',
    `${where} answered with status ${status} to a request for ${repo}`,
    false,
  );
}

function strangerError(status: number, where: string, { file }: AskedFor): FetchError {
  const name = file ?? 'a file';
  if (status === 401 || status === 403)
    // A store's addresses are signed for a while: a new one is had by asking the hub again.
    return new PassingError(`${where} refuses to give ${name} (status ${status})`);
  return status === 404 || status === 410
    ? new FetchError('model_not_found', `${where} has no ${name} (status ${status})`, false)
    : new FetchError(
        'repository_unreachable',
        `${where} answered with status ${status} to a request for ${name}`,
        false,
      );
}

function refusedError(repo: string, access: ReachableHub, response: Dispatcher.ResponseData): FetchError {
  const { endpoint, credentials, token } = access;
  const page = `${endpoint}/${repo}`;
  const isGated = headerOf(response, 'x-error-code') === 'GatedRepo';
  const remedy =
    credentials !== null
      ? `the user that HF_ENDPOINT names may not read ${repo} on ${endpoint}`
      : token === null
        ? isGated
          ? `${repo} is gated: ask for access at ${page}, then set HF_TOKEN to a token of that account`
          : `${repo} does not exist on ${endpoint}, or is private or gated: correct its name, or ask for access at ${page} and set HF_TOKEN`
        : isGated
          ? `${repo} is gated, and the account of HF_TOKEN has no access: ask for it at ${page}`
          : `the token may not read ${repo} (if it exists): ask for access at ${page}, or set HF_TOKEN to one that may`;
  return new FetchError('gated_repository', remedy, false);
}

/** Seconds, or a date; null: not told or not understood. */
function retryAfter(header: string | null): number | null {
  if (header === null) return null;
  if (/^\d+$/.test(header.trim())) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - Date.now());
}

/** Hugging Face tells the rest of its window in seconds: `"api";r=0;t=55`. */
function windowRest(header: string | null): number | null {
  const match = /;\s*r=0\s*;\s*t=(\d+)/.exec(header ?? '');
  return match === null ? null : Number(match[1]) * 1000;
}
