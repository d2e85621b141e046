import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hubAccess } from '../readers/hub-access.ts';
import { COMMIT, fetchWorld, MIB, putModel, withArguments } from './weights-fetcher.fixture.ts';

test('what a launch reads is fetched into the layout of the Hugging Face cache, and nothing else', async (t) => {
  const world = await fetchWorld(t);
  const parts = putModel(world.hub);
  const result = await world.fetch({}, { environment: { ...env(world), HF_TOKEN: 'hf_secret' } });
  assert.ok(result.kind === 'ready', JSON.stringify(result));
  assert.deepEqual(result.source, { model: 'acme/small', tokenizer: null, isComplete: true, files: [] });
  const directory = join(world.cache, 'models--acme--small');
  assert.equal(await readFile(join(directory, 'refs', 'main'), 'utf8'), COMMIT);
  const snapshot = join(directory, 'snapshots', COMMIT);
  assert.deepEqual((await readdir(snapshot)).sort(), [
    'README.md',
    'chat_template.jinja',
    'config.json',
    'generation_config.json',
    'model-00001-of-00002.safetensors',
    'model-00002-of-00002.safetensors',
    'model.safetensors.index.json',
    'modeling_small.py',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
  for (const [name, content] of Object.entries(parts)) {
    assert.deepEqual(await readFile(join(snapshot, name)), content);
    assert.match(await readlink(join(snapshot, name)), /^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
  }
  assert.match(await readlink(join(snapshot, 'config.json')), /^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
  const leftovers = (await readdir(join(directory, 'blobs'))).filter((name) => name.includes('.'));
  assert.deepEqual(leftovers, []);
  const last = world.progress.at(-1);
  assert.ok(last !== undefined && last.bytesDone === last.bytesTotal && last.bytesDone > 2 * MIB);
  const store = world.hub.requests.filter(({ server }) => server === 'store');
  assert.equal(store.length, 2);
  assert.ok(
    store.every(({ authorization }) => authorization === null),
    'the store got the token',
  );
  const hub = world.hub.requests.filter(({ server }) => server === 'hub');
  assert.ok(hub.every(({ authorization }) => authorization === 'Bearer hf_secret'));
});

test('what is complete is taken as it is and no hub is asked, also when its branch has moved', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  await world.fetch();
  const asked = world.hub.requests.length;
  const repository = world.hub.repositories.get('acme/small');
  assert.ok(repository !== undefined);
  repository.commit = 'b'.repeat(40);
  repository.files['config.json'] = '{"architectures":["Y"]}';
  const again = await world.fetch();
  assert.ok(again.kind === 'ready' && again.fetchedBytes === 0 && again.source.isComplete);
  assert.equal(world.hub.requests.length, asked);

  const updated = await world.fetch({}, { update: true });
  assert.ok(updated.kind === 'ready');
  assert.equal(
    updated.fetchedBytes,
    '{"architectures":["Y"]}'.length,
    'what has not changed is not fetched again',
  );
  const directory = join(world.cache, 'models--acme--small');
  assert.equal(await readFile(join(directory, 'refs', 'main'), 'utf8'), 'b'.repeat(40));
  assert.equal((await readdir(join(directory, 'snapshots'))).length, 2);
});

test('a snapshot that another tool has fetched is taken without a hub, an incomplete one is completed', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  const directory = join(world.cache, 'models--acme--small');
  const snapshot = join(directory, 'snapshots', COMMIT);
  await mkdir(snapshot, { recursive: true });
  await mkdir(join(directory, 'refs'));
  await writeFile(join(directory, 'refs', 'main'), COMMIT);
  const repository = world.hub.repositories.get('acme/small');
  const put = (name: string) => writeFile(join(snapshot, name), repository?.files[name] ?? '');
  for (const name of ['config.json', 'tokenizer.json', 'model.safetensors.index.json']) await put(name);
  await put('model-00001-of-00002.safetensors');
  const offline = await world.fetch({}, { environment: { ...env(world), HF_HUB_OFFLINE: '1' } });
  assert.ok(offline.kind === 'failed');
  assert.equal(offline.failure.cause, 'model_not_found');
  assert.match(
    offline.failure.text,
    /acme\/small model-00002-of-00002\.safetensors is missing .*HF_HUB_OFFLINE/,
  );
  assert.equal(world.hub.requests.length, 0);
  assert.ok((await world.fetch()).kind === 'ready');
  assert.equal(world.hub.servedBytes('model-00001-of-00002.safetensors'), 0, 'what is there is kept');

  await put('model-00002-of-00002.safetensors');
  const asked = world.hub.requests.length;
  const complete = await world.fetch({}, { environment: { ...env(world), HF_HUB_OFFLINE: '1' } });
  assert.ok(complete.kind === 'ready' && complete.source.isComplete);
  assert.equal(world.hub.requests.length, asked);
});

test('offline, a model that is not there is a failure that says so', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  const result = await world.fetch(withArguments('--revision', 'v2'), {
    environment: { ...env(world), HF_HUB_OFFLINE: '1' },
  });
  assert.ok(result.kind === 'failed' && !result.failure.retryable);
  assert.match(result.failure.text, /^acme\/small \(revision v2\) is not in the Hugging Face cache/);
  assert.deepEqual(world.hub.requests, []);
});

test("a model's own variables say where its files go and which token opens them", async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  const gated = world.hub.repositories.get('acme/small');
  assert.ok(gated !== undefined);
  world.hub.repositories.set('acme/small', { ...gated, gatedFor: 'hf_mine' });
  const elsewhere = join(world.home, 'elsewhere');
  const refused = await world.fetch({ environment: { HF_TOKEN: 'hf_other' } });
  assert.ok(refused.kind === 'failed');
  assert.equal(refused.failure.cause, 'gated_repository');
  assert.equal(
    refused.failure.text,
    `acme/small is gated, and the account of HF_TOKEN has no access: ask for it at ${world.hub.endpoint}/acme/small`,
  );
  const ready = await world.fetch({ environment: { HF_TOKEN: 'hf_mine', HF_HUB_CACHE: elsewhere } });
  assert.equal(ready.kind, 'ready');
  assert.ok((await stat(join(elsewhere, 'models--acme--small', 'refs', 'main'))).isFile());
});

