import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HubFault } from '../../test/fakes/fake-hub-files.ts';
import { FETCH_LIMITS } from './fetch-limits.ts';
import type { FetchProgress } from './fetcher.ts';
import {
  COMMIT,
  type FetchWorld,
  fetchedModel,
  fetchWorld,
  MIB,
  putModel,
  SHORT_LIMITS,
} from './weights-fetcher.fixture.ts';
import { createWeightsFetcher } from './weights-fetcher.ts';

const PART = 'model-00001-of-00002.safetensors';

async function content(world: FetchWorld, name = PART): Promise<Buffer> {
  return readFile(join(world.cache, 'models--acme--small', 'snapshots', COMMIT, name));
}

/** Bytes of the file that were promised but lost in sockets when a connection broke. */
const IN_FLIGHT_BYTES = 512 * 1024;

const PASSING: readonly (readonly [string, HubFault, number])[] = [
  ['a hub in trouble', { kind: 'status', status: 500 }, 3],
  ['too many requests', { kind: 'status', status: 429, headers: { 'retry-after': '0' } }, 3],
  ['a hub that is away for now', { kind: 'status', status: 503 }, 2],
  ['a connection that breaks', { kind: 'cut', afterBytes: 600_000 }, 1],
  ['a file that ends early', { kind: 'truncate', afterBytes: 600_000 }, 1],
  ['a stall in mid-file', { kind: 'stall', afterBytes: 600_000 }, 1],
];

for (const [name, fault, times] of PASSING) {
  test(`${name} passes, and what has come is kept`, async (t) => {
    const world = await fetchWorld(t);
    const parts = putModel(world.hub);
    world.hub.fault(PART, fault, times);
    const result = await world.fetch();
    assert.equal(result.kind, 'ready', JSON.stringify(result));
    assert.deepEqual(await content(world), parts[PART]);
    assert.ok(world.hub.servedBytes(PART) <= MIB + IN_FLIGHT_BYTES, String(world.hub.servedBytes(PART)));
    const last = world.progress.at(-1);
    assert.equal(last?.bytesDone, last?.bytesTotal);
  });
}

test('a question to the hub is asked again as well', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  world.hub.fault('/api/models', { kind: 'status', status: 502 }, 2);
  world.hub.fault('/tree/', { kind: 'status', status: 429, headers: { 'retry-after': '0' } }, 1);
  assert.equal((await world.fetch()).kind, 'ready');
});

test('a server without ranges sends all of it again, and the file is right', async (t) => {
  const world = await fetchWorld(t);
  const parts = putModel(world.hub);
  world.hub.fault(`small/${PART}`, { kind: 'cut', afterBytes: 500_000 }, 1);
  world.hub.fault(`small/${PART}`, { kind: 'whole' }, 1);
  assert.equal((await world.fetch()).kind, 'ready');
  assert.deepEqual(await content(world), parts[PART]);
});

test('a wrong content is fetched anew once and then refused; it never gets its name', async (t) => {
  const world = await fetchWorld(t);
  const parts = putModel(world.hub);
  world.hub.fault(`small/${PART}`, { kind: 'corrupt' }, 1);
  assert.equal((await world.fetch()).kind, 'ready');
  assert.deepEqual(await content(world), parts[PART]);

  const other = await fetchWorld(t);
  putModel(other.hub);
  const repository = other.hub.repositories.get('acme/small');
  assert.ok(repository !== undefined);
  const wrong = 'f'.repeat(64);
  other.hub.repositories.set('acme/small', { ...repository, wrongSha: { [PART]: wrong } });
  const result = await other.fetch();
  assert.ok(result.kind === 'failed');
  assert.equal(result.failure.cause, 'fetch_failed');
  assert.match(
    result.failure.text,
    /model-00001-of-00002\.safetensors of acme\/small came 2 times .*checksum/,
  );
  const blobs = await readdir(join(other.cache, 'models--acme--small', 'blobs'));
  assert.ok(!blobs.includes(wrong));
});

