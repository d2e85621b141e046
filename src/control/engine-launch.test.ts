import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeLaunchWorld, settle } from '../../test/fakes/fake-launch.ts';
import type { AdoptedEngine } from '../runtimes/runtime.ts';
import { EngineLaunch } from './engine-launch.ts';
import type { LaunchOrder } from './launch-ports.ts';

const START = {
  kind: 'start',
  model: 'a',
  launchId: 'run-1',
  deviceIds: [],
  memoryMibPerDevice: 1_000,
  reason: 'a test asks for it',
} as const;

const ORDER: LaunchOrder = {
  devices: [],
  signature: 'signature',
  kvCacheBytes: null,
  sleepMode: false,
  withoutFlags: new Set(),
  source: null,
};

function begin(world: FakeLaunchWorld): EngineLaunch {
  const launch = new EngineLaunch(world.ports, world.model, START.launchId);
  launch.start(START, ORDER);
  return launch;
}

function kinds(world: FakeLaunchWorld): string[] {
  return world.events.map((event) => event.kind);
}

test('it is ready when the probe says so, and has an endpoint from then on', async () => {
  const world = new FakeLaunchWorld();
  const launch = begin(world);
  await world.run(5_000);
  assert.deepEqual(kinds(world), []);
  world.probes = { kind: 'ready', contextLength: 4096 };
  await world.run(10_000);
  assert.deepEqual(world.events, [{ kind: 'ready', model: 'a', launchId: 'run-1', contextLength: 4096 }]);
  assert.notEqual(launch.endpoint, null);
});

test('probes come quickly at first and rarer in a long load', async () => {
  const world = new FakeLaunchWorld();
  begin(world);
  await world.run(1_000);
  const early = world.probeCount;
  assert.ok(early >= 15 && early <= 21, `${early} probes in the first second`);
  await world.run(100_000);
  const before = world.probeCount;
  await world.run(110_000);
  assert.ok(world.probeCount - before <= 21, `${world.probeCount - before} probes in ten seconds`);
});

test("the engine's own word that it serves is followed by a probe at once", async () => {
  const world = new FakeLaunchWorld();
  begin(world);
  await world.run(60_000);
  world.probes = { kind: 'ready', contextLength: null };
  world.line('serving');
  await settle();
  assert.deepEqual(kinds(world), ['phase', 'ready']);
});

test('progress is reported until it is ready, not after', async () => {
  const world = new FakeLaunchWorld();
  begin(world);
  await world.run(100);
  world.line('phase 40');
  assert.deepEqual(world.events, [
    { kind: 'phase', model: 'a', launchId: 'run-1', phase: 'loading', percent: 40 },
  ]);
  world.probes = { kind: 'ready', contextLength: null };
  await world.run(1_000);
  world.line('phase 50');
  assert.deepEqual(kinds(world), ['phase', 'ready']);
});

test('an exit during the start is reported once, with its diagnosis and the last line', async () => {
  const world = new FakeLaunchWorld();
  begin(world);
  await world.run(100);
  world.line('it hurts');
  world.exit({ code: 1, signal: null });
  world.exit({ code: 1, signal: null });
  await world.run(5_000);
  const failure = { cause: 'unknown', text: 'ended with 1 (last line: it hurts)', retryable: true };
  assert.deepEqual(world.events, [{ kind: 'exited', model: 'a', launchId: 'run-1', failure }]);
});

test('a missing program cannot be mended by a retry', async () => {
  const world = new FakeLaunchWorld();
  world.launchResult = { kind: 'failed', cause: 'executable_missing', detail: 'no such program: vllm' };
  begin(world);
  await world.run(100);
  const failure = { cause: 'executable_missing', text: 'no such program: vllm', retryable: false };
  assert.deepEqual(world.events, [{ kind: 'exited', model: 'a', launchId: 'run-1', failure }]);
});

test('a stranger on the port ends the start', async () => {
  const world = new FakeLaunchWorld();
  world.probes = { kind: 'stranger', detail: 'somebody else answers' };
  begin(world);
  await world.run(1_000);
  assert.equal(world.events[0]?.kind === 'exited' && world.events[0].failure.cause, 'stranger_on_port');
});

test('a stop during the launch waits for the process that is about to be, and ends it', async () => {
  const world = new FakeLaunchWorld();
  const launch = begin(world);
  launch.stop(3_000);
  await world.run(1_000);
  assert.deepEqual(kinds(world), ['stopped']);
  assert.equal(world.probeCount, 0);
});

