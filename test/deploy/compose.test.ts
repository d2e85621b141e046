/** deploy/docker-compose.yml stands in for the original's: the same names, ports, mounts and variables, and it starts. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parse } from 'yaml';
import { ENVIRONMENT_VARIABLES } from '../../src/config/environment-variables.ts';
import { formatFault } from '../../src/config/fault.ts';
import { loadConfig } from '../../src/config/load.ts';

const DEPLOY = new URL('../../deploy/', import.meta.url);
const textOf = (name: string) => readFile(new URL(name, DEPLOY), 'utf8');

interface Compose {
  readonly networks: Readonly<Record<string, unknown>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly services: Readonly<
    Record<
      string,
      {
        readonly build: { readonly context: string; readonly dockerfile: string };
        readonly container_name: string;
        readonly ports: readonly string[];
        readonly environment: Readonly<Record<string, string>>;
        readonly volumes: readonly string[];
        readonly networks: readonly string[];
        readonly restart: string;
        readonly stop_grace_period: string;
      }
    >
  >;
}

/** `${NAME:-default}`, defaults in defaults included, as compose fills them from `values`. */
function filled(text: string, values: Readonly<Record<string, string>>): string {
  const inner = /\$\{([A-Z0-9_]+):-([^${}]*)\}/;
  let result = text;
  for (let found = inner.exec(result); found !== null; found = inner.exec(result)) {
    const [whole, name = '', otherwise = ''] = found;
    result = result.replace(whole, values[name] || otherwise);
  }
  return result;
}

async function compose(values: Readonly<Record<string, string>> = {}): Promise<Compose> {
  const reviver = (_: unknown, value: unknown) => (typeof value === 'string' ? filled(value, values) : value);
  return parse(await textOf('docker-compose.yml'), reviver) as Compose;
}

async function gateway(values: Readonly<Record<string, string>> = {}) {
  const { services } = await compose(values);
  const service = services['gateway'];
  assert.ok(service !== undefined);
  const environment = Object.fromEntries(
    Object.entries(service.environment).map(([name, value]) => [name, String(value ?? '')]),
  );
  return { ...service, environment };
}

const HOST = { dockerSocket: 'usable', isContainer: true } as const;

test("names, ports, mounts and network are the original's", async () => {
  const whole = await compose();
  const service = await gateway();
  assert.deepEqual(Object.keys(whole.networks), ['vllm_network']);
  assert.equal(service.container_name, 'vllm_gateway');
  assert.deepEqual(service.ports, ['9003:9000']);
  assert.deepEqual(service.networks, ['vllm_network']);
  assert.equal(service.restart, 'unless-stopped');
  assert.deepEqual(service.volumes, [
    '/var/run/docker.sock:/var/run/docker.sock',
    '/root/.cache/huggingface:/root/.cache/huggingface',
    './config:/app/config:ro',
    './data:/app/data',
    'gateway_state:/var/lib/vllm-gateway',
  ]);
});

test('every variable of the original that has an effect is handed on', async () => {
  const { environment } = await gateway();
  // The later name of GATEWAY_HTTP_TIMEOUT is folded into it; Docker is reached by the mounted socket.
  const apart = ['GATEWAY_REQUEST_TIMEOUT', 'DOCKER_HOST'];
  const expected = ENVIRONMENT_VARIABLES.filter((one) => one.ignored === undefined)
    .map(({ name }) => name)
    .filter((name) => !apart.includes(name));
  assert.deepEqual(Object.keys(environment).toSorted(), expected.toSorted());
});

test('with nothing but models it starts as the original did, with the warning of the open address alone', async () => {
  const { environment } = await gateway({ ALLOWED_MODELS_JSON: '{"qwen": "Qwen/Qwen3-8B"}' });
  const loaded = await loadConfig({ environment, host: HOST });
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.error.map(formatFault).join('\n'));
  const { server, runtime, models, notices } = loaded.value;
  assert.deepEqual([server.host, server.port, server.auth], ['0.0.0.0', 9000, 'none']);
  assert.equal(server.engineTimeoutMs, 300_000);
  assert.equal(runtime.kind, 'docker');
  assert.deepEqual(
    [runtime.docker.containerPrefix, runtime.docker.network, runtime.docker.gatewayContainer],
    ['vllm_server', 'vllm_network', 'vllm_gateway'],
  );
  assert.equal(runtime.docker.utilityImage, 'vllm/vllm-openai:latest');
  assert.deepEqual([...models.keys()], ['qwen']);
  const told = notices.map(({ level, text }) => `${level}: ${text.slice(0, 40)}`);
  assert.deepEqual(told, [
    'info: Engines run in containers of unix:///var',
    'warn: Everybody who reaches 0.0.0.0:9000 may u',
  ]);
});

test('both names of the HTTP timeout work, and the later one wins', async () => {
  const timeout = async (values: Record<string, string>) =>
    (await gateway(values)).environment['GATEWAY_HTTP_TIMEOUT'];
  assert.equal(await timeout({ GATEWAY_HTTP_TIMEOUT: '600' }), '600');
  assert.equal(await timeout({ GATEWAY_HTTP_TIMEOUT: '600', GATEWAY_REQUEST_TIMEOUT: '1200' }), '1200');
});

test('without any model the fault says what to mount or set', async () => {
  const { environment } = await gateway();
  const loaded = await loadConfig({ environment, host: HOST });
  assert.ok(!loaded.ok);
  assert.match(
    loaded.error.map(formatFault).join(),
    /models\.yaml: the file does not exist; .*ALLOWED_MODELS_JSON/,
  );
});

test('Docker waits longer than the gateway drains', async () => {
  const { stop_grace_period } = await gateway();
  const loaded = await loadConfig({ object: { models: { m: { repo: 'r' } } }, environment: {} });
  assert.ok(loaded.ok);
  const { shutdownDelayMs, shutdownDrainMs } = loaded.value.server;
  assert.ok(Number.parseInt(stop_grace_period, 10) * 1000 > shutdownDelayMs + shutdownDrainMs);
});

test('.env.example names what the compose file reads, with its defaults', async () => {
  const file = await textOf('docker-compose.yml');
  for (const line of (await textOf('.env.example')).split('\n')) {
    const [, name, value] = /^#?([A-Z][A-Z0-9_]+)=(.*)$/.exec(line) ?? [];
    if (name === undefined) continue;
    assert.ok(file.includes(`\${${name}:-`), `${name} is read`);
    const otherwise = new RegExp(`\\$\\{${name}:-([^}]*)\\}`).exec(file)?.[1];
    // Shown by an example: they have no default of the compose file.
    if (otherwise === '') continue;
    assert.equal(value, otherwise, name);
  }
});

test('the image can be built from any base and behind mirrors, and keeps the paths of the original', async () => {
  const text = await textOf('Dockerfile');
  assert.match(text, /^ARG BASE_IMAGE=node:24-bookworm-slim$/m);
  assert.deepEqual(text.match(/^FROM .*$/gm), ['FROM ${BASE_IMAGE} AS build', 'FROM ${BASE_IMAGE}']);
  // BuildKit is not everywhere.
  assert.doesNotMatch(text, /--mount|--chmod|<<|https?:\/\/(?!127\.0\.0\.1)/);
  for (const line of ['WORKDIR /app', 'EXPOSE 9000', 'VOLUME /var/lib/vllm-gateway'])
    assert.ok(text.includes(line));
  assert.match(text, /MODELS_CONFIG_FILE=\/app\/config\/models\.yaml/);
});
