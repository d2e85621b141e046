/** What goes wrong around a Docker that answers badly, late or not at all, and around people who lay hands on containers. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { LAUNCH_ID } from '../../src/core/ids.ts';
import { networkName, STATE_ID_LABEL } from '../../src/runtimes/docker/marks.ts';
import { createRecordingObserver } from '../../src/runtimes/recording-observer.ts';
import type { EngineHandle, Runtime } from '../../src/runtimes/runtime.ts';
import { NODE_IMAGE } from '../../tools/docker-lab/images.ts';
import { until } from '../fixtures/gateway.ts';
import { type DockerWorld, openDockerWorld, program, specOf, temporaryDirectory } from './docker-world.ts';
import { openFaultyDocker } from './faulty-docker.ts';
import { remembered } from './file-records.ts';
import { type GatewayOptions, openGateway } from './gateway-options.ts';

const SLEEPS = 'echo up; sleep 600';
const world = await openDockerWorld();

function withDocker(title: string, body: (world: DockerWorld, t: TestContext) => Promise<void>): void {
  test(title, { skip: world === null ? 'no Docker here' : false }, async (t) => {
    assert.ok(world !== null);
    await body(world, t);
  });
}

async function launch(runtime: Runtime, script = SLEEPS) {
  const heard = createRecordingObserver();
  const result = await runtime.launch(await specOf(runtime, program(script)), heard);
  assert.ok(result.kind === 'launched', JSON.stringify(result));
  return { handle: result.handle, heard };
}

function nameOf({ reference }: EngineHandle): string {
  return reference.replace('container ', '');
}

/** Names and states of the containers with this state id. */
async function ours({ docker }: DockerWorld, stateId: string): Promise<readonly string[]> {
  const filters = { label: [`${STATE_ID_LABEL}=${stateId}`] };
  const found = await docker.listContainers({ all: true, filters });
  return found.map(({ Names, State }) => `${Names[0]?.slice(1)} ${State}`).sort();
}

function socketsOf({ directory }: GatewayOptions): readonly string[] {
  return readdirSync(join(directory, 's')).filter((name) => LAUNCH_ID.test(name));
}

withDocker('a start that hangs keeps its devices until its container is gone', async (w, t) => {
  const faulty = openFaultyDocker(w.daemon.socketPath);
  const options = { host: faulty.host, stateId: 'hung-start', directory: temporaryDirectory() };
  const runtime = await openGateway({ ...options, config: { reach: 'socket' } });
  t.after(() => runtime.close());
  // Finds out first whether limits can be raised here.
  assert.equal((await runtime.kill((await launch(runtime)).handle)).kind, 'gone');
  // The daemon starts it and goes away before it says so.
  let isAway = false;
  faulty.faultOf = (call) => {
    if (/containers\/\w+\/start/.test(call)) {
      isAway = true;
      setTimeout(() => faulty.release(), 1_000);
      return { kind: 'hang' };
    }
    return isAway && !call.includes('/events') ? { kind: 'fail', text: 'it is away' } : null;
  };
  const heard = createRecordingObserver();
  const result = await runtime.launch(await specOf(runtime, program(SLEEPS)), heard);
  assert.ok(result.kind === 'launched', JSON.stringify(result));
  const exit = await heard.waitForExit();
  assert.match(exit.unknownBecause ?? '', /may run all the same.*could not end it/);
  assert.deepEqual(await ours(w, 'hung-start'), [`${nameOf(result.handle)} running`]);
  assert.equal((await runtime.stop(result.handle, 1_000)).kind, 'left');
  assert.deepEqual(remembered(join(options.directory, 'launches')), [result.handle.launchId]);
  isAway = false;
  assert.equal((await runtime.stop(result.handle, 1_000)).kind, 'gone');
  assert.deepEqual(await ours(w, 'hung-start'), []);
  assert.deepEqual(remembered(join(options.directory, 'launches')), []);
});

