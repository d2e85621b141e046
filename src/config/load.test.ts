import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { formatFault } from './fault.ts';
import { BARE_HOST } from './fault-fixtures.ts';
import { type LoadOptions, loadConfig } from './load.ts';
import type { ConfigOverrides } from './overrides.ts';
import type { ResolvedConfig, ResolvedModel } from './resolved-config.ts';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-load-'));
});
after(() => rm(directory, { recursive: true }));

async function load(options: Partial<LoadOptions>): Promise<ResolvedConfig> {
  const loaded = await loadConfig({ environment: {}, host: BARE_HOST, ...options });
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.error.map(formatFault).join('\n'));
  return loaded.value;
}

async function faults(options: Partial<LoadOptions>): Promise<readonly string[]> {
  const loaded = await loadConfig({ environment: {}, host: BARE_HOST, ...options });
  return loaded.ok ? [] : loaded.error.map(formatFault);
}

function modelIn(config: ResolvedConfig, name: string): ResolvedModel {
  const model = config.models.get(name);
  assert.ok(model !== undefined, `no model ${name}`);
  return model;
}

async function written(name: string, text: string): Promise<string> {
  const file = join(directory, name);
  await writeFile(file, text);
  return file;
}

const ONE = { models: { m: { repo: 'r' } } };

test('without any configuration the demonstration is served', async () => {
  const config = await load({});
  assert.equal(config.origin, 'demonstration');
  assert.equal(config.file, null);
  assert.equal(config.devices.source, 'simulated');
  assert.deepEqual(config.devices.simulated, [{ id: 'sim-gpu-0', memoryMib: 24_576 }]);
  const needs = [...config.models.values()].map((model) => [
    model.name,
    model.engine,
    model.need.memoryMibPerDevice,
  ]);
  assert.deepEqual(needs, [
    ['sim-small', 'simulated', 6144],
    ['sim-medium', 'simulated', 10_240],
    ['sim-large', 'simulated', 16_384],
  ]);
  const budget = 24_576 * config.devices.budgetFraction;
  assert.ok(6144 + 10_240 <= budget && 6144 + 16_384 <= budget, 'two of them fit');
  assert.ok(10_240 + 16_384 > budget, 'not all of them fit');
});

test('the models come from --config, MODELS_CONFIG_FILE, ALLOWED_MODELS_JSON, in this order', async () => {
  const first = await written('first.yaml', 'models: {first: {repo: x}}');
  const second = await written('second.yaml', 'models: {second: {repo: x}}');
  const json = { ALLOWED_MODELS_JSON: '{"third": "org/third", "fourth": "org/third"}' };
  const names = async (options: Partial<LoadOptions>) => [...(await load(options)).models.keys()];
  assert.deepEqual(await names({ file: first, environment: { MODELS_CONFIG_FILE: second, ...json } }), [
    'first',
  ]);
  assert.deepEqual(await names({ environment: { MODELS_CONFIG_FILE: second, ...json } }), ['second']);
  assert.deepEqual(await names({ environment: json }), ['third', 'fourth'], 'one repo under two names');
  const missing = await load({ environment: { MODELS_CONFIG_FILE: join(directory, 'none'), ...json } });
  assert.equal(missing.origin, 'allowed_models_json');
  assert.ok(missing.notices.some(({ text }) => text.includes('does not exist; ALLOWED_MODELS_JSON is used')));
  const alone = await faults({ environment: { MODELS_CONFIG_FILE: join(directory, 'none') } });
  assert.match(alone.join(), /none: the file does not exist$/);
});

test('ALLOWED_MODELS_JSON is refused with its name when it is not a mapping of text', async () => {
  for (const json of ['{', '[]', '3', 'null', '{"a": 3}', '{}']) {
    const [first] = await faults({ environment: { ALLOWED_MODELS_JSON: json } });
    assert.match(first ?? '', /^environment ALLOWED_MODELS_JSON: /, json);
  }
});

