/**
 * The way to a hub through the configured proxies. A proxy that refuses, or that is not there, is told as itself: the hub
 * has done nothing wrong then, and undici's own error reads as if we had given up.
 */
import { type Dispatcher, EnvHttpProxyAgent, Pool } from 'undici';
import type { HubAccess } from './hub-access.ts';

export interface ProxyTimes {
  /** Longest wait for a connection. */
  readonly connectTimeoutMs: number;
  /** Longest silence before the head of an answer and between bytes; the proxy's own answer included. */
  readonly stallTimeoutMs: number;
}

export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  /** What it answered; null: nothing. */
  readonly status: number | null;

  constructor(text: string, status: number | null, options?: ErrorOptions) {
    super(text, options);
    this.status = status;
  }

  /** Whether another try may help: everything but a refusal. */
  get isPassing(): boolean {
    const { status } = this;
    return status === null || status >= 500 || status === 408 || status === 429;
  }
}

/** Requests through it reject with a ProxyError where the proxy is what fails. */
export function createProxyDispatcher(access: HubAccess, times: ProxyTimes): Dispatcher {
  return new EnvHttpProxyAgent({
    httpProxy: access.httpProxy ?? '',
    httpsProxy: access.httpsProxy ?? '',
    noProxy: access.noProxy ?? '',
    connect: { timeout: times.connectTimeoutMs },
    proxyTls: { timeout: times.connectTimeoutMs },
    headersTimeout: times.stallTimeoutMs,
    bodyTimeout: times.stallTimeoutMs,
    clientFactory: (origin, options) =>
      new ProxyPool(origin, { ...options, headersTimeout: times.stallTimeoutMs }),
  });
}

type ConnectOptions = Omit<Dispatcher.ConnectOptions, 'origin'>;
type ConnectCallback = (error: Error | null, data: Dispatcher.ConnectData) => void;

/** Connections to a proxy. It is asked by CONNECT alone, also for plain http. */
class ProxyPool extends Pool {
  readonly #proxy: string;

  constructor(proxy: URL, options: Pool.Options) {
    super(proxy, options);
    // User and password stay out of sentences.
    this.#proxy = `${proxy.protocol}//${proxy.host}`;
  }

  override connect(options: ConnectOptions): Promise<Dispatcher.ConnectData>;
  override connect(options: ConnectOptions, callback: ConnectCallback): void;
  override connect(
    options: ConnectOptions,
    callback?: ConnectCallback,
  ): Promise<Dispatcher.ConnectData> | undefined {
    if (callback === undefined) return this.#connect(options);
    super.connect(options, callback);
    return undefined;
  }

  async #connect(options: ConnectOptions): Promise<Dispatcher.ConnectData> {
    let answer: Dispatcher.ConnectData;
    try {
      answer = await super.connect(options);
    } catch (error) {
      throw new ProxyError(this.#silentText(error), null, { cause: error });
    }
    const { statusCode, socket } = answer;
    if (statusCode === 200) return answer;
    socket.on('error', () => {}).destroy();
    throw new ProxyError(this.#refusedText(statusCode, options.path), statusCode);
  }

  #silentText(error: unknown): string {
    const code = error instanceof Error && 'code' in error ? String(error.code) : null;
    switch (code) {
      case 'UND_ERR_CONNECT_TIMEOUT':
        return `the proxy ${this.#proxy} cannot be reached (no answer to a connection)`;
      case 'UND_ERR_HEADERS_TIMEOUT':
        return `the proxy ${this.#proxy} accepted a request and did not answer`;
      case 'UND_ERR_SOCKET':
      case 'ECONNRESET':
        return `the proxy ${this.#proxy} broke the connection off`;
      default:
        return `the proxy ${this.#proxy} cannot be reached (${code ?? String(error)})`;
    }
  }

  #refusedText(status: number, target: string): string {
    if (status === 407)
      return `the proxy ${this.#proxy} refused (407): it asks for a user and a password, or for others; write them into its address (HTTPS_PROXY, HTTP_PROXY)`;
    return status >= 500
      ? `the proxy ${this.#proxy} has no connection to ${target} (${status})`
      : `the proxy ${this.#proxy} refused to connect to ${target} (${status})`;
  }
}
