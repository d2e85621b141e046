import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open as openFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { recordFixture } from './launch-record-fixtures.ts';
import type { LaunchRecord, LaunchRecords } from './launch-records.ts';
import { openLaunchRecords } from './launch-records.ts';
import { fill, smallDisk } from './small-disk-fixtures.ts';
import { openStateDatabase, type StateDatabase } from './state-database.ts';
import { StoreThread } from './store-thread.ts';

const CRASHING = new URL('crashing-store.fixture.ts', import.meta.url);
/** A program of the system. */
const [MAKE_PIPE] = ['mkfifo'] as const;
const SAVING = fileURLToPath(new URL('saving-gateway.fixture.ts', import.meta.url));

async function place(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

interface Opened {
  readonly database: StateDatabase;
  readonly records: LaunchRecords;
  readonly faults: string[];
  close(): Promise<void>;
}

async function open(t: TestContext, directory: string): Promise<Opened> {
  const faults: string[] = [];
  const onFault = (text: string): void => void faults.push(text);
  const thread = new StoreThread({ onFault });
  const opened = openStateDatabase({ directory, access: 'own', onFault, thread });
  assert.ok(opened.ok);
  const { database } = opened.value;
  const close = async (): Promise<void> => {
    await thread.close();
    database.close();
  };
  t.after(close);
  return { database, records: await openLaunchRecords(database), faults, close };
}

/** As the next gateway reads them. */
async function listed(t: TestContext, directory: string) {
  const { records, close } = await open(t, directory);
  const list = await records.list();
  await close();
  return list;
}

async function writeRow(directory: string, launchId: string, text: string): Promise<void> {
  const connection = new DatabaseSync(join(directory, 'state.db'));
  connection
    .prepare("INSERT OR REPLACE INTO launches VALUES (?, 'm', 'process', 'serving', NULL, ?)")
    .run(launchId, text);
  connection.close();
}

test('records come back as they were saved, the last save of each', async (t) => {
  const directory = await place(t);
  const { records, close } = await open(t, directory);
  await records.save({ ...recordFixture('a-1'), process: null });
  await records.save(recordFixture('a-1'));
  await records.save(recordFixture('b-2'));
  await records.remove('b-2');
  const container = { runtime: 'docker', container: 'c0ffee', outputFile: null, process: null } as const;
  await records.save({ ...recordFixture('c-3'), ...container });
  const expected = [recordFixture('a-1'), { ...recordFixture('c-3'), ...container }];
  assert.deepEqual(await records.list(), { records: expected, unreadable: [] });
  await close();
  assert.deepEqual(await listed(t, directory), { records: expected, unreadable: [] });
});

test('the stage is kept by itself, also between saves under way', async (t) => {
  const directory = await place(t);
  const { records, close } = await open(t, directory);
  const changes = [
    records.save({ ...recordFixture('a-1'), stage: { kind: 'starting' } }),
    records.setStage('a-1', { kind: 'serving' }),
    records.save(recordFixture('b-2')),
    records.setStage('a-1', { kind: 'asleep', level: 2 }),
    records.setStage('b-2', { kind: 'stopping' }),
    records.setStage('no-1', { kind: 'stopping' }),
  ];
  await Promise.all(changes);
  await close();
  assert.deepEqual((await listed(t, directory)).records, [
    { ...recordFixture('a-1'), stage: { kind: 'asleep', level: 2 } },
    { ...recordFixture('b-2'), stage: { kind: 'stopping' } },
  ]);
});

test('L1: what was said to be saved is there after a SIGKILL in the middle of writing', async (t) => {
  for (let round = 0; round < 3; round += 1) {
    const directory = await place(t);
    const child = spawn(process.execPath, [SAVING, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      // Some dozens are done and several are under way.
      if (output.length > 600 + round * 111) child.kill('SIGKILL');
    });
    await once(child, 'close');
    // A line without its end was being told.
    const lines = output.split('\n').slice(0, -1);
    assert.ok(lines.length > 20);
    const stages = new Map(lines.map((line) => line.split(' ') as [string, string]));
    const { records, unreadable } = await listed(t, directory);
    const found = new Map(records.map(({ spec, stage }) => [spec.launchId, stage.kind]));
    assert.deepEqual(unreadable, []);
    for (const [launchId, stage] of stages) {
      const kept = found.get(launchId);
      if (stage === 'gone') assert.equal(kept, undefined, `${launchId} was removed`);
      // What it began next may be there already.
      else if (kept === undefined) assert.equal(stage, 'serving', `${launchId} is lost`);
      else if (stage === 'serving') assert.equal(kept, 'serving');
    }
  }
});

test('L2: an environment and an authorization are not kept, even where the object has them', async (t) => {
  const directory = await place(t);
  const { records, close } = await open(t, directory);
  const secrets = { environment: { HF_TOKEN: 'hf_secret' }, authorization: 'Bearer hf_secret' };
  const record = recordFixture('a-1');
  await records.save({ ...record, ...secrets, spec: { ...record.spec, ...secrets } } as LaunchRecord);
  for (const name of await readdir(directory))
    assert.ok(!(await readFile(join(directory, name), 'latin1')).includes('hf_secret'), name);
  await close();
  assert.deepEqual((await listed(t, directory)).records, [record]);
});

test('what is no record is named by its launch, and can be removed', async (t) => {
  const directory = await place(t);
  const { records, close } = await open(t, directory);
  await records.save(recordFixture('good-1'));
  await close();
  const saved = { format: 2, ...recordFixture('bad-5') };
  const bad: Readonly<Record<string, string>> = {
    'bad-1': '{',
    'bad-2': JSON.stringify({ ...saved, format: 99 }),
    // Another launch's name inside: a copied row must not make two launches of one.
    'bad-3': JSON.stringify({ format: 2, ...recordFixture('good-1') }),
    'bad-4': JSON.stringify({ ...saved, process: { pid: 1, startTicks: null, bootId: null } }),
    'bad-5': JSON.stringify({ ...saved, spec: { launchId: 'bad-5' } }),
    'bad-6': JSON.stringify({ ...saved, stage: { kind: 'asleep' } }),
  };
  for (const [launchId, text] of Object.entries(bad)) await writeRow(directory, launchId, text);
  const again = await open(t, directory);
  const list = await again.records.list();
  assert.deepEqual(list, { records: [recordFixture('good-1')], unreadable: Object.keys(bad) });
  await again.records.remove('bad-2');
  await again.records.save(recordFixture('bad-1'));
  await again.close();
  assert.deepEqual((await listed(t, directory)).unreadable, ['bad-3', 'bad-4', 'bad-5', 'bad-6']);
});

test('a table or a file that cannot be read is not taken for no engines', async (t) => {
  const directory = await place(t);
  const { database, records, close } = await open(t, directory);
  await records.save(recordFixture('a-1'));
  database.close();
  await assert.rejects(openLaunchRecords(database), /does not say which engines run/);
  await close();
  await mkdir(join(directory, 'launches', 'b-2.json'), { recursive: true });
  await assert.rejects(open(t, directory), /EISDIR/);
});

test('files of an earlier version are taken over once; what is no record stays and is named', async (t) => {
  const directory = await place(t);
  const launches = join(directory, 'launches');
  await mkdir(launches);
  const { image: _image, deviceSource: _source, files: _files, ...spec } = recordFixture('old-1').spec;
  const { outputFile, startedWallMs, process: identity } = recordFixture('old-1');
  const old = { format: 1, spec, outputFile, startedWallMs, process: identity };
  const write = (name: string, value: unknown) => writeFile(join(launches, name), JSON.stringify(value));
  await write('old-1.json', old);
  await write('old-2.json', { ...old, spec: { ...spec, launchId: 'old-2', deviceIds: ['GPU-1'] } });
  await write('bad-1.json', old);
  await write('half-1.json.tmp', '');
  await writeFile(join(launches, 'README'), 'hello');
  const renewed = (launchId: string, changes: Partial<LaunchRecord['spec']>) => ({
    ...recordFixture(launchId),
    spec: { ...recordFixture(launchId).spec, ...changes },
  });
  const expected = [
    renewed('old-1', { deviceSource: 'simulated' }),
    renewed('old-2', { deviceSource: 'nvidia', deviceIds: ['GPU-1'] }),
  ];
  const beside = openStateDatabase({ directory, access: 'read', onFault: assert.fail });
  assert.ok(beside.ok);
  const seen = await (await openLaunchRecords(beside.value.database)).list();
  assert.deepEqual(seen, { records: expected, unreadable: ['bad-1'] });
  assert.equal((await readdir(launches)).length, 5, 'who only reads changes nothing');
  const { records, close } = await open(t, directory);
  assert.deepEqual(await records.list(), { records: expected, unreadable: ['bad-1'] });
  assert.deepEqual((await readdir(launches)).sort(), ['README', 'bad-1.json']);
  await records.remove('bad-1');
  await close();
  assert.deepEqual(await listed(t, directory), { records: expected, unreadable: [] });
  assert.deepEqual(await readdir(launches), ['README']);
});

test('L3: while the database refuses, records are files, which the next gateway takes over', async (t) => {
  const directory = await place(t);
  const { records, faults, close } = await open(t, directory);
  await records.save(recordFixture('a-1'));
  await records.save(recordFixture('b-2'));
  const shell = new DatabaseSync(join(directory, 'state.db'));
  shell.exec('ALTER TABLE launches RENAME TO elsewhere');
  await records.save(recordFixture('c-3'));
  await records.setStage('a-1', { kind: 'stopping' });
  await records.remove('b-2');
  await records.save(recordFixture('d-4'));
  await records.remove('d-4');
  assert.equal(faults.length, 1);
  assert.match(faults.join(), /^the state database could not keep which engines run: no such table/);
  const filed = async () => (await readdir(join(directory, 'launches'))).sort();
  assert.deepEqual(await filed(), ['a-1.json', 'c-3.json']);
  shell.exec('ALTER TABLE elsewhere RENAME TO launches');
  shell.close();
  await records.setStage('c-3', { kind: 'waking', level: 1 });
  assert.deepEqual(await filed(), ['a-1.json'], 'it has a row now');
  await close();
  assert.deepEqual((await listed(t, directory)).records, [
    { ...recordFixture('a-1'), stage: { kind: 'stopping' } },
    // Its row could not be removed; nothing lives behind it.
    recordFixture('b-2'),
    { ...recordFixture('c-3'), stage: { kind: 'waking', level: 1 } },
  ]);
  assert.deepEqual(await filed(), []);
});

test('L3: a database that is removed while a gateway serves costs no engine its record', async (t) => {
  const directory = await place(t);
  const { records, faults, close } = await open(t, directory);
  for (const id of ['a-1', 'b-2', 'e-5']) await records.save(recordFixture(id));
  for (const name of await readdir(directory))
    if (name.startsWith('state.db')) await rm(join(directory, name));
  for (const id of ['c-3', 'd-4']) await records.save(recordFixture(id));
  await records.setStage('a-1', { kind: 'stopping' });
  await records.remove('c-3');
  await records.remove('e-5');
  assert.equal(faults.length, 1);
  assert.match(
    faults.join(),
    /which engines run: .*state\.db was removed or replaced while the gateway ran$/,
  );
  await close();
  const { records: found, unreadable } = await listed(t, directory);
  const stages = found.map(({ spec, stage }) => `${spec.launchId} ${stage.kind}`);
  assert.deepEqual([stages, unreadable], [['a-1 stopping', 'b-2 serving', 'd-4 serving'], []]);
});

test('L3: where neither can be kept, saving fails and says so', async (t) => {
  const opened = openStateDatabase({ directory: '/dev/null/state', access: 'own', onFault: assert.fail });
  assert.ok(opened.ok);
  t.after(() => opened.value.database.close());
  await assert.rejects(openLaunchRecords(opened.value.database), /ENOTDIR/);
  const directory = await place(t);
  const { records } = await open(t, directory);
  await writeFile(join(directory, 'launches'), 'in the way');
  const shell = new DatabaseSync(join(directory, 'state.db'));
  shell.exec('DROP TABLE launches');
  shell.close();
  await assert.rejects(
    records.save(recordFixture('a-1')),
    /^Error: neither the state database nor a file in .* can be written: ENOTDIR/,
  );
});

test('L4: a store that hangs: a stage is given up, a new record goes to a file', async (t) => {
  const directory = await place(t);
  const thread = new StoreThread({ onFault: () => {}, file: CRASHING, jobLimitMs: 100 });
  const faults: string[] = [];
  const onFault = (text: string): void => void faults.push(text);
  const opened = openStateDatabase({ directory, access: 'own', onFault, thread });
  assert.ok(opened.ok);
  const { database } = opened.value;
  const stuck = join(directory, 'state.db.stuck');
  t.after(async () => {
    await rm(stuck, { force: true });
    await thread.close();
    database.close();
  });
  const records = await openLaunchRecords(database);
  // However long the machine takes to start the thread.
  while ((await database.tryChange('a flag', [])) !== 'made');
  await writeFile(stuck, '');
  const { launchId } = recordFixture('a-1').spec;
  await records.save(recordFixture('a-1'));
  const filed = await readdir(join(directory, 'launches'));
  assert.deepEqual(filed, ['a-1.json']);
  await assert.rejects(
    records.setStage(launchId, { kind: 'stopping' }),
    /stage of a-1 could not be kept: the disk does not answer/,
  );
  await records.remove(launchId);
  assert.match(faults.join(), /which engines run: no answer within 0\.1 s$/);
});

test('L4: a disk that hangs at a file: saving fails within a limit, then at once, until the disk answers', async (t) => {
  const directory = await place(t);
  const { database } = await open(t, directory);
  const records = await openLaunchRecords(database, { fileLimitMs: 100 });
  const shell = new DatabaseSync(join(directory, 'state.db'));
  shell.exec('DROP TABLE launches');
  shell.close();
  const launches = join(directory, 'launches');
  await mkdir(launches);
  // Who opens a pipe to write hangs until somebody reads.
  const pipe = join(launches, 'a-1.json.tmp');
  execFileSync(MAKE_PIPE, [pipe]);
  const hangs = /can be written: the disk has not answered within 0\.1 s/;
  await assert.rejects(records.save(recordFixture('a-1')), hangs);
  await assert.rejects(records.save(recordFixture('b-2')), hangs);
  await records.remove('a-1');
  const reader = await openFile(pipe, 'r');
  await reader.close();
  await rm(pipe);
  for (;;) {
    const isSaved = await records.save(recordFixture('b-2')).then(
      () => true,
      () => false,
    );
    if (isSaved) break;
  }
  assert.deepEqual(await readdir(launches), ['b-2.json']);
});

test('a full disk keeps no engine from being recorded: the database has room in reserve', async (t) => {
  const directory = smallDisk(t, 2_048);
  if (directory === null) return t.skip('needs the right to mount a tmpfs');
  const { records, close } = await open(t, directory);
  await records.save(recordFixture('first-1'));
  fill(directory);
  await assert.rejects(writeFile(join(directory, 'other'), 'x'), /ENOSPC/);
  const ids = Array.from({ length: 20 }, (_, index) => `l-${index}`);
  for (let round = 0; round < 5; round += 1) {
    for (const id of ids) {
      await records.save({ ...recordFixture(id), stage: { kind: 'starting' } });
      await records.setStage(id, { kind: 'serving' });
    }
    for (const id of ids) if (round < 4) await records.remove(id);
  }
  assert.ok(!(await readdir(directory)).includes('launches'), 'none needed a file');
  await close();
  await rm(join(directory, 'ballast'));
  assert.equal((await listed(t, directory)).records.length, 21);
});

test('removing what is not there is harmless', async (t) => {
  const { records } = await open(t, await place(t));
  await records.remove('no-1');
  assert.deepEqual(await records.list(), { records: [], unreadable: [] });
});
