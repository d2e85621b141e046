import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { type FakeHub, type FakeRepository, startFakeHub } from '../../test/fakes/fake-hub.ts';
import {
  ggufFile,
  safetensorsFile,
  TINY_BYTES,
  TINY_CONFIG,
  TINY_GGUF,
  TINY_TENSORS,
} from '../../test/fixtures/model-files.ts';
import { type ReadFacts, type ReadOptions, readModelFacts } from './model-reader.ts';
import type { ReadFault } from './read-fault.ts';

const COMMIT = 'a'.repeat(40);
const LATER = 'b'.repeat(40);
const CONFIG = JSON.stringify(TINY_CONFIG);

let directory = '';
let hub: FakeHub;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-readers-'));
  hub = await startFakeHub();
});
after(async () => {
  await hub.close();
  await rm(directory, { recursive: true });
});
afterEach(() => {
  hub.troubles.clear();
  hub.repositories.clear();
});

let count = 0;
/** A directory of its own with these files. */
async function filled(files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  count += 1;
  const place = join(directory, `d${count}`);
  await mkdir(place);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(place, path)), { recursive: true });
    await writeFile(join(place, path), content);
  }
  return place;
}

/** An environment whose cache is empty and whose hub is the imitation. */
async function options(
  environment: Readonly<Record<string, string>> = {},
  more: Partial<ReadOptions> = {},
): Promise<ReadOptions> {
  const home = await filled({});
  return {
    environment: { HOME: home, HF_ENDPOINT: hub.endpoint, ...environment },
    stateDirectory: null,
    timeLimitMs: 20_000,
    ...more,
  };
}

async function facts(repo: string, given?: ReadOptions): Promise<ReadFacts> {
  const read = await readModelFacts(repo, given ?? (await options()));
  assert.ok(read.ok, read.ok ? '' : `${read.error.kind}: ${read.error.text}`);
  return read.value;
}

async function fault(repo: string, given?: ReadOptions): Promise<ReadFault> {
  const read = await readModelFacts(repo, given ?? (await options()));
  assert.ok(!read.ok, 'it was read');
  return read.error;
}

function repository(files: FakeRepository['files'], more: Partial<FakeRepository> = {}): void {
  hub.repositories.set('owner/model', { commit: COMMIT, files, ...more });
}

const TINY = { 'config.json': CONFIG, 'model.safetensors': safetensorsFile(TINY_TENSORS) };

test('a directory: its configuration and the headers of its weights', async () => {
  const { facts: read, commit } = await facts(await filled(TINY));
  assert.equal(commit, null);
  assert.deepEqual(read.stored, { bytes: TINY_BYTES, skippedBytes: 176, source: 'safetensors' });
  assert.equal(read.layers.length, 2);
});

test('shards by the index; with one missing, weights are computed', async () => {
  const index = JSON.stringify({ weight_map: { a: 'one.safetensors', b: 'two.safetensors' } });
  const shard = (plan: number) => safetensorsFile(TINY_TENSORS.slice(plan, plan + 1));
  const whole = { 'config.json': CONFIG, 'model.safetensors.index.json': index, 'one.safetensors': shard(0) };
  const { facts: both } = await facts(await filled({ ...whole, 'two.safetensors': shard(1) }));
  assert.equal(both.stored?.bytes, TINY_BYTES);
  const { facts: one } = await facts(await filled(whole));
  assert.equal(one.stored, null);
});

test('the same weights in another format beside them are not counted twice', async () => {
  const { facts: read } = await facts(
    await filled({ ...TINY, 'consolidated.safetensors': safetensorsFile(TINY_TENSORS) }),
  );
  assert.equal(read.stored?.bytes, TINY_BYTES);
});

test('ModelOpt’s packing stands in a file of its own', async () => {
  const quantized = JSON.stringify({ producer: { name: 'modelopt' }, quantization: { quant_algo: 'NVFP4' } });
  const { facts: read } = await facts(await filled({ ...TINY, 'hf_quant_config.json': quantized }));
  assert.equal(read.quantization?.bitsPerWeight, 4.5);
});

test('a GGUF file, and a directory with just one', async () => {
  const tensors = [
    { name: 'token_embd.weight', type: 1, shape: [8, 3] },
    { name: 'output.weight', type: 0, shape: [8, 3] },
  ] as const;
  const place = await filled({ 'tiny.gguf': ggufFile(TINY_GGUF, tensors) });
  for (const repo of [place, join(place, 'tiny.gguf')]) {
    const { facts: read } = await facts(repo);
    assert.equal(read.architecture, 'llama');
    assert.equal(read.vocabularySize, 3);
    assert.equal(read.tiedEmbeddings, false);
    // 48 bytes padded to 64, then 96.
    assert.equal(read.stored?.bytes, 64 + 96);
  }
});

