/**
 * A user of the original puts our image and compose file in place of theirs and changes nothing. The image is built, and the
 * file carried out, for real; simulated are the cards and vLLM.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Container } from 'dockerode';
import OpenAI from 'openai';
import { LAUNCH_ID_LABEL } from '../../src/runtimes/docker/marks.ts';
import { NODE_IMAGE } from '../../tools/docker-lab/images.ts';
import { readOriginalStatus } from '../fixtures/original-status.ts';
import { beginChats, chat, leaveAll } from '../fixtures/requests.ts';
import { openDockerWorld } from './docker-world.ts';
import { ComposeProject, type ComposeSetup, logsOf, stopInOrder } from './drop-in-compose.ts';
import { engineContainers, nodeBeside, shellIn } from './drop-in-containers.ts';
import { gatewayImage } from './drop-in-image.ts';
import { createDropInMachine, giveSocketTo, LARGE, SMALL, VLLM_IMAGE } from './drop-in-machine.ts';
import { relayTo } from './drop-in-relay.ts';

const ROOT = path.dirname(path.dirname(import.meta.dirname));
const HUB = fileURLToPath(new URL('drop-in-hub.fixture.ts', import.meta.url));
const IMAGE = 'vllm-gateway:latest';
const NEXT_IMAGE = 'vllm-gateway:next';
const PORT = 9003;
const SOCKET_GROUP = 998;
const GATEWAY_UID = '9000';
const HTTP_TIMEOUT_SECONDS = 60;
/** Within the context of the model, and for longer than the test of the queue takes. */
const BUSY_TOKENS = 8_000;
const READY_LIMIT_MS = 40_000;
const POLL_MS = 50;
const HUB_REPOSITORY = 'acme/tiny-from-hub';

const MODELS_YAML = `
pools:
  large: [${LARGE}]
  small: [${SMALL}]
defaults:
  gpu_memory_utilization: 0.90
  max_num_seqs: 16
  inactivity_timeout: 1800
models:
  llama:
    repo: meta-llama/Llama-3.1-8B-Instruct
    pool: large
    max_model_len: 8192
    kv_reservation_seqs: 4
    request_defaults:
      temperature: 0.2
  qwen:
    repo: Qwen/Qwen2.5-7B-Instruct
    pool: large
    max_model_len: 4096
    tensor_parallel_size: 1
    dtype: bfloat16
  silent:
    repo: acme/silent
    pool: small
    always_on: false
    # Reads a prompt for longer than GATEWAY_HTTP_TIMEOUT allows.
    extra_args: ["--sim-prefill-tokens-per-second", "0.05"]
`;

const VARIABLES = {
  VLLM_IMAGE,
  NVIDIA_UTILITY_IMAGE: VLLM_IMAGE,
  GATEWAY_MAX_QUEUE_SIZE: '2',
  GATEWAY_MAX_CONCURRENT: '5',
  // Long enough to see it, and less than the test's patience.
  GATEWAY_MIN_RESIDENT_SECONDS: '2',
  GATEWAY_HTTP_TIMEOUT: String(HTTP_TIMEOUT_SECONDS),
};

const measured: string[] = [];
after(() => process.stdout.write(measured.map((line) => `drop-in: ${line}\n`).join('')));

const world = await openDockerWorld();
const built = world === null ? null : await gatewayImage(world, IMAGE);
if (built?.kind === 'unavailable')
  process.stdout.write(`skipped: no image of the gateway: ${built.reason}\n`);
if (built?.kind === 'built') {
  measured.push(
    built.seconds === null ? 'image kept from before' : `image built in ${seconds(built.seconds)}`,
  );
}
const skip = built?.kind === 'built' ? false : 'no Docker here, or no image';

function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}

async function timed<Value>(what: string, work: () => Promise<Value>): Promise<Value> {
  const startMs = performance.now();
  const value = await work();
  measured.push(`${what}: ${seconds((performance.now() - startMs) / 1000)}`);
  return value;
}