test('what does not pass is given up within limits, keeps what came, and goes on with it later', async (t) => {
  const world = await fetchWorld(t);
  const parts = putModel(world.hub);
  world.hub.fault(`small/${PART}`, { kind: 'cut', afterBytes: 500_000 }, 1);
  world.hub.fault(`small/${PART}`, { kind: 'truncate', afterBytes: 10 }, 6);
  const failed = await world.fetch();
  assert.ok(failed.kind === 'failed' && failed.failure.retryable);
  assert.equal(failed.failure.cause, 'repository_unreachable');
  assert.match(
    failed.failure.text,
    /^model-00001-of-00002\.safetensors of acme\/small could not be fetched, 6 tries in a row failed: .*ended after .* KiB of 1\.0 MiB; .* are kept/,
  );
  const before = world.hub.servedBytes(PART);
  assert.equal((await world.fetch()).kind, 'ready');
  assert.deepEqual(await content(world), parts[PART]);
  assert.ok(world.hub.servedBytes(PART) - before < MIB - 200_000, 'it was begun anew');
  assert.equal(world.hub.servedBytes('model-00002-of-00002.safetensors'), MIB);
});

test('statuses that only people can change are told with what to do, at once', async (t) => {
  const cases: readonly (readonly [string, HubFault, string, RegExp])[] = [
    [
      '/api/',
      { kind: 'status', status: 401, code: 'RepoNotFound' },
      'gated_repository',
      /does not exist on .*, or is private or gated: .*HF_TOKEN/,
    ],
    [
      '/resolve/',
      { kind: 'status', status: 403, code: 'GatedRepo' },
      'gated_repository',
      /is gated: ask for access at http.*\/acme\/small, then set HF_TOKEN/,
    ],
    [
      '/api/',
      { kind: 'status', status: 404, code: 'RepoNotFound' },
      'model_not_found',
      /has no model acme\/small/,
    ],
    [
      '/api/',
      { kind: 'status', status: 404, code: 'RevisionNotFound' },
      'model_not_found',
      /no such revision .*--revision/,
    ],
    [PART, { kind: 'status', status: 404 }, 'model_not_found', /has no .*model-00001-of-00002\.safetensors/],
    [
      '/api/',
      { kind: 'status', status: 429, headers: { 'retry-after': '3600' } },
      'repository_unreachable',
      /too many requests .*asks to come back in 3600 s/,
    ],
    [
      '/resolve/',
      { kind: 'status', status: 429, headers: { ratelimit: '"resolvers";r=0;t=600' } },
      'repository_unreachable',
      /asks to come back in 600 s/,
    ],
  ];
  for (const [path, fault, cause, text] of cases) {
    const world = await fetchWorld(t);
    putModel(world.hub);
    world.hub.fault(path, fault, 100);
    const result = await world.fetch();
    assert.ok(result.kind === 'failed');
    assert.equal(result.failure.cause, cause, result.failure.text);
    assert.match(result.failure.text, text);
    assert.doesNotMatch(result.failure.text, /secret|signature/);
    assert.equal(result.failure.retryable, 'headers' in fault);
  }
});

test('a hub that is not there is unreachable, after some tries', async (t) => {
  const world = await fetchWorld(t);
  await world.hub.close();
  const result = await world.fetch();
  assert.ok(result.kind === 'failed' && result.failure.retryable);
  assert.equal(result.failure.cause, 'repository_unreachable');
  assert.match(result.failure.text, /^http:\/\/127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\)$/);
});

test('something else that answers in place of a hub is told as such', async (t) => {
  const world = await fetchWorld(t);
  const page = createServer((_, response) => response.end('<html>sign in</html>'));
  await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
  t.after(() => page.close());
  const endpoint = `http://127.0.0.1:${(page.address() as AddressInfo).port}`;
  const result = await world.fetch({ environment: { HF_ENDPOINT: endpoint } });
  assert.ok(result.kind === 'failed' && !result.failure.retryable);
  assert.match(result.failure.text, /for acme\/small is no hub, .*check HF_ENDPOINT/);
});

