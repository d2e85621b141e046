import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { smallDisk } from '../store/small-disk-fixtures.ts';
import { COMMIT, fetchWorld, MIB, putModel, remount } from './weights-fetcher.fixture.ts';

const NO_MOUNT = 'no disk can be mounted here';

test('a disk that is too small is told before anything is fetched', async (t) => {
  const disk = smallDisk(t, 1024);
  if (disk === null) return t.skip(NO_MOUNT);
  const world = await fetchWorld(t);
  putModel(world.hub);
  const result = await world.fetch({ environment: { HF_HUB_CACHE: join(disk, 'hub') } });
  assert.ok(result.kind === 'failed' && result.failure.retryable);
  assert.equal(result.failure.cause, 'fetch_failed');
  assert.match(
    result.failure.text,
    /^acme\/small needs 2\.0 MiB more on the disk of .*, which has 1\.0 MiB free .*: free 1\.\d MiB there/,
  );
});

test('a disk that others fill meanwhile: what came is kept, and goes on once there is room', async (t) => {
  const disk = smallDisk(t, 1500);
  if (disk === null) return t.skip(NO_MOUNT);
  const world = await fetchWorld(t);
  const parts = putModel(world.hub);
  const environment = { HF_HUB_CACHE: join(disk, 'hub') };
  const free = () => Promise.resolve(10 * MIB);
  const result = await world.fetch({ environment }, { free });
  assert.ok(result.kind === 'failed' && result.failure.retryable);
  assert.match(
    result.failure.text,
    /^the disk of .* is full: free some space; what is there already is kept$/,
  );
  const directory = join(disk, 'hub', 'models--acme--small');
  const blobs = await readdir(join(directory, 'blobs'));
  assert.ok(blobs.some((name) => name.endsWith('.incomplete')));
  remount(disk, 'size=8m');
  const before = world.hub.servedBytes('model-00001-of-00002.safetensors');
  const more = await world.fetch({ environment }, { free });
  assert.equal(more.kind, 'ready', JSON.stringify(more));
  assert.ok(world.hub.servedBytes('model-00001-of-00002.safetensors') - before < MIB);
  for (const [name, content] of Object.entries(parts))
    assert.deepEqual(await readFile(join(directory, 'snapshots', COMMIT, name)), content);
});

test('a read-only cache: what is complete there is used, what is not is told', async (t) => {
  const disk = smallDisk(t, 8192);
  if (disk === null) return t.skip(NO_MOUNT);
  const world = await fetchWorld(t);
  putModel(world.hub);
  putModel(world.hub, 'acme/other');
  const environment = { HF_HUB_CACHE: join(disk, 'hub') };
  assert.equal((await world.fetch({ environment })).kind, 'ready');
  remount(disk, 'ro');
  assert.equal((await world.fetch({ environment })).kind, 'ready');
  const result = await world.fetch({ environment, repo: 'acme/other' });
  assert.ok(result.kind === 'failed' && !result.failure.retryable, JSON.stringify(result));
  assert.match(
    result.failure.text,
    /is on a read-only file system, so nothing can be fetched into it: mount it writable/,
  );
});
