import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { publishedConfig } from '../../test/fixtures/model-configs.ts';
import { safetensorsFile, TINY_BYTES, TINY_CONFIG, TINY_TENSORS } from '../../test/fixtures/model-files.ts';
import { qwenThinker } from '../../test/fixtures/talking-models.ts';
import { loadConfig } from '../config/load.ts';
import { launchSignature } from '../control/policies.ts';
import { createFootprintStore } from '../store/footprints.ts';
import { writeLearnedCosts } from '../store/learned-costs.ts';
import { openStateDatabase } from '../store/state-database.ts';
import { type PlanOptions, runPlan } from './plan.ts';
import { LINE_WIDTH } from './text-layout.ts';

const EXAMPLE = fileURLToPath(new URL('../../examples/plan-example.yaml', import.meta.url));
const DEVICES = '2x24GiB,1x12GiB,host=64GiB';

/** Repositories of the example, and the configuration that each has. */
const REPOSITORIES: Readonly<Record<string, string>> = {
  'meta-llama/Llama-3.1-8B-Instruct': 'llama-3.1-8b',
  'mistralai/Mistral-7B-Instruct-v0.3': 'mistral-7b-v0.3',
  'microsoft/phi-4': 'phi-4',
  'Qwen/Qwen2.5-7B-Instruct-AWQ': 'qwen2.5-7b-awq',
  'sentence-transformers/all-MiniLM-L6-v2': 'all-minilm-l6-v2',
  'Qwen/Qwen2.5-72B-Instruct': 'qwen2.5-72b',
};

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-plan-'));
  for (const [repo, config] of Object.entries(REPOSITORIES)) {
    const snapshot = join(directory, 'hub', `models--${repo.replaceAll('/', '--')}`, 'snapshots', 'main');
    await mkdir(snapshot, { recursive: true });
    await writeFile(join(snapshot, 'config.json'), JSON.stringify(publishedConfig(config)));
  }
});
after(() => rm(directory, { recursive: true }));

function environment(changes: Readonly<Record<string, string>> = {}) {
  return {
    HOME: directory,
    HF_HUB_CACHE: join(directory, 'hub'),
    HF_HUB_OFFLINE: '1',
    PLACEMENT_MODE: 'budget',
    ...changes,
  };
}

async function plan(
  options: Partial<PlanOptions>,
): Promise<{ readonly code: number; readonly text: string }> {
  const parts: string[] = [];
  const writer = { write: (text: string) => parts.push(text) };
  const code = await runPlan({ environment: environment(), ...options }, writer);
  return { code, text: parts.join('') };
}

interface PlannedJson {
  readonly ok: boolean;
  readonly models: readonly {
    readonly name: string;
    readonly source: string;
    readonly why: string;
    readonly facts_from: string;
    readonly device_count: number;
    readonly per_device: Readonly<Record<string, number | null>>;
    readonly never_fits: string | null;
    readonly making_room: {
      readonly kind: string;
      readonly victims?: readonly object[];
      readonly room_in_ms?: number;
      readonly serves_in_ms?: number;
    } | null;
    readonly parsers: unknown;
    readonly costs: { readonly start_ms: number; readonly basis: string };
  }[];
  readonly awake_together: { readonly exact: boolean; readonly sets: readonly object[] };
  readonly sleepers: { readonly able: readonly string[]; readonly most_at_once: number };
}

async function planJson(options: Partial<PlanOptions>): Promise<PlannedJson> {
  const { text } = await plan({ ...options, json: true });
  const parsed: PlannedJson = JSON.parse(text);
  return parsed;
}

async function written(name: string, text: string): Promise<string> {
  const file = join(directory, name);
  await writeFile(file, text);
  return file;
}