async function untilReady(url: string, container: Container): Promise<void> {
  const deadlineMs = performance.now() + READY_LIMIT_MS;
  for (;;) {
    const answer = await fetch(`${url}/ready`).catch(() => null);
    await answer?.arrayBuffer();
    if (answer?.status === 200) return;
    if (performance.now() > deadlineMs) assert.fail(`it is not ready:\n${await logsOf(container)}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** User ids of the processes whose command lines match, without the shell that looks. */
async function usersOf(container: Container, pattern: RegExp): Promise<readonly string[]> {
  const script =
    'for d in /proc/[0-9]*; do echo "$(stat -c %u $d) $(tr "\\000" " " < $d/cmdline)"; done 2>/dev/null';
  const lines = (await shellIn(container, script)).split('\n');
  const users = lines.filter((line) => pattern.test(line)).map((line) => line.split(' ')[0] ?? '');
  return [...new Set(users)];
}

test('models.yaml, compose file, clients: all as they were', { skip }, async (t) => {
  assert.ok(world !== null);
  const { docker, daemon } = world;
  const machine = await createDropInMachine(world, [
    'meta-llama/Llama-3.1-8B-Instruct',
    'Qwen/Qwen2.5-7B-Instruct',
    'acme/silent',
  ]);
  const relay = await relayTo(daemon, PORT);
  t.after(() => relay.close());
  const { url } = relay;
  giveSocketTo(world, SOCKET_GROUP);
  const setup: ComposeSetup = {
    project: 'original',
    directory: machine.projectDirectory('original', MODELS_YAML),
    variables: { ...VARIABLES, HOST_CACHE_DIR: machine.cacheDirectory },
    socketPath: daemon.socketPath,
  };
  const project = new ComposeProject(docker, setup);
  const [network = ''] = project.networkNames;
  let gateway = await timed('up to ready', async () => {
    const container = await project.up();
    await untilReady(url, container);
    return container;
  });
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 120_000 });
  const ask = async (model: string): Promise<string | null> => {
    const { data, response } = await client.chat.completions
      .create({ model, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 8 })
      .withResponse();
    assert.equal(data.model, model);
    assert.equal(data.usage?.completion_tokens, 8);
    assert.equal(response.headers.get('x-queue-depth'), '0');
    return response.headers.get('x-load');
  };
  const silentStartMs = performance.now();
  const silent = client.chat.completions
    .create({ model: 'silent', messages: [{ role: 'user', content: 'Hello' }] })
    .then(
      () => assert.fail('the silent engine answered'),
      (error: unknown) => ({ error, afterMs: performance.now() - silentStartMs }),
    );
  silent.catch(() => undefined);

  await t.test('cold, warm, streaming, five in parallel, a second model, the first again', async () => {
    await timed('cold first request', () => ask('llama'));
    assert.equal(await timed('warm request', () => ask('llama')), 'hot');
    const stream = await client.chat.completions.create({
      model: 'llama',
      messages: [{ role: 'user', content: 'Tell me more' }],
      max_tokens: 20,
      stream: true,
    });
    let chunks = 0;
    let ending: string | null = null;
    for await (const chunk of stream) {
      chunks += 1;
      ending = chunk.choices[0]?.finish_reason ?? ending;
    }
    assert.ok(chunks > 5 && ending !== null, `${chunks} chunks, ${ending}`);
    assert.deepEqual(
      await Promise.all(Array.from({ length: 5 }, () => ask('llama'))),
      Array.from({ length: 5 }, () => 'hot'),
    );
    await timed('swap to a second model', () => ask('qwen'));
    await timed('swap back to the first', () => ask('llama'));
  });

  await t.test('GET /v1/models and GET /gateway/status, as its clients read them', async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.deepEqual(ids, ['llama', 'qwen', 'silent']);
    const status = await readOriginalStatus(url);
    assert.deepEqual(status.pools, { large: [LARGE], small: [SMALL] });
    assert.equal(status.total_gpu_vram_mib, 24_564 + 12_282);
    assert.equal(status.placement_mode, 'whole_card');
    const { llama } = status.active_containers;
    assert.equal(llama?.status, 'running');
    assert.deepEqual(llama.gpu_uuids, [LARGE]);
    const names = (await engineContainers(world)).map(({ Name }) => Name.slice(1));
    assert.ok(names.includes(llama.container_name), `${llama.container_name} is none of ${names.join()}`);
  });

  await t.test('engines have the prefix, labels and exactly their card', async () => {
    for (const { Name, Config, HostConfig } of await engineContainers(world)) {
      assert.match(Name, /^\/vllm_server_(llama|qwen|silent)_/);
      for (const label of [LAUNCH_ID_LABEL, 'vllm-gateway.state-id', 'vllm-gateway.model'])
        assert.ok(Config.Labels[label], label);
      const card = Name.includes('_silent_') ? SMALL : LARGE;
      assert.deepEqual(
        HostConfig.DeviceRequests?.map(({ Driver, DeviceIDs }) => [Driver, DeviceIDs]),
        [['nvidia', [card]]],
      );
    }
    for (const { device, usedMib } of machine.ledger.read()) assert.ok(usedMib > 0, device.id);
  });

  await t.test('a full queue answers 429 with its headers and keys', async () => {
    const busy = beginChats(5, url, 'llama', { tokens: BUSY_TOKENS, stream: true });
    const depths = async (): Promise<string> => {
      const { active_containers: active, queue_status: queues } = await readOriginalStatus(url);
      const { active_requests: running } = active['llama'] as unknown as { readonly active_requests: number };
      return `${running} ${queues['llama']?.queue_depth}`;
    };
    const untilDepths = async (expected: string): Promise<void> => {
      const deadlineMs = performance.now() + READY_LIMIT_MS;
      for (let seen = ''; seen !== expected; seen = await depths())
        assert.ok(performance.now() < deadlineMs, `running and waiting: ${seen}`);
    };
    await untilDepths('5 0');
    const waiting = beginChats(2, url, 'llama');
    await untilDepths('5 2');
    const { status, headers, text } = await chat(url, 'llama');
    assert.equal(status, 429, text);
    assert.equal(headers.get('x-queue-depth'), '2');
    assert.equal(headers.get('x-queue-max-size'), '2');
    assert.ok(Number(headers.get('retry-after')) >= 1);
    const body = JSON.parse(text) as Readonly<Record<string, unknown>>;
    for (const key of ['error', 'details', 'queue_depth', 'max_queue_size', 'retry_after_seconds'])
      assert.ok(key in body, `${key} in ${text}`);
    await leaveAll([...busy, ...waiting]);
    await untilDepths('0 0');
  });

  await t.test('docker logs has the lines of the original and the warning of the open address', async () => {
    const log = await logsOf(gateway);
    for (const line of [
      'Gateway Configuration: MAX_QUEUE_SIZE=2, MAX_CONCURRENT=5, MAX_MODELS_CONCURRENT=3',
      'HTTP Client Pool: max_connections=15, max_keepalive_connections=15',
      'Everybody who reaches 0.0.0.0:9000 may use the models',
      'Engines run in containers of unix:///var/run/docker.sock',
    ])
      assert.ok(log.includes(line), `${line}\n${log}`);
    // The cache is read from, also by the user that is not root.
    assert.ok(!/cannot be computed/.test(log), log);
    // The engines' own memory is nobody else's, though the gateway cannot know the numbers of their processes.
    assert.ok(!/may be reserved now/.test(log), log);
  });

  await t.test('tini is the first process, the gateway has no root user', async () => {
    assert.equal((await shellIn(gateway, 'cat /proc/1/comm')).trim(), 'tini');
    assert.deepEqual(await usersOf(gateway, /vllm-gateway\.mjs|cli\/main\.js/), [GATEWAY_UID]);
  });

  await t.test('a sibling reaches the gateway by its names, and no engine', async () => {
    const engines = await engineContainers(world);
    const addresses = engines.flatMap(({ NetworkSettings }) =>
      Object.values(NetworkSettings.Networks).map(({ IPAddress }) => IPAddress),
    );
    const urls = [
      'http://vllm_gateway:9000/v1/models',
      'http://gateway:9000/v1/models',
      'http://vllm_gateway:9000/collective_rpc',
      ...addresses
        .filter((address) => address !== '')
        .flatMap((address) => [`http://${address}:8000/collective_rpc`]),
    ];
    const script = `for (const url of ${JSON.stringify(urls)}) {
      const method = url.endsWith('rpc') ? 'POST' : 'GET';
      const body = method === 'POST' ? JSON.stringify({ method: 'reload_weights' }) : undefined;
      const answer = await fetch(url, { method, body, signal: AbortSignal.timeout(3000) }).then((r) => r.status, () => 'closed');
      console.log(answer);
    }`;
    const output = (await nodeBeside(world, network, script)).trim().split('\n');
    assert.deepEqual(output.slice(0, 2), ['200', '200']);
    assert.match(output[2] ?? '', /^40[34]$/);
    assert.ok(addresses.length > 0);
    for (const answer of output.slice(3)) assert.equal(answer, 'closed');
    // State 0A is listening; Docker's own resolver listens on 127.0.0.11.
    for (const { Id } of engines) {
      const listening = await shellIn(docker.getContainer(Id), 'cat /proc/net/tcp /proc/net/tcp6');
      const lines = listening.split('\n').filter((line) => / 0A /.test(line) && !line.includes('0B00007F'));
      assert.deepEqual(lines, []);
    }
  });

  await t.test('GATEWAY_HTTP_TIMEOUT ends a request to a silent engine', async () => {
    const { error, afterMs } = await silent;
    assert.ok(error instanceof OpenAI.APIError, String(error));
    assert.deepEqual([error.status, error.code], [504, 'engine_timeout']);
    assert.ok(afterMs >= HTTP_TIMEOUT_SECONDS * 1000, seconds(afterMs / 1000));
    measured.push(`silent engine given up after ${seconds(afterMs / 1000)} (its start included)`);
  });

  const idsOf = async (): Promise<readonly string[]> => (await engineContainers(world)).map(({ Id }) => Id);
  const firstHot = async (): Promise<void> => {
    await untilReady(url, gateway);
    assert.equal(await ask('llama'), 'hot', await logsOf(gateway));
  };

  await t.test('a restart and a new version keep the engines, and the next request is hot', async () => {
    const before = await idsOf();
    assert.ok(before.length > 0);
    await timed('docker restart to the first hot answer', async () => {
      await stopInOrder(gateway);
      await gateway.start();
      await firstHot();
    });
    assert.deepEqual(await idsOf(), before);
    await docker.getImage(IMAGE).tag({ repo: 'vllm-gateway', tag: 'next' });
    const updated = new ComposeProject(docker, {
      ...setup,
      variables: { ...setup.variables, VLLM_GATEWAY_IMAGE: NEXT_IMAGE },
    });
    const old = gateway.id;
    await timed('a new version to the first hot answer', async () => {
      gateway = await updated.up();
      await firstHot();
    });
    assert.notEqual(gateway.id, old);
    assert.equal((await gateway.inspect()).Config.Image, NEXT_IMAGE);
    assert.deepEqual(await idsOf(), before);
  });

  await t.test('engines stop after the gateway, and nothing is left', async () => {
    await timed('docker stop', () => stopInOrder(gateway));
    assert.ok((await idsOf()).length > 0);
    const { code, output } = await project.run(['engines', 'stop']);
    assert.equal(code, 0, output);
    assert.deepEqual(await idsOf(), []);
    for (const { usedMib } of machine.ledger.read()) assert.equal(usedMib, 0);
    await project.down();
    assert.deepEqual(await docker.listContainers({ all: true }), []);
    const networks = (await docker.listNetworks()).map(({ Name }) => Name);
    assert.deepEqual(networks.toSorted(), ['bridge', 'host', 'none']);
    const { Volumes } = await docker.listVolumes();
    const volumes = Volumes.map(({ Name }) => Name).toSorted();
    assert.deepEqual(volumes, [...project.volumeNames, 'vllm-gateway-compile-cache'].toSorted());
  });
});

