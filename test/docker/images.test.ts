/** Images that are pulled, and the ways in which that fails. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openDockerConnection } from '../../src/runtimes/docker/connection.ts';
import { createImages } from '../../src/runtimes/docker/images.ts';
import type { Preparation, Runtime } from '../../src/runtimes/runtime.ts';
import type { DockerWorld } from './docker-world.ts';
import { openDockerWorld, temporaryDirectory } from './docker-world.ts';
import { openGateway } from './gateway-options.ts';

const REGISTRY = fileURLToPath(new URL('registry.fixture.ts', import.meta.url));

const world = await openDockerWorld();
const registry = world === null ? '' : await startRegistry(world);

async function startRegistry({ daemon }: DockerWorld): Promise<string> {
  const [file, args] = daemon.inside([process.execPath, REGISTRY]);
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  after(() => child.kill('SIGKILL'));
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return `127.0.0.1:${String(port).trim()}`;
}

interface Prepared {
  readonly result: Preparation;
  readonly logged: readonly string[];
}

function pulling(title: string, body: (bench: Bench, t: TestContext) => Promise<void>): void {
  test(title, { skip: world === null ? 'no Docker here' : false }, async (t) => {
    assert.ok(world !== null);
    const logged: string[] = [];
    const runtime = await openGateway({
      host: world.daemon.host,
      stateId: 'images',
      directory: temporaryDirectory(),
      config: { pull: 'missing' },
      logged,
    });
    t.after(() => runtime.close());
    const prepare: Bench['prepare'] = async (image, signal = new AbortController().signal) => ({
      result: await runtime.prepare(image, { signal, onProgress: () => undefined }),
      logged,
    });
    await body({ runtime, prepare }, t);
  });
}

interface Bench {
  readonly runtime: Runtime;
  prepare(image: string, signal?: AbortSignal): Promise<Prepared>;
}

pulling('an image is pulled once for all who wait for it', async ({ prepare }, t) => {
  assert.ok(world !== null);
  const image = `${registry}/good:1`;
  t.after(() => world.docker.getImage(image).remove());
  const [first, second] = await Promise.all([prepare(image), prepare(image)]);
  assert.deepEqual([first.result, second.result], [{ kind: 'ready' }, { kind: 'ready' }]);
  assert.equal(first.logged.filter((line) => line.includes('pulling image')).length, 1);
  assert.ok(
    first.logged.some((line) => /is there: 1 of 1 layers/.test(line)),
    first.logged.join('\n'),
  );
});

pulling('an unknown image is told as that', async ({ prepare }) => {
  const { result } = await prepare(`${registry}/unknown:1`);
  assert.ok(result.kind === 'failed' && result.cause === 'image_missing');
  assert.match(result.detail, /unknown:1 is not known to its registry .*check its name and tag/);
});

pulling('an image that wants a login is told as that', async ({ prepare }) => {
  const { result } = await prepare(`${registry}/private:1`);
  assert.ok(result.kind === 'failed' && result.cause === 'image_missing');
  assert.match(result.detail, new RegExp(`may not read it .*docker login ${registry}`));
});

pulling('a registry that cannot be reached is told as that', async ({ prepare }) => {
  const { result } = await prepare('127.0.0.1:9/any/thing');
  assert.ok(result.kind === 'failed' && result.cause === 'image_missing');
  assert.match(result.detail, /its registry cannot be reached .*refused/);
});

pulling('a pull that nobody waits for any more is given up', async ({ prepare }) => {
  const first = new AbortController();
  const second = new AbortController();
  const image = `${registry}/slow:1`;
  const both = Promise.all([prepare(image, first.signal), prepare(image, second.signal)]);
  first.abort();
  second.abort();
  for (const { result } of await both) {
    assert.ok(result.kind === 'failed');
    assert.match(result.detail, /not wanted any more|given up/);
  }
});

test('a disk without room is told as that', async (t) => {
  const directory = temporaryDirectory();
  const socketPath = join(directory, 'api.sock');
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      response.writeHead(404).end('{"message":"No such image: big:1"}');
      return;
    }
    response.write('{"status":"Downloading","id":"a","progressDetail":{"current":1,"total":9}}\n');
    const message = 'write /var/lib/docker/tmp/x: no space left on device';
    response.end(`${JSON.stringify({ errorDetail: { message }, error: message })}\n`);
  });
  server.listen(socketPath);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    rmSync(socketPath, { force: true });
  });
  const connection = await openDockerConnection(`unix://${socketPath}`, {});
  assert.ok(connection.ok);
  const seen: (readonly [number, number | null])[] = [];
  const images = createImages(connection.value, 'missing', {}, new AbortController().signal, () => undefined);
  const result = await images.prepare('big:1', {
    signal: new AbortController().signal,
    onProgress: (done, total) => void seen.push([done, total]),
  });
  assert.ok(result.kind === 'failed' && result.cause === 'resources');
  assert.match(result.detail, /does not fit on the disk of Docker's host .*docker system df/);
  assert.deepEqual(seen[0], [1, 9]);
});