/**
 * MiB of one device, by hand; 4 sequences of 8192 tokens are 32,768 tokens. total = (weights + cache) x 1.1 + 1024.
 *   llama-8b     8.030 billion parameters x 2 bytes = 15,317; 8 heads x 128 x 2 x 32 layers x 2 bytes = 128 KiB a token: 4096
 *   mistral-7b   7.248 x 2 = 13,824; the same heads and layers: 4096
 *   phi-4        14.66 x 2 = 27,962, of that half on each of 2; 10 x 128 x 2 x 40 x 2 = 200 KiB, half: 3200.
 *                On one device 27,962 x 1.1 alone are more than 0.95 x 24,576 = 23,347.
 *   qwen-7b-awq  6.5 billion packed in 4.16 bits = 3,100, and 1.09 billion (tables) x 2 = 2,080, and little else: 5,300;
 *                4 x 128 x 2 x 28 x 2 = 56 KiB: 1792
 *   embedder     22.7 million x 2 = 43; no cache
 */
const EXPECTED: Readonly<Record<string, readonly [devices: number, weights: number, kv: number]>> = {
  'llama-8b': [1, 15_317, 4096],
  'mistral-7b': [1, 13_824, 4096],
  'phi-4': [2, 13_981, 3200],
  'qwen-7b-awq': [1, 5_300, 1792],
  embedder: [1, 43, 0],
};

test('the example plans to sensible numbers on two large cards and a small one', async () => {
  const found = await planJson({ file: EXAMPLE, devices: DEVICES });
  assert.equal(found.ok, true);
  assert.deepEqual(
    found.models.map(({ name }) => name),
    Object.keys(EXPECTED),
  );
  for (const { name, source, device_count, per_device } of found.models) {
    const [devices, weightsMib, kvMib] = EXPECTED[name] ?? [0, 0, 0];
    assert.deepEqual([name, source, device_count], [name, 'computed', devices]);
    const close = (actual: number | null | undefined, expected: number, share: number) =>
      assert.ok(
        Math.abs((actual ?? 0) - expected) <= share * expected + 1,
        `${name}: ${actual}, not ${expected}`,
      );
    close(per_device.weights_mib, weightsMib, 0.02);
    close(per_device.kv_cache_mib, kvMib, 0.02);
    close(per_device.total_mib, (weightsMib + kvMib) * 1.1 + 1024, 0.02);
  }
  assert.deepEqual(found.awake_together, {
    exact: true,
    crowded_out: [],
    sets: [
      { awake: ['llama-8b', 'mistral-7b', 'qwen-7b-awq', 'embedder'], asleep: [] },
      // 61,440 MiB for engines, 4096 for each of three awake; mistral asleep takes 4096 + 1.5 x 13,824.
      { awake: ['phi-4', 'qwen-7b-awq', 'embedder'], asleep: ['mistral-7b'] },
    ],
  });
  const phi = found.models.find(({ name }) => name === 'phi-4');
  assert.match(phi?.why ?? '', /on 2 devices, because fewer cannot hold it/);
  assert.deepEqual(
    [phi?.making_room?.kind, phi?.making_room?.victims],
    [
      'evict',
      [
        { model: 'llama-8b', how: 'sleep' },
        { model: 'mistral-7b', how: 'sleep' },
      ],
    ],
  );
  // vLLM's assumed start, after the sleeps.
  assert.equal((phi?.making_room?.serves_in_ms ?? 0) - (phi?.making_room?.room_in_ms ?? 0), 30_000);
});

test('whole cards, as the original takes them by default', async () => {
  const found = await planJson({
    file: EXAMPLE,
    devices: DEVICES,
    environment: environment({ PLACEMENT_MODE: 'whole_card' }),
  });
  const sources = Object.fromEntries(found.models.map(({ name, source }) => [name, source]));
  assert.deepEqual([sources['llama-8b'], sources.embedder], ['whole_device', 'computed']);
  assert.equal(found.models.find(({ name }) => name === 'phi-4')?.device_count, 2);
  assert.equal(found.ok, true);
});

