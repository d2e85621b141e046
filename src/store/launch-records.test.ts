import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { LaunchRecord } from './launch-records.ts';
import { openLaunchRecords } from './launch-records.ts';

async function place(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  t.after(() => rm(directory, { recursive: true }));
  return join(directory, 'launches');
}

function record(launchId: string): LaunchRecord {
  return {
    spec: {
      launchId,
      model: 'm',
      argv: ['vllm', 'serve', 'x y'],
      listen: { kind: 'tcp', host: '127.0.0.1', port: 4001 },
      deviceIds: ['GPU-1'],
      memoryMibPerDevice: 6000,
      signature: 'sig',
    },
    outputFile: '/o/a.log',
    startedWallMs: 1_700_000_000_000,
    process: { pid: 4711, startTicks: '99', bootId: 'boot' },
  };
}

test('records come back as they were saved, the last save of each', async (t) => {
  const directory = await place(t);
  const records = await openLaunchRecords(directory);
  await records.save({ ...record('a-1'), process: null });
  await records.save(record('a-1'));
  await records.save(record('b-2'));
  await records.remove('b-2');
  const again = await openLaunchRecords(directory);
  assert.deepEqual(await again.list(), { records: [record('a-1')], unreadable: [] });
});

test('L2: an environment is not kept, even where the object has one', async (t) => {
  const directory = await place(t);
  const records = await openLaunchRecords(directory);
  const withEnvironment = { ...record('a-1').spec, environment: { HF_TOKEN: 'hf_secret' } };
  await records.save({ ...record('a-1'), spec: withEnvironment });
  assert.ok(!(await readFile(join(directory, 'a-1.json'), 'utf8')).includes('hf_secret'));
});

test('what is no record is named by its launch, what was never finished is removed, the rest is not ours', async (t) => {
  const directory = await place(t);
  const records = await openLaunchRecords(directory);
  await records.save(record('good-1'));
  const saved = JSON.parse(await readFile(join(directory, 'good-1.json'), 'utf8')) as Record<string, unknown>;
  const bad: Readonly<Record<string, unknown>> = {
    'bad-1': '{',
    'bad-2': JSON.stringify({ ...saved, format: 99 }),
    // Another launch's name inside: a copied file must not make two launches of one.
    'bad-3': JSON.stringify(saved),
    'bad-4': JSON.stringify({ ...saved, process: { pid: 1, startTicks: null, bootId: null } }),
    'bad-5': JSON.stringify({ ...saved, spec: { launchId: 'bad-5' } }),
  };
  for (const [name, text] of Object.entries(bad))
    await writeFile(join(directory, `${name}.json`), String(text));
  await writeFile(join(directory, 'half-1.json.tmp'), '{');
  await writeFile(join(directory, 'README'), 'hello');
  const list = await records.list();
  assert.deepEqual(list, { records: [record('good-1')], unreadable: Object.keys(bad) });
  assert.ok(!(await readdir(directory)).includes('half-1.json.tmp'));
});

test('removing what is not there is harmless', async (t) => {
  const records = await openLaunchRecords(await place(t));
  await records.remove('no-1');
  assert.deepEqual(await records.list(), { records: [], unreadable: [] });
});