test('command line wins over model, defaults, environment and built-in', async () => {
  const environment = { VLLM_MAX_NUM_SEQS: '5', GATEWAY_CONNECT_TIMEOUT: '7', LOG_LEVEL: 'WARNING' };
  const steps: readonly [string, unknown, Record<string, string>, number][] = [
    ['built-in', ONE, {}, 16],
    ['environment', ONE, environment, 5],
    ['defaults', { ...ONE, defaults: { max_num_seqs: 6 } }, environment, 6],
    [
      'model',
      { defaults: { max_num_seqs: 6 }, models: { m: { repo: 'r', max_num_seqs: 7 } } },
      environment,
      7,
    ],
  ];
  for (const [layer, object, env, expected] of steps) {
    const config = await load({ object, environment: env });
    assert.equal(modelIn(config, 'm').vllm.maxNumSeqs, expected, layer);
    assert.equal(modelIn(config, 'm').vllm.kvReservationSeqs, expected, 'kv_reservation_seqs follows');
  }
  const server = async (object: unknown, overrides: ConfigOverrides = {}) => {
    const config = await load({ object, environment, overrides });
    return [config.server.port, config.server.connectTimeoutMs, config.log.level];
  };
  assert.deepEqual(await server(ONE), [9000, 7000, 'warn']);
  const file = { ...ONE, server: { port: 1, connect_timeout: '8s' }, log: { level: 'debug' } };
  assert.deepEqual(await server(file), [1, 8000, 'debug']);
  assert.deepEqual(await server(file, { port: '2', logLevel: 'error' }), [2, 8000, 'error']);
});

test('minimum residence: model, defaults, scheduling, environment, built-in', async () => {
  const residence = async (object: object, environment: Record<string, string> = {}) =>
    modelIn(await load({ object: { ...ONE, ...object }, environment }), 'm').minResidenceMs;
  assert.equal(await residence({}), 0);
  assert.equal(await residence({}, { GATEWAY_MAX_CONCURRENT: '3' }), 90_000, "the original's default");
  assert.equal(await residence({}, { GATEWAY_MIN_RESIDENT_SECONDS: '12' }), 12_000);
  assert.equal(
    await residence({ scheduling: { min_residence: 3 } }, { GATEWAY_MIN_RESIDENT_SECONDS: '12' }),
    3000,
  );
  assert.equal(await residence({ scheduling: { min_residence: 3 }, defaults: { min_residence: 0 } }), 0);
});

test('environment of defaults and of the model are merged', async () => {
  const object = {
    defaults: { environment: { A: 1, B: 'x' } },
    models: { m: { repo: 'r', environment: { B: true } }, c: { command: ['x', '{port}'] } },
  };
  const config = await load({ object, environment: { WORKER_LD_LIBRARY_PATH: '/cuda' } });
  assert.deepEqual(modelIn(config, 'm').environment, { LD_LIBRARY_PATH: '/cuda', A: '1', B: 'true' });
  assert.deepEqual(
    modelIn(config, 'c').environment,
    { A: '1', B: 'x' },
    'only vLLM engines get the libraries',
  );
});

test('durations and sizes are read in every notation', async () => {
  const timeouts: readonly [unknown, number][] = [
    [90, 90_000],
    ['90s', 90_000],
    ['1.5m', 90_000],
    ['500ms', 500],
    ['1h', 3_600_000],
    [0.25, 250],
    ['1 d', 86_400_000],
    [31_536_000, 24 * 86_400_000],
  ];
  for (const [given, expected] of timeouts) {
    const config = await load({ object: { models: { m: { repo: 'r', load_timeout: given } } } });
    assert.equal(modelIn(config, 'm').loadTimeoutMs, expected, String(given));
  }
  const sizes: readonly [unknown, number][] = [
    [512, 512],
    ['24GiB', 24_576],
    ['1.5 GiB', 1536],
    ['1TiB', 1_048_576],
    [0.5, 1],
  ];
  for (const [given, expected] of sizes) {
    const config = await load({ object: { models: { m: { repo: 'r', memory_mib: given } } } });
    assert.equal(modelIn(config, 'm').need.memoryMibPerDevice, expected, String(given));
  }
});

