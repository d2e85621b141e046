/** Docker itself goes away and comes back, under a gateway that lives. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { STATE_ID_LABEL } from '../../src/runtimes/docker/marks.ts';
import type { RecordingObserver } from '../../src/runtimes/recording-observer.ts';
import { createRecordingObserver } from '../../src/runtimes/recording-observer.ts';
import type { EngineHandle, Runtime } from '../../src/runtimes/runtime.ts';
import type { DockerWorld } from './docker-world.ts';
import { openDockerWorld, program, specOf, temporaryDirectory } from './docker-world.ts';
import { remembered } from './file-records.ts';
import { openGateway } from './gateway-options.ts';

const COUNTS =
  'trap "exit 0" TERM; echo up; i=0; while :; do i=$((i+1)); echo "n $i"; echo "e $i" >&2; sleep 0.03; done';

const keeping = await openDockerWorld({ liveRestore: true });
const plain = await openDockerWorld({ liveRestore: false });

if (keeping === null || plain === null) {
  test('a daemon that restarts', { skip: 'no Docker here' }, () => undefined);
} else {
  test('live-restore: the engine goes on, and no line is lost or told twice', (t) => liveRestore(t, keeping));
  test('live-restore: an engine that ends meanwhile is told once, with the reason', (t) =>
    endsMeanwhile(t, keeping));
  test('a gateway that starts after the daemon restarted adopts', (t) => adoptsAfterwards(t, keeping));
  test('after a reboot nothing is adopted, and nothing is left', (t) => reboot(t, keeping));
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`without live-restore the end of the daemon (${signal}) is told once, with the reason`, (t) =>
      withoutLiveRestore(t, plain, signal));
  }
  test('while Docker is away a launch fails in plain words, and a stop says what is left', (t) =>
    outage(t, plain));
}

interface Running {
  readonly runtime: Runtime;
  readonly handle: EngineHandle;
  readonly heard: RecordingObserver;
}

async function running(t: TestContext, world: DockerWorld, script: string): Promise<Running> {
  const directory = temporaryDirectory();
  const runtime = await openGateway({ host: world.daemon.host, stateId: t.name.slice(0, 12), directory });
  t.after(() => runtime.close());
  const heard = createRecordingObserver();
  const result = await runtime.launch(await specOf(runtime, program(script)), heard);
  assert.ok(result.kind === 'launched', JSON.stringify(result));
  t.after(() => runtime.kill(result.handle));
  await heard.waitForLine(/^up/);
  return { runtime, handle: result.handle, heard };
}

async function liveRestore(t: TestContext, world: DockerWorld): Promise<void> {
  const { daemon, docker } = world;
  const { runtime, handle, heard } = await running(t, world, COUNTS);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await heard.waitForLine(new RegExp(`^n ${heard.lines.length + 20}$`));
    await daemon.stop(signal);
    await daemon.start();
  }
  const seen = heard.lines.filter((line) => line.startsWith('n ')).length;
  await heard.waitForLine(new RegExp(`^n ${seen + 200}$`));
  // Before Docker is asked: lines that come meanwhile are not in its answer.
  const lines = [...heard.lines];
  // What Docker itself did not read from the engine before it went is nobody's to tell.
  const kept = await docker
    .getContainer(handle.reference.replace('container ', ''))
    .logs({ stdout: true, stderr: true });
  for (const prefix of ['n', 'e']) {
    const told = lines.filter((line) => line.startsWith(`${prefix} `));
    const wanted = [...kept.toString('latin1').matchAll(new RegExp(`${prefix} \\d+$`, 'gm'))].map(String);
    assert.ok(told.length > 200, `${told.length} lines`);
    assert.deepEqual(told, wanted.slice(0, told.length));
  }
  assert.deepEqual(heard.exits, []);
  const stopped = await runtime.stop(handle, 10_000);
  assert.ok(stopped.kind === 'gone' && !stopped.forced, JSON.stringify(stopped));
  assert.deepEqual(heard.exits, [{ code: 0, signal: null }]);
}

async function endsMeanwhile(t: TestContext, world: DockerWorld): Promise<void> {
  const { heard, runtime } = await running(t, world, 'echo up; while :; do sleep 0.05; done');
  const [pids] = (await runtime.processes()).values();
  assert.ok(pids !== undefined);
  await world.daemon.stop('SIGTERM');
  for (const pid of pids) killIfThere(pid);
  await world.daemon.start();
  const exit = await heard.waitForExit();
  assert.equal(exit.code, null);
  assert.match(exit.unknownBecause ?? '', /Docker was not there for a while/);
  assert.equal(heard.exits.length, 1);
}

/** Of the engine's processes each `sleep` is gone in a moment. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function adoptsAfterwards(t: TestContext, world: DockerWorld): Promise<void> {
  const directory = temporaryDirectory();
  const options = { host: world.daemon.host, stateId: 'after', directory };
  const first = await openGateway(options);
  const heard = createRecordingObserver();
  const launched = await first.launch(await specOf(first, program(COUNTS)), heard);
  assert.ok(launched.kind === 'launched');
  await heard.waitForLine(/^n 3$/);
  await first.close();
  await world.daemon.stop('SIGTERM');
  const starting = world.daemon.start();
  const next = await openGateway(options);
  t.after(() => next.close());
  const again = createRecordingObserver();
  const [engine] = await next.adopt(() => again);
  assert.equal(engine?.handle.launchId, launched.handle.launchId);
  await again.waitForLine(/^n \d+$/);
  assert.ok((await next.stop(launched.handle, 10_000)).kind === 'gone');
  await starting;
}

async function reboot(t: TestContext, { daemon, docker }: DockerWorld): Promise<void> {
  const directory = temporaryDirectory();
  const options = { host: daemon.host, stateId: 'boot', directory };
  const first = await openGateway(options);
  const heard = createRecordingObserver();
  const launched = await first.launch(await specOf(first, program(COUNTS)), heard);
  assert.ok(launched.kind === 'launched');
  await heard.waitForLine(/^n 3$/);
  await first.close();
  await daemon.cutPower();
  await daemon.start();
  const next = await openGateway(options);
  t.after(() => next.close());
  assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
  assert.deepEqual(remembered(join(directory, 'launches')), []);
  const label = [`${STATE_ID_LABEL}=boot`];
  assert.deepEqual(await docker.listContainers({ all: true, filters: { label } }), []);
}

async function withoutLiveRestore(
  t: TestContext,
  world: DockerWorld,
  signal: 'SIGTERM' | 'SIGKILL',
): Promise<void> {
  const { heard, runtime, handle } = await running(t, world, 'echo up; while :; do sleep 0.05; done');
  await world.daemon.stop(signal);
  await world.daemon.start();
  const exit = await heard.waitForExit();
  assert.deepEqual([exit.code, exit.signal], [null, null]);
  assert.match(exit.unknownBecause ?? '', /Docker/);
  assert.ok((await runtime.stop(handle, 1_000)).kind === 'gone');
  assert.equal(heard.exits.length, 1);
}

async function outage(t: TestContext, world: DockerWorld): Promise<void> {
  const { heard, runtime, handle } = await running(t, world, COUNTS);
  const spec = await specOf(runtime, program('echo up'));
  await world.daemon.stop('SIGKILL');
  t.after(() => world.daemon.start());
  const result = await runtime.launch(spec, createRecordingObserver());
  assert.ok(result.kind === 'failed');
  assert.equal(result.cause, 'resources');
  assert.match(result.detail, /Docker does not answer at unix:.*is its daemon running/);
  const prepared = await runtime.prepare(null, {
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  assert.ok(prepared.kind === 'failed' && prepared.cause === 'resources', JSON.stringify(prepared));
  const stopping = runtime.kill(handle);
  const left = await stopping;
  assert.ok(left.kind === 'left', JSON.stringify(left));
  await world.daemon.start();
  await heard.waitForExit();
  assert.ok((await runtime.kill(handle)).kind === 'gone');
  assert.equal(heard.exits.length, 1);
}
