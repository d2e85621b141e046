import assert from 'node:assert/strict';
import { mkdir, open as openFile, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LaunchRecord, LaunchRecords } from '../../store/launch-records.ts';
import { fill, smallDisk } from '../../store/small-disk-fixtures.ts';
import { createRecordingObserver } from '../recording-observer.ts';
import { openProcessRuntime } from './process-runtime.ts';
import {
  openRuntimeWithStore as open,
  PATH,
  specOf,
  temporaryDirectory,
  WAITS,
  withRecords,
} from './process-site.fixture.ts';
import { STATE_ID_VARIABLE } from './process-table.ts';

test('R1: the record is on disk before the program runs, and tells of its process after', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  const read = `const {DatabaseSync}=require('node:sqlite');const d=new DatabaseSync('${directory}/state.db',{readOnly:true});
    console.log(JSON.stringify(d.prepare('SELECT launch_id, stage FROM launches').all()))`;
  const spec = await specOf(runtime, 'rec-1', '');
  const argv = [process.execPath, '--no-warnings', '-e', read];
  const result = await runtime.launch({ ...spec, argv, environment: { PATH } }, heard);
  assert.ok(result.kind === 'launched');
  assert.equal(await heard.waitForLine(/rec-1/), '[{"launch_id":"rec-1","stage":"starting"}]');
  await heard.waitForExit();
  await runtime.kill(result.handle);
});

test('memory that runs out ends an engine and its children before us', async (t) => {
  if (process.platform !== 'linux') return t.skip('no such thing on this system');
  const runtime = await open(await temporaryDirectory(t));
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  // The score is written right after the spawn, so the program may look a moment before; a child shows what it inherits.
  const script =
    'until [ "$(cat /proc/self/oom_score_adj)" = 500 ]; do sleep 0.01; done; echo raised; sleep 300';
  const result = await runtime.launch(await specOf(runtime, 'oom-1', script), heard);
  assert.ok(result.kind === 'launched');
  await heard.waitForLine(/^raised/);
  assert.notEqual((await readFile('/proc/self/oom_score_adj', 'latin1')).trim(), '500');
  await runtime.kill(result.handle);
});

test('only we may enter the state directory', async (t) => {
  const directory = join(await temporaryDirectory(t), 'state');
  await mkdir(directory, { mode: 0o755 });
  const runtime = await open(directory);
  t.after(() => runtime.close());
  for (const path of [directory, join(directory, 's'), join(directory, 'output')]) {
    assert.equal((await stat(path)).mode & 0o777, 0o700, path);
  }
});

test('R5: a stop is noted before its first signal', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  const query = `const {DatabaseSync}=require('node:sqlite');const d=new DatabaseSync('${directory}/state.db',{readOnly:true});
    console.log('stage '+d.prepare('SELECT stage FROM launches').get().stage);process.exit(0)`;
  const program = `process.on('SIGTERM',()=>{${query}});setInterval(()=>0,1000);console.log('up')`;
  const spec = await specOf(runtime, 'stp-1', '');
  const argv = [process.execPath, '--no-warnings', '-e', program];
  const result = await runtime.launch({ ...spec, argv, environment: { PATH } }, heard);
  assert.ok(result.kind === 'launched');
  await heard.waitForLine(/up/);
  assert.ok((await runtime.stop(result.handle, 20_000)).kind === 'gone');
  assert.deepEqual(heard.heard.slice(-2), ['stage stopping', 'exited']);
});

test('a note that no disk takes is given up without a word', async (t) => {
  const directory = await temporaryDirectory(t);
  const kept = new Map<string, LaunchRecord>();
  const launches: LaunchRecords = {
    save: async (record) => void kept.set(record.spec.launchId, record),
    setStage: () => Promise.reject(new Error('no space left on device')),
    remove: async (launchId) => void kept.delete(launchId),
    list: async () => ({ records: [...kept.values()], unreadable: [] }),
  };
  const opened = await openProcessRuntime({
    stateDirectory: directory,
    stateId: 's1',
    launches,
    outputLimitBytes: 1000,
  });
  assert.ok(opened.ok);
  const runtime = opened.value;
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  const result = await runtime.launch(await specOf(runtime, 'dsk-1', WAITS), heard);
  assert.ok(result.kind === 'launched');
  await heard.waitForLine(/up/);
  await runtime.note(result.handle, { kind: 'serving' });
  assert.ok((await runtime.stop(result.handle, 10_000)).kind === 'gone');
  assert.equal(kept.size, 0);
});

test('a runtime that is closed during a launch leaves nothing behind that it does not know', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  const launching = runtime.launch(await specOf(runtime, 'cls-1', WAITS), createRecordingObserver());
  await runtime.close();
  const next = await open(directory);
  t.after(() => next.close());
  // It was not begun, or it was left and is found.
  const left = await launching;
  const adopted = await next.adopt(() => createRecordingObserver());
  assert.equal(adopted.length, left.kind === 'launched' ? 1 : 0);
  for (const { handle } of adopted) assert.equal((await next.stop(handle, 10_000)).kind, 'gone');
});

