import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDockerConnection, parseDockerHost, withSignal } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import { cgroupPaths } from './host-processes.ts';
import { withTag } from './image-pull.ts';
import { createPullProgress } from './pull-progress.ts';
import { credentialsFor, registryOf } from './registry-credentials.ts';

test('addresses of Docker', () => {
  const table = [
    ['unix:///var/run/docker.sock', { kind: 'unix', path: '/var/run/docker.sock' }],
    ['tcp://127.0.0.1:2375', { kind: 'tcp', host: '127.0.0.1', port: 2375, isLoopback: true }],
    ['tcp://docker-proxy', { kind: 'tcp', host: 'docker-proxy', port: 2375, isLoopback: false }],
    ['tcp://[::1]:99', { kind: 'tcp', host: '::1', port: 99, isLoopback: true }],
  ] as const;
  for (const [text, value] of table) assert.deepEqual(parseDockerHost(text), { ok: true, value });
  for (const text of ['', 'unix://a', 'ssh://host', '/var/run/docker.sock', 'tcp://']) {
    assert.ok(!parseDockerHost(text).ok, text);
  }
});

for (const [what, answer] of [
  ['is not given', () => undefined],
  [
    'breaks off within its body',
    (response: ServerResponse) => {
      response.writeHead(200, { 'content-length': 1_000 });
      response.write('{"Id":', () => response.destroy());
    },
  ],
] as const) {
  test(`a call ends at its limit when its answer ${what}`, async (t) => {
    const server = createServer((_request, response) => answer(response));
    const listening = once(server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    await listening;
    const { port } = server.address() as AddressInfo;
    const opened = await openDockerConnection(`tcp://127.0.0.1:${port}`, {});
    assert.ok(opened.ok);
    const { docker, call } = opened.value;
    const calls = [
      // The library gives this one's signal to nobody.
      call((abortSignal) => docker.getImage('a').inspect(withSignal({}, abortSignal)), 100),
      call((abortSignal) => docker.getContainer('a').inspect({ abortSignal }), 100),
    ];
    for (const ended of await Promise.allSettled(calls)) {
      assert.equal(ended.status, 'rejected');
      const { status, text, isUnreachable } = faultOf(ended.reason);
      assert.deepEqual([status, text, isUnreachable], [null, 'no answer in time', true]);
    }
  });
}

test('an image without a tag is the latest one', () => {
  assert.deepEqual(['a', 'a:1', 'host:5000/a', 'a@sha256:0'].map(withTag), [
    'a:latest',
    'a:1',
    'host:5000/a:latest',
    'a@sha256:0',
  ]);
});

test('a login is found by its registry', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  t.after(() => rm(directory, { recursive: true }));
  const auth = Buffer.from('me:pass:word').toString('base64');
  await writeFile(join(directory, 'config.json'), JSON.stringify({ auths: { 'ghcr.io': { auth } } }));
  const environment = { DOCKER_CONFIG: directory };
  assert.deepEqual(await credentialsFor('ghcr.io/a/b:1', environment), {
    username: 'me',
    password: 'pass:word',
    serveraddress: 'ghcr.io',
  });
  assert.equal(await credentialsFor('a/b', environment), undefined);
  assert.equal(await credentialsFor('a/b', { DOCKER_CONFIG: join(directory, 'none') }), undefined);
  assert.equal(registryOf('localhost/a'), 'localhost');
});

test('progress counts bytes once and layers when they are complete', () => {
  const progress = createPullProgress();
  assert.equal(progress.bytesTotal(), null);
  const take = (id: string, status: string, current?: number, total?: number): void =>
    progress.take({ id, status, ...(total === undefined ? {} : { progressDetail: { current, total } }) });
  progress.take({ status: 'Pulling from library/a', id: 'latest' });
  take('a', 'Downloading', 5, 10);
  take('b', 'Already exists');
  take('a', 'Extracting', 3, 10);
  assert.deepEqual([progress.bytesDone(), progress.bytesTotal()], [5, 10]);
  take('a', 'Pull complete');
  assert.deepEqual([progress.bytesDone(), progress.bytesTotal()], [10, 10]);
  assert.match(progress.text(), /^2 of 2 layers/);
});

test('a container’s processes are looked up in each hierarchy that names it', () => {
  const id = 'a'.repeat(64);
  assert.deepEqual(cgroupPaths(`0::/system.slice/docker-${id}.scope\n`, id), [
    `/sys/fs/cgroup/system.slice/docker-${id}.scope`,
  ]);
  assert.deepEqual(cgroupPaths(`5:memory:/docker/${id}\n1:name=systemd:/docker/${id}\n`, id), [
    `/sys/fs/cgroup/memory/docker/${id}`,
    `/sys/fs/cgroup/systemd/docker/${id}`,
  ]);
  assert.deepEqual(cgroupPaths(`0::/../${id}\n4:cpu:/docker/other\n`, id), []);
});
