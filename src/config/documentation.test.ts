/** The generated documents are the committed ones, the examples are good, and no documented default is a lie. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import * as z from 'zod';
import { configurationMarkdown } from './documentation.ts';
import { formatFault } from './fault.ts';
import { fieldOf } from './field.ts';
import { loadConfig } from './load.ts';
import type { ResolvedConfig, ResolvedModel } from './resolved-config.ts';
import { configJsonSchema, configSchema } from './schema.ts';
import { devicesSchema, schedulingSchema } from './schema-devices.ts';
import { modelSchema, urlSchema } from './schema-model.ts';
import { activitySchema, dockerSchema, runtimeSchema } from './schema-runtime.ts';
import { logSchema, serverSchema } from './schema-server.ts';

const root = new URL('../../', import.meta.url);

test('docs/configuration.md and schema/models.schema.json are as generated (node tools/generate-config-docs.ts)', async () => {
  assert.equal(await readFile(new URL('docs/configuration.md', root), 'utf8'), configurationMarkdown());
  const schema = await readFile(new URL('schema/models.schema.json', root), 'utf8');
  assert.equal(schema, `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
});

const examples = (await readdir(new URL('examples/', root))).filter((name) => name.endsWith('.yaml'));

for (const name of examples) {
  test(`examples/${name} has no faults and fits the published JSON Schema`, async () => {
    const file = fileURLToPath(new URL(`examples/${name}`, root));
    const loaded = await loadConfig({ file, environment: {} });
    assert.ok(loaded.ok, loaded.ok ? '' : loaded.error.map(formatFault).join('\n'));
    const text = await readFile(file, 'utf8');
    assert.match(text, /^# yaml-language-server: \$schema=\.\.\/schema\/models\.schema\.json\n/);
    const published: unknown = JSON.parse(await readFile(new URL('schema/models.schema.json', root), 'utf8'));
    assertFits(published, withoutNulls(parse(text, { merge: true })), name);
  });
}

test('the published JSON Schema refuses what the gateway refuses', async () => {
  const published: unknown = JSON.parse(await readFile(new URL('schema/models.schema.json', root), 'utf8'));
  const bad: readonly unknown[] = [
    {},
    { models: { m: { repoo: 'x' } } },
    { models: { m: { repo: 'x', max_num_seqs: 0 } } },
    { models: { m: { repo: 'x', load_timeout: 'soon' } } },
    { models: { m: { repo: 'x', engine: 'other' } } },
    { models: { m: { repo: 'x' } }, serverr: {} },
  ];
  for (const value of bad) assert.throws(() => assertFits(published, value, 'bad'), JSON.stringify(value));
});

function assertFits(schema: unknown, value: unknown, name: string): void {
  assert.ok(isJsonSchema(schema));
  const checked = z.fromJSONSchema(schema).safeParse(value);
  assert.ok(checked.success, `${name}: ${checked.error?.message}`);
}

function isJsonSchema(schema: unknown): schema is z.core.JSONSchema.JSONSchema {
  return schema !== null && typeof schema === 'object' && '$schema' in schema;
}

/** Editors may complain about an empty key; the gateway takes it as not given. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (value === null || typeof value !== 'object') return value;
  const kept = Object.entries(value).filter(([, entry]) => entry !== null);
  return Object.fromEntries(kept.map(([key, entry]) => [key, withoutNulls(entry)]));
}

const MIB = 1024 * 1024;

type Read = (config: ResolvedConfig, model: ResolvedModel) => unknown;

/** Where the default of each key shows in the resolved configuration, in the notation of the file. */
const RESOLVED: Readonly<Record<string, Readonly<Record<string, Read>>>> = {
  server: {
    host: ({ server }) => server.host,
    port: ({ server }) => server.port,
    body_limit_mib: ({ server }) => server.bodyLimitBytes / MIB,
    audio_body_limit_mib: ({ server }) => server.audioBodyLimitBytes / MIB,
    body_memory_mib: ({ server }) => server.bodyMemoryBytes / MIB,
    body_spool_mib: ({ server }) => server.bodySpoolBytes / MIB,
    header_limit_kib: ({ server }) => server.headerLimitBytes / 1024,
    headers_timeout: ({ server }) => server.headersTimeoutMs / 1000,
    request_timeout: ({ server }) => server.requestTimeoutMs / 1000,
    keep_alive_timeout: ({ server }) => server.keepAliveTimeoutMs / 1000,
    trusted_hops: ({ server }) => server.trustedHops,
    cors_origins: ({ server }) => server.corsOrigins,
    upload_rate_min: ({ server }) => server.uploadBytesPerSMin,
    queue_timeout_max: ({ server }) => server.queueTimeoutMaxMs / 1000,
    client_stall_timeout: ({ server }) => server.clientStallTimeoutMs / 1000,
    connect_timeout: ({ server }) => server.connectTimeoutMs / 1000,
    engine_timeout: ({ server }) => server.engineTimeoutMs / 1000,
    shutdown_delay: ({ server }) => server.shutdownDelayMs / 1000,
    shutdown_drain: ({ server }) => server.shutdownDrainMs / 1000,
  },
  runtime: {
    output_limit_mib: ({ runtime }) => runtime.outputLimitBytes / MIB,
  },
  devices: {
    source: ({ devices }) => devices.source,
    simulated: ({ devices }) => devices.simulated,
    budget_fraction: ({ devices }) => devices.budgetFraction,
    host_memory_floor_mib: ({ devices }) => devices.hostMemoryFloorMib,
    simulated_host_memory_mib: ({ devices }) => devices.simulatedHostMemoryMib,
    nvidia_smi: ({ devices }) => devices.nvidiaSmi,
    amd_smi: ({ devices }) => devices.amdSmi,
  },
  scheduling: {
    placement_mode: ({ scheduling }) => scheduling.placementMode,
    switch_share: ({ scheduling }) => scheduling.switchShare,
    min_residence: ({ scheduling }) => scheduling.minResidenceMs / 1000,
    linger_max: ({ scheduling }) => scheduling.lingerMaxMs / 1000,
    budget_overhead_factor: ({ scheduling }) => scheduling.sizing.overheadFactor,
    budget_overhead_mib: ({ scheduling }) => scheduling.sizing.overheadMib,
    colocate_margin_mib: ({ scheduling }) => scheduling.sizing.colocateMarginMib,
    colocate_max_share: ({ scheduling }) => scheduling.sizing.colocateMaxShare,
    colocate_weight_overhead: ({ scheduling }) => scheduling.sizing.colocateWeightOverhead,
  },
  docker: {
    host: ({ runtime }) => runtime.docker.host,
    image: ({ runtime }) => runtime.docker.image,
    pull: ({ runtime }) => runtime.docker.pull,
    container_prefix: ({ runtime }) => runtime.docker.containerPrefix,
    port: ({ runtime }) => runtime.docker.port,
    reach: ({ runtime }) => runtime.docker.reach,
    volumes: ({ runtime }) => runtime.docker.volumes,
    shm_size_mib: ({ runtime }) => runtime.docker.shmBytes / MIB,
  },
  activity: {
    enabled: ({ runtime }) => runtime.activity.enabled,
    rows_max: ({ runtime }) => runtime.activity.rowsMax,
    days_max: ({ runtime }) => runtime.activity.daysMax,
  },
  log: { level: ({ log }) => log.level },
  model: {
    gpu_memory_utilization: (_, model) => model.vllm.gpuMemoryUtilization,
    max_model_len: (_, model) => model.vllm.maxModelLen,
    max_num_seqs: (_, model) => model.vllm.maxNumSeqs,
    tensor_parallel_size: (_, model) => model.vllm.tensorParallelSize,
    enforce_eager: (_, model) => model.vllm.enforceEager,
    tool_parser: (_, model) => model.vllm.toolParser,
    reasoning_parser: (_, model) => model.vllm.reasoningParser,
    inactivity_timeout: (_, model) => model.inactivityTimeoutMs / 1000,
    always_on: (_, model) => model.alwaysOn,
    colocate: (_, model) => model.colocate,
    extra_args: (_, model) => model.vllm.extraArgs,
    request_defaults: (_, model) => model.requestDefaults,
    environment: (_, model) => model.environment,
    fetch: (_, model) => model.fetch,
    download_timeout: (_, model) => model.downloadTimeoutMs / 1000,
    load_timeout: (_, model) => model.loadTimeoutMs / 1000,
    drain_timeout: (_, model) => model.drainTimeoutMs / 1000,
    on_drain_timeout: (_, model) => model.onDrainTimeout,
    sleep: (_, model) => model.sleep,
    warm_up: (_, model) => model.warmUp,
    queue_timeout: (_, model) => model.queueTimeoutMs / 1000,
    progress: (_, model) => model.progress,
    progress_after: (_, model) => model.progressAfterMs / 1000,
    ws_idle_timeout: (_, model) => model.wsIdleTimeoutMs / 1000,
    responses_store: (_, model) => model.responsesStore,
    background_timeout: (_, model) => model.backgroundTimeoutMs / 1000,
    adapters: (_, model) => model.adapters,
    max_concurrent: (_, model) => model.maxConcurrent,
    queue_size: (_, model) => model.queueSize,
  },
  url: { health: ({ models }) => models.get('away')?.url?.healthPath },
};