withDocker('what a failed launch left is removed when Docker is back', async (w, t) => {
  const faulty = openFaultyDocker(w.daemon.socketPath);
  const options = { host: faulty.host, stateId: 'failed-left', directory: temporaryDirectory() };
  const runtime = await openGateway({ ...options, config: { reach: 'socket' } });
  t.after(() => runtime.close());
  let isAway = false;
  faulty.faultOf = (call) => {
    // Looking for the program: the container is there, and was never started.
    if (call.includes('/archive')) isAway = true;
    return isAway ? { kind: 'fail', text: 'it is away' } : null;
  };
  const result = await runtime.launch(await specOf(runtime, program(SLEEPS)), createRecordingObserver());
  assert.equal(result.kind, 'failed');
  assert.equal((await ours(w, 'failed-left')).length, 1);
  isAway = false;
  faulty.dropEvents();
  await until('removed', async () => (await ours(w, 'failed-left')).length === 0);
  await until('forgotten', () => remembered(join(options.directory, 'launches')).length === 0);
});

withDocker(
  'an adoption is whole or is tried again, and spares what Docker does not tell of',
  async (w, t) => {
    const faulty = openFaultyDocker(w.daemon.socketPath);
    const options = { host: faulty.host, stateId: 'adoption', directory: temporaryDirectory() };
    const first = await openGateway(options);
    const { handle } = await launch(first);
    await first.close();

    faulty.faultOf = (call) => (/\/networks\?/.test(call) ? { kind: 'fail', text: 'x' } : null);
    const second = await openGateway(options);
    const [adopted] = await second.adopt(() => createRecordingObserver());
    assert.deepEqual(adopted?.handle, handle);
    await second.close();

    faulty.faultOf = (call) => (/containers\/\w{64}\/json/.test(call) ? { kind: 'fail', text: 'i/o' } : null);
    const logged: string[] = [];
    const third = await openGateway({ ...options, logged });
    t.after(() => third.close());
    for (let round = 0; round < 3; round += 1) {
      await assert.rejects(
        third.adopt(() => createRecordingObserver()),
        /does not say how the engine of org\/Model 7B is: i\/o/,
      );
    }
    assert.deepEqual(await third.adopt(() => createRecordingObserver()), []);
    assert.match(logged.at(-1) ?? '', /error .* left alone, .*it may hold its devices/);
    faulty.faultOf = () => null;
    assert.deepEqual(await ours(w, 'adoption'), [`${nameOf(handle)} running`]);
    assert.deepEqual(socketsOf(options), [handle.launchId]);
    const [found] = await third.adopt(() => createRecordingObserver());
    assert.deepEqual(found?.handle, handle);
    assert.equal((await third.kill(handle)).kind, 'gone');
  },
);

withDocker('a container that others made anew is ended with its launch', async (w, t) => {
  const options = { host: w.daemon.host, stateId: 'recreated', directory: temporaryDirectory() };
  const runtime = await openGateway(options);
  t.after(() => runtime.close());
  const { handle } = await launch(runtime);
  const container = w.docker.getContainer(nameOf(handle));
  const { Config, HostConfig } = await container.inspect();
  await container.remove({ force: true });
  const again = await w.docker.createContainer({ name: nameOf(handle), ...Config, HostConfig });
  await again.start();
  assert.equal((await runtime.stop(handle, 0)).kind, 'gone');
  assert.deepEqual(await ours(w, 'recreated'), []);
});

withDocker('a copy of an engine’s container is a stranger, and the engine is adopted', async (w, t) => {
  const options = { host: w.daemon.host, stateId: 'copied', directory: temporaryDirectory() };
  const first = await openGateway(options);
  const { handle } = await launch(first);
  await w.docker.getContainer(nameOf(handle)).commit({ repo: 'vgt-copy', tag: '1' });
  const copy = await w.docker.createContainer({
    Image: 'vgt-copy:1',
    name: 'vgt-copy',
    Entrypoint: ['/bin/sh', '-c', 'sleep 600'],
  });
  await copy.start();
  t.after(async () => {
    await copy.remove({ force: true });
    await w.docker.getImage('vgt-copy:1').remove();
  });
  await first.close();
  const logged: string[] = [];
  const next = await openGateway({ ...options, logged });
  t.after(() => next.close());
  const [adopted] = await next.adopt(() => createRecordingObserver());
  assert.deepEqual(adopted?.handle, handle);
  assert.equal(logged.filter((line) => /vgt-copy has our labels and is not ours/.test(line)).length, 1);
  assert.equal((await next.kill(handle)).kind, 'gone');
  // Without a record too.
  await next.adopt(() => createRecordingObserver());
  assert.deepEqual(await ours(w, 'copied'), ['vgt-copy running']);
  assert.ok((await w.docker.listImages()).some(({ RepoTags }) => RepoTags?.includes('vgt-copy:1')));
});

