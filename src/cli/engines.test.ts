import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../config/load.ts';
import {
  carriers,
  openRuntimeWithStore,
  remembered,
  specOf,
  temporaryDirectory,
  WAITS,
} from '../runtimes/process/process-site.fixture.ts';
import { createRecordingObserver } from '../runtimes/recording-observer.ts';
import { openStateStore } from '../store/state-store.ts';
import { runEngines, runEnginesStop } from './engines.ts';
import { endEnginesElsewhere } from './open-runtime.ts';

/** No Docker there: what runs on this machine is none of these tests' business. */
const NO_DOCKER = 'unix:///nonexistent/docker.sock';
const MODELS = { elsewhere: { url: 'http://127.0.0.1:1' } };

interface Place {
  readonly stateDirectory: string;
  readonly file: string;
}

async function place(t: TestContext, runtime: object = {}): Promise<Place> {
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'models.json');
  const docker = { host: NO_DOCKER };
  await writeFile(file, JSON.stringify({ models: MODELS, runtime: { kind: 'process', docker, ...runtime } }));
  return { stateDirectory: join(directory, 'state'), file };
}

/** An engine that a gateway has left running. */
async function leftRunning(t: TestContext, { stateDirectory }: Place, launchId: string): Promise<void> {
  // Of a test that fails nothing is left.
  t.after(async () => {
    for (const pid of await carriers(launchId)) process.kill(pid, 'SIGKILL');
  });
  const runtime = await openRuntimeWithStore(stateDirectory);
  const heard = createRecordingObserver();
  const launched = await runtime.launch(await specOf(runtime, launchId, WAITS), heard);
  assert.equal(launched.kind, 'launched');
  await heard.waitForLine(/up/);
  await runtime.close();
}

async function tear({ stateDirectory }: Place): Promise<void> {
  for (const name of await readdir(stateDirectory))
    if (name.startsWith('state.db')) await writeFile(join(stateDirectory, name), 'torn'.repeat(1_000));
}

async function run(command: typeof runEngines, { file, stateDirectory }: Place) {
  let text = '';
  const output = {
    write(part: string) {
      text += part;
    },
  };
  const code = await command({ file, stateDirectory, environment: {} }, output);
  return { code, text };
}

test('engines on record are listed, and ended', async (t) => {
  const at = await place(t);
  await leftRunning(t, at, 'rec-1');
  const listed = await run(runEngines, at);
  assert.equal(listed.code, 0);
  assert.match(listed.text, /^ *model .*\n *m .*pid \d+ *\n\n1 on record, kept by no gateway\.\n$/s);
  const stopped = await run(runEnginesStop, at);
  assert.match(stopped.text, /^engine of m .* is ended\n1 engine\(s\) ended\. No engine is left\.\n$/);
  assert.equal(stopped.code, 0);
  assert.deepEqual([await carriers('rec-1'), remembered(at.stateDirectory)], [[], []]);
  assert.deepEqual(await run(runEnginesStop, at), { code: 0, text: 'No engine is left.\n' });
});

test('a broken database hides no engine: the list says so, and the stop finds it by its mark', async (t) => {
  const at = await place(t);
  await leftRunning(t, at, 'torn-1');
  await tear(at);
  const listed = await run(runEngines, at);
  assert.equal(listed.code, 1);
  assert.match(listed.text, /state\.db cannot be used, .*not a database\n$/);
  const stopped = await run(runEnginesStop, at);
  assert.match(stopped.text, /state\.db is broken .* it is kept as .*state\.db\.broken-1/);
  assert.match(stopped.text, /\(launch torn-1\) carries our mark and is in no record: it is ended\n/);
  assert.match(stopped.text, /1 engine\(s\) ended, 1 of them in no record\. No engine is left\.\n$/);
  assert.equal(stopped.code, 0);
  assert.deepEqual(await carriers('torn-1'), []);
});