test('room on the disk is looked at first: the numbers, and not one file', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  const result = await world.fetch(
    {},
    { free: () => Promise.resolve(3 * MIB), limits: { diskReserveBytes: 2 * MIB } },
  );
  assert.ok(result.kind === 'failed' && result.failure.retryable, 'somebody may free some');
  assert.match(
    result.failure.text,
    /^acme\/small needs 2\.0 MiB more on the disk of .*, which has 3\.0 MiB free \(2\.0 MiB stay free\): free 1\.0 MiB there/,
  );
  assert.equal(world.hub.servedBytes(PART), 0);
  const fits = await world.fetch(
    {},
    { free: () => Promise.resolve(5 * MIB), limits: { diskReserveBytes: 2 * MIB } },
  );
  assert.equal(fits.kind, 'ready');
});

test('a cache that cannot be written is told with its path', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  await writeFile(join(world.home, 'file'), '');
  const result = await world.fetch({ environment: { HF_HUB_CACHE: join(world.home, 'file', 'hub') } });
  assert.ok(result.kind === 'failed');
  assert.match(result.failure.text, /cannot be made: a file is in its place/);
  const nowhere = await world.fetch({ environment: { HF_HOME: '/proc/nope', HF_HUB_CACHE: '' } });
  assert.ok(nowhere.kind === 'failed' && !nowhere.failure.retryable, JSON.stringify(nowhere));
  assert.match(nowhere.failure.text, /^\/proc\/nope\/hub cannot be made, .*HF_HOME/);
  if (process.getuid?.() === 0) return;
  const locked = join(world.home, 'locked');
  await mkdir(locked);
  await chmod(locked, 0o500);
  const refused = await world.fetch({ environment: { HF_HUB_CACHE: join(locked, 'hub') } });
  assert.ok(refused.kind === 'failed');
  assert.match(refused.failure.text, /may not be written by this user/);
});

test('a repository that gives nothing leaves nothing behind', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  world.hub.fault('/resolve/', { kind: 'status', status: 401, code: 'GatedRepo' }, 100);
  const refused = await world.fetch();
  assert.ok(refused.kind === 'failed' && refused.failure.cause === 'gated_repository');
  assert.deepEqual(await readdir(world.cache), ['.locks']);

  const full = await fetchWorld(t);
  putModel(full.hub);
  assert.equal((await full.fetch({}, { free: () => Promise.resolve(0) })).kind, 'failed');
  assert.deepEqual(await readdir(full.cache), ['.locks']);

  const some = await fetchWorld(t);
  putModel(some.hub);
  some.hub.fault(`main/${PART}`, { kind: 'status', status: 403, code: 'GatedRepo' }, 100);
  some.hub.fault(`${COMMIT}/${PART}`, { kind: 'status', status: 403, code: 'GatedRepo' }, 100);
  assert.equal((await some.fetch()).kind, 'failed');
  const directory = join(some.cache, 'models--acme--small', 'blobs');
  const blobs = await readdir(directory);
  assert.ok(blobs.length > 0, 'what came is kept');
  for (const blob of blobs) assert.ok((await stat(join(directory, blob))).size > 0, blob);
});

test('what an earlier fetch left counts as present from the first figure on', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  world.hub.fault(`small/${PART}`, { kind: 'cut', afterBytes: 500_000 }, 1);
  world.hub.fault(`small/${PART}`, { kind: 'truncate', afterBytes: 10 }, 6);
  assert.equal((await world.fetch()).kind, 'failed');
  const directory = join(world.cache, 'models--acme--small', 'blobs');
  let hereBytes = 0;
  for (const blob of await readdir(directory)) hereBytes += (await stat(join(directory, blob))).size;
  world.progress.length = 0;
  const ready = await world.fetch();
  assert.ok(ready.kind === 'ready');
  const [first] = world.progress;
  assert.ok(first !== undefined && first.bytesTotal !== null);
  assert.equal(first.bytesTotal - first.bytesDone, ready.fetchedBytes);
  assert.ok(first.bytesDone >= hereBytes, 'files with the same content count each');
  const last = world.progress.at(-1);
  assert.equal(last?.bytesDone, last?.bytesTotal);
});