test('the booleans that the original took are taken', async () => {
  const file = await written(
    'words.yaml',
    'models:\n  a: {repo: x, always_on: yes}\n  b: {repo: x, always_on: Off}\n  c: {repo: x, always_on: true}\n',
  );
  const config = await load({ file });
  assert.deepEqual(
    [...config.models.values()].map((model) => model.alwaysOn),
    [true, false, true],
  );
});

test('a key without a value counts as not given', async () => {
  const file = await written(
    'nulls.yaml',
    'pools:\ndefaults:\nmodels:\n  a: {repo: x, quantization: null, max_num_seqs: ~, request_defaults: {stop: null}}\n',
  );
  const model = modelIn(await load({ file }), 'a');
  assert.equal(model.vllm.quantization, null);
  assert.equal(model.vllm.maxNumSeqs, 16);
  assert.deepEqual(model.requestDefaults, { stop: null });
});

test('commands and urls are openai engines, whatever defaults say of the others', async () => {
  const object = {
    defaults: { engine: 'simulated' },
    models: {
      a: {},
      b: { command: ['serve', '--port', '{port}', 8] },
      c: { url: 'http://h:1/v1/', served_name: 'other', always_on: true },
      d: { repo: 'r', engine: 'vllm' },
    },
  };
  const config = await load({ object });
  assert.deepEqual(
    [...config.models.values()].map((model) => model.engine),
    ['simulated', 'openai', 'openai', 'vllm'],
  );
  assert.equal(modelIn(config, 'a').repo, 'a');
  assert.deepEqual(modelIn(config, 'b').command, ['serve', '--port', '{port}', '8']);
  const c = modelIn(config, 'c');
  assert.deepEqual(c.url, { baseUrl: 'http://h:1', apiKey: null, headers: {}, healthPath: '/v1/models' });
  assert.deepEqual(c.need, { deviceCount: 0, pool: null, memoryMibPerDevice: null });
  assert.equal(c.servedName, 'other');
  assert.equal(c.alwaysOn, false, 'a server that we do not manage is never loaded by us');
});

test('the only pool is taken, and GATEWAY_GPU_UUID makes one where the file has none', async () => {
  const environment = { GATEWAY_GPU_UUID: 'GPU-1, GPU-2' };
  const made = await load({ object: ONE, environment });
  assert.deepEqual([...made.devices.pools], [['default', ['GPU-1', 'GPU-2']]]);
  assert.equal(modelIn(made, 'm').need.pool, 'default');
  const own = await load({ object: { ...ONE, pools: { p: ['GPU-9'] } }, environment });
  assert.deepEqual([...own.devices.pools], [['p', ['GPU-9']]]);
  assert.equal(modelIn(own, 'm').need.pool, 'p');
});

test('exact aliases come before patterns', async () => {
  const aliases = { 'gpt-*': { model: 'm', request_defaults: { max_tokens: 5 } }, gpt: 'm' };
  const config = await load({ object: { ...ONE, aliases, default_model: 'm' } });
  assert.deepEqual(config.aliases, [
    { pattern: 'gpt', model: 'm', requestDefaults: {} },
    { pattern: 'gpt-*', model: 'm', requestDefaults: { max_tokens: 5 } },
  ]);
  assert.equal(config.defaultModel, 'm');
});

test('simulated devices make the source simulated', async () => {
  const config = await load({
    object: {
      ...ONE,
      devices: { simulated: [{ id: 'a', memory_mib: '1GiB' }], memory_limit_mib: { a: 5, '*': '1GiB' } },
    },
  });
  assert.equal(config.devices.source, 'simulated');
  assert.deepEqual(
    [...config.devices.memoryLimitMib],
    [
      ['a', 5],
      ['*', 1024],
    ],
  );
  const all = await load({ object: { ...ONE, devices: { memory_limit_mib: 7 } } });
  assert.deepEqual([...all.devices.memoryLimitMib], [['*', 7]]);
});

