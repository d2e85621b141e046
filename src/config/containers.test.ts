/** Where engines run, and what a configuration for containers may say. */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatFault } from './fault.ts';
import { BARE_HOST } from './fault-fixtures.ts';
import { gatherHostFacts, type HostFacts } from './host-facts.ts';
import { type LoadOptions, loadConfig } from './load.ts';
import type { ResolvedConfig } from './resolved-config.ts';

const ONE = { models: { m: { repo: 'r' } } };
const DOCKER_HOST: HostFacts = { dockerSocket: 'usable', isContainer: true };
const ORIGINAL = { GATEWAY_MAX_CONCURRENT: '50' };

async function load(options: Partial<LoadOptions>): Promise<ResolvedConfig> {
  const loaded = await loadConfig({ object: ONE, environment: {}, host: DOCKER_HOST, ...options });
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.error.map(formatFault).join('\n'));
  return loaded.value;
}

async function faults(object: object, host: HostFacts = DOCKER_HOST): Promise<readonly string[]> {
  const loaded = await loadConfig({ object, environment: {}, host });
  return loaded.ok ? [] : loaded.error.map((one) => formatFault(one).replace(/^configuration: /, ''));
}

const KINDS: readonly (readonly [string, Partial<LoadOptions>, string])[] = [
  ['the original with a socket', { environment: ORIGINAL }, 'docker'],
  ['the original without one', { environment: ORIGINAL, host: BARE_HOST }, 'process'],
  [
    'the original where the socket is forbidden',
    { environment: ORIGINAL, host: { dockerSocket: 'forbidden', isContainer: true } },
    'process',
  ],
  ['anybody else with a socket', { environment: { VLLM_IMAGE: 'x' } }, 'process'],
  [
    'a word for processes',
    { environment: ORIGINAL, object: { ...ONE, runtime: { kind: 'process' } } },
    'process',
  ],
  ['a word for containers', { object: { ...ONE, runtime: { kind: 'docker' } }, host: BARE_HOST }, 'docker'],
  ['the demonstration', { environment: ORIGINAL, object: undefined }, 'process'],
];

for (const [name, options, kind] of KINDS) {
  test(`engines of ${name} run as ${kind}`, async () => {
    assert.equal((await load(options)).runtime.kind, kind);
  });
}

test('a kind that nobody chose is said, and how to choose another', async () => {
  const chosen = (await load({ environment: ORIGINAL })).notices.filter(({ level }) => level === 'info');
  assert.deepEqual(
    chosen.map(({ text }) => text),
    [
      "Engines run in containers of unix:///var/run/docker.sock, as the original gateway's did; `runtime: {kind: process}` in the configuration file runs them beside the gateway.",
    ],
  );
  const host: HostFacts = { dockerSocket: 'forbidden', isContainer: true };
  const forbidden = (await load({ environment: ORIGINAL, host })).notices.map(({ text }) => text);
  assert.ok(forbidden.some((text) => /may not use the Docker socket.*group/.test(text)));
  const said = await load({ environment: ORIGINAL, object: { ...ONE, runtime: { kind: 'process' } } });
  assert.ok(said.notices.every(({ text }) => !/containers|socket/.test(text)));
});

test("the original's variables set the keys of containers", async () => {
  const { runtime } = await load({
    environment: {
      ...ORIGINAL,
      GATEWAY_CONTAINER_NAME: 'vllm_gateway',
      DOCKER_NETWORK_NAME: 'vllm_network',
      VLLM_CONTAINER_PREFIX: 'vllm_server_a',
      VLLM_IMAGE: 'vllm/vllm-openai:v0.10.2',
      VLLM_PORT: '8001',
      NVIDIA_UTILITY_IMAGE: 'nvidia/cuda:12.1.0-base-ubuntu22.04',
      HOST_CACHE_DIR: '/srv/huggingface',
      DOCKER_HOST: 'tcp://127.0.0.1:2375',
    },
  });
  const { docker } = runtime;
  assert.deepEqual(
    [docker.gatewayContainer, docker.network, docker.containerPrefix, docker.image, docker.port],
    ['vllm_gateway', 'vllm_network', 'vllm_server_a', 'vllm/vllm-openai:v0.10.2', 8001],
  );
  assert.deepEqual(
    [docker.utilityImage, docker.huggingFaceCache, docker.host],
    ['nvidia/cuda:12.1.0-base-ubuntu22.04', '/srv/huggingface', 'tcp://127.0.0.1:2375'],
  );
  const inFile = await load({
    environment: { ...ORIGINAL, VLLM_IMAGE: 'env', VLLM_PORT: '1' },
    object: { ...ONE, runtime: { docker: { image: 'file' } } },
  });
  assert.deepEqual([inFile.runtime.docker.image, inFile.runtime.docker.port], ['file', 1], 'key by key');
});

test('keys of containers', async () => {
  const { runtime, models } = await load({
    object: {
      defaults: { download_timeout: '2h' },
      models: {
        m: { repo: 'r', image: 'own:1', fetch: false },
        sim: { url: 'http://h:1' },
      },
      runtime: {
        kind: 'docker',
        docker: {
          shm_size_mib: '1GiB',
          user: 1000,
          volumes: ['/models:/models:ro', 'cache:/c', '/x:/y:rw'],
          reach: 'port',
        },
      },
      activity: { enabled: false, rows_max: 5, days_max: 1 },
    },
  });
  const { docker, activity } = runtime;
  assert.deepEqual([docker.shmBytes, docker.user, docker.reach], [1024 ** 3, '1000', 'port']);
  assert.deepEqual(docker.volumes, ['/models:/models:ro', 'cache:/c', '/x:/y:rw']);
  assert.equal(docker.utilityImage, 'vllm/vllm-openai:latest', 'the image of engines has nvidia-smi too');
  assert.deepEqual(activity, { enabled: false, rowsMax: 5, daysMax: 1 });
  const model = models.get('m');
  assert.deepEqual([model?.image, model?.fetch, model?.downloadTimeoutMs], ['own:1', false, 7_200_000]);
});

