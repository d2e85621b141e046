import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runFetch } from './fetch.ts';

async function site(t: TestContext) {
  const home = await mkdtemp(join(tmpdir(), 'fetch-left-alone-'));
  t.after(() => rm(home, { recursive: true, force: true }));
  const environment = { HOME: home, HF_HOME: home, HF_ENDPOINT: 'http://127.0.0.1:1', HF_HUB_OFFLINE: '1' };
  return {
    home,
    async fetch(models: readonly string[], file?: string) {
      let text = '';
      const output = { write: (part: string) => (text += part) };
      const { signal } = new AbortController();
      const code = await runFetch({ models, environment, file, isTerminal: false, signal }, output);
      return { code, text };
    },
  };
}

test('fetch: what is not there, and what nobody can make sense of, is an error', async (t) => {
  const { home, fetch } = await site(t);
  for (const [word, text] of [
    [
      './there-is-no-such-thing',
      /^\.\/there-is-no-such-thing: there is nothing at \/.*\/there-is-no-such-thing\.\n$/,
    ],
    [join(home, 'nope.gguf'), /: there is nothing at .*nope\.gguf\.\n$/],
    ['acme/small/what/is/this', /no repository \(owner\/name\), .*address .*path/],
    ['https://127.0.0.1/acme/small', /no repository \(owner\/name\), .*address .*path/],
  ] as const) {
    const { code, text: told } = await fetch([word]);
    assert.match(told, text);
    assert.equal(code, 1, word);
  }
});

test('fetch: what is there counts, what is absent does not, and what is not ours is told apart', async (t) => {
  const { home, fetch } = await site(t);
  await mkdir(join(home, 'here'));
  await writeFile(join(home, 'here.gguf'), 'GGUF');
  const config = join(home, 'models.yaml');
  await writeFile(
    config,
    `models:\n  here: {repo: ${home}/here}\n  gone: {repo: ${home}/gone}\n  bucket: {repo: "s3://bucket/model"}\n` +
      '  away: {url: "http://127.0.0.1:1"}\n',
  );
  assert.deepEqual(await fetch(['here', 'gone', 'bucket', 'away', 'acme/offline'], config), {
    code: 1,
    text:
      `here: ${home}/here: is there.\n` +
      `gone: ${home}/gone: there is nothing at ${home}/gone.\n` +
      'bucket: s3://bucket/model: nothing of it is fetched by the gateway.\n' +
      'away: nothing of it is fetched by the gateway.\n' +
      `acme/offline: acme/offline is not in the Hugging Face cache (${home}/hub), and HF_HUB_OFFLINE forbids to ask a hub: fetch it once without that variable (\`vllm-gateway fetch\`).\n` +
      '1 of 3 models are there; 2 are not for the gateway to fetch.\n',
  });
  assert.deepEqual(await fetch(['here', 'away'], config), {
    code: 0,
    text: `here: ${home}/here: is there.\naway: nothing of it is fetched by the gateway.\n1 of 1 models are there; 1 is not for the gateway to fetch.\n`,
  });
});
