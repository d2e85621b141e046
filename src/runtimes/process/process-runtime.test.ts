import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LaunchRecord, LaunchRecords } from '../../store/launch-records.ts';
import { openStateStore } from '../../store/state-store.ts';
import type { ForeignProcess, RuntimeSite } from '../conformance.ts';
import { runtimeConformance } from '../conformance.ts';
import { createRecordingObserver } from '../recording-observer.ts';
import type { LaunchSpec, Runtime } from '../runtime.ts';
import { openProcessRuntime } from './process-runtime.ts';
import { openRuntimeWithStore as open } from './process-site.fixture.ts';
import { LAUNCH_ID_VARIABLE, openProcessTable, STATE_ID_VARIABLE } from './process-table.ts';

const GATEWAY = fileURLToPath(new URL('crashing-gateway.fixture.ts', import.meta.url));
const PATH = process.env.PATH ?? '/usr/bin:/bin';

function program(script: string): Pick<LaunchSpec, 'argv' | 'environment'> {
  return { argv: ['/bin/sh', '-c', script], environment: { PATH } };
}

async function launchAndCrash(stateDirectory: string, spec: LaunchSpec): Promise<void> {
  const gateway = spawn(process.execPath, [GATEWAY, stateDirectory, JSON.stringify(spec)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(gateway, 'exit');
  const up = await Promise.race([once(gateway.stdout, 'data').then(() => true), exit.then(() => false)]);
  assert.ok(up, 'the gateway ended before its engine was up');
  gateway.kill('SIGKILL');
  await exit;
}

async function site(): Promise<RuntimeSite> {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'vg-'));
  const otherDirectory = await mkdtemp(join(tmpdir(), 'vg-'));
  return {
    open: () => open(stateDirectory),
    openOther: () => open(otherDirectory),
    launchAndCrash: (spec) => launchAndCrash(stateDirectory, spec),
    carriers,
    alive: isAlive,
    remembered: async () => remembered(stateDirectory),
    startForeign: async (kind, launchId) => {
      const stateId =
        kind === 'debris' ? (await readFile(join(stateDirectory, 'state-id'), 'utf8')).trim() : 'other';
      return await startForeign({
        [LAUNCH_ID_VARIABLE]: launchId,
        ...(kind === 'unmarked' ? {} : { [STATE_ID_VARIABLE]: stateId }),
      });
    },
    dispose: async () => {
      for (const directory of [stateDirectory, otherDirectory])
        await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Read from the file as anybody could, while its gateway may be there or not. */
function remembered(stateDirectory: string): readonly string[] {
  const database = new DatabaseSync(join(stateDirectory, 'state.db'), { readOnly: true, timeout: 5_000 });
  try {
    return database
      .prepare('SELECT launch_id FROM launches ORDER BY launch_id')
      .all()
      .map((row) => String(row['launch_id']));
  } finally {
    database.close();
  }
}

/** In a session of its own, as an engine is. */
async function startForeign(environment: Readonly<Record<string, string>>): Promise<ForeignProcess> {
  const child = spawn('/bin/sh', ['-c', 'echo up; while :; do sleep 0.05; done'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH, ...environment },
  });
  await once(child.stdout, 'data');
  const { pid } = child;
  assert.ok(pid !== undefined);
  return {
    alive: () => isAlive(pid),
    end: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      process.kill(-pid, 'SIGKILL');
      await exit;
    },
  };
}

async function isAlive(pid: number): Promise<boolean> {
  return /\) [^ZX]/.test(await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => ''));
}

/** Its own reading of /proc, so that the runtime is not judged by itself. */
async function carriers(launchId: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const environment = await readFile(`/proc/${name}/environ`, 'latin1').catch(() => '');
    const state = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => ') Z');
    const alive = !/\) [ZX]/.test(state);
    if (alive && environment.split('\0').includes(`${LAUNCH_ID_VARIABLE}=${launchId}`))
      found.push(Number(name));
  }
  return found;
}

runtimeConformance({ name: 'process', site, program });

async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function specOf(runtime: Runtime, launchId: string, script: string): Promise<LaunchSpec> {
  return {
    launchId,
    model: 'm',
    ...program(script),
    listen: await runtime.address(launchId, 'unix'),
    image: null,
    deviceSource: 'host',
    files: [],
    deviceIds: [],
    memoryMibPerDevice: 1,
    signature: 's',
  };
}

const WAITS = 'trap "exit 0" TERM; echo up; while :; do sleep 0.05; done';

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

/** Works on the records of a directory that no gateway has open. */
async function withRecords(
  directory: string,
  work: (records: LaunchRecords) => Promise<void>,
): Promise<void> {
  const store = await openStateStore({ directory, onFault: (text) => assert.fail(text) });
  assert.ok(store.ok);
  await work(store.value.launches);
  await store.value.close();
}

/** Rewrites the one record of a directory. */
async function editRecord(directory: string, change: (record: LaunchRecord) => LaunchRecord): Promise<void> {
  await withRecords(directory, async (records) => {
    const [record] = (await records.list()).records;
    assert.ok(record !== undefined);
    await records.save(change(record));
  });
}