test('the state directory follows XDG_STATE_HOME, HOME, the file and the command line', async () => {
  const state = async (options: Partial<LoadOptions>) =>
    (await load({ object: ONE, ...options })).runtime.stateDirectory;
  assert.equal(await state({ environment: { HOME: '/home/x' } }), '/home/x/.local/state/vllm-gateway');
  assert.equal(
    await state({ environment: { HOME: '/home/x', XDG_STATE_HOME: '/state' } }),
    '/state/vllm-gateway',
  );
  assert.equal(
    await state({ environment: { HOME: '/home/x', XDG_STATE_HOME: 'relative' } }),
    '/home/x/.local/state/vllm-gateway',
  );
  const file = await written('state.yaml', 'models: {m: {repo: r}}\nruntime: {state_directory: here}\n');
  assert.equal(await state({ object: undefined, file }), join(directory, 'here'));
  assert.equal(await state({ overrides: { stateDirectory: '/there' } }), '/there');
});

test('API keys of foreign servers are read from the environment and from files', async () => {
  await written('secret', 'from-file\n');
  const file = await written(
    'keys.yaml',
    'models:\n  a: {url: {base: "http://h:1", api_key_env: A_KEY}}\n  b: {url: {base: "http://h:1", api_key_file: secret, headers: {X-Team: red}}}\n',
  );
  const config = await load({ file, environment: { A_KEY: 'from-environment' } });
  assert.equal(modelIn(config, 'a').url?.apiKey, 'from-environment');
  assert.equal(modelIn(config, 'b').url?.apiKey, 'from-file');
  assert.deepEqual(modelIn(config, 'b').url?.headers, { 'x-team': 'red' });
  const twoLines = await faults({ file, environment: { A_KEY: 'a\nb' } });
  assert.match(
    twoLines.join(),
    /the environment variable A_KEY holds characters that a header cannot carry$/,
  );
  assert.ok(!twoLines.join().includes('a\nb'));
});

test('VLLM_NO_CUDAGRAPH turns graphs off unless the arguments choose a compilation', async () => {
  const object = {
    models: {
      m: { repo: 'r', extra_args: ['--x'] },
      own: { repo: 'r', extra_args: ['-O0'] },
      c: { command: ['{port}'] },
    },
  };
  const config = await load({ object, environment: { VLLM_NO_CUDAGRAPH: '1' } });
  assert.deepEqual(modelIn(config, 'm').vllm.extraArgs, [
    '--compilation-config',
    '{"cudagraph_mode":"NONE"}',
    '--x',
  ]);
  assert.deepEqual(modelIn(config, 'own').vllm.extraArgs, ['-O0']);
  assert.deepEqual(modelIn(config, 'c').vllm.extraArgs, []);
});

test('the configuration is frozen through and through', async () => {
  const config = await load({});
  const model = modelIn(config, 'sim-small');
  for (const part of [
    config,
    config.server,
    config.devices.simulated,
    config.devices.simulated[0],
    model,
    model.vllm,
    model.vllm.extraArgs,
  ]) {
    assert.ok(Object.isFrozen(part));
  }
});

test('any mapping of models gives a configuration or faults, never a throw', async () => {
  const keys = fc.constantFrom(
    'repo',
    'pool',
    'url',
    'command',
    'max_num_seqs',
    'extra_args',
    'request_defaults',
    'engine',
    'memory_mib',
    'environment',
  );
  const values = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom('http://h:1', '5GiB', '1h', 'simulated'),
    fc.constant({ base: 'http://h', headers: { A: 'b' } }),
    fc.constant(['{port}', '--model']),
  );
  const model = fc.dictionary(keys, values, { maxKeys: 5 });
  const sections = fc.constantFrom(
    'server',
    'devices',
    'scheduling',
    'pools',
    'aliases',
    'defaults',
    'log',
    'runtime',
    'default_model',
    'x',
  );
  const object = fc
    .tuple(
      fc.dictionary(fc.string({ maxLength: 5 }), fc.oneof(model, values), { maxKeys: 3 }),
      fc.dictionary(sections, fc.oneof(model, values), { maxKeys: 3 }),
    )
    .map(([models, rest]) => ({ models, ...rest }));
  await fc.assert(
    fc.asyncProperty(object, async (raw) => {
      const loaded = await loadConfig({ object: raw, environment: {} });
      if (!loaded.ok)
        assert.ok(loaded.error.every((one) => formatFault(one).length > 0) && loaded.error.length > 0);
    }),
    { numRuns: 500 },
  );
});
