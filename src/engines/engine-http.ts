/**
 * Control calls to an engine: probes, sleep, wake, metrics. Every call has a connection of its own, so that a call that
 * hangs holds no place in the pool of requests and can be ended at any moment, also while it is still connecting.
 */
import { Client } from 'undici';
import type { EngineHttp, ListenAddress } from './engine.ts';

/** The largest honest answer is a hub's model list. */
const CONTROL_BODY_BYTES_MAX = 4 * 1024 * 1024;

export type ControlAddress = ListenAddress | { readonly kind: 'url'; readonly baseUrl: string };

/**
 * `headers` go with every call (a foreign server's Authorization). `request` throws on everything that is not an HTTP
 * answer: refused, reset, later than `timeoutMs`, aborted, a body beyond the limit.
 */
export function createEngineHttp(
  address: ControlAddress,
  headers: Readonly<Record<string, string>> = {},
): EngineHttp {
  const { origin, prefix, socketPath } = targetOf(address);
  return {
    async request({ method, path, body, timeoutMs, signal }) {
      if (signal?.aborted === true) throw new Error('aborted');
      const client = new Client(origin, {
        pipelining: 0,
        connect: { timeout: timeoutMs, ...(socketPath === null ? {} : { socketPath }) },
        // The one limit below covers the whole call.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      const end = (reason: string): void => {
        client.destroy(new Error(reason)).catch(() => undefined);
      };
      const timer = setTimeout(() => end(`no answer within ${timeoutMs} ms`), timeoutMs);
      const onAbort = (): void => end('aborted');
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        const answer = await client.request({
          method,
          path: prefix + path,
          headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
          ...(body === undefined ? {} : { body }),
        });
        return { status: answer.statusCode, body: await boundedText(answer.body) };
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        end('finished');
      }
    },
  };
}

function targetOf(address: ControlAddress): {
  readonly origin: string;
  readonly prefix: string;
  readonly socketPath: string | null;
} {
  switch (address.kind) {
    case 'unix':
      return { origin: 'http://localhost', prefix: '', socketPath: address.socketPath };
    case 'tcp':
      return { origin: `http://${address.host}:${address.port}`, prefix: '', socketPath: null };
    case 'url': {
      const url = new URL(address.baseUrl);
      return { origin: url.origin, prefix: url.pathname.replace(/\/+$/, ''), socketPath: null };
    }
  }
}

async function boundedText(body: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    if (!(chunk instanceof Uint8Array)) continue;
    bytes += chunk.length;
    if (bytes > CONTROL_BODY_BYTES_MAX) throw new Error(`answer larger than ${CONTROL_BODY_BYTES_MAX} bytes`);
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks).toString('utf8');
}
