import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ggufFile } from '../../test/fixtures/model-files.ts';
import { baseModelOfCard } from './gguf-base-model.ts';
import { COMMIT, type FetchWorld, fetchWorld, withArguments } from './weights-fetcher.fixture.ts';

const TENSORS = [{ name: 'token_embd.weight', type: 1, shape: [8, 64] }] as const;

function gguf(metadata: Record<string, string> = {}): Buffer {
  return Buffer.concat([
    ggufFile({ 'general.architecture': 'llama', ...metadata }, TENSORS),
    randomBytes(300_000),
  ]);
}

function put(world: FetchWorld, files: Record<string, Buffer | string>, name = 'acme/small-GGUF'): void {
  const large = Object.keys(files).filter((path) => path.endsWith('.gguf'));
  world.hub.repositories.set(name, { commit: COMMIT, files, large });
}

function putBase(world: FetchWorld): void {
  put(
    world,
    { 'config.json': '{}', 'tokenizer.json': '{}', 'model.safetensors': 'weights', 'README.md': '' },
    'acme/small',
  );
}

const FROM_ADDRESS = { 'general.base_model.0.repo_url': 'https://huggingface.co/acme/small' };

test('a GGUF file of a repository, by name or packing; its tokenizer is that of the model it was made from', async (t) => {
  const world = await fetchWorld(t);
  putBase(world);
  const files = { 'small-Q4_K_M.gguf': gguf(FROM_ADDRESS), 'small-Q8_0.gguf': gguf(), 'README.md': 'x' };
  put(world, files);
  const snapshot = join(world.cache, 'models--acme--small-GGUF', 'snapshots', COMMIT);
  for (const repo of [
    'acme/small-GGUF:Q4_K_M',
    'acme/small-GGUF/small-Q4_K_M.gguf',
    `${world.hub.endpoint}/acme/small-GGUF/resolve/main/small-Q4_K_M.gguf`,
    'https://huggingface.co/acme/small-GGUF/blob/main/small-Q4_K_M.gguf?download=true',
  ]) {
    const result = await world.fetch({ repo });
    assert.ok(result.kind === 'ready', JSON.stringify(result));
    assert.deepEqual(result.source, {
      model: join(snapshot, 'small-Q4_K_M.gguf'),
      tokenizer: 'acme/small',
      isComplete: true,
      files: [],
    });
  }
  assert.deepEqual((await readdir(snapshot)).sort(), ['README.md', 'small-Q4_K_M.gguf']);
  assert.deepEqual(await readFile(join(snapshot, 'small-Q4_K_M.gguf')), files['small-Q4_K_M.gguf']);
  const base = join(world.cache, 'models--acme--small', 'snapshots', COMMIT);
  assert.deepEqual((await readdir(base)).sort(), ['README.md', 'config.json', 'tokenizer.json']);
});

test('a packing that is not there: the files that are', async (t) => {
  const world = await fetchWorld(t);
  put(world, { 'small-Q8_0.gguf': gguf() });
  const result = await world.fetch({ repo: 'acme/small-GGUF:Q2_K' });
  assert.ok(result.kind === 'failed');
  assert.equal(result.failure.cause, 'model_not_found');
  assert.equal(
    result.failure.text,
    'acme/small-GGUF has no GGUF file for Q2_K; its GGUF files are small-Q8_0.gguf',
  );
  const whole = await world.fetch({ repo: 'acme/small-GGUF' });
  assert.ok(whole.kind === 'failed');
  assert.equal(
    whole.failure.text,
    'acme/small-GGUF has no weights that vLLM reads; its GGUF files are small-Q8_0.gguf: name one of them, such as `acme/small-GGUF/small-Q8_0.gguf` or `acme/small-GGUF:Q8_0`',
  );
  put(world, { 'mmproj-F16.gguf': gguf(), 'UD/small-UD-Q4_K_XL.gguf': gguf() }, 'acme/other-GGUF');
  const other = await world.fetch({ repo: 'acme/other-GGUF' });
  assert.ok(other.kind === 'failed');
  assert.match(
    other.failure.text,
    /such as `acme\/other-GGUF\/UD\/small-UD-Q4_K_XL\.gguf` or `acme\/other-GGUF:UD-Q4_K_XL`$/,
  );
  const { kind } = await world.fetch({ repo: 'acme/other-GGUF:UD-Q4_K_XL' });
  assert.equal(kind, 'ready');
});