const SCHEMAS: Readonly<Record<string, z.ZodObject>> = {
  server: serverSchema,
  runtime: runtimeSchema,
  docker: dockerSchema,
  activity: activitySchema,
  devices: devicesSchema,
  scheduling: schedulingSchema,
  log: logSchema,
  model: modelSchema,
  url: urlSchema,
};

test('every documented default is what an empty configuration resolves to', async () => {
  const object = { models: { m: { repo: 'r' }, away: { url: 'http://h:1' } } };
  const loaded = await loadConfig({ object, environment: {} });
  assert.ok(loaded.ok);
  const model = loaded.value.models.get('m');
  assert.ok(model !== undefined);
  for (const [section, schema] of Object.entries(SCHEMAS)) {
    for (const [key, entry] of Object.entries(schema.shape)) {
      const standard = fieldOf(entry)?.default;
      const read = RESOLVED[section]?.[key];
      assert.equal(read === undefined, standard === undefined, `${section}.${key} has a default or none`);
      if (read !== undefined) assert.deepEqual(read(loaded.value, model), standard, `${section}.${key}`);
    }
  }
  assert.deepEqual(model.need, { deviceCount: 1, pool: null, memoryMibPerDevice: null });
  assert.equal(model.servedName, 'm');
  assert.deepEqual(model.vllm.executable, ['vllm']);
  assert.equal(model.image, null);
  assert.equal(loaded.value.runtime.kind, 'process');
  assert.equal(loaded.value.runtime.docker.utilityImage, 'vllm/vllm-openai:latest');
});

test('every key of every section says its effect, and its default or what holds otherwise', () => {
  for (const schema of [configSchema, ...Object.values(SCHEMAS)]) {
    for (const [key, entry] of Object.entries(schema.shape)) {
      const field = fieldOf(entry);
      assert.ok(field !== null, key);
      assert.match(field.effect, /\.$/, key);
    }
  }
});

test('every key of the original is there', () => {
  const keys = [
    ...['repo', 'pool', 'gpu_memory_utilization', 'max_model_len', 'max_num_seqs', 'kv_reservation_seqs'],
    ...['tensor_parallel_size', 'quantization', 'dtype', 'inactivity_timeout', 'always_on', 'colocate'],
    ...['extra_args', 'request_defaults'],
  ];
  for (const key of keys) assert.ok(Object.hasOwn(modelSchema.shape, key), key);
  for (const key of ['pools', 'defaults', 'models']) assert.ok(Object.hasOwn(configSchema.shape, key), key);
});
