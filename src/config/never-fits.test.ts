import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from './load.ts';

/** Names of the models that are said to fit nowhere. */
async function neverFitting(object: unknown): Promise<readonly string[]> {
  const loaded = await loadConfig({ object, environment: {} });
  assert.ok(loaded.ok);
  return loaded.value.notices.flatMap(({ text }) => /^Model (\S+) can never start/.exec(text)?.[1] ?? []);
}

const GIB = 1024;
const ofSize = (gib: number, keys: object = {}) => ({
  engine: 'simulated',
  memory_mib: gib * GIB,
  ...keys,
});

test('simulated devices bound what a model may reserve, each pool by its own', async () => {
  const object = {
    devices: {
      source: 'simulated',
      budget_fraction: 1,
      simulated: [
        { id: 'a', memory_mib: 24 * GIB },
        { id: 'b', memory_mib: 8 * GIB },
      ],
    },
    pools: { large: ['a'], small: ['b'] },
    models: {
      exact: ofSize(24, { pool: 'large' }),
      over: ofSize(25, { pool: 'large' }),
      misplaced: ofSize(9, { pool: 'small' }),
    },
  };
  assert.deepEqual(await neverFitting(object), ['over', 'misplaced']);
});

test('a model on several devices is bound by the smallest of those it would get', async () => {
  const simulated = [24, 16, 8].map((gib, index) => ({ id: `gpu-${index}`, memory_mib: gib * GIB }));
  const object = {
    devices: { source: 'simulated', budget_fraction: 1, simulated },
    models: {
      two: ofSize(16, { tensor_parallel_size: 2 }),
      three: ofSize(16, { tensor_parallel_size: 3 }),
    },
  };
  assert.deepEqual(await neverFitting(object), ['three']);
});

test('limits bound devices that the file does not know; without them nothing is claimed', async () => {
  const models = { over: ofSize(11), under: ofSize(9), away: { url: 'http://h:1' }, whole: { repo: 'r' } };
  const limited = (memory_limit_mib: unknown) => ({
    devices: { source: 'nvidia', budget_fraction: 1, memory_limit_mib },
    models,
  });
  assert.deepEqual(await neverFitting(limited(10 * GIB)), ['over']);
  assert.deepEqual(await neverFitting(limited({ '*': 10 * GIB, 'GPU-1': 12 * GIB })), []);
  assert.deepEqual(await neverFitting(limited({ 'GPU-1': 1 * GIB })), []);
  const pooled = { ...limited({ 'GPU-1': 10 * GIB }), pools: { p: ['GPU-1'] } };
  assert.deepEqual(await neverFitting(pooled), ['over']);
});