test('local faults are named', async () => {
  assert.equal((await fault('/no/such/place')).kind, 'not_found');
  assert.equal((await fault('what is this')).kind, 'not_found');
  assert.match((await fault(await filled({}))).text, /neither a config.json nor a GGUF/);
  assert.match((await fault(await filled({ 'config.json': '{' }))).text, /not JSON/);
  const cut = await filled({ 'config.json': CONFIG, 'model.safetensors': 'short' });
  assert.equal((await fault(cut)).kind, 'malformed');
  const huge = Buffer.concat([Buffer.from('ffffffffffffff7f', 'hex'), Buffer.alloc(64)]);
  const claims = await filled({ 'config.json': CONFIG, 'model.safetensors': huge });
  assert.match((await fault(claims)).text, /claims/);
  assert.equal((await fault(await filled({ 'x.gguf': 'no such thing at all' }))).kind, 'malformed');
  const lacking = await fault(await filled({ 'config.json': '{"model_type":"llama"}' }));
  assert.equal(lacking.kind, 'not_understood');
  assert.match(lacking.text, /hidden_size.*vocab_size/);
});

test('the hub: commit, list, configuration and headers, never weights', async () => {
  const weights = 4 * 1024 * 1024;
  const large = [...TINY_TENSORS, { name: 'x', type: 'U8', shape: [weights], bytes: weights }];
  repository({ 'config.json': CONFIG, 'model.safetensors': safetensorsFile(large), 'README.md': 'x' });
  const before = hub.requests.length;
  const read = await facts('owner/model');
  assert.equal(read.commit, COMMIT);
  assert.equal(read.origin, hub.endpoint);
  assert.equal(read.facts.stored?.bytes, TINY_BYTES + weights);
  const asked = hub.requests.slice(before);
  assert.equal(asked.length, 4);
  assert.ok(asked.every(({ path }) => !path.includes('README')));
  assert.equal(asked.at(-1)?.range, 'bytes=0-262143');
});

test('a header longer than the first range is fetched to its end', async () => {
  repository({ 'config.json': CONFIG, 'model.safetensors': safetensorsFile(TINY_TENSORS, 300_000) });
  assert.equal((await facts('owner/model')).facts.stored?.bytes, TINY_BYTES);
});

test('GGUF on the hub: by file, by packing, by address, in parts', async () => {
  const part = (name: string) => ggufFile(TINY_GGUF, [{ name, type: 0, shape: [8, 8] }]);
  repository({
    'tiny-Q4_K_M.gguf': part('blk.0.a.weight'),
    'Q8_0/tiny-Q8_0-00001-of-00002.gguf': part('blk.0.a.weight'),
    'Q8_0/tiny-Q8_0-00002-of-00002.gguf': part('blk.1.a.weight'),
  });
  for (const repo of [
    'owner/model/tiny-Q4_K_M.gguf',
    'owner/model:Q4_K_M',
    `${hub.endpoint}/owner/model/resolve/main/tiny-Q4_K_M.gguf`,
  ])
    assert.equal((await facts(repo)).facts.stored?.bytes, 256, repo);
  assert.equal((await facts('owner/model:q8_0')).facts.stored?.bytes, 512);
  assert.match((await fault('owner/model:Q2_K')).text, /no GGUF file for Q2_K/);
  assert.match((await fault('owner/model')).text, /3 GGUF files/);
});

test('GGUF on the hub: beside a model lie its projector and its importance, and other variants of its packing', async () => {
  const tensors = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      name: `blk.0.a${index}.weight`,
      type: 0 as const,
      shape: [8, 8],
    }));
  const beside = { 'mmproj-F16.gguf': ggufFile(TINY_GGUF, tensors(9)) };
  repository({ ...beside, 'tiny-F16.gguf': ggufFile(TINY_GGUF, tensors(1)) });
  assert.equal((await facts('owner/model')).facts.stored?.bytes, 256, 'the only model');
  repository({
    ...beside,
    'imatrix_Q4_K_XL.gguf': ggufFile(TINY_GGUF, tensors(9)),
    'a.mmproj-Q4_K_XL.gguf': ggufFile(TINY_GGUF, tensors(9)),
    'mtp/mmproj-Q4_K_XL.gguf': ggufFile(TINY_GGUF, tensors(9)),
    'tiny-F16.gguf': ggufFile(TINY_GGUF, tensors(1)),
    'tiny-Q4_K_XL.gguf': ggufFile(TINY_GGUF, tensors(2)),
    'UD/tiny-UD-Q4_K_XL.gguf': ggufFile(TINY_GGUF, tensors(3)),
  });
  for (const [word, tensorCount] of [
    ['F16', 1],
    ['Q4_K_XL', 2],
    ['UD-Q4_K_XL', 3],
  ] as const)
    assert.equal((await facts(`owner/model:${word}`)).facts.stored?.bytes, tensorCount * 256, word);
  assert.equal((await facts('owner/model/mmproj-F16.gguf')).facts.stored?.bytes, 9 * 256, 'by its name');
});

