import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startFakeHub } from '../../test/fakes/fake-hub.ts';
import { modelFixture } from '../engines/engine-fixtures.ts';
import { factsReader } from './sizer-facts.ts';

test('what has facts: a repository or a path; a simulated model only what is on this machine', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'sizer-facts-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const read = factsReader({ HF_HOME: directory, HF_HUB_OFFLINE: '1' }, directory);
  assert.equal(read(modelFixture({ repo: null })), null);
  assert.equal(read(modelFixture({ engine: 'simulated', name: 'gpt2', repo: 'gpt2' })), null);
  const missing = await read(modelFixture({ repo: 'acme/small' }));
  assert.ok(missing !== null && !missing.ok && missing.error.kind === 'offline');
  // The environment of the model itself decides where its engine looks, so also where we do.
  const network = factsReader({ HF_HOME: directory }, directory);
  const own = await network(modelFixture({ environment: { HF_HUB_OFFLINE: '1' } }));
  assert.ok(own !== null && !own.ok && own.error.kind === 'offline');
  const simulated = await network(modelFixture({ engine: 'simulated' }));
  assert.ok(simulated !== null && !simulated.ok && simulated.error.kind === 'offline');
  const path = fileURLToPath(new URL('../../test/fixtures/no-such-model', import.meta.url));
  const local = await network(modelFixture({ engine: 'simulated', repo: path }));
  assert.ok(local !== null && !local.ok && local.error.kind === 'not_found');
});

test('a hub that answers nothing delays one reading, and the others fail at once with the same words', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'sizer-facts-'));
  const hub = await startFakeHub();
  t.after(async () => {
    await hub.close();
    await rm(directory, { recursive: true, force: true });
  });
  hub.troubles.set('acme', { kind: 'stall' });
  const read = factsReader({ HF_HOME: directory, HF_ENDPOINT: hub.endpoint }, directory, () => 0);
  const first = await read(modelFixture({ repo: 'acme/one' }), 100);
  const next = await read(modelFixture({ repo: 'acme/two' }));
  assert.ok(first !== null && !first.ok && first.error.kind === 'timeout');
  assert.deepEqual(next, first);
  assert.ok(hub.requests.length <= 1, 'the hub was asked again');
});