test('a stranger with the pid of a dead engine is left alone, and the record is removed', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  const heard = createRecordingObserver();
  const spec = await specOf(runtime, 'str-1', 'trap "exit 0" TERM; echo up; while :; do sleep 0.05; done');
  const result = await runtime.launch(spec, heard);
  assert.ok(result.kind === 'launched');
  await heard.waitForLine(/up/);
  await runtime.close();

  const stranger = spawn('/bin/sh', ['-c', 'echo up; sleep 300'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(stranger.stdout, 'data');
  const { pid } = stranger;
  assert.ok(pid !== undefined);
  t.after(() => process.kill(-pid, 'SIGKILL'));
  await editRecord(directory, (record) => ({
    ...record,
    process: record.process && { ...record.process, pid },
  }));

  const next = await open(directory);
  t.after(() => next.close());
  assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
  assert.equal(openProcessTable().facts(pid)?.alive, true);
  assert.deepEqual(remembered(directory), []);
  // The engine itself carried the id of that record, so it was debris.
  assert.deepEqual(await carriers('str-1'), []);
});

test('a gateway that died between record and spawn leaves an engine that only its id betrays: it is ended', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  const heard = createRecordingObserver();
  const result = await runtime.launch(await specOf(runtime, 'gap-1', WAITS), heard);
  assert.ok(result.kind === 'launched');
  await heard.waitForLine(/up/);
  await runtime.close();
  await editRecord(directory, (record) => ({ ...record, process: null }));
  const next = await open(directory);
  t.after(() => next.close());
  assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
  assert.deepEqual(await carriers('gap-1'), []);
});

test('an engine whose record is unreadable is ended, and stray files are removed', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  const heard = createRecordingObserver();
  assert.ok((await runtime.launch(await specOf(runtime, 'bad-1', WAITS), heard)).kind === 'launched');
  await heard.waitForLine(/up/);
  await runtime.close();
  const database = new DatabaseSync(join(directory, 'state.db'));
  database.exec("UPDATE launches SET record = '{'");
  database.close();
  await writeFile(join(directory, 's', 'old-9.sock'), '');
  const next = await open(directory);
  t.after(() => next.close());
  assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
  assert.deepEqual(await carriers('bad-1'), []);
  assert.deepEqual(remembered(directory), []);
  assert.deepEqual(await readdir(join(directory, 's')), []);
});

test('a torn database orphans nothing: what carries our mark and is in no record is ended', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  const heard = createRecordingObserver();
  assert.ok((await runtime.launch(await specOf(runtime, 'torn-1', WAITS), heard)).kind === 'launched');
  await heard.waitForLine(/up/);
  await runtime.close();
  for (const name of await readdir(directory)) {
    if (name.startsWith('state.db')) await writeFile(join(directory, name), 'torn');
  }
  const next = await openTolerant(directory);
  t.after(() => next.close());
  assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
  assert.deepEqual(await carriers('torn-1'), []);
});

/** A store that has something to say of what it found. */
async function openTolerant(directory: string): Promise<Runtime> {
  await withRecords(directory, async () => undefined);
  return await open(directory);
}

test('a launch of another runtime is left to that runtime', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  const heard = createRecordingObserver();
  assert.ok((await runtime.launch(await specOf(runtime, 'con-1', WAITS), heard)).kind === 'launched');
  await heard.waitForLine(/up/);
  await runtime.close();
  await editRecord(directory, (record) => ({ ...record, runtime: 'docker', container: 'c' }));
  const next = await open(directory);
  assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
  assert.equal((await carriers('con-1')).length > 0, true);
  assert.deepEqual(remembered(directory), ['con-1']);
  await next.close();
  await withRecords(directory, (records) => records.remove('con-1'));
  const last = await open(directory);
  t.after(() => last.close());
  await last.adopt(() => createRecordingObserver());
  assert.deepEqual(await carriers('con-1'), []);
});

test('the output of a start is heard from its beginning, of an engine that serves only what comes', async (t) => {
  const directory = await temporaryDirectory(t);
  let runtime = await open(directory);
  t.after(() => runtime.close());
  const script = 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done';
  const heard = createRecordingObserver();
  const result = await runtime.launch(await specOf(runtime, 'out-1', script), heard);
  assert.ok(result.kind === 'launched');
  await heard.waitForLine(/up/);

  await runtime.close();
  runtime = await open(directory);
  const starting = createRecordingObserver();
  const [engine] = await runtime.adopt(() => starting);
  assert.deepEqual(engine?.stage, { kind: 'starting' });
  await starting.waitForLine(/up/);
  await runtime.note(result.handle, { kind: 'serving' });

  await runtime.close();
  runtime = await open(directory);
  const serving = createRecordingObserver();
  const [again] = await runtime.adopt(() => serving);
  assert.ok(again !== undefined);
  assert.deepEqual(again.stage, { kind: 'serving' });
  assert.ok((await runtime.stop(again.handle, 10_000)).kind === 'gone');
  assert.deepEqual(serving.heard.slice(-2), ['bye', 'exited']);
  assert.ok(!serving.lines.includes('up'));
  assert.deepEqual(serving.exits, [
    { code: null, signal: null, unknownBecause: 'it was started by an earlier gateway' },
  ]);
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
