import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ResolvedModel } from '../config/resolved-config.ts';
import { modelFixture } from '../engines/engine-fixtures.ts';
import { createFootprintStore, type FootprintStore } from './footprints.ts';
import { importFootprints } from './import-footprints.ts';
import { openStateDatabase } from './state-database.ts';

interface Place {
  readonly file: string;
  readonly store: FootprintStore;
  /** Texts of the notices, with their levels. */
  run(models: readonly ResolvedModel[]): Promise<readonly string[]>;
}

function place(t: TestContext): Place {
  const directory = mkdtempSync(join(tmpdir(), 'import-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const opened = openStateDatabase({ directory, access: 'own', onFault: assert.fail });
  assert.ok(opened.ok);
  const { database } = opened.value;
  t.after(() => database.close());
  const store = createFootprintStore(database);
  const file = join(directory, 'memory_footprints.json');
  const shared = { file, database, footprints: store, placementMode: 'budget', nowS: 1_700_000_000 } as const;
  return {
    file,
    store,
    run: async (models) => {
      const signatureOf = (model: ResolvedModel) => `of ${model.vllm.maxModelLen}`;
      const notices = await importFootprints({ ...shared, models, signatureOf });
      return notices.map(({ level, text }) => `${level}: ${text.replace(file, 'FILE')}`);
    },
  };
}

const small = modelFixture({ name: 'small', vllm: { maxModelLen: 8192 } });
const large = modelFixture({ name: 'large', vllm: { maxModelLen: 8192 } });

function stored(store: FootprintStore): unknown {
  return store.all().map(({ model, signature, usedMib, source }) => [model, signature, usedMib, source]);
}

test('an entry is taken over once; one that does not match yet is looked at again', async (t) => {
  const { file, store, run } = place(t);
  writeFileSync(file, JSON.stringify({ small: 5_000, large: { mib: 9_000, max_model_len: 4096 }, gone: 1 }));
  assert.deepEqual(await run([small, large]), ['info: footprints imported from FILE: small']);
  assert.deepEqual(stored(store), [['small', 'of 8192', 5_000, 'imported']]);
  assert.deepEqual(await run([small, large]), []);
  const changed = modelFixture({ name: 'large', vllm: { maxModelLen: 4096 } });
  // The entry of `small` said nothing of its settings, but it was used up by the ones of the first start.
  assert.deepEqual(await run([modelFixture({ name: 'small' }), changed]), [
    'info: footprints imported from FILE: large',
  ]);
  assert.deepEqual(stored(store), [
    ['large', 'of 4096', 9_000, 'imported'],
    ['small', 'of 8192', 5_000, 'imported'],
  ]);
});

test('a new content is imported again, but nothing that was measured here is replaced', async (t) => {
  const { file, store, run } = place(t);
  writeFileSync(file, JSON.stringify({ small: 5_000, large: 9_000 }));
  await run([small, large]);
  const [first] = store.all().filter(({ model }) => model === 'small');
  assert.ok(first !== undefined);
  store.put({ ...first, usedMib: 5_555, source: 'per_process' });
  writeFileSync(file, JSON.stringify({ small: 6_000, large: 9_500 }));
  await run([small, large]);
  assert.deepEqual(stored(store), [
    ['large', 'of 8192', 9_500, 'imported'],
    ['small', 'of 8192', 5_555, 'per_process'],
  ]);
});

test('a file that is missing, unreadable or partly odd is told', async (t) => {
  const { file, store, run } = place(t);
  assert.deepEqual(await run([small]), ['info: no footprints are imported from FILE: it does not exist']);
  writeFileSync(file, 'x');
  assert.deepEqual(await run([small]), [
    'warn: not everything in FILE could be understood: it is not valid JSON',
  ]);
  writeFileSync(file, JSON.stringify({ small: 1, a: 0, b: 0, c: 0, d: 0, e: 0, f: 0 }));
  const [problem, imported] = await run([small]);
  assert.match(problem ?? '', /^warn: not everything in FILE .*"a": no amount of memory; .*; and 1 more$/);
  assert.equal(imported, 'info: footprints imported from FILE: small');
  assert.equal(store.all().length, 1);
});
