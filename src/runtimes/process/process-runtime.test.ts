import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RuntimeSite } from '../conformance.ts';
import { runtimeConformance } from '../conformance.ts';
import { createRecordingObserver } from '../recording-observer.ts';
import type { LaunchSpec, Runtime } from '../runtime.ts';
import { openProcessRuntime } from './process-runtime.ts';
import { LAUNCH_ID_VARIABLE, openProcessTable } from './process-table.ts';

const GATEWAY = fileURLToPath(new URL('crashing-gateway.fixture.ts', import.meta.url));
const PATH = process.env.PATH ?? '/usr/bin:/bin';

function program(script: string): Pick<LaunchSpec, 'argv' | 'environment'> {
  return { argv: ['/bin/sh', '-c', script], environment: { PATH } };
}

async function open(stateDirectory: string, outputLimitBytes = 1_000_000): Promise<Runtime> {
  const opened = await openProcessRuntime({ stateDirectory, outputLimitBytes });
  assert.ok(opened.ok, opened.ok ? '' : opened.error);
  return opened.value;
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
  return {
    open: () => open(stateDirectory),
    launchAndCrash: (spec) => launchAndCrash(stateDirectory, spec),
    carriers,
    alive: async (pid) => /\) [^ZX]/.test(await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')),
    remembered: async () =>
      (await readdir(join(stateDirectory, 'launches'))).map((name) => name.replace(/\.json$/, '')),
    dispose: () => rm(stateDirectory, { recursive: true, force: true }),
  };
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
    deviceIds: [],
    memoryMibPerDevice: 1,
    signature: 's',
  };
}

const WAITS = 'trap "exit 0" TERM; echo up; while :; do sleep 0.05; done';

test('R1: the record is on disk before the program runs, without the environment’s secrets', async (t) => {
  const directory = await temporaryDirectory(t);
  const runtime = await open(directory);
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  const spec = await specOf(runtime, 'rec-1', `cat ${directory}/launches/rec-1.json; echo`);
  const result = await runtime.launch({ ...spec, environment: { PATH, HF_TOKEN: 'hf_secret' } }, heard);
  assert.ok(result.kind === 'launched');
  const line = await heard.waitForLine(/"launchId":"rec-1"/);
  assert.ok(!line.includes('hf_secret'));
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
  const runtime = await open(directory);
  t.after(() => runtime.close());
  for (const path of [
    directory,
    join(directory, 's'),
    join(directory, 'output'),
    join(directory, 'launches'),
  ]) {
    assert.equal((await stat(path)).mode & 0o777, 0o700, path);
  }
});

test('a state directory has one owner: a second gateway is told who, and comes in when the first has closed', async (t) => {
  const directory = await temporaryDirectory(t);
  const first = await open(directory);
  const second = await openProcessRuntime({ stateDirectory: directory, outputLimitBytes: 1000 });
  assert.ok(!second.ok);
  assert.match(second.error, new RegExp(`another gateway \\(pid ${process.pid}\\) owns`));
  await first.close();
  await (await open(directory)).close();
});

/** Rewrites the one record of a directory. */
async function editRecord(
  directory: string,
  change: (record: { process: { pid: number; startTicks: string } | null }) => void,
): Promise<void> {
  const [name = ''] = await readdir(join(directory, 'launches'));
  const path = join(directory, 'launches', name);
  const record = JSON.parse(await readFile(path, 'utf8')) as Parameters<typeof change>[0];
  change(record);
  await writeFile(path, JSON.stringify(record));
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
  await editRecord(directory, (record) => {
    if (record.process !== null) record.process = { ...record.process, pid };
  });

  const next = await open(directory);
  t.after(() => next.close());
  assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
  assert.equal(openProcessTable().facts(pid)?.alive, true);
  assert.deepEqual(await readdir(join(directory, 'launches')), []);
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
  await editRecord(directory, (record) => {
    record.process = null;
  });
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
  await writeFile(join(directory, 'launches', 'bad-1.json'), '{');
  await writeFile(join(directory, 'launches', 'bad-2.json.tmp'), '{');
  await writeFile(join(directory, 's', 'old-9.sock'), '');
  const next = await open(directory);
  t.after(() => next.close());
  assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
  assert.deepEqual(await carriers('bad-1'), []);
  assert.deepEqual(await readdir(join(directory, 'launches')), []);
  assert.deepEqual(await readdir(join(directory, 's')), []);
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

test('a state directory that cannot be made is an answer, not a crash', async () => {
  const opened = await openProcessRuntime({ stateDirectory: '/dev/null/state', outputLimitBytes: 1 });
  assert.ok(!opened.ok);
  assert.match(opened.error, /state directory cannot be used/);
});
