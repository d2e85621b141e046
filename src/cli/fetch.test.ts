import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type FakeFileHub, startFakeFileHub } from '../../test/fakes/fake-hub-files.ts';
import { tryFileLock } from '../store/file-lock.ts';
import { type CacheCommand, runCache } from './cache.ts';
import { type FetchCommand, runFetch } from './fetch.ts';

const COMMIT = 'a'.repeat(40);

interface World {
  readonly hub: FakeFileHub;
  readonly home: string;
  readonly config: string;
  fetch(
    models: readonly string[],
    options?: Partial<FetchCommand>,
  ): Promise<{ readonly code: number; readonly text: string }>;
  cache(options?: { json?: boolean; prune?: boolean }): Promise<string>;
}

async function world(t: TestContext): Promise<World> {
  const hub = await startFakeFileHub();
  const home = await mkdtemp(join(tmpdir(), 'fetch-command-'));
  t.after(async () => {
    await hub.close();
    await rm(home, { recursive: true, force: true });
  });
  hub.repositories.set('acme/small', {
    commit: COMMIT,
    files: {
      'config.json': '{}',
      'tokenizer.json': '[]',
      'model.safetensors': Buffer.alloc(2_000_000, 7),
    },
    large: ['model.safetensors'],
  });
  const config = join(home, 'models.yaml');
  await writeFile(
    config,
    'models:\n  small: {repo: acme/small}\n  again: {repo: acme/small}\n  gone: {repo: acme/gone}\n' +
      '  away: {url: "http://127.0.0.1:1"}\n',
  );
  const environment = { HF_HOME: home, HF_ENDPOINT: hub.endpoint, HOME: home };
  return {
    hub,
    home,
    config,
    async fetch(models, options = {}) {
      let text = '';
      const output = { write: (part: string) => (text += part) };
      const { signal } = new AbortController();
      const code = await runFetch(
        { models, environment, file: config, isTerminal: false, signal, ...options },
        output,
      );
      return { code, text };
    },
    async cache(options = {}) {
      let text = '';
      await runCache({ file: config, environment, ...options }, { write: (part: string) => (text += part) });
      return text;
    },
  };
}

test('fetch: a configured model, a repository, all of them; the exit code says whether everything is there', async (t) => {
  const { hub, fetch } = await world(t);
  const first = await fetch(['small']);
  assert.equal(first.code, 0);
  assert.match(
    first.text,
    /^small: asking http:\/\/127\.0\.0\.1:\d+…\nsmall: {3}0 % of 1\.9 MiB\n.*small: acme\/small: is there now, 1\.9 MiB fetched\.\n$/s,
  );
  assert.deepEqual(await fetch(['acme/small']), { code: 0, text: 'acme/small: is there.\n' });
  assert.deepEqual(await fetch(['acme/small'], { file: undefined }), {
    code: 0,
    text: 'acme/small: is there.\n',
  });
  const all = await fetch([], { all: true });
  assert.equal(all.code, 1);
  assert.match(all.text, /gone: acme\/gone: acme\/gone does not exist on .*HF_TOKEN\.\n/);
  assert.match(
    all.text,
    /away: nothing of it is fetched by the gateway\.\n2 of 3 models are there; 1 is not for the gateway to fetch\.\n$/,
  );
  const repository = hub.repositories.get('acme/small');
  assert.ok(repository !== undefined);
  repository.commit = 'b'.repeat(40);
  repository.files['config.json'] = '{"a":1}';
  assert.match((await fetch(['small'], { update: true })).text, /is there now, 7 bytes fetched/);
});

test('fetch: what is meant must be clear', async (t) => {
  const { fetch } = await world(t);
  assert.deepEqual(await fetch(['smal']), {
    code: 1,
    text: 'No model `smal` is configured, and it is no repository (owner/name), address or path. Did you mean `small`?\n',
  });
  assert.match((await fetch([])).text, /^Name models to fetch .*--all/);
});

