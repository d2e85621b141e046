import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readLearnedCosts, writeLearnedCosts } from './learned-costs.ts';

async function fileOf(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'costs-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'costs.json');
}

test('what was written is read back', async (t) => {
  const file = await fileOf(t);
  const costs = { a: { signature: 's', startMs: 1200.5, stopMs: null } };
  await writeLearnedCosts(file, costs);
  assert.deepEqual(await readLearnedCosts(file), costs);
});

test('a file that is missing, cut off or of another shape means that nothing is known', async (t) => {
  const file = await fileOf(t);
  assert.deepEqual(await readLearnedCosts(file), {});
  const entry = { signature: 's', startMs: 1, stopMs: 2 };
  for (const text of ['{"a": {"sig', 'null', '[]', JSON.stringify({ a: { ...entry, startMs: 'soon' } })]) {
    await writeFile(file, text);
    assert.deepEqual(await readLearnedCosts(file), {}, text);
  }
  await writeFile(file, JSON.stringify({ a: { ...entry, startMs: -1 }, b: entry }));
  assert.deepEqual(await readLearnedCosts(file), { b: entry });
});
