import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../test/fakes/waiting.ts';
import { COMMIT, type FetchWorld, fetchWorld, MIB, putModel } from './weights-fetcher.fixture.ts';

const PROGRAM = new URL('./fetch-once.fixture.ts', import.meta.url).pathname;
const PART = 'model-00001-of-00002.safetensors';

interface Fetching {
  readonly child: ChildProcess;
  readonly result: Promise<{ readonly kind: string; readonly fetchedBytes?: number }>;
}

function fetchElsewhere(world: FetchWorld): Fetching {
  const child = spawn(process.execPath, [PROGRAM], {
    env: { PATH: process.env['PATH'], HF_HOME: world.home, HF_ENDPOINT: world.hub.endpoint },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const result = new Promise<{ kind: string }>((resolve) => {
    child.on('close', () => resolve(output === '' ? { kind: 'none' } : JSON.parse(output)));
  });
  return { child, result };
}

test('a process killed in mid-fetch: the next one goes on, and asks for no byte that is here', async (t) => {
  const world = await fetchWorld(t);
  const parts = putModel(world.hub, 'acme/small', 4 * MIB);
  world.hub.fault(`small/${PART}`, { kind: 'slow', pieceBytes: 64 * 1024, pauseMs: 15 }, 1);
  const { child, result } = fetchElsewhere(world);
  await world.hub.served(PART, MIB);
  child.kill('SIGKILL');
  await result;
  const blobs = join(world.cache, 'models--acme--small', 'blobs');
  const keptBytes = async (): Promise<number> => {
    const names = (await readdir(blobs)).filter((name) => name.endsWith('.incomplete'));
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(blobs, name))).size));
    return Math.max(0, ...sizes);
  };
  const kept = await keptBytes();
  assert.ok(kept > 0, 'nothing was kept');
  // What the dead one's connection still took.
  let before = -1;
  await until('the dead one is served no more', async () => {
    const now = world.hub.servedBytes(PART);
    const isStill = now === before;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return isStill;
  });
  const next = await fetchElsewhere(world).result;
  assert.equal(next.kind, 'ready');
  const ranges = world.hub.requests.filter(({ path, range }) => path.includes(PART) && range !== null);
  assert.ok(ranges.length > 0);
  assert.ok(ranges.every(({ range }) => range === `bytes=${kept}-`));
  assert.equal(world.hub.servedBytes(PART) - before, 4 * MIB - kept);
  const snapshot = join(world.cache, 'models--acme--small', 'snapshots', COMMIT);
  assert.deepEqual(await readFile(join(snapshot, PART)), parts[PART]);
});

test('two processes and two fetches of one: everything is fetched once', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  world.hub.fault(`small/${PART}`, { kind: 'slow', pieceBytes: 64 * 1024, pauseMs: 5 }, 1);
  const results = await Promise.all([
    fetchElsewhere(world).result,
    fetchElsewhere(world).result,
    world.fetch(),
    world.fetch(),
  ]);
  assert.deepEqual(
    results.map(({ kind }) => kind),
    ['ready', 'ready', 'ready', 'ready'],
  );
  assert.equal(world.hub.servedBytes(PART), MIB);
  assert.equal(world.hub.servedBytes('model-00002-of-00002.safetensors'), MIB);
});
