/** The original's users bring their models.yaml, their environment and their clients, and change nothing. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type RunningGateway, runGatewayCommand, startGateway, until } from '../fixtures/gateway.ts';
import { createOriginalMachine, FOREIGN_MIB, type OriginalMachine } from '../fixtures/original-machine.ts';
import { assertTypes, type Objects, readOriginalStatus } from '../fixtures/original-status.ts';
import { beginChat, chat, leaveAll, untilCounts } from '../fixtures/requests.ts';

const CARDS = {
  'GPU-11111111-2222-3333-4444-555555555555': 49_140,
  'GPU-66666666-7777-8888-9999-000000000000': 24_564,
} as const;
const [LARGE, SMALL] = Object.keys(CARDS) as [string, string];
const TOTAL_MIB = 49_140 + 24_564;
const TOKEN = 'hf_original_users_secret';

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
  embedder:
    repo: BAAI/bge-m3
    pool: small
    max_model_len: 8192
    extra_args: ["--runner", "pooling"]
`;

/** Every variable that the original reads, as its docker-compose.yml would set it. */
const ENVIRONMENT = {
  GATEWAY_MAX_QUEUE_SIZE: '100',
  GATEWAY_MAX_CONCURRENT: '30',
  GATEWAY_MAX_MODELS_CONCURRENT: '2',
  GATEWAY_HTTP_TIMEOUT: '120',
  GATEWAY_CONNECT_TIMEOUT: '5',
  GATEWAY_LOADING_TIMEOUT: '600',
  GATEWAY_MIN_RESIDENT_SECONDS: '30',
  GATEWAY_REQUEST_STALE_FACTOR: '2',
  GATEWAY_CONTAINER_NAME: 'vllm_gateway',
  DOCKER_NETWORK_NAME: 'vllm_network',
  VLLM_CONTAINER_PREFIX: 'vllm_server',
  VLLM_IMAGE: 'vllm/vllm-openai:latest',
  VLLM_PORT: '8000',
  VLLM_GPU_MEMORY_UTILIZATION: '0.8',
  VLLM_MAX_MODEL_LEN_GLOBAL: '4096',
  VLLM_MAX_NUM_SEQS: '8',
  VLLM_TENSOR_PARALLEL_SIZE: '1',
  VLLM_INACTIVITY_TIMEOUT: '900',
  VLLM_ENFORCE_EAGER: 'true',
  VLLM_NO_CUDAGRAPH: 'false',
  VLLM_TEMP_DIR: '/tmp',
  PLACEMENT_MODE: 'budget',
  GPU_BUDGET_FRACTION: '0.95',
  BUDGET_OVERHEAD_FACTOR: '1.1',
  BUDGET_OVERHEAD_MIB: '1024',
  COLOCATE_MARGIN_MIB: '1024',
  COLOCATE_MAX_SHARE: '0.9',
  COLOCATE_WEIGHT_OVERHEAD: '1.15',
  NVIDIA_UTILITY_IMAGE: 'nvidia/cuda:12.4.1-base-ubuntu22.04',
  HOST_CACHE_DIR: '/var/cache/huggingface',
  HUGGING_FACE_HUB_TOKEN: TOKEN,
  MEMORY_FOOTPRINT_FILE: '/app/data/memory_footprints.json',
  WORKER_LD_LIBRARY_PATH: '/usr/local/nvidia/lib64',
  LOG_LEVEL: 'INFO',
} as const;

/** As Ctrl-C: without the delay that a balancer needs. */
const AT_ONCE = { signal: 'SIGINT' } as const;

let machine: OriginalMachine;
let environment: Readonly<Record<string, string>>;
let gateway: RunningGateway;

before(async () => {
  machine = await createOriginalMachine(CARDS, ['meta-llama/Llama-3.1-8B-Instruct', 'BAAI/bge-m3']);
  const file = await machine.write('models.yaml', MODELS_YAML);
  environment = { ...ENVIRONMENT, MODELS_CONFIG_FILE: file, ...machine.environment };
  gateway = await startGateway({ environment, args: ['--host', '127.0.0.1'] });
});