test('what never fits is told with the numbers and the nearest change, and the exit code is 1', async () => {
  const file = await written(
    'large.yaml',
    'models: {large: {repo: Qwen/Qwen2.5-72B-Instruct, max_model_len: 8192, kv_reservation_seqs: 2}}\n',
  );
  const { code, text } = await plan({ file, devices: '2x48GiB' });
  assert.equal(code, 1);
  const line = text.replaceAll(/\n +/g, ' ');
  // 72.7 billion parameters x 2 bytes, half of it: 69,340 MiB; (69,340 + 2560) x 1.1 + 1024.
  assert.match(
    line,
    /Never fits:\s+large: it needs 80114 MiB on each of 2 devices .*\(weights 69\d{3}, KV cache \d+/,
  );
  assert.match(line, /it would fit with tensor_parallel_size: 4 \(\d+ MiB, with 4 such devices\)/);
  assert.match(text, /No bound \(it never fits\): large/);
});

test('lines are at most so wide, for three models and for thirty', async () => {
  const repos = Object.keys(REPOSITORIES);
  const models = Array.from({ length: 30 }, (_, index) => {
    const name =
      index % 7 === 3 ? `a-group/with-a-name-that-is-rather-long-for-any-purpose-${index}` : `model-${index}`;
    return `  ${name}: {repo: ${repos[index % repos.length]}, max_model_len: 512, kv_reservation_seqs: 2}`;
  });
  for (const count of [3, 30]) {
    const file = await written(`many-${count}.yaml`, `models:\n${models.slice(0, count).join('\n')}\n`);
    const { text } = await plan({ file, devices: '4x48GiB,host=256GiB' });
    for (const line of text.split('\n')) assert.ok(line.length <= LINE_WIDTH, line);
  }
});

test('what was learned beats what is computed, and costs are the learned ones', async () => {
  const stateDirectory = join(directory, 'state');
  const file = await written(
    'learned.yaml',
    `runtime: {state_directory: ${stateDirectory}}\nmodels: {m: {repo: microsoft/phi-4, max_model_len: 8192}}\n`,
  );
  const loaded = await loadConfig({ file, environment: environment() });
  assert.ok(loaded.ok);
  const model = loaded.value.models.get('m');
  assert.ok(model !== undefined);
  const signature = launchSignature(model);
  const opened = openStateDatabase({ directory: stateDirectory, access: 'own', onFault: assert.fail });
  assert.ok(opened.ok);
  const { database } = opened.value;
  createFootprintStore(database).put({
    model: 'm',
    signature,
    deviceCount: 1,
    usedMib: 30_000,
    source: 'per_process',
    kvCacheMib: null,
    kvCacheTokens: null,
    weightsMib: null,
    residueMib: 700,
    hostAwakeMib: null,
    hostAsleepMib: null,
    measuredAtS: 1,
  });
  const cost = { signature, startMs: 71_000, stopMs: null, sleepMs: null, wakeMs: null };
  writeLearnedCosts(database, { m: cost });
  database.close();
  const [planned] = (await planJson({ file, devices: '48GiB' })).models;
  // 30,000 x 1.02 + 1024.
  assert.deepEqual([planned?.source, planned?.per_device.total_mib], ['learned', 31_624]);
  assert.deepEqual([planned?.costs.start_ms, planned?.costs.basis], [71_000, 'learned']);
});

test('a directory with headers is read as it is', async () => {
  const tiny = join(directory, 'tiny');
  await mkdir(tiny);
  await writeFile(join(tiny, 'config.json'), JSON.stringify(TINY_CONFIG));
  await writeFile(join(tiny, 'model.safetensors'), safetensorsFile(TINY_TENSORS));
  const file = await written('tiny.yaml', `models: {m: {repo: ${tiny}, max_model_len: 64}}\n`);
  const [planned] = (await planJson({ file, devices: '4GiB' })).models;
  assert.deepEqual(
    [planned?.facts_from, planned?.per_device.weights_mib],
    [tiny, Math.ceil(TINY_BYTES / 1024 ** 2)],
  );
});

test('parsers are those of the local files and the installed vLLM; a command line of others has none of ours', async () => {
  const repo = join(directory, 'thinker');
  const executable = await qwenThinker(directory, repo);
  const file = await written(
    'parsers.yaml',
    `models:\n  m: {repo: ${repo}, max_model_len: 64, memory_mib: 1GiB, vllm_executable: [${executable}]}\n  c: {command: [x, "{port}"], memory_mib: 1GiB}\n`,
  );
  const why = 'auto: Qwen3ForCausalLM';
  assert.deepEqual(
    (await planJson({ file, devices: '4GiB' })).models.map(({ parsers }) => parsers),
    [{ tool: { parser: 'hermes', why }, reasoning: { parser: 'qwen3', why } }, null],
  );
});

test('a hub that cannot be asked makes a model unknown, and the reason is told', async () => {
  const file = await written('unknown.yaml', 'models: {m: {repo: org/unknown, max_model_len: 8192}}\n');
  const { code, text } = await plan({ file, devices: '24GiB' });
  assert.equal(code, 0);
  assert.match(text, /^ {2}m +1 +whole .*unknown \*$/m);
  assert.match(text, /\* has whole devices for itself at its first start/);
  assert.match(text.replaceAll(/\n +/g, ' '), /org\/unknown is not in the Hugging Face cache/);
});

test('a hub that never answers costs no more than the limit', async () => {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const file = await written('hanging.yaml', 'models: {m: {repo: org/hanging, max_model_len: 8192}}\n');
  const { text } = await plan({
    file,
    devices: '24GiB',
    environment: environment({ HF_HUB_OFFLINE: '0', HF_ENDPOINT: `http://127.0.0.1:${address.port}` }),
    factsLimitMs: 50,
  });
  server.close();
  assert.match(
    text.replaceAll(/\n +/g, ' '),
    /could not be read within the 0\.05 s for all models|took too long/,
  );
});

test('the demonstration is planned on its simulated device', async () => {
  const { code, text } = await plan({});
  assert.equal(code, 0);
  assert.match(text, /^Plan of the built-in demonstration .*1 device of this machine:/);
  assert.match(text, /sim-gpu-0 +24\.0 GiB +22\.8 GiB to give/);
  assert.match(text, /^ +1\. sim-small, sim-medium\n +asleep beside: sim-large$/m);
});

test('faults of the configuration and of the devices come together', async () => {
  const file = await written('bad.yaml', 'models: {m: {repoo: x}}\n');
  const { code, text } = await plan({ file, devices: '2y' });
  assert.equal(code, 1);
  assert.match(text, /bad\.yaml:1:14: models\.m\.repoo: unknown key/);
  assert.match(text, /^command line --devices: character 1: neither/m);
  const faulty = await plan({ file, devices: '2y', json: true });
  const parsed: { readonly ok: boolean; readonly faults: readonly string[] } = JSON.parse(faulty.text);
  assert.deepEqual([parsed.ok, parsed.faults.length > 1], [false, true]);
});

test('pools of another machine are filled in order, unless the list names pools', async () => {
  const file = await written(
    'pools.yaml',
    'pools: {big: [GPU-a, GPU-b], small: [GPU-c]}\nmodels: {m: {repo: microsoft/phi-4, max_model_len: 512, pool: small}}\n',
  );
  const filled = await plan({ file, devices: '2x24GiB,48GiB' });
  assert.match(filled.text, /filled in order\s+\(big: gpu-0, gpu-1; small: gpu-2\)/);
  assert.equal(filled.code, 0);
  const named = await plan({ file, devices: 'pool=small:24GiB,pool=big:2x48GiB' });
  assert.equal(named.code, 1);
  assert.match(named.text.replaceAll(/\n +/g, ' '), /Never fits: +m: .*it would fit with pool: big/s);
});

test('who has no room beside always-on models is named', async () => {
  const file = await written(
    'pinned.yaml',
    'models:\n  a: {repo: org/a, memory_mib: 15GiB, always_on: true}\n  b: {repo: org/b, memory_mib: 15GiB}\n',
  );
  const { code, text } = await plan({ file, devices: '24GiB' });
  assert.equal(code, 1);
  assert.match(text, /^Can never run beside the always-on models: b\.$/m);
});