test('a token is sent, from the variable or from the file that a login left', async () => {
  repository(TINY, { token: 'hf_secret' });
  const stranger = await fault('owner/model');
  assert.equal(stranger.kind, 'no_access');
  assert.match(stranger.text, /HF_TOKEN/);
  assert.ok((await facts('owner/model', await options({ HF_TOKEN: 'hf_secret' }))).facts);
  const home = await filled({ token: 'hf_secret\n' });
  assert.ok((await facts('owner/model', await options({ HF_HOME: home }))).facts);
  const wrong = await fault('owner/model', await options({ HF_TOKEN: 'hf_wrong' }));
  assert.equal(wrong.kind, 'no_access');
  assert.ok(!wrong.text.includes('hf_wrong'));
});

test('the token does not follow a redirection to a store elsewhere', async () => {
  const store = await startFakeHub();
  try {
    repository(TINY, { token: 'hf_secret' });
    store.repositories.set('owner/model', { commit: COMMIT, files: TINY });
    hub.troubles.set('model.safetensors', { kind: 'redirect', endpoint: store.endpoint });
    const read = await facts('owner/model', await options({ HF_TOKEN: 'hf_secret' }));
    assert.equal(read.facts.stored?.bytes, TINY_BYTES);
    assert.deepEqual(
      store.requests.map(({ token }) => token),
      [null],
    );
  } finally {
    await store.close();
  }
});

test('what a hub may answer instead', async () => {
  repository(TINY);
  const cases = [
    [{ kind: 'status', status: 403, code: 'GatedRepo' }, 'no_access'],
    [{ kind: 'status', status: 404, code: 'RepoNotFound' }, 'not_found'],
    [{ kind: 'status', status: 429 }, 'rate_limited'],
    [{ kind: 'status', status: 503 }, 'unreachable'],
    [{ kind: 'cut' }, 'unreachable'],
    [{ kind: 'short' }, 'malformed'],
    [{ kind: 'no_ranges' }, 'malformed'],
    [{ kind: 'flood' }, 'too_large'],
  ] as const;
  for (const [trouble, kind] of cases) {
    hub.troubles.set('config.json', trouble);
    assert.equal((await fault('owner/model')).kind, kind, JSON.stringify(trouble));
  }
  hub.troubles.clear();
  assert.match(
    (await fault('owner/model', await options({}, { revision: 'nope' }))).text,
    /no such revision/,
  );
  assert.equal((await fault('owner/absent')).kind, 'no_access');
});

test('the user of an endpoint is sent to it instead of a token, and shown nowhere', async () => {
  const stateDirectory = await filled({});
  const store = await startFakeHub();
  const HF_ENDPOINT = `${hub.endpoint.replace('//', '//gate%40way:s3cret@')}/`;
  const given = await options({ HF_ENDPOINT, HF_TOKEN: 'hf_secret' }, { stateDirectory });
  // What the imitation takes for a token is the whole header where that is no Bearer.
  const basic = `Basic ${Buffer.from('gate@way:s3cret').toString('base64')}`;
  try {
    repository(TINY, { token: basic });
    store.repositories.set('owner/model', { commit: COMMIT, files: TINY });
    hub.troubles.set('model.safetensors', { kind: 'redirect', endpoint: store.endpoint });
    const first = hub.requests.length;
    const read = await facts('owner/model', given);
    assert.deepEqual([read.origin, read.facts.stored?.bytes], [hub.endpoint, TINY_BYTES]);
    assert.deepEqual([...new Set(hub.requests.slice(first).map(({ token }) => token))], [basic]);
    assert.deepEqual([...new Set(store.requests.map(({ token }) => token))], [null]);
    hub.troubles.clear();
    // Kept under the same name as without a user, whoever it is.
    repository(TINY);
    const plain = await options({}, { stateDirectory });
    assert.equal((await facts('owner/model', plain)).origin, 'an earlier reading');
    const shown: string[] = [];
    for (const status of [401, 404, 429, 503]) {
      hub.troubles.set('owner/other', { kind: 'status', status });
      shown.push((await fault('owner/other', given)).text);
    }
    await store.close();
    const gone = await options({ HF_ENDPOINT: `${store.endpoint.replace('//', '//gateway:s3cret@')}/hub` });
    shown.push((await fault('owner/model', gone)).text);
    const noAddress = await options({ HF_ENDPOINT: 'gateway:s3cret@mirror' });
    shown.push((await fault('owner/model', noAddress)).text);
    assert.doesNotMatch(shown.join('\n'), /s3cret|gate/);
    assert.match(shown.at(-2) ?? '', /^http:\/\/127\.0\.0\.1:\d+\/hub cannot be reached/);
    assert.match(shown.at(-1) ?? '', /^HF_ENDPOINT is not an http or https address/);
  } finally {
    await store.close();
  }
});

