/** The process runtime over a store of its own, as the gateway puts them together, and what tests ask of it. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TestContext } from 'node:test';
import type { LaunchRecords } from '../../store/launch-records.ts';
import { openStateStore } from '../../store/state-store.ts';
import type { LaunchSpec, Runtime } from '../runtime.ts';
import { openProcessRuntime, type ProcessRuntimeOptions } from './process-runtime.ts';
import { LAUNCH_ID_VARIABLE } from './process-table.ts';

export const PATH = process.env.PATH ?? '/usr/bin:/bin';

export function program(script: string): Pick<LaunchSpec, 'argv' | 'environment'> {
  return { argv: ['/bin/sh', '-c', script], environment: { PATH } };
}

/** Closing the runtime closes its store, so that the next one can be opened over the same directory. */
export async function openRuntimeWithStore(
  stateDirectory: string,
  outputLimitBytes = 1_000_000,
  onForgotten: NonNullable<ProcessRuntimeOptions['onForgotten']> = () => undefined,
): Promise<Runtime> {
  const store = await openStateStore({ directory: stateDirectory, onFault: (text) => assert.fail(text) });
  assert.ok(store.ok, store.ok ? '' : store.error);
  const { stateId, launches } = store.value;
  const opened = await openProcessRuntime({
    stateDirectory,
    stateId,
    launches,
    outputLimitBytes,
    onForgotten,
  });
  assert.ok(opened.ok, opened.ok ? '' : opened.error);
  const runtime = opened.value;
  const close = runtime.close.bind(runtime);
  let closed: Promise<void> | null = null;
  runtime.close = () => {
    closed ??= close().then(() => store.value.close());
    return closed;
  };
  return runtime;
}

export async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export async function specOf(runtime: Runtime, launchId: string, script: string): Promise<LaunchSpec> {
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

export const WAITS = 'trap "exit 0" TERM; echo up; while :; do sleep 0.05; done';

/** Works on the records of a directory that no gateway has open. */
export async function withRecords(
  directory: string,
  work: (records: LaunchRecords) => Promise<void>,
): Promise<void> {
  const store = await openStateStore({ directory, onFault: (text) => assert.fail(text) });
  assert.ok(store.ok);
  await work(store.value.launches);
  await store.value.close();
}

/** Read from the file as anybody could, while its gateway may be there or not. */
export function remembered(stateDirectory: string): readonly string[] {
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

export async function isAlive(pid: number): Promise<boolean> {
  return /\) [^ZX]/.test(await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => ''));
}

/** Its own reading of /proc, so that the runtime is not judged by itself. */
export async function carriers(launchId: string): Promise<readonly number[]> {
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
