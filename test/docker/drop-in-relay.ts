/**
 * Ways between our network and that of the tests' Docker, which is one of its own: to a port there, and from there to the
 * registry of npm packages, for a build.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createNetServer } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Daemon } from '../../tools/docker-lab/daemon.ts';

const RELAY = fileURLToPath(new URL('drop-in-relay.fixture.ts', import.meta.url));

export interface Relay {
  /** On our own loopback. */
  readonly url: string;
  close(): void;
}

let serial = 0;

/** Leads to a port on the loopback of Docker's host. */
export async function relayTo(daemon: Daemon, port: number): Promise<Relay> {
  serial += 1;
  const socketPath = path.join(daemon.root, `relay-${serial}.sock`);
  const closeFar = await startRelay(daemon, `unix:${socketPath}`, `tcp:127.0.0.1:${port}`);
  const near = createNetServer((client) => {
    const far = connect(socketPath);
    client.pipe(far).pipe(client);
    far.once('error', () => client.destroy()).once('close', () => client.destroy());
    client.once('error', () => far.destroy()).once('close', () => far.destroy());
  });
  near.listen(0, '127.0.0.1');
  await once(near, 'listening');
  return {
    url: `http://127.0.0.1:${(near.address() as AddressInfo).port}`,
    close() {
      near.close();
      closeFar();
    },
  };
}

export interface RegistryProxy {
  /** For HTTPS_PROXY, on the loopback of Docker's host. */
  readonly url: string;
  close(): void;
}

const PROXY_PORT = 3128;

/** A proxy that goes to one host and to no other. */
export async function proxyTo(daemon: Daemon, registry: URL): Promise<RegistryProxy> {
  const socketPath = path.join(daemon.root, 'proxy.sock');
  const port = Number(registry.port || 443);
  const proxy = createServer((_, response) => void response.writeHead(403).end());
  proxy.on('connect', (request, near, head) => {
    if (request.url !== `${registry.hostname}:${port}`) {
      near.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      return;
    }
    const far = connect(port, registry.hostname, () => {
      near.write('HTTP/1.1 200 OK\r\n\r\n');
      far.write(head);
      near.pipe(far).pipe(near);
    });
    far.once('error', () => near.destroy()).once('close', () => near.destroy());
    near.once('error', () => far.destroy()).once('close', () => far.destroy());
  });
  proxy.listen(socketPath);
  await once(proxy, 'listening');
  chmodSync(socketPath, 0o600);
  const closeRelay = await startRelay(daemon, `tcp:127.0.0.1:${PROXY_PORT}`, `unix:${socketPath}`);
  return {
    url: `http://127.0.0.1:${PROXY_PORT}`,
    close() {
      closeRelay();
      proxy.close();
      proxy.closeAllConnections();
    },
  };
}

async function startRelay(daemon: Daemon, from: string, to: string): Promise<() => void> {
  const [file, args] = daemon.inside([process.execPath, RELAY, from, to]);
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`no relay from ${from} to ${to}`);
  });
  await Promise.race([once(child.stdout, 'data'), ended]);
  ended.catch(() => undefined);
  return () => void child.kill('SIGKILL');
}