test('ALLOWED_MODELS_JSON alone, a socket of root’s group, a model that is fetched', { skip }, async (t) => {
  assert.ok(world !== null);
  const { docker, daemon } = world;
  const machine = await createDropInMachine(world, []);
  const relay = await relayTo(daemon, PORT);
  t.after(() => relay.close());
  giveSocketTo(world, 0);
  const project = new ComposeProject(docker, {
    project: 'json',
    directory: machine.projectDirectory('json', null),
    variables: {
      VLLM_IMAGE,
      ALLOWED_MODELS_JSON: JSON.stringify({ tiny: HUB_REPOSITORY }),
      GATEWAY_GPU_UUID: SMALL,
      HOST_CACHE_DIR: machine.cacheDirectory,
    },
    socketPath: daemon.socketPath,
    environment: { HF_ENDPOINT: 'http://hub:8080' },
  });
  const gateway = await project.up();
  const [network = ''] = project.networkNames;
  const hub = await docker.createContainer({
    Image: NODE_IMAGE,
    Cmd: ['node', HUB, HUB_REPOSITORY],
    HostConfig: { Binds: [`${ROOT}:${ROOT}:ro`], NetworkMode: network, Init: true },
    NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: ['hub'] } } },
  });
  await hub.start();
  await untilReady(relay.url, gateway);

  const answer = await timed('fetched and started', () => chat(relay.url, 'tiny'));
  assert.equal(answer.status, 200, answer.text);
  const fetched = path.join(machine.cacheDirectory, 'hub', `models--${HUB_REPOSITORY.replace('/', '--')}`);
  assert.ok(readdirSync(fetched).includes('snapshots'));
  const [engine] = await engineContainers(world);
  assert.deepEqual(engine?.HostConfig.DeviceRequests?.[0]?.DeviceIDs, [SMALL]);
  assert.ok(engine.Config.Env.includes('HF_HUB_OFFLINE=1'));
  assert.deepEqual((await readOriginalStatus(relay.url)).pools, { default: [SMALL] });
  assert.match(await logsOf(gateway), /the Docker socket belongs to the group root; running as root/);
  assert.equal((await shellIn(gateway, 'cat /proc/1/comm')).trim(), 'tini');
  assert.deepEqual(await usersOf(gateway, /vllm-gateway\.mjs|cli\/main\.js/), ['0']);

  await hub.remove({ force: true });
  await stopInOrder(gateway);
  assert.equal((await project.run(['engines', 'stop'])).code, 0);
  await project.down();
  assert.deepEqual(await docker.listContainers({ all: true }), []);
});
