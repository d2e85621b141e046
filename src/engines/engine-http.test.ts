import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { createEngineHttp } from './engine-http.ts';

async function serve(t: TestContext, listener: RequestListener, path?: string): Promise<Server> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, '127.0.0.1', resolve);
    else server.listen(path, resolve);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

test('a call over a Unix socket carries method, path, body and headers', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  t.after(() => rm(directory, { recursive: true }));
  const socketPath = join(directory, 's');
  await serve(
    t,
    (request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += String(chunk);
      });
      request.on('end', () => {
        response.statusCode = 202;
        response.end(
          `${request.method} ${request.url} ${body} ${request.headers['content-type']} ${request.headers.authorization}`,
        );
      });
    },
    socketPath,
  );
  const http = createEngineHttp({ kind: 'unix', socketPath }, { authorization: 'Bearer x' });
  const answer = await http.request({ method: 'POST', path: '/sleep?level=1', body: '{}', timeoutMs: 5000 });
  assert.deepEqual(answer, { status: 202, body: 'POST /sleep?level=1 {} application/json Bearer x' });
});

test('a base URL keeps its path in front', async (t) => {
  const server = await serve(t, (request, response) => response.end(request.url));
  const baseUrl = `http://127.0.0.1:${portOf(server)}/llm/`;
  const http = createEngineHttp({ kind: 'url', baseUrl });
  const answer = await http.request({ method: 'GET', path: '/v1/models', timeoutMs: 5000 });
  assert.equal(answer.body, '/llm/v1/models');
});

test('a call ends at its time limit, before and in the middle of an answer', async (t) => {
  const server = await serve(t, (request, response) => {
    if (request.url === '/half') {
      response.writeHead(200, { 'content-length': '10' });
      response.write('half');
    }
  });
  const http = createEngineHttp({ kind: 'tcp', host: '127.0.0.1', port: portOf(server) });
  await assert.rejects(
    http.request({ method: 'GET', path: '/none', timeoutMs: 40 }),
    /no answer within 40 ms/,
  );
  await assert.rejects(
    http.request({ method: 'GET', path: '/half', timeoutMs: 40 }),
    /no answer within 40 ms/,
  );
});

test('an abort ends a call', async (t) => {
  const abort = new AbortController();
  const server = await serve(t, () => abort.abort());
  const http = createEngineHttp({ kind: 'tcp', host: '127.0.0.1', port: portOf(server) });
  const call = http.request({ method: 'GET', path: '/', timeoutMs: 60_000, signal: abort.signal });
  await assert.rejects(call, /aborted/);
});

test('nobody there: the call fails', async () => {
  const http = createEngineHttp({ kind: 'unix', socketPath: join(tmpdir(), 'vg-nobody.sock') });
  await assert.rejects(http.request({ method: 'GET', path: '/', timeoutMs: 5000 }), /ENOENT/);
});

test('an endless answer is refused', async (t) => {
  const server = await serve(t, (_request, response) => {
    const block = Buffer.alloc(256 * 1024);
    const more = (): void => {
      while (!response.destroyed && response.write(block));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  });
  const http = createEngineHttp({ kind: 'tcp', host: '127.0.0.1', port: portOf(server) });
  await assert.rejects(http.request({ method: 'GET', path: '/', timeoutMs: 30_000 }), /answer larger than/);
});
