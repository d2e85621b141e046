/** Addresses of the front: IPv6, Unix sockets with what earlier programs left, HTTPS with files that change. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, rename, rm, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request as plainRequest } from 'node:http';
import { connect as connectPlain, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { TlsFiles } from '../../src/http/tls-files.ts';
import { clearStaleSocket, SocketFault } from '../../src/http/unix-socket.ts';
import { until } from '../fixtures/gateway.ts';
import { MODEL, startFixture } from './front-fixture.ts';

const CERT = fileURLToPath(new URL('../fixtures/tls/localhost.crt', import.meta.url));
const KEY = fileURLToPath(new URL('../fixtures/tls/localhost.key', import.meta.url));
const LOOK_MS = 20;

async function place(context: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-listen-'));
  context.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += chunk;
  return text;
}

function ask(options: object, body = JSON.stringify({ model: MODEL })): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = plainRequest(
      {
        method: 'POST',
        path: '/v1/chat/completions',
        headers: { 'content-type': 'application/json' },
        agent: false,
        ...options,
      },
      resolve,
    );
    request.once('error', reject);
    request.end(body);
  });
}

test('IPv6, alone and with IPv4 on one address', async (context) => {
  const { front, engine, ended } = await startFixture(context);
  const alone = await front.listen('::1', 0).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRNOTAVAIL' && error.code !== 'EAFNOSUPPORT') throw error;
    return null;
  });
  if (alone === null) return context.skip('this machine has no IPv6');
  assert.equal((await ask({ host: '::1', port: alone.port })).statusCode, 200);
  const both = await front.listen('::', 0);
  for (const host of ['::1', '127.0.0.1'])
    assert.equal((await ask({ host, port: both.port })).statusCode, 200, host);
  assert.deepEqual(
    engine.requests.map(({ headers }) => headers.get('x-forwarded-for')),
    ['::1', '::1', '127.0.0.1'],
  );
  assert.deepEqual(
    (await ended(3)).map(({ clientAddress }) => clientAddress),
    ['::1', '::1', '127.0.0.1'],
  );
});

test('a Unix socket serves as the port does, for its owner and group, and goes with the gateway', async (context) => {
  const { front, engine, ended } = await startFixture(context);
  const socketPath = join(await place(context), 'g.sock');
  await front.listenOnSocket(socketPath);
  assert.equal((await stat(socketPath)).mode & 0o777, 0o660);
  const answer = await ask({ socketPath });
  assert.equal(answer.statusCode, 200);
  assert.equal(await textOf(answer), '{"ok":true}');
  assert.equal(engine.requests[0]?.headers.get('x-forwarded-for'), 'unix');
  assert.equal((await ended(1))[0]?.clientAddress, null);
  await front.close();
  await assert.rejects(stat(socketPath), /ENOENT/);
});

test('the socket of a dead program is replaced, that of a living one is not, and no other file is', async (context) => {
  const directory = await place(context);
  const stale = join(directory, 'stale.sock');
  // A program that dies leaves its file: the link stays when the server takes its own name away.
  const dead = createServer().listen(join(directory, 'dead.sock'));
  await once(dead, 'listening');
  execFileSync('ln', [join(directory, 'dead.sock'), stale]);
  dead.close();
  await once(dead, 'close');
  assert.ok((await stat(stale)).isSocket());
  const { front } = await startFixture(context);
  await front.listenOnSocket(stale);
  assert.equal((await ask({ socketPath: stale })).statusCode, 200);
  const second = await startFixture(context);
  await assert.rejects(second.front.listenOnSocket(stale), (error: Error) => {
    assert.ok(error instanceof SocketFault);
    assert.match(error.message, /another program serves on .*stale\.sock; end it, or choose another path/);
    return true;
  });
  assert.equal((await ask({ socketPath: stale })).statusCode, 200, 'the living one goes on');
  const file = join(directory, 'file');
  await writeFile(file, '');
  await assert.rejects(clearStaleSocket(file), /is no socket; take it away/);
  await assert.rejects(clearStaleSocket(join(directory, 'x'.repeat(120))), /too long for a Unix socket/);
  await assert.rejects(
    front.listenOnSocket(join(directory, 'no', 'g.sock')),
    /failed \(\w+\); its directory must exist/,
  );
  await clearStaleSocket(join(directory, 'nothing.sock'));
});

interface TlsPlace {
  readonly certFile: string;
  readonly keyFile: string;
}

async function tlsPlace(context: TestContext): Promise<TlsPlace> {
  const directory = await place(context);
  const files = { certFile: join(directory, 'c.pem'), keyFile: join(directory, 'k.pem') };
  await copyFile(CERT, files.certFile);
  await copyFile(KEY, files.keyFile);
  return files;
}

/** A new pair beside the old one; null where no openssl is installed. */
function newPair(directory: string): TlsPlace | null {
  const files = { certFile: join(directory, 'new-c.pem'), keyFile: join(directory, 'new-k.pem') };
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  try {
    execFileSync(
      'openssl',
      [...args, '-days', '30', '-subj', '/CN=renewed', '-keyout', files.keyFile, '-out', files.certFile],
      { stdio: 'ignore' },
    );
  } catch {
    return null;
  }
  return files;
}