withDocker('an engine is known by its record when our own id was lost', async (w, t) => {
  const options = { host: w.daemon.host, stateId: 'lost-1', directory: temporaryDirectory() };
  const first = await openGateway(options);
  const { handle } = await launch(first);
  await first.close();
  const logged: string[] = [];
  const next = await openGateway({ ...options, stateId: 'lost-2', logged });
  t.after(() => next.close());
  const [adopted] = await next.adopt(() => createRecordingObserver());
  assert.deepEqual(adopted?.handle, handle);
  assert.match(logged.at(-1) ?? '', /carries another id than ours, and is known by its record/);
  assert.equal((await next.kill(handle)).kind, 'gone');
  assert.deepEqual(await ours(w, 'lost-1'), []);
});

withDocker(
  'a record whose container another Docker may have is told; one that is broken goes',
  async (w, t) => {
    const options = { host: w.daemon.host, stateId: 'moved', directory: temporaryDirectory() };
    const first = await openGateway(options);
    const { handle } = await launch(first);
    await first.close();
    await w.docker.getContainer(nameOf(handle)).remove({ force: true });
    const launches = join(options.directory, 'launches');
    writeFileSync(join(launches, 'broken-1.json'), '{');
    const logged: string[] = [];
    const next = await openGateway({ ...options, logged });
    t.after(() => next.close());
    assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
    assert.equal(
      logged.filter((line) => /does not have the containers of org\/Model 7B/.test(line)).length,
      1,
    );
    assert.deepEqual(remembered(launches), []);
  },
);

withDocker('a stranger in the network of a launch does not keep it', async (w, t) => {
  const Entrypoint = ['/bin/sh', '-c', 'sleep 600'];
  const gateway = await w.docker.createContainer({ Image: NODE_IMAGE, Entrypoint });
  const stranger = await w.docker.createContainer({ Image: NODE_IMAGE, Entrypoint });
  t.after(() => Promise.all([gateway, stranger].map((container) => container.remove({ force: true }))));
  await Promise.all([gateway.start(), stranger.start()]);
  const runtime = await openGateway({
    host: w.daemon.host,
    stateId: 'joined',
    directory: temporaryDirectory(),
    config: { reach: 'network' },
    surroundings: { isInContainer: true, hostName: 'none', text: gateway.id },
  });
  t.after(() => runtime.close());
  const { handle } = await launch(runtime);
  const network = w.docker.getNetwork(networkName(handle.launchId));
  await network.connect({ Container: stranger.id });
  assert.equal((await runtime.stop(handle, 0)).kind, 'gone');
  await assert.rejects(network.inspect(), /not found/);
});

withDocker('sockets stay the way while Docker’s disk is full', async (w) => {
  const faulty = openFaultyDocker(w.daemon.socketPath);
  const logged: string[] = [];
  const options = { host: faulty.host, stateId: 'full', directory: temporaryDirectory(), logged };
  const first = await openGateway(options);
  await first.close();
  const full = { kind: 'fail', text: 'write /var/lib/docker/x: no space left on device' } as const;
  faulty.faultOf = (call) => (/POST .*\/(containers|images)\/create/.test(call) ? full : null);
  const second = await openGateway(options);
  assert.ok(second.capabilities.unixSockets);
  await second.close();
  assert.match(logged.join('\n'), /warn .*no space left.*an earlier gateway has tried it/);
  // One fault alone is no answer either.
  let calls = 0;
  faulty.faultOf = (call) => (/containers\/create/.test(call) && ++calls === 1 ? full : null);
  const third = await openGateway({ ...options, directory: temporaryDirectory() });
  assert.ok(third.capabilities.unixSockets && calls >= 2);
  await third.close();
  assert.ok(existsSync(join(options.directory, 's-shared.json')));
  assert.match(readFileSync(join(options.directory, 's-shared.json'), 'utf8'), /"stateId":"full"/);
});

withDocker('that Docker does not answer is said at once', async () => {
  const logged: string[] = [];
  const directory = temporaryDirectory();
  const host = `unix://${join(directory, 'none.sock')}`;
  await assert.rejects(openGateway({ host, stateId: 'away', directory, logged, daemonLimitMs: 600 }));
  assert.match(logged[0] ?? '', /warn Docker does not answer at unix:.*it is waited for, at most 1 s/);
  assert.equal(logged.length, 1);
});
