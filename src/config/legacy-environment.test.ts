/** R2, R3 and the rest of the original's environment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENVIRONMENT_VARIABLES } from './environment-variables.ts';
import { formatFault } from './fault.ts';
import { BARE_HOST } from './fault-fixtures.ts';
import { LEGACY_INTEGERS } from './legacy-integers.ts';
import { type LoadOptions, loadConfig } from './load.ts';
import type { LegacyLimits, ResolvedConfig } from './resolved-config.ts';
import { startupLines } from './startup-lines.ts';

async function load(
  environment: Record<string, string>,
  more: Partial<LoadOptions> = {},
): Promise<ResolvedConfig> {
  const object = { models: { m: { repo: 'r' } } };
  const loaded = await loadConfig({ object, environment, host: BARE_HOST, ...more });
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.error.map(formatFault).join('\n'));
  return loaded.value;
}

const INTEGERS: readonly (readonly [string, keyof LegacyLimits, number, number, number])[] = [
  ['GATEWAY_MAX_QUEUE_SIZE', 'maxQueueSize', 1, 10_000, 200],
  ['GATEWAY_MAX_CONCURRENT', 'maxConcurrent', 1, 1000, 50],
  ['GATEWAY_MAX_MODELS_CONCURRENT', 'maxModelsConcurrent', 1, 20, 3],
  ['GATEWAY_HTTP_TIMEOUT', 'httpTimeoutS', 60, 3600, 300],
  ['GATEWAY_REQUEST_TIMEOUT', 'httpTimeoutS', 60, 3600, 300],
];

for (const [variable, key, min, max, standard] of INTEGERS) {
  for (const value of [
    '0',
    '-1',
    String(min - 1),
    String(max + 1),
    '99999999999999999999',
    'abc',
    '1.5',
    '',
    ' ',
    '1e3',
    '0x10',
  ]) {
    test(`R2: ${variable}=${JSON.stringify(value)} logs an error and the default holds`, async () => {
      const config = await load({ [variable]: value });
      assert.equal(config.legacy[key], standard);
      const errors = config.notices.filter((notice) => notice.level === 'error').map((notice) => notice.text);
      assert.deepEqual(errors, [
        `${variable}=${JSON.stringify(value)} is not an integer in the range ${min}..${max}; using the default ${standard}`,
      ]);
    });
  }
  test(`R2: ${variable} is taken at both ends of its range`, async () => {
    for (const value of [min, max]) {
      const config = await load({ [variable]: ` ${value} ` });
      assert.equal(config.legacy[key], value);
      assert.ok(config.notices.every((notice) => notice.level !== 'error'));
    }
  });
}

test('R2: the table of integers is the one of the requirement', () => {
  for (const [variable, key, min, max, standard] of INTEGERS) {
    const integer = LEGACY_INTEGERS[key];
    assert.ok(integer.variables.includes(variable));
    assert.deepEqual([integer.min, integer.max, integer.default], [min, max, standard]);
  }
});

test('R2: valid integers become the limits of every model', async () => {
  const config = await load({
    GATEWAY_MAX_QUEUE_SIZE: '7',
    GATEWAY_MAX_CONCURRENT: '4',
    GATEWAY_HTTP_TIMEOUT: '60',
  });
  const model = config.models.get('m');
  assert.equal(model?.queueSize, 7);
  assert.equal(model?.maxConcurrent, 4);
  assert.equal(config.server.engineTimeoutMs, 60_000);
});

test('R6: the later name of the HTTP timeout wins', async () => {
  const config = await load({ GATEWAY_HTTP_TIMEOUT: '60', GATEWAY_REQUEST_TIMEOUT: '120' });
  assert.equal(config.server.engineTimeoutMs, 120_000);
});

test('R2: only these integers are lenient', async () => {
  const loaded = await loadConfig({
    object: { models: { m: { repo: 'r' } } },
    host: BARE_HOST,
    environment: {
      VLLM_MAX_NUM_SEQS: 'abc',
      GATEWAY_CONNECT_TIMEOUT: '-1',
      PLACEMENT_MODE: 'bugdet',
      VLLM_ENFORCE_EAGER: 'maybe',
    },
  });
  assert.ok(!loaded.ok);
  assert.deepEqual(loaded.error.map(formatFault).toSorted(), [
    'environment GATEWAY_CONNECT_TIMEOUT: server.connect_timeout: not acceptable; found -1; allowed: seconds as a number (more than 0), or text such as "500ms", "90s", "5m", "1h"',
    'environment PLACEMENT_MODE: scheduling.placement_mode: not acceptable; found "bugdet"; allowed: one of whole_card, budget; did you mean `budget`?',
    'environment VLLM_ENFORCE_EAGER: defaults.enforce_eager: not acceptable; found "maybe"; allowed: true or false',
    'environment VLLM_MAX_NUM_SEQS: defaults.max_num_seqs: not acceptable; found "abc"; allowed: an integer from 1 to 65536',
  ]);
});

test('R3: the start-up lines', async () => {
  assert.deepEqual(startupLines(await load({})), [
    'Gateway Configuration: MAX_QUEUE_SIZE=200, MAX_CONCURRENT=50, MAX_MODELS_CONCURRENT=3',
    'HTTP Client Pool: max_connections=150, max_keepalive_connections=150',
  ]);
  const changed = await load({
    GATEWAY_MAX_QUEUE_SIZE: '9',
    GATEWAY_MAX_CONCURRENT: '20',
    GATEWAY_MAX_MODELS_CONCURRENT: '4',
  });
  assert.deepEqual(startupLines(changed), [
    'Gateway Configuration: MAX_QUEUE_SIZE=9, MAX_CONCURRENT=20, MAX_MODELS_CONCURRENT=4',
    'HTTP Client Pool: max_connections=80, max_keepalive_connections=80',
  ]);
});

test("the original's environment listens as its container did and warns of the open address", async () => {
  const config = await load({ GATEWAY_MAX_CONCURRENT: '50' });
  assert.deepEqual([config.server.host, config.server.port, config.server.auth], ['0.0.0.0', 9000, 'none']);
  const warnings = config.notices.filter((notice) => notice.level === 'warn');
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]?.text ?? '', /--api-keys-file.*--host.*--auth none/);
  const closed = await load({ GATEWAY_MAX_CONCURRENT: '50' }, { overrides: { host: '127.0.0.1' } });
  assert.equal(closed.server.auth, 'loopback');
  assert.ok(closed.notices.every((notice) => notice.level !== 'warn'));
  const meant = await load({ GATEWAY_MAX_CONCURRENT: '50' }, { overrides: { auth: 'none' } });
  assert.ok(meant.notices.every((notice) => notice.level !== 'warn'));
});

test("a foreign GATEWAY_ variable is not the original's environment, and a misspelt one is named", async () => {
  const foreign = await load({ GATEWAY_URL_OF_SOMETHING_ELSE: 'x', VLLM_IMAGE: 'y' });
  assert.equal(foreign.server.host, '127.0.0.1');
  const misspelt = await load({ GATEWAY_MAX_CONCURENT: '3' });
  assert.equal(misspelt.server.host, '127.0.0.1');
  assert.deepEqual(
    misspelt.notices.map((notice) => notice.text),
    ['GATEWAY_MAX_CONCURENT is not known; did you mean GATEWAY_MAX_CONCURRENT?'],
  );
});

test('without it an open address needs keys or a word, and the flag is named', async () => {
  const loaded = await loadConfig({ environment: {}, overrides: { host: '0.0.0.0', port: 'http' } });
  assert.ok(!loaded.ok);
  const [port, host] = loaded.error.map(formatFault);
  assert.match(
    port ?? '',
    /^command line --port: server\.port: not acceptable; found "http"; allowed: an integer from 0 to 65535$/,
  );
  assert.match(host ?? '', /^command line --host: server\.host: this address is open to the network/);
  for (const local of ['localhost', '127.0.0.1', '127.1.2.3', '::1', '[::1]']) {
    assert.equal((await load({}, { overrides: { host: local } })).server.auth, 'loopback');
  }
  assert.equal((await load({}, { overrides: { host: '0.0.0.0', auth: 'none' } })).server.auth, 'none');
});

test('every variable of the original is honoured or says why not', async () => {
  const values: Record<string, string> = {
    GATEWAY_GPU_UUID: 'GPU-1',
    GATEWAY_HTTP_TIMEOUT: '100',
    GATEWAY_REQUEST_TIMEOUT: '100',
    PLACEMENT_MODE: 'whole_card',
    LOG_LEVEL: 'ERROR',
    VLLM_GPU_MEMORY_UTILIZATION: '0.5',
    GPU_BUDGET_FRACTION: '0.5',
    VLLM_TENSOR_PARALLEL_SIZE: '1',
    MODELS_CONFIG_FILE: '/dev/null',
    ALLOWED_MODELS_JSON: '{}',
  };
  for (const variable of ENVIRONMENT_VARIABLES) {
    const config = await load({ [variable.name]: values[variable.name] ?? '1' });
    const told = config.notices.filter((notice) =>
      notice.text.startsWith(`${variable.name} has no effect: `),
    );
    const isWithout = variable.ignored !== undefined || variable.ofContainers === true;
    assert.equal(told.length, isWithout ? 1 : 0, variable.name);
    assert.ok(
      config.notices.every((notice) => notice.level !== 'error'),
      variable.name,
    );
  }
});

test('variables that set a key of the file set it', async () => {
  const config = await load({
    GATEWAY_LOADING_TIMEOUT: '100',
    VLLM_GPU_MEMORY_UTILIZATION: '0.50',
    VLLM_MAX_MODEL_LEN_GLOBAL: '4096',
    VLLM_TENSOR_PARALLEL_SIZE: '2',
    VLLM_INACTIVITY_TIMEOUT: '0',
    VLLM_ENFORCE_EAGER: 'True',
    PLACEMENT_MODE: 'budget',
    GPU_BUDGET_FRACTION: '0.8',
    LOG_LEVEL: 'CRITICAL',
    BUDGET_OVERHEAD_FACTOR: '1.2',
    BUDGET_OVERHEAD_MIB: '512',
    COLOCATE_MARGIN_MIB: '0',
    COLOCATE_MAX_SHARE: '0.7',
    COLOCATE_WEIGHT_OVERHEAD: '1.3',
    MEMORY_FOOTPRINT_FILE: '/app/data/memory_footprints.json',
  });
  const model = config.models.get('m');
  assert.equal(model?.loadTimeoutMs, 100_000);
  assert.equal(model?.vllm.gpuMemoryUtilization, 0.5);
  assert.equal(model?.vllm.maxModelLen, 4096);
  assert.equal(model?.need.deviceCount, 2);
  assert.equal(model?.inactivityTimeoutMs, 0);
  assert.equal(model?.vllm.enforceEager, true);
  assert.equal(config.scheduling.placementMode, 'budget');
  assert.equal(config.devices.budgetFraction, 0.8);
  assert.equal(config.log.level, 'fatal');
  assert.deepEqual(config.scheduling.sizing, {
    overheadFactor: 1.2,
    overheadMib: 512,
    colocateMarginMib: 0,
    colocateMaxShare: 0.7,
    colocateWeightOverhead: 1.3,
  });
  assert.equal(config.runtime.importFootprintsFile, '/app/data/memory_footprints.json');
});