test('repositories that a launch reads besides are fetched too: tokenizer, adapters, a draft, and what its configuration names', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  const other = (files: Record<string, string>) => ({ commit: COMMIT, files });
  world.hub.repositories.set('acme/words', other({ 'tokenizer.json': '{}', 'config.json': '{}' }));
  world.hub.repositories.set(
    'acme/adapter',
    other({ 'adapter_config.json': '{}', 'adapter_model.safetensors': 'x' }),
  );
  world.hub.repositories.set(
    'acme/draft',
    other({ 'config.json': '{}', 'model.safetensors': 'draft', 'tokenizer.json': '{}' }),
  );
  world.hub.repositories.set('acme/code', other({ 'modeling.py': 'pass', 'model.safetensors': 'x' }));
  const small = world.hub.repositories.get('acme/small');
  assert.ok(small !== undefined);
  world.hub.repositories.set(
    'acme/text',
    other({ 'config.json': '{}', 'model.safetensors': 'text', 'tokenizer.json': '{}' }),
  );
  small.files['config.json'] =
    '{"auto_map":{"AutoModel":"acme/code--modeling.Model"},"text_model_id":"acme/text"}';
  const result = await world.fetch(
    withArguments(
      '--tokenizer=acme/words',
      '--lora-modules',
      'one=acme/adapter',
      'two=/somewhere/here',
      '--trust-remote-code',
      '--speculative-config',
      '{"model": "acme/draft", "num_speculative_tokens": 2}',
    ),
  );
  assert.ok(result.kind === 'ready' && result.source.isComplete, JSON.stringify(result));
  const snapshot = async (name: string) =>
    (await readdir(join(world.cache, `models--acme--${name}`, 'snapshots', COMMIT))).sort();
  assert.deepEqual(await snapshot('words'), ['config.json', 'tokenizer.json']);
  assert.deepEqual(await snapshot('adapter'), ['adapter_config.json', 'adapter_model.safetensors']);
  assert.deepEqual(await snapshot('draft'), ['config.json', 'model.safetensors', 'tokenizer.json']);
  assert.deepEqual(await snapshot('code'), ['modeling.py']);
  assert.deepEqual(await snapshot('text'), ['config.json', 'model.safetensors', 'tokenizer.json']);
  const asked = world.hub.requests.length;
  await world.fetch(withArguments('--tokenizer=acme/words', '--lora-modules', 'one=acme/adapter'));
  assert.equal(world.hub.requests.length, asked, 'all of it is known to be there');
});

test('a download directory gets the weights, and the usual cache what vLLM looks for there', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  const elsewhere = join(world.home, 'elsewhere');
  const result = await world.fetch(
    withArguments('--download-dir', elsewhere, '--load-format', 'safetensors'),
  );
  assert.equal(result.kind, 'ready');
  const inside = (base: string) => readdir(join(base, 'models--acme--small', 'snapshots', COMMIT));
  assert.ok((await inside(elsewhere)).includes('model-00001-of-00002.safetensors'));
  const usual = await inside(world.cache);
  assert.ok(usual.includes('config.json') && !usual.some((name) => name.endsWith('.safetensors')));
});

test('what is not ours to fetch is passed on as it is configured', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  const cases = [
    { repo: 's3://bucket/model' },
    { repo: 'gs://bucket/model' },
    { fetch: false },
    { engine: 'simulated' as const },
    { command: ['serve', '{port}'] },
    { repo: world.home },
    { environment: { VLLM_USE_MODELSCOPE: 'true' } },
    withArguments('--load-format', 'tensorizer'),
  ];
  for (const changes of cases) {
    const result = await world.fetch(changes);
    assert.ok(result.kind === 'ready' && !result.source.isComplete, JSON.stringify(changes));
    assert.equal(result.source.model, 'repo' in changes ? changes.repo : 'acme/small');
    assert.deepEqual(
      result.source.files,
      'repo' in changes && changes.repo === world.home ? [world.home] : [],
    );
  }
  assert.deepEqual(world.hub.requests, []);
});

test('a file system without links gets the files themselves', async (t) => {
  const world = await fetchWorld(t);
  const parts = putModel(world.hub);
  const makeLink = () => Promise.reject(Object.assign(new Error('no links'), { code: 'EPERM' }));
  assert.equal((await world.fetch({}, { makeLink })).kind, 'ready');
  const snapshot = join(world.cache, 'models--acme--small', 'snapshots', COMMIT);
  const name = 'model-00001-of-00002.safetensors';
  assert.deepEqual(await readFile(join(snapshot, name)), parts[name]);
  const asked = world.hub.requests.length;
  assert.equal((await world.fetch()).kind, 'ready');
  assert.equal(world.hub.requests.length, asked);
});

function env({ home, hub }: { readonly home: string; readonly hub: { readonly endpoint: string } }) {
  return { HF_HOME: home, HF_ENDPOINT: hub.endpoint };
}

test('the cache is where the readers look', async (t) => {
  const world = await fetchWorld(t);
  assert.equal((await hubAccess(env(world))).cacheDirectory, world.cache);
});
