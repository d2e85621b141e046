import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HubFault } from '../../test/fakes/fake-hub-files.ts';
import { COMMIT, fetchWorld, putModel } from './weights-fetcher.fixture.ts';

const PART_BYTES = 200_000;

const bytes = fc.integer({ min: 0, max: PART_BYTES });
const fault: fc.Arbitrary<HubFault> = fc.oneof(
  fc.record({ kind: fc.constant('cut' as const), afterBytes: bytes }),
  fc.record({ kind: fc.constant('truncate' as const), afterBytes: bytes }),
  fc.record({ kind: fc.constant('status' as const), status: fc.constantFrom(500, 502, 503, 429) }),
  fc.constant({ kind: 'whole' as const }),
  fc.constant({ kind: 'corrupt' as const }),
);
const place = fc.constantFrom('model-00001', 'model-00002', 'config.json', '/api/', '/tree/', 'index.json');
const faults = fc.array(fc.tuple(place, fault), { maxLength: 12 });

test('whatever goes wrong: what has a name is right, and in the end everything is there', async (t) => {
  await fc.assert(
    fc.asyncProperty(faults, async (list) => {
      const world = await fetchWorld(t);
      const parts = putModel(world.hub, 'acme/small', PART_BYTES);
      for (const [path, each] of list) world.hub.fault(path, each);
      const directory = join(world.cache, 'models--acme--small');
      let fetches = 0;
      for (let result = await world.fetch(); result.kind === 'failed'; result = await world.fetch()) {
        assert.ok(result.failure.retryable, result.failure.text);
        for (const name of await readdir(join(directory, 'blobs')).catch(() => [])) {
          if (name.length !== 64) continue;
          const content = await readFile(join(directory, 'blobs', name));
          assert.equal(createHash('sha256').update(content).digest('hex'), name);
        }
        fetches += 1;
        assert.ok(fetches <= list.length, 'a fault that has passed still fails');
      }
      for (const [name, content] of Object.entries(parts))
        assert.deepEqual(await readFile(join(directory, 'snapshots', COMMIT, name)), content);
      const last = world.progress.at(-1);
      assert.equal(last?.bytesDone, last?.bytesTotal);
      await world.hub.close();
    }),
    { numRuns: 40 },
  );
});