test('a stalled hub runs into the time limit', async () => {
  repository(TINY);
  hub.troubles.set('model.safetensors', { kind: 'stall' });
  const stalled = await fault('owner/model', await options({}, { timeLimitMs: 300 }));
  assert.equal(stalled.kind, 'timeout');
});

test('nobody listens: unreachable', async () => {
  const gone = await startFakeHub();
  await gone.close();
  assert.equal(
    (await fault('owner/model', await options({ HF_ENDPOINT: gone.endpoint }))).kind,
    'unreachable',
  );
});

test('requests go through the proxy that the environment names', async () => {
  // A proxy is asked for the tunnel first; nobody listens there.
  const proxy = await startFakeHub();
  await proxy.close();
  repository(TINY);
  const proxied = await fault('owner/model', await options({ http_proxy: proxy.endpoint }));
  assert.equal(proxied.kind, 'unreachable');
  assert.ok(
    (await facts('owner/model', await options({ http_proxy: proxy.endpoint, no_proxy: '127.0.0.1' }))).facts,
  );
});

const SNAPSHOT = `hub/models--owner--model/snapshots/${COMMIT}`;

test('the cache of Hugging Face’s tools comes first, with all that is needed in it', async () => {
  const home = await filled({
    'hub/models--owner--model/refs/main': COMMIT,
    [`${SNAPSHOT}/config.json`]: CONFIG,
    [`${SNAPSHOT}/model.safetensors`]: safetensorsFile(TINY_TENSORS),
  });
  const offline = await options({ HF_HOME: home, HF_HUB_OFFLINE: '1' });
  const read = await facts('owner/model', offline);
  assert.equal(read.commit, COMMIT);
  assert.match(read.origin, /cache/);
  assert.equal(read.facts.stored?.bytes, TINY_BYTES);
  const moved = await options({ HF_HUB_CACHE: join(home, 'hub'), HF_HUB_OFFLINE: 'true' });
  assert.equal((await facts('owner/model', moved)).commit, COMMIT);
  assert.equal((await facts('owner/model', { ...offline, revision: COMMIT })).commit, COMMIT);
  assert.equal((await fault('owner/other', offline)).kind, 'offline');
  assert.equal((await fault('owner/model', { ...offline, revision: '../../refs' })).kind, 'offline');
});

test('a snapshot without weights: the hub is asked, and does without where it cannot be', async () => {
  const home = await filled({
    'hub/models--owner--model/refs/main': COMMIT,
    [`${SNAPSHOT}/config.json`]: CONFIG,
  });
  repository(TINY);
  const online = await options({ HF_HOME: home });
  assert.equal((await facts('owner/model', online)).facts.stored?.bytes, TINY_BYTES);
  hub.troubles.set('owner/model', { kind: 'status', status: 500 });
  assert.equal((await facts('owner/model', online)).facts.stored, null);
});

test('a reading is kept by commit, used without a second, and outlives the hub', async () => {
  const stateDirectory = await filled({});
  const given = await options({}, { stateDirectory });
  repository(TINY);
  await facts('owner/model', given);
  const before = hub.requests.length;
  const again = await facts('owner/model', given);
  assert.equal(again.origin, 'an earlier reading');
  assert.equal(again.facts.stored?.bytes, TINY_BYTES);
  assert.equal(hub.requests.length, before + 1);
  repository(
    { ...TINY, 'config.json': JSON.stringify({ ...TINY_CONFIG, num_hidden_layers: 3 }) },
    { commit: LATER },
  );
  assert.equal((await facts('owner/model', given)).facts.layers.length, 3);
  hub.troubles.set('owner/model', { kind: 'status', status: 429 });
  const kept = await facts('owner/model', given);
  assert.equal(kept.commit, LATER);
  assert.match(kept.origin, /earlier reading.*too many requests/);
  assert.equal((await readdir(join(stateDirectory, 'model-facts'))).length, 1);
});

test('a spoilt reading is read anew', async () => {
  const stateDirectory = await filled({});
  const given = await options({}, { stateDirectory });
  repository(TINY);
  await facts('owner/model', given);
  const [name = ''] = await readdir(join(stateDirectory, 'model-facts'));
  await writeFile(join(stateDirectory, 'model-facts', name), '{"format":1');
  assert.equal((await facts('owner/model', given)).origin, hub.endpoint);
});