test('a stop reports whether it is verified, and an exit on the way is no failure', async () => {
  const world = new FakeLaunchWorld();
  const launch = begin(world);
  await world.run(500);
  world.stopResult = { kind: 'left', detail: 'pid 7 is left' };
  launch.stop(3_000);
  world.exit({ code: 0, signal: null });
  await world.run(1_000);
  assert.deepEqual(world.stops, [3_000]);
  assert.deepEqual(world.events, [
    { kind: 'stopped', model: 'a', launchId: 'run-1', verified: false, detail: 'pid 7 is left' },
  ]);
});

test('a suspect engine is asked three times before it counts as dead', async () => {
  const world = new FakeLaunchWorld();
  const launch = begin(world);
  world.probes = { kind: 'ready', contextLength: null };
  await world.run(1_000);
  world.probes = { kind: 'not_ready', detail: 'refused' };
  const before = world.probeCount;
  launch.probe();
  await world.run(2_000);
  assert.equal(world.probeCount - before, 3);
  assert.deepEqual(world.events.at(-1), {
    kind: 'probed',
    model: 'a',
    launchId: 'run-1',
    healthy: false,
    detail: 'refused',
  });
});

test('a suspect engine that has ended meanwhile is reported dead, not left in doubt', async () => {
  const world = new FakeLaunchWorld();
  const launch = begin(world);
  world.probes = { kind: 'ready', contextLength: null };
  await world.run(1_000);
  world.exit({ code: 1, signal: null });
  world.probes = { kind: 'not_ready', detail: 'refused' };
  launch.probe();
  await world.run(2_000);
  assert.equal(launch.hasExited, true);
  const last = world.events.at(-1);
  assert.ok(last?.kind === 'probed' && !last.healthy);
});

test('a stop ends when the devices show the memory back', async () => {
  const world = new FakeLaunchWorld();
  const launch = new EngineLaunch(world.ports, world.model, START.launchId);
  launch.start({ ...START, deviceIds: ['g'] }, ORDER);
  await world.run(500);
  launch.stop(3_000);
  await settle();
  assert.deepEqual(kinds(world), []);
  world.usedMib = 100;
  await world.run(2_000);
  assert.deepEqual(kinds(world), ['stopped']);
});

function adopted(stage: AdoptedEngine['stage']): AdoptedEngine {
  const listen = { kind: 'unix', socketPath: '/nowhere/engine.sock' } as const;
  return {
    handle: {
      launchId: 'old-1',
      model: 'a',
      listen,
      authorization: null,
      reference: 'pid 7',
      outputFile: null,
      startedWallMs: 0,
    },
    spec: {
      launchId: 'old-1',
      model: 'a',
      argv: [],
      environment: {},
      listen,
      image: null,
      deviceSource: 'host',
      files: [],
      deviceIds: [],
      memoryMibPerDevice: 0,
      signature: '',
    },
    stage,
  };
}

test('an adopted engine that starts is probed until it is ready', async () => {
  const world = new FakeLaunchWorld();
  const launch = new EngineLaunch(world.ports, world.model, 'old-1');
  const { stage } = await launch.adopt(adopted({ kind: 'starting' }));
  assert.equal(stage.kind, 'starting');
  assert.equal(launch.endpoint, null);
  launch.resume(stage);
  world.probes = { kind: 'ready', contextLength: 1024 };
  await world.run(10_000);
  assert.deepEqual(world.events, [{ kind: 'ready', model: 'a', launchId: 'old-1', contextLength: 1024 }]);
  assert.notEqual(launch.endpoint, null);
  assert.deepEqual(world.notes, ['serving']);
});

test('a sleep and a waking that an earlier gateway began are finished, and noted', async () => {
  for (const [kind, event, notes] of [
    ['falling_asleep', 'slept', ['falling_asleep', 'asleep']],
    ['waking', 'woke', ['waking', 'serving']],
  ] as const) {
    const world = new FakeLaunchWorld();
    world.probes = { kind: 'ready', contextLength: null };
    world.ports.engine.isAsleep = async () => kind === 'waking';
    const launch = new EngineLaunch(world.ports, world.model, 'old-1');
    const { stage } = await launch.adopt(adopted({ kind, level: 1 }));
    launch.resume(stage);
    await world.run(10_000);
    assert.deepEqual(kinds(world), [event]);
    assert.deepEqual(world.notes, notes);
  }
});

test('a move is noted before the engine is asked', async () => {
  const world = new FakeLaunchWorld();
  const order: string[] = [];
  world.ports.engine.sleep = async () => {
    order.push(`asked after ${world.notes.at(-1)}`);
    return { kind: 'done' };
  };
  const launch = begin(world);
  world.probes = { kind: 'ready', contextLength: null };
  await world.run(1_000);
  launch.sleep(2);
  await world.run(2_000);
  assert.deepEqual(order, ['asked after falling_asleep']);
  assert.deepEqual(world.notes, ['serving', 'falling_asleep', 'asleep']);
});