test('a file in parts is fetched whole, and its first part is named', async (t) => {
  const world = await fetchWorld(t);
  const names = [1, 2, 3].map((number) => `q4/small-Q4_0-0000${number}-of-00003.gguf`);
  put(world, { ...Object.fromEntries(names.map((name) => [name, gguf()])), 'small-Q8_0.gguf': gguf() });
  const result = await world.fetch({ repo: 'acme/small-GGUF:Q4_0' });
  assert.ok(result.kind === 'ready', JSON.stringify(result));
  assert.match(result.source.model, /q4\/small-Q4_0-00001-of-00003\.gguf$/);
  const folder = join(world.cache, 'models--acme--small-GGUF', 'snapshots', COMMIT, 'q4');
  assert.equal((await readdir(folder)).length, 3);
});

test('the tokenizer is told by the model card, or configured, or the one in the file with a warning', async (t) => {
  const world = await fetchWorld(t);
  putBase(world);
  put(world, { 'small-Q8_0.gguf': gguf(), 'README.md': '---\nbase_model: acme/small\n---\n# Small' });
  const byCard = await world.fetch({ repo: 'acme/small-GGUF:Q8_0' });
  assert.ok(byCard.kind === 'ready' && byCard.source.tokenizer === 'acme/small');
  const configured = await world.fetch({
    repo: 'acme/small-GGUF:Q8_0',
    ...withArguments('--tokenizer', 'acme/small'),
  });
  assert.ok(configured.kind === 'ready' && configured.source.tokenizer === null);
  assert.deepEqual(world.lines, []);

  put(world, { 'bare.gguf': gguf() }, 'acme/bare');
  const none = await world.fetch({ repo: 'acme/bare/bare.gguf' });
  assert.ok(none.kind === 'ready' && none.source.tokenizer === null && none.source.isComplete);
  assert.match(
    world.lines.join(),
    /warn: small: the tokenizer in the GGUF file is used, because it does not tell/,
  );
  put(
    world,
    { 'gone.gguf': gguf({ 'general.base_model.0.repo_url': 'https://hf.co/acme/gone' }) },
    'acme/of-gone',
  );
  const gone = await world.fetch({ repo: 'acme/of-gone/gone.gguf' });
  assert.ok(gone.kind === 'ready' && gone.source.tokenizer === null);
  assert.match(world.lines.at(-1) ?? '', /that of acme\/gone cannot be had: .*acme\/gone does not exist/);
});

test('a local file stays where it is', async (t) => {
  const world = await fetchWorld(t);
  putBase(world);
  const path = join(world.home, 'mine.gguf');
  await writeFile(path, gguf(FROM_ADDRESS));
  const result = await world.fetch({ repo: path });
  assert.ok(result.kind === 'ready');
  assert.deepEqual(result.source, { model: path, tokenizer: 'acme/small', isComplete: true, files: [path] });
});

test('a plain address is fetched into a folder of ours, resumed, and not mixed with a file that has changed', async (t) => {
  const world = await fetchWorld(t);
  putBase(world);
  const old = gguf(FROM_ADDRESS);
  world.hub.plain.set('mine.gguf', old);
  const repo = `${world.hub.endpoint}/plain/mine.gguf?key=secret`;
  world.hub.fault('/plain/mine.gguf', { kind: 'slow', pieceBytes: 32 * 1024, pauseMs: 10 }, 3);
  const ended = new AbortController();
  const fetching = world.fetch({ repo }, { signal: ended.signal });
  await world.hub.served('mine.gguf', 100_000);
  ended.abort();
  await fetching;
  const changed = gguf(FROM_ADDRESS);
  world.hub.plain.set('mine.gguf', changed);
  const result = await world.fetch({ repo });
  assert.ok(result.kind === 'ready', JSON.stringify(result));
  assert.match(result.source.model, /\/\.vllm-gateway\/urls\/[0-9a-f]{16}\/mine\.gguf$/);
  assert.equal(result.source.tokenizer, 'acme/small');
  assert.deepEqual(await readFile(result.source.model), changed);
  const asked = world.hub.requests.length;
  const again = await world.fetch({ repo: repo.replace('secret', 'another') });
  assert.ok(again.kind === 'ready' && again.source.model === result.source.model);
  assert.equal(world.hub.requests.length, asked);
  const resumed = world.hub.requests.filter(
    ({ path, range }) => path.includes('mine') && /-$/.test(range ?? ''),
  );
  assert.equal(resumed.length, 1);
  assert.match(
    resumed[0]?.ifRange ?? '',
    /^"[0-9a-f]{64}"$/,
    'the rest was asked for, if it was still the same',
  );
});

