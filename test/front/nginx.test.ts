/** A default nginx in front: `proxy_pass` and nothing else. Skipped where none is installed. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '../fixtures/gateway.ts';
import { MODEL, startFixture } from './front-fixture.ts';

const isInstalled = spawnSync('nginx', ['-v']).status === 0;

/** Resolves with the Unix socket that nginx listens on. */
async function startNginx(context: TestContext, gatewayPort: number): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-nginx-'));
  const socketPath = join(directory, 'n.sock');
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  );
  await writeFile(
    join(directory, 'nginx.conf'),
    `daemon off; master_process off; pid ${directory}/pid; error_log ${directory}/error.log;
events {}
http { access_log off; ${paths.join(' ')}
  server { listen unix:${socketPath}; location / { proxy_pass http://127.0.0.1:${gatewayPort}; } } }
`,
  );
  const child = spawn('nginx', ['-c', join(directory, 'nginx.conf'), '-p', directory], { stdio: 'ignore' });
  context.after(async () => {
    child.kill();
    await rm(directory, { recursive: true, force: true });
  });
  await until('nginx listens', () => existsSync(socketPath));
  return socketPath;
}

test('streams pass a default nginx piece by piece, and a client that leaves is noticed', {
  skip: isInstalled ? false : 'nginx is not installed (apt-get install nginx-light)',
}, async (context) => {
  const { port, engine, ended } = await startFixture(context, { server: { trustedHops: 1 } });
  const socketPath = await startNginx(context, port);
  engine.behaviour = (got) => got.startEvents().chunk('data: 1\n\n');
  let received = '';
  const asked = request({
    socketPath,
    method: 'POST',
    path: '/v1/chat/completions',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': '2.2.2.2' },
    agent: false,
  });
  asked.on('error', () => {});
  asked.on('response', (answer) => {
    answer.on('error', () => {});
    answer.setEncoding('utf8').on('data', (text: string) => {
      received += text;
    });
  });
  asked.end(JSON.stringify({ model: MODEL, stream: true }));
  // The engine sends on only once the client has what it sent before: a proxy that held it back would wait for ever.
  const got = await engine.request(0);
  await until('the first piece', () => received === 'data: 1\n\n');
  got.chunk('data: 2\n\n');
  await until('the second piece', () => received === 'data: 1\n\ndata: 2\n\n');
  asked.destroy();
  await got.closed;
  assert.equal((await ended(1))[0]?.outcome, 'client_left');
});