async function open(port: number, options: object = {}): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

async function subject(port: number): Promise<string> {
  const socket = await open(port);
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}

test('HTTPS: HTTP/1.1 by ALPN, TLS 1.2 at least, and requests as elsewhere', async (context) => {
  const { front, engine, ended } = await startFixture(context);
  const tls = await TlsFiles.open(await tlsPlace(context));
  assert.ok(tls.ok);
  const { port } = await front.listen('127.0.0.1', 0, tls.value);
  const socket = await open(port, { ALPNProtocols: ['h2', 'http/1.1'] });
  assert.equal(socket.alpnProtocol, 'http/1.1');
  const body = JSON.stringify({ model: MODEL });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 200 .*"ok":true/s);
  assert.equal(engine.requests[0]?.headers.get('x-forwarded-proto'), 'https');
  assert.equal((await ended(1))[0]?.clientAddress, '127.0.0.1');
  socket.destroy();
  await assert.rejects(open(port, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1' }));
  // A handshake that never ends keeps nobody from ending.
  const silent = connectPlain(port, '127.0.0.1');
  silent.on('error', () => {});
  await once(silent, 'connect');
  const silentEnds = once(silent, 'close');
  await front.close();
  await silentEnds;
});

test('a certificate that is replaced serves new connections; one that cannot be used changes nothing', async (context) => {
  const files = await tlsPlace(context);
  const { front, notices } = await startFixture(context, { tlsLookMs: LOOK_MS });
  const tls = await TlsFiles.open(files);
  assert.ok(tls.ok);
  const { port } = await front.listen('127.0.0.1', 0, tls.value);
  const first = await subject(port);
  const fresh = newPair(join(files.certFile, '..'));
  if (fresh === null) return context.skip('openssl is not installed');

  await writeFile(`${files.certFile}.part`, 'rubbish');
  await rename(`${files.certFile}.part`, files.certFile);
  await until('the warning', () =>
    notices.some((text) => /cannot be used: server\.tls_cert: .*PEM/.test(text)),
  );
  assert.equal(await subject(port), first);

  await copyFile(fresh.certFile, files.certFile);
  await until('the warning of the pair', () =>
    notices.some((text) => /is not the one of the cert/.test(text)),
  );
  assert.equal(await subject(port), first);

  await rename(fresh.keyFile, files.keyFile);
  await until('the renewal', () => notices.includes('the certificate was renewed'));
  assert.equal(await subject(port), 'renewed');
  assert.equal(notices.length, 3, 'each change is told once');

  // As certbot and Kubernetes do: the name is a link that is set anew.
  const links = { cert: `${files.certFile}.link`, key: `${files.keyFile}.link` };
  await copyFile(CERT, links.cert);
  await copyFile(KEY, links.key);
  await Promise.all([unlink(files.certFile), unlink(files.keyFile)]);
  await Promise.all([symlink(links.cert, files.certFile), symlink(links.key, files.keyFile)]);
  await until('the old one is back', async () => (await subject(port)) === first);
});

test('pairs that cannot be used are told apart', async (context) => {
  const { certFile, keyFile } = await tlsPlace(context);
  const opened = async (names: TlsPlace): Promise<string> => {
    const tls = await TlsFiles.open(names);
    return tls.ok ? 'opened' : tls.error;
  };
  assert.equal(await opened({ certFile, keyFile }), 'opened');
  assert.match(
    await opened({ certFile: `${certFile}x`, keyFile }),
    /^server\.tls_cert: .* cannot be read \(ENOENT\)/,
  );
  assert.match(
    await opened({ certFile, keyFile: `${keyFile}x` }),
    /^server\.tls_key: .* cannot be read \(ENOENT\)/,
  );
  assert.match(
    await opened({ certFile: keyFile, keyFile }),
    /^server\.tls_cert: .*no certificate that can be used/,
  );
  assert.match(
    await opened({ certFile, keyFile: certFile }),
    /^server\.tls_key: .*no private key that can be used/,
  );
  const locked = `${keyFile}.locked`;
  await writeFile(
    locked,
    '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n',
  );
  assert.match(await opened({ certFile, keyFile: locked }), /passphrase/);
  const fresh = newPair(join(certFile, '..'));
  if (fresh === null) return context.skip('openssl is not installed');
  assert.match(await opened({ certFile, keyFile: fresh.keyFile }), /is not the one of the certificate/);
});
