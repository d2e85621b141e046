/** The engine API of one Docker daemon. The client library is loaded here, on first use, and nowhere else. */
import { readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type Docker from 'dockerode';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';
import { faultOf } from './docker-fault.ts';

/** Longest a call may take that the daemon answers from what it knows. */
const CALL_LIMIT_MS = 30_000;

/** Where the daemon listens, as `DOCKER_HOST` says it. */
export type DockerAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly isLoopback: boolean };

export interface DockerConnection {
  readonly docker: Docker;
  readonly address: DockerAddress;
  /** As configured, for people. */
  readonly host: string;
  /** One call with a limit, also where the daemon dies within its answer: the signal goes into its options. Rejects as dockerode does. */
  call<T>(body: (abortSignal: AbortSignal) => Promise<T>, limitMs?: number): Promise<T>;
}

/** `unix:///path`, `tcp://host:port`, `http://host:port`. The error is a sentence. */
export function parseDockerHost(text: string): Result<DockerAddress, string> {
  if (text.startsWith('unix://')) {
    const path = text.slice('unix://'.length);
    return path.startsWith('/')
      ? success({ kind: 'unix', path })
      : failure(`${text} names no absolute path: write unix:///var/run/docker.sock`);
  }
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['tcp:', 'http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    return failure(`${text} is not an address of Docker: write unix:///path or tcp://host:port`);
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? (url.protocol === 'https:' ? 2376 : 2375) : Number(url.port);
  const isLoopback = host === 'localhost' || host === '::1' || host.startsWith('127.');
  return success({ kind: 'tcp', host, port, isLoopback });
}

/** Connects to nothing yet. */
export async function openDockerConnection(
  host: string,
  environment: NodeJS.ProcessEnv,
): Promise<Result<DockerConnection, string>> {
  const address = parseDockerHost(host);
  if (!address.ok) return address;
  const { default: Client } = await import('dockerode');
  try {
    const docker = new Client(clientOptions(address.value, environment));
    return success({
      docker,
      address: address.value,
      host,
      call: (body, limitMs = CALL_LIMIT_MS) => inTime(body, limitMs),
    });
  } catch (error) {
    return failure(`Docker at ${host} cannot be used: ${faultOf(error).text}`);
  }
}

/**
 * The library does not keep the limit by itself: some of its calls know no signal, and an answer that breaks off in its middle
 * ends none of them. A stream that is the answer ends by the signal.
 */
async function inTime<T>(body: (abortSignal: AbortSignal) => Promise<T>, limitMs: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new DOMException(`no answer within ${limitMs} ms`, 'TimeoutError')),
    limitMs,
  );
  try {
    return await Promise.race([body(AbortSignal.timeout(limitMs)), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Every key is given, because the library fills what is missing from DOCKER_HOST. */
function clientOptions(
  address: DockerAddress,
  environment: NodeJS.ProcessEnv,
): Docker.DockerOptions & { readonly agent: HttpAgent } {
  // A kept connection to a daemon that has restarted fails the next call for nothing.
  if (address.kind === 'unix') {
    return {
      host: undefined,
      port: undefined,
      protocol: 'http',
      socketPath: address.path,
      agent: new HttpAgent({ keepAlive: false }),
    };
  }
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  const { port } = address;
  if (environment.DOCKER_TLS_VERIFY !== '1' && port !== 2376) {
    return { host, port, protocol: 'http', agent: new HttpAgent({ keepAlive: false }) };
  }
  const certificates = environment.DOCKER_CERT_PATH ?? join(homedir(), '.docker');
  const [ca, cert, key] = ['ca.pem', 'cert.pem', 'key.pem'].map((name) =>
    readFileSync(join(certificates, name), 'utf8'),
  );
  const tls = { ca, cert, key };
  return { host, port, protocol: 'https', ...tls, agent: new HttpsAgent({ keepAlive: false, ...tls }) };
}

/** The library takes a signal with every call; some of its types do not know it. */
export function withSignal<T extends object>(options: T, abortSignal: AbortSignal): T {
  return { ...options, abortSignal };
}

/** `GET /info`. */
export async function daemonInfo({ docker, call }: DockerConnection): Promise<unknown> {
  const info = docker.info.bind(docker) as (options: object) => Promise<unknown>;
  return await call((abortSignal) => info({ abortSignal }));
}

/** Rejects where the daemon does not answer within the limit. */
export async function pingDaemon({ docker, call }: DockerConnection, limitMs: number): Promise<void> {
  const ping = docker.ping.bind(docker) as (options: object) => Promise<unknown>;
  await call((abortSignal) => ping({ abortSignal }), limitMs);
}