test('only what has files of its own is fetched', async () => {
  const { models } = await load({
    host: BARE_HOST,
    object: {
      models: {
        vllm: { repo: 'r' },
        sim: { repo: 'r', engine: 'simulated' },
        wanted: { repo: 'r', engine: 'simulated', fetch: true },
        command: { command: ['x', '{port}'] },
        away: { url: 'http://h:1' },
      },
    },
  });
  const fetched = [...models.values()].filter((model) => model.fetch).map(({ name }) => name);
  assert.deepEqual(fetched, ['vllm', 'wanted']);
});

const docker = (keys: object, models: object = ONE.models) => ({
  models,
  runtime: { kind: 'docker', docker: keys },
});

test('images are named as Docker takes them', async () => {
  const digest = `sha256:${'0a'.repeat(32)}`;
  const names = [
    'own',
    'own:1',
    'vllm/vllm-openai:v0.32.0',
    'localhost:5000/a/b_c__d-e.f',
    'Host.example/a',
    digest,
  ];
  for (const image of [...names, `ghcr.io/a/b:V1.0_x@${digest}`, '[::1]:5000/a'])
    assert.deepEqual(await faults(docker({ image })), [], image);
});

const FAULTS: readonly (readonly [string, object, RegExp])[] = [
  [
    'a user by name',
    docker({ user: 'root' }),
    /^runtime\.docker\.user: not acceptable; found "root"; allowed: a user id/,
  ],
  [
    'a mount without a target',
    docker({ volumes: ['/models'] }),
    /^runtime\.docker\.volumes\[0\]: not acceptable.*source:\/target/,
  ],
  ['a mount of a relative path', docker({ volumes: ['./m:/m'] }), /^runtime\.docker\.volumes\[0\]: /],
  ['a mount with an unknown mode', docker({ volumes: ['/m:/m:rx'] }), /^runtime\.docker\.volumes\[0\]: /],
  [
    'an image in capitals',
    docker({ image: 'UPPER case' }),
    /^runtime\.docker\.image: not acceptable; found "UPPER case"; allowed: the name of an image, such as/,
  ],
  ['an image with an empty tag', docker({ utility_image: 'a/b:' }), /^runtime\.docker\.utility_image: /],
  ["a model's image in capitals", docker({}, { m: { repo: 'r', image: 'Own:1' } }), /^models\.m\.image: /],
  ['a port that is none', docker({ port: 0 }), /^runtime\.docker\.port: not acceptable; found 0/],
  [
    'a Docker engine by SSH',
    docker({ host: 'ssh://me@there' }),
    /^runtime\.docker\.host: .*allowed: `unix:\/\/\/path` or `tcp:/,
  ],
  [
    'a relative cache',
    docker({ hugging_face_cache: './cache' }),
    /^runtime\.docker\.hugging_face_cache: .*found "\.\/cache"/,
  ],
  [
    'a simulated model',
    docker({}, { m: { engine: 'simulated' } }),
    /^models\.m\.engine: simulated models run beside.*`engine: vllm` with an `image`/,
  ],
  [
    'a command without an image',
    docker({}, { m: { command: ['x', '{port}'] } }),
    /^models\.m\.command: .*needs an `image`/,
  ],
  [
    'an image of a server elsewhere',
    docker({}, { m: { url: 'http://h:1', image: 'x' } }),
    /^models\.m\.image: `image` has no meaning with `url`/,
  ],
];

for (const [name, object, expected] of FAULTS) {
  test(`containers: refuses ${name}`, async () => {
    const [first = '', ...others] = await faults(object);
    assert.match(first, expected);
    assert.deepEqual(others, []);
  });
}

test('what only containers forbid is no fault for processes', async () => {
  const runtime = { docker: { host: 'ssh://me@there', hugging_face_cache: './c', reach: 'network' } };
  assert.deepEqual(await faults({ models: { m: { engine: 'simulated' } }, runtime }), []);
  assert.deepEqual(await faults(docker({}, { m: { command: ['x', '{port}'], image: 'i' } })), []);
});

test('an internal network needs the gateway in a container', async () => {
  const object = docker({ reach: 'network' });
  const outside: HostFacts = { dockerSocket: 'usable', isContainer: false };
  assert.match(
    (await faults(object, outside)).join(),
    /runtime\.docker\.reach: .*needs the gateway itself in a container/,
  );
  assert.deepEqual(await faults(object), []);
  assert.deepEqual(await faults(docker({ reach: 'network', gateway_container: 'us' }), outside), []);
});

test('the socket is looked for where DOCKER_HOST says', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-docker-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'docker.sock');
  const socketOf = async (host: string) => (await gatherHostFacts({ DOCKER_HOST: host })).dockerSocket;
  assert.equal(await socketOf(`unix://${path}`), 'absent');
  const server = createServer().listen(path);
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  assert.equal(await socketOf(`unix://${path}`), 'usable');
  assert.equal(await socketOf('tcp://127.0.0.1:1'), 'usable');
  assert.equal(await socketOf('ssh://there'), 'absent');
  if (process.getuid?.() === 0) return;
  await chmod(path, 0o000);
  assert.equal(await socketOf(`unix://${path}`), 'forbidden');
});
