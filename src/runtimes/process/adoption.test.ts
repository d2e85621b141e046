import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LaunchRecord } from '../../store/launch-records.ts';
import { runtimeConformance } from '../conformance.ts';
import type { ForeignProcess, RuntimeSite } from '../conformance-bench.ts';
import { createRecordingObserver } from '../recording-observer.ts';
import type { LaunchSpec, Runtime } from '../runtime.ts';
import type { ProcessRuntimeOptions } from './process-runtime.ts';
import {
  carriers,
  isAlive,
  openRuntimeWithStore as open,
  PATH,
  program,
  remembered,
  specOf,
  temporaryDirectory,
  WAITS,
  withRecords,
} from './process-site.fixture.ts';
import { LAUNCH_ID_VARIABLE, openProcessTable, STATE_ID_VARIABLE } from './process-table.ts';

const GATEWAY = fileURLToPath(new URL('crashing-gateway.fixture.ts', import.meta.url));

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

runtimeConformance({ name: 'process', site, program });

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
  const told: unknown[] = [];
  const next = await openTolerant(directory, (...of) => told.push(of));
  t.after(() => next.close());
  assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
  assert.deepEqual(await carriers('torn-1'), []);
  assert.deepEqual(told, [['torn-1', null]]);
  await next.adopt(() => createRecordingObserver());
  assert.equal(told.length, 1, 'once');
});

/** A store that has something to say of what it found. */
async function openTolerant(
  directory: string,
  onForgotten: NonNullable<ProcessRuntimeOptions['onForgotten']>,
): Promise<Runtime> {
  await withRecords(directory, async () => undefined);
  return await open(directory, undefined, onForgotten);
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