test('an engine knows the gateway that it belongs to', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  const spec = await specOf(runtime, 'sid-1', `echo "$${STATE_ID_VARIABLE}"`);
  const result = await runtime.launch(spec, heard);
  assert.ok(result.kind === 'launched');
  await heard.waitForExit();
  assert.deepEqual(heard.lines, [(await readFile(join(directory, 'state-id'), 'utf8')).trim()]);
  await runtime.kill(result.handle);
});

test('a child that overwrote its environment is found by its session', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  // A child in the leader's session without any environment, alive after its parents are gone.
  const script = '(env -i /bin/sleep 300 &); echo up; sleep 0.1; exit 0';
  const result = await runtime.launch(await specOf(runtime, 'ses-1', script), heard);
  assert.ok(result.kind === 'launched');
  await heard.waitForExit();
  const killed = await runtime.kill(result.handle);
  assert.ok(killed.kind === 'gone');
  assert.equal(killed.forced, true);
});

test('a process has its launch as owner, by session or by id; a stranger has none', async (t) => {
  const runtime = await open(await temporaryDirectory(t));
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  const child = `/bin/sh -c 'echo "child $$"; /bin/sleep 300; :' &`;
  const script = `env -i ${child} setsid ${child} wait`;
  const result = await runtime.launch(await specOf(runtime, 'own-1', script), heard);
  assert.ok(result.kind === 'launched');
  await heard.waitForLine(/child/);
  while (heard.lines.length < 2) await new Promise((resolve) => setImmediate(resolve));
  const pids = [result.handle.reference, ...heard.lines].map((text) => Number(/\d+/.exec(text)?.[0]));
  assert.deepEqual(
    pids.map((pid) => runtime.ownerOf(pid)),
    ['own-1', 'own-1', 'own-1'],
  );
  assert.equal(runtime.ownerOf(process.pid), null);
  await runtime.kill(result.handle);
  assert.equal(runtime.ownerOf(pids[0] ?? 0), null);
});

test('an output file stays near its limit and lines go on', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory, 10_000);
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  const script =
    'i=0; while [ $i -lt 60 ]; do i=$((i+1)); printf "%01000d\\n" $i; sleep 0.01; done; echo done';
  const result = await runtime.launch(await specOf(runtime, 'big-1', script), heard);
  assert.ok(result.kind === 'launched');
  await heard.waitForExit();
  assert.equal(heard.lines.at(-1), 'done');
  assert.ok(result.handle.outputFile !== null);
  assert.ok((await stat(result.handle.outputFile)).size < 30_000);
  await runtime.kill(result.handle);
});

test('a state directory with a long path puts its sockets where an address can name them', async (t) => {
  const directory = join(await temporaryDirectory(t), 'x'.repeat(100));
  await mkdir(directory);
  const runtime = await open(directory);
  t.after(() => runtime.close());
  const address = await runtime.address('abcdefgh12345678-abcdefgh12345678', 'unix');
  assert.ok(address.kind === 'unix');
  assert.ok(Buffer.byteLength(address.socketPath) <= 107);
  const sockets = join(address.socketPath, '..');
  t.after(() => rm(sockets, { recursive: true, force: true }));
  assert.equal((await stat(sockets)).mode & 0o777, 0o700);
});

test('a state directory that cannot be made is an answer, not a crash', async (t) => {
  const directory = await temporaryDirectory(t);
  await withRecords(directory, async (launches) => {
    const stateDirectory = '/dev/null/state';
    const opened = await openProcessRuntime({ stateDirectory, stateId: 's', launches, outputLimitBytes: 1 });
    assert.ok(!opened.ok);
    assert.match(opened.error, /state directory cannot be used/);
  });
});

test('an engine that dies on a full disk, which takes no word of it, is told of with the disk', async (t) => {
  const directory = smallDisk(t, 2_048);
  if (directory === null) return t.skip('needs the right to mount a tmpfs');
  const runtime = await open(directory);
  t.after(() => runtime.close());
  const first = createRecordingObserver();
  const launched = await runtime.launch(await specOf(runtime, 'fst-1', WAITS), first);
  assert.ok(launched.kind === 'launched');
  await first.waitForLine(/up/);
  fill(directory);
  const heard = createRecordingObserver();
  const result = await runtime.launch(await specOf(runtime, 'ful-1', 'echo my last word; exit 3'), heard);
  assert.ok(result.kind === 'launched', JSON.stringify(result));
  await heard.waitForExit();
  assert.match(heard.lines.join(), /^the disk of .*\/output is full \(no space left on device\)/);
  assert.deepEqual(heard.exits, [{ code: 3, signal: null }]);
  await runtime.kill(result.handle);
  await runtime.kill(launched.handle);
});

test('an engine whose output lies on a disk that hangs ends all the same, and is told to have ended', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  const launched = await runtime.launch(await specOf(runtime, 'hng-1', WAITS), heard);
  assert.ok(launched.kind === 'launched');
  await heard.waitForLine(/up/);
  const file = await openFile(join(directory, 'state.db'));
  const reads = t.mock.method(Object.getPrototypeOf(file), 'read', () => new Promise(() => undefined));
  await file.close();
  assert.equal((await runtime.stop(launched.handle, 10_000)).kind, 'gone');
  assert.equal(heard.exits.length, 1);
  assert.ok(reads.mock.callCount() > 0);
});