test('what comes from an address and is no GGUF file is refused, without its secrets', async (t) => {
  const world = await fetchWorld(t);
  world.hub.plain.set('page.gguf', Buffer.from('<html>sign in</html>'));
  const repo = `${world.hub.endpoint}/plain/page.gguf?key=secret`;
  const result = await world.fetch({ repo });
  assert.ok(result.kind === 'failed');
  assert.match(result.failure.text, /^what http:\/\/127\.0\.0\.1:\d+ gives as page\.gguf is no GGUF file/);
  const missing = await world.fetch({ repo: `${world.hub.endpoint}/plain/none.gguf?key=secret` });
  assert.ok(missing.kind === 'failed' && missing.failure.cause === 'model_not_found');
  assert.doesNotMatch(missing.failure.text, /secret/);
  const offline = await world.fetch({ repo, environment: { HF_HUB_OFFLINE: '1' } });
  assert.ok(offline.kind === 'failed' && !offline.failure.retryable);
});

test('what model cards say of their base', async () => {
  assert.equal(await baseModelOfCard('---\nbase_model:\n- acme/small\n- acme/other\n---\n'), 'acme/small');
  assert.equal(await baseModelOfCard('---\nbase_model: no name\n---\n'), null);
  assert.equal(await baseModelOfCard('---\n: [\n---\n'), null);
  assert.equal(await baseModelOfCard('# no metadata'), null);
});

test('a plain address that is still the same is gone on with', async (t) => {
  const world = await fetchWorld(t);
  const content = gguf();
  world.hub.plain.set('mine.gguf', content);
  world.hub.fault('/plain/mine.gguf', { kind: 'cut', afterBytes: 1 }, 1);
  world.hub.fault('/plain/mine.gguf', { kind: 'cut', afterBytes: 200_000 }, 1);
  const result = await world.fetch({ repo: `${world.hub.endpoint}/plain/mine.gguf` });
  assert.ok(result.kind === 'ready', JSON.stringify(result));
  assert.deepEqual(await readFile(result.source.model), content);
  assert.ok(world.hub.servedBytes('mine.gguf') < content.length + 150_000);
});

test('what is here of a file and longer than the file is not gone on with', async (t) => {
  const world = await fetchWorld(t);
  world.hub.plain.set('mine.gguf', randomBytes(900_000));
  const repo = `${world.hub.endpoint}/plain/mine.gguf`;
  world.hub.fault('/plain/mine.gguf', { kind: 'cut', afterBytes: 1 }, 1);
  world.hub.fault('/plain/mine.gguf', { kind: 'cut', afterBytes: 800_000 }, 1);
  const ended = new AbortController();
  const fetching = world.fetch(
    { repo },
    { signal: ended.signal, limits: { backoffMs: 60_000, backoffMaxMs: 60_000 } },
  );
  await world.hub.served('mine.gguf', 700_000);
  ended.abort();
  await fetching;
  const [folder = ''] = await readdir(join(world.cache, '.vllm-gateway', 'urls'));
  await rm(join(world.cache, '.vllm-gateway', 'urls', folder, 'mine.gguf.incomplete.validator'), {
    force: true,
  });
  const content = gguf();
  world.hub.plain.set('mine.gguf', content);
  const result = await world.fetch({ repo });
  assert.ok(result.kind === 'ready', JSON.stringify(result));
  assert.deepEqual(await readFile(result.source.model), content);
});