after(async () => {
  await gateway.stop(AT_ONCE);
  await machine.remove();
});

test('its environment listens on every address at port 9000, and what it sets is in force', async () => {
  const ended = await runGatewayCommand(['check', '--show'], environment);
  assert.equal(ended.code, 0, ended.stdout + ended.stderr);
  const shown = JSON.parse(ended.stdout) as {
    readonly server: Readonly<Record<string, unknown>>;
    readonly scheduling: Readonly<Record<string, unknown>>;
    readonly legacy: Readonly<Record<string, unknown>>;
    readonly models: Objects;
  };
  const { host, port, auth, connectTimeoutMs, engineTimeoutMs } = shown.server;
  assert.deepEqual(
    { host, port, auth, connectTimeoutMs, engineTimeoutMs },
    { host: '0.0.0.0', port: 9000, auth: 'none', connectTimeoutMs: 5_000, engineTimeoutMs: 120_000 },
  );
  assert.equal(shown.scheduling['minResidenceMs'], 30_000);
  assert.deepEqual(shown.legacy, {
    maxQueueSize: 100,
    maxConcurrent: 30,
    maxModelsConcurrent: 2,
    httpTimeoutS: 120,
  });
  const { loadTimeoutMs, inactivityTimeoutMs, requestDefaults } = shown.models['llama'] ?? {};
  assert.deepEqual(
    { loadTimeoutMs, inactivityTimeoutMs, requestDefaults },
    { loadTimeoutMs: 600_000, inactivityTimeoutMs: 1_800_000, requestDefaults: { temperature: 0.2 } },
  );
  assert.ok(!ended.stdout.includes(TOKEN));
});