test('two large models are no hindrance for a small one, and a fetch that waits for a place is ended at once', async (t) => {
  const world = await fetchWorld(t);
  for (const name of ['acme/large', 'acme/huge', 'acme/small']) putModel(world.hub, name);
  const slow = { kind: 'slow', pieceBytes: 1024, pauseMs: 20 } as const;
  for (const name of ['large', 'huge']) world.hub.fault(`${name}/model-0000`, slow, 100);
  const limits = {
    ...FETCH_LIMITS,
    ...SHORT_LIMITS,
    filesAtOnceMax: 2,
    filesOfRepositoryMax: 1,
    filesBesideMax: 1,
  };
  const fetcher = createWeightsFetcher({
    environment: { HF_HOME: world.home, HF_ENDPOINT: world.hub.endpoint },
    log: () => {},
    limits,
  });
  t.after(() => fetcher.close());
  const begin = (repo: string) => {
    const abort = new AbortController();
    const begun = Promise.withResolvers<void>();
    const onProgress = ({ file }: FetchProgress): void => {
      if (file.startsWith('model-0000')) begun.resolve();
    };
    const result = fetcher.fetch(fetchedModel({ repo }), { signal: abort.signal, onProgress });
    return { abort, result, begun: begun.promise };
  };
  const [large, huge] = [begin('acme/large'), begin('acme/huge')];
  await Promise.all([large.begun, huge.begun]);
  assert.equal((await begin('acme/small').result).kind, 'ready');

  putModel(world.hub, 'acme/beside');
  putModel(world.hub, 'acme/waits');
  world.hub.fault('beside/model-0000', slow, 100);
  const beside = begin('acme/beside');
  await beside.begun;
  const told = Promise.withResolvers<void>();
  const abort = new AbortController();
  const waits = fetcher.fetch(fetchedModel({ repo: 'acme/waits' }), {
    signal: abort.signal,
    onProgress: () => told.resolve(),
  });
  // The list is there, and every place is taken.
  await told.promise;
  abort.abort();
  assert.equal((await waits).kind, 'failed');
  assert.equal(
    world.hub.requests.filter(({ path }) => /waits\/resolve\/.*model-0000\d-of/.test(path)).length,
    0,
  );
  for (const each of [large, huge, beside]) each.abort.abort();
  await Promise.all([large.result, huge.result, beside.result]);
});

test('a fetch that is ended keeps what came, and leaves nothing that looks whole', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  world.hub.fault(`small/${PART}`, { kind: 'slow', pieceBytes: 32 * 1024, pauseMs: 20 }, 1);
  const ended = new AbortController();
  const fetching = world.fetch({}, { signal: ended.signal });
  await world.hub.served(PART, 200_000);
  ended.abort();
  const result = await fetching;
  assert.ok(result.kind === 'failed' && result.failure.retryable);
  const directory = join(world.cache, 'models--acme--small');
  await assert.rejects(stat(join(directory, 'refs', 'main')));
  const [unfinished = ''] = (await readdir(join(directory, 'blobs'))).filter((name) =>
    name.endsWith('.incomplete'),
  );
  const kept = (await stat(join(directory, 'blobs', unfinished))).size;
  assert.ok(kept > 100_000);
  const before = world.hub.servedBytes(PART);
  assert.equal((await world.fetch()).kind, 'ready');
  assert.equal(world.hub.servedBytes(PART) - before, MIB - kept);
});
