import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startFakeHub } from '../../test/fakes/fake-hub.ts';
import { safetensorsFile, TINY_CONFIG, TINY_TENSORS } from '../../test/fixtures/model-files.ts';
import { HUB_PAUSE_MS, HubPause } from './hub-pause.ts';
import { readModelFacts } from './model-reader.ts';

const FILES = {
  'config.json': JSON.stringify(TINY_CONFIG),
  'model.safetensors': safetensorsFile(TINY_TENSORS),
};

test('a hub that answers nothing is asked by one reading and not by the next, until the pause is over', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'hub-pause-'));
  const hub = await startFakeHub();
  t.after(async () => {
    await hub.close();
    await rm(directory, { recursive: true });
  });
  const snapshot = join(directory, 'hub', 'models--owner--cached', 'snapshots', 'main');
  await mkdir(snapshot, { recursive: true });
  for (const [name, content] of Object.entries(FILES)) await writeFile(join(snapshot, name), content);
  for (const repo of ['owner/model', 'owner/next'])
    hub.repositories.set(repo, { commit: 'a'.repeat(40), files: FILES });
  let nowMs = 0;
  const pause = new HubPause(() => nowMs);
  /** What it was read from, or why it was not. */
  const read = async (repo: string, HF_ENDPOINT = hub.endpoint, timeLimitMs = 20_000): Promise<string> => {
    const environment = { HF_HOME: directory, HF_ENDPOINT };
    const found = await readModelFacts(repo, { environment, stateDirectory: directory, timeLimitMs, pause });
    return found.ok ? found.value.origin : found.error.text;
  };
  assert.equal(await read('owner/model'), hub.endpoint);
  const before = hub.requests.length;

  hub.troubles.set('owner', { kind: 'stall' });
  const silence = `${hub.endpoint} did not answer in time`;
  assert.equal(await read('owner/next', hub.endpoint, 100), silence);
  assert.equal(await read('owner/next'), silence);
  assert.equal(await read('owner/model'), `an earlier reading (${silence})`);
  assert.equal(await read('owner/cached'), 'the Hugging Face cache');
  assert.match(await read(join(directory, 'none')), /does not exist/);
  const asked = (repo: string) => hub.requests.filter(({ path }) => path.includes(repo)).length;
  assert.ok(asked('owner/next') <= 1 && asked('owner/model') === before, 'the hub was asked again');
  const other = await startFakeHub();
  await other.close();
  assert.match(await read('owner/next', other.endpoint), /cannot be reached/, 'another hub is');

  hub.troubles.clear();
  nowMs = HUB_PAUSE_MS - 1;
  assert.equal(await read('owner/next'), silence);
  nowMs = HUB_PAUSE_MS;
  assert.equal(await read('owner/next'), hub.endpoint);
});

test('a hub that answers at all is asked by every reading: a refusal, or one file that breaks off', async (t) => {
  const hub = await startFakeHub();
  t.after(() => hub.close());
  hub.repositories.set('owner/cut', { commit: 'a'.repeat(40), files: FILES });
  hub.repositories.set('owner/model', { commit: 'a'.repeat(40), files: FILES });
  hub.troubles.set('owner/cut/resolve', { kind: 'cut' });
  hub.troubles.set('owner/broken', { kind: 'status', status: 503 });
  const pause = new HubPause(() => 0);
  const environment = { HF_HOME: '/no/such/place', HF_ENDPOINT: hub.endpoint };
  for (const [repo, kind] of [
    ['owner/cut', 'unreachable'],
    ['owner/broken', 'unreachable'],
    ['owner/model', null],
  ] as const) {
    const found = await readModelFacts(repo, { environment, stateDirectory: null, pause });
    assert.equal(found.ok ? null : found.error.kind, kind, repo);
  }
});