test('its models.yaml serves: engines start on their cards with the flags that it configures', async () => {
  const [answer, embedded] = await Promise.all([
    chat(gateway.url, 'llama'),
    fetch(`${gateway.url}/v1/embeddings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'embedder', input: 'a text' }),
    }),
  ]);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers.get('x-queue-depth'), '0');
  assert.equal(embedded.status, 200, await embedded.text());
  const launches = await machine.launches();
  const llama = launches.find((line) => line.includes('meta-llama/Llama-3.1-8B-Instruct')) ?? '';
  // The model's keys win over `defaults`, and those over the environment.
  for (const part of [
    // Its files are here: it asks no hub, so it gets no token.
    'HF_TOKEN= ',
    '--served-model-name llama',
    '--max-model-len 8192',
    '--max-num-seqs 16',
    '--gpu-memory-utilization 0.9',
    '--enforce-eager',
  ]) {
    assert.ok(`${llama} `.includes(`${part.trim()} `), `"${llama}" has no ${part}`);
  }
  assert.ok(launches.some((line) => line.includes('BAAI/bge-m3') && line.endsWith('--runner pooling')));
  assert.equal(launches.length, 2);
  assert.ok(!JSON.stringify(gateway.log).includes(TOKEN));
});

test('/v1/models lists the configured names in the shape of OpenAI', async () => {
  const answer = await fetch(`${gateway.url}/v1/models`);
  assert.equal(answer.status, 200);
  const list = (await answer.json()) as { readonly object: unknown; readonly data: Objects[] };
  assert.equal(list.object, 'list');
  assert.deepEqual(
    list.data.map(({ id }) => id),
    ['llama', 'embedder'],
  );
  for (const model of list.data) {
    assertTypes(String(model['id']), model, { id: 'string', created: 'number', owned_by: 'string' });
    assert.equal(model['object'], 'model');
  }
});

test('variables without effect here say so in the log, and nothing is an error', () => {
  const texts = gateway.log.map(({ msg }) => msg);
  for (const name of ['VLLM_IMAGE', 'DOCKER_NETWORK_NAME', 'VLLM_PORT']) {
    assert.ok(
      texts.some((text) => text.startsWith(`${name} has no effect: `)),
      name,
    );
  }
  assert.deepEqual(
    gateway.log.filter(({ level }) => level >= 50).map(({ msg }) => msg),
    [],
  );
  assert.deepEqual(gateway.errors, []);
});

test('ALLOWED_MODELS_JSON and GATEWAY_GPU_UUID alone are a whole configuration', async () => {
  const small = await startGateway({
    environment: {
      ...machine.environment,
      ALLOWED_MODELS_JSON: JSON.stringify({ tiny: 'HuggingFaceTB/SmolLM2-135M-Instruct' }),
      GATEWAY_GPU_UUID: SMALL,
    },
    args: ['--host', '127.0.0.1'],
  });
  try {
    await readOriginalStatus(small.url);
    assert.equal(
      (await fetch(`${small.url}/gateway/status`)).headers.get('content-type'),
      'application/json',
    );
    // The gateway listens before it has read the cards.
    await until('the cards are read', async () => (await fetch(`${small.url}/ready`)).status === 200);
    const status = await readOriginalStatus(small.url);
    assert.equal(status['placement_mode'], 'whole_card');
    // The other card is not ours to give.
    assert.deepEqual(status['pools'], { default: [SMALL] });
    assert.deepEqual(Object.keys(status['gpus'] as Objects), [SMALL]);
    assert.equal(status['total_gpu_vram_mib'], CARDS[SMALL as keyof typeof CARDS]);
    assert.equal((status['gpus'] as Objects)[SMALL]?.['budget_mib'], null);
    assert.deepEqual(status['active_containers'], {});
    const list = (await (await fetch(`${small.url}/v1/models`)).json()) as { readonly data: Objects[] };
    assert.deepEqual(
      list.data.map(({ id }) => id),
      ['tiny'],
    );
  } finally {
    await small.stop(AT_ONCE);
  }
});

test('/gateway/status has its keys, types and values while engines serve', async () => {
  const running = beginChat(gateway.url, 'llama', { tokens: 8_000, stream: true });
  await untilCounts(gateway, 'llama', { running: 1, waiting: 0 });
  const status = await readOriginalStatus(gateway.url);
  await leaveAll([running]);
  assert.equal(status['total_gpu_vram_mib'], TOTAL_MIB);
  assert.equal(status['placement_mode'], 'budget');
  assert.equal(status['gpu_budget_fraction'], 0.95);
  assert.deepEqual(status['pools'], { large: [LARGE], small: [SMALL] });
  const gpus = status['gpus'] as Objects;
  assert.deepEqual(Object.keys(gpus), [LARGE, SMALL]);
  const card = gpus[LARGE] ?? {};
  assert.equal(card['total_mib'], CARDS[LARGE as keyof typeof CARDS]);
  // Measured at the start and from time to time: what foreign programs hold is in it.
  assert.ok(Number(card['used_mib']) >= FOREIGN_MIB, `used: ${String(card['used_mib'])} MiB`);
  assert.equal(card['budget_mib'], Math.floor(0.95 * 49_140));
  assert.deepEqual(card['residents'], ['llama']);
  assert.ok(Number(card['reserved_mib']) > 0 && Number(card['reserved_mib']) <= Number(card['budget_mib']));
  const containers = status['active_containers'] as Objects;
  assert.deepEqual(Object.keys(containers).sort(), ['embedder', 'llama']);
  const llama = containers['llama'] ?? {};
  assert.equal(llama['model_id'], 'meta-llama/Llama-3.1-8B-Instruct');
  assert.equal(llama['container_name'], 'vllm_server_llama');
  assert.equal(llama['status'], 'running');
  assert.deepEqual(llama['gpu_uuids'], [LARGE]);
  assert.equal(llama['active_requests'], 1);
  const agoS = Date.now() / 1000 - Number(llama['last_request_time']);
  assert.ok(agoS >= -1 && agoS < 600, `last_request_time was ${agoS} s ago`);
  assert.deepEqual(status['queue_status'], {
    llama: { queue_depth: 0, max_concurrent: 30, max_queue_size: 100 },
    embedder: { queue_depth: 0, max_concurrent: 30, max_queue_size: 100 },
  });
});