test('fetch: a bar on a terminal; an end by Ctrl-C keeps what came, and cache shows and prunes it', async (t) => {
  const { hub, home, fetch, cache } = await world(t);
  hub.fault('model.safetensors', { kind: 'slow', pieceBytes: 64 * 1024, pauseMs: 10 });
  const ended = new AbortController();
  const fetching = fetch(['small'], { isTerminal: true, signal: ended.signal });
  await hub.served('model.safetensors', 500_000);
  ended.abort();
  const { code, text } = await fetching;
  assert.equal(code, 130);
  const clear = '\r\u001b[2K';
  assert.ok(text.includes(`${clear}small: [###`), text);
  assert.ok(
    text.endsWith(`${clear}Ended. What has come is kept: the same command goes on from there.\n`),
    text,
  );

  assert.match(await cache(), /1 leftover of broken downloads, .*KiB \(a fetch goes on with them; /);
  assert.match(
    await cache({ prune: true }),
    /^0 leftovers .* removed, 0 bytes; 1 may be in use and stay\.$/m,
  );
  const report: unknown = JSON.parse(await cache({ json: true }));
  const [leftover] =
    (report as { caches: { leftovers: { path: string; of: string }[] }[] }).caches[0]?.leftovers ?? [];
  assert.equal(leftover?.of, 'acme/small');
  const old = new Date(Date.now() - 3_600_000);
  await utimes(leftover.path, old, old);
  const lock = tryFileLock(join(home, 'hub', '.locks', 'models--acme--small', 'vllm-gateway.lock'));
  assert.match(await cache({ prune: true }), /1 may be in use and stay/);
  lock?.release();
  assert.match(
    await cache({ prune: true }),
    /1 leftover of broken downloads removed, .*KiB; 0 may be in use and stay\./,
  );
  await assert.rejects(stat(leftover.path));
});

test('cache: repositories, revisions, sizes, how complete they are and for whom', async (t) => {
  const { home, fetch, cache } = await world(t);
  assert.match(await cache(), /hub: 0 bytes in 0 repositories, .* free on its disk\n$/);
  await fetch(['small']);
  const text = await cache();
  assert.match(text, /^.*hub: 1\.9 MiB in 1 repository, .* free on its disk$/m);
  assert.match(
    text,
    /^ {2}acme\/small {2}main {2}1\.9 MiB {2}3 files {2}\d{4}-\d\d-\d\d {2}complete; small, again$/m,
  );
  await rm(join(home, 'hub', 'models--acme--small', 'snapshots', COMMIT, 'model.safetensors'));
  assert.match(await cache(), /lacks model\.safetensors; small, again$/m);
  const { caches } = JSON.parse(await cache({ json: true })) as {
    caches: { repositories: { repo: string; revisions: { complete: boolean; models: string[] }[] }[] }[];
  };
  const [revision] = caches[0]?.repositories[0]?.revisions ?? [];
  assert.deepEqual([revision?.complete, revision?.models], [false, ['small', 'again']]);
});

test('cache: a configuration that is not there and a cache that cannot be looked into are told', async (t) => {
  const { home, config } = await world(t);
  const cache = async (options: Partial<CacheCommand>) => {
    let text = '';
    const output = { write: (part: string) => (text += part) };
    const environment = { HF_HOME: home, HOME: home };
    return { code: await runCache({ file: config, environment, ...options }, output), text: () => text };
  };
  const absent = await cache({ file: join(home, 'nosuch.yaml') });
  assert.equal(absent.code, 1);
  assert.match(absent.text(), /^.*nosuch\.yaml.*\n\n.*hub: 0 bytes in 0 repositories/);
  const { faults } = JSON.parse((await cache({ file: join(home, 'nosuch.yaml'), json: true })).text()) as {
    faults: string[];
  };
  assert.match(faults.join(), /nosuch\.yaml/);
  assert.equal((await cache({})).code, 0);
  await writeFile(join(home, 'hub'), 'in the way');
  const blocked = await cache({});
  assert.equal(blocked.code, 1);
  assert.match(blocked.text(), /hub: cannot be looked into \(ENOTDIR\)\n$/);
});