test('a database that was set aside before hides no engine either', async (t) => {
  const at = await place(t);
  await leftRunning(t, at, 'old-1');
  await tear(at);
  const store = await openStateStore({ directory: at.stateDirectory, onFault: assert.fail });
  assert.ok(store.ok);
  await store.value.close();
  const stopped = await run(runEnginesStop, at);
  assert.match(stopped.text, /1 of them in no record\. No engine is left\.\n$/);
  assert.deepEqual(await carriers('old-1'), []);
});

test('a table that cannot be read is no empty list', async (t) => {
  const at = await place(t);
  await leftRunning(t, at, 'tab-1');
  const shell = new DatabaseSync(join(at.stateDirectory, 'state.db'));
  shell.exec('ALTER TABLE launches RENAME TO elsewhere');
  const listed = await run(runEngines, at);
  assert.equal(listed.code, 1);
  assert.match(listed.text, /no such table: launches\nthe state database does not say which engines run\n$/);
  shell.exec('ALTER TABLE elsewhere RENAME TO launches');
  shell.close();
  assert.equal((await run(runEnginesStop, at)).code, 0);
});

test('a directory that is not there is refused and not made', async (t) => {
  const at = await place(t);
  for (const command of [runEngines, runEnginesStop]) {
    const { code, text } = await run(command, at);
    assert.equal(code, 1);
    assert.match(text, /state is no directory that can be looked into.*--state-directory/);
  }
  assert.equal(existsSync(at.stateDirectory), false);
});

async function ended(at: Place): Promise<readonly string[]> {
  const loaded = await loadConfig({
    file: at.file,
    environment: {},
    overrides: { stateDirectory: at.stateDirectory },
  });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const store = await openStateStore({ directory: at.stateDirectory, onFault: assert.fail });
  assert.ok(store.ok);
  const lines: string[] = [];
  const log = (level: string, text: string): void => void lines.push(`${level} ${text}`);
  await endEnginesElsewhere({ config: loaded.value, store: store.value, environment: {}, log });
  await store.value.close();
  return lines;
}

test('a gateway whose engines run in containers now ends processes that no record knows', async (t) => {
  const at = await place(t, { kind: 'docker' });
  await leftRunning(t, at, 'was-1');
  await tear(at);
  const first = await openStateStore({ directory: at.stateDirectory, onFault: assert.fail });
  assert.ok(first.ok);
  await first.value.close();
  assert.match((await ended(at)).join(), /^warn an engine \(launch was-1\) .* it is ended$/);
  assert.deepEqual(await carriers('was-1'), []);
});

test('a gateway whose engines are processes now asks Docker for what carries its mark, and no more', async (t) => {
  const socket = join(await temporaryDirectory(t), 'docker.sock');
  const asked: string[] = [];
  const daemon = createServer((request, answer) => {
    asked.push(decodeURIComponent(request.url ?? ''));
    const isList = request.url?.startsWith('/containers/json') === true;
    answer.writeHead(isList ? 200 : 500).end(isList ? marked : '{"message":"no more"}');
  });
  let marked = '[]';
  t.after(() => daemon.close());
  await new Promise<void>((listening) => daemon.listen(socket, listening));
  const at = await place(t, { docker: { host: `unix://${socket}` } });
  await leftRunning(t, at, 'dkr-1');
  const id = (await readFile(join(at.stateDirectory, 'state-id'), 'utf8')).trim();
  assert.deepEqual(await ended(at), []);
  assert.deepEqual(asked, [`/containers/json?all=true&filters={"label":["vllm-gateway.state-id=${id}"]}`]);
  marked = '[{"Id":"c1"}]';
  const lines = await ended(at);
  assert.match(lines.join(), /^error engines of an earlier gateway \(runtime docker\) cannot be ended: /);
  assert.equal((await run(runEnginesStop, at)).code, 1, 'a container is left');
  assert.deepEqual(await carriers('dkr-1'), []);
});
