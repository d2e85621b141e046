/** nvidia-smi for a gateway that has none: by a container, on a real Docker. Any program stands in for the tool. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDockerConnection } from '../../src/runtimes/docker/connection.ts';
import { createUtilityTool, type UtilityTool } from '../../src/runtimes/docker/utility-tool.ts';
import { NODE_IMAGE } from '../../tools/docker-lab/images.ts';
import { until } from '../fixtures/gateway.ts';
import { openDockerWorld } from './docker-world.ts';
import { openFaultyDocker } from './faulty-docker.ts';

const world = await openDockerWorld();
const skip = world === null ? 'no Docker here' : false;
const LIMIT_MS = 20_000;

async function toolOf(
  image: string,
  stateId: string,
  prepare: (image: string) => Promise<string | null> = async () => null,
  host = world?.daemon.host ?? '',
): Promise<UtilityTool> {
  const connection = await openDockerConnection(host, {});
  assert.ok(connection.ok);
  return createUtilityTool({ connection: connection.value, image, stateId, prepare });
}

async function left(stateId: string): Promise<number> {
  assert.ok(world !== null);
  const label = [`vllm-gateway.utility=${stateId}`];
  return (await world.docker.listContainers({ all: true, filters: { label } })).length;
}

test('a run sees all devices, tells its output and its code, and leaves nothing', { skip }, async () => {
  const tool = await toolOf(NODE_IMAGE, 'run');
  const script = 'echo "$NVIDIA_VISIBLE_DEVICES $NVIDIA_DRIVER_CAPABILITIES"; echo why >&2; exit 3';
  const ran = await tool.run(['/bin/sh', '-c', script], LIMIT_MS);
  assert.deepEqual(ran, { kind: 'exited', code: 3, stdout: 'all utility\n', stderr: 'why\n' });
  await until('removed', async () => (await left('run')) === 0);
});

test('a run that exceeds its time hangs, is called off, and leaves nothing', { skip }, async () => {
  const tool = await toolOf(NODE_IMAGE, 'hung');
  const ran = await tool.run(['/bin/sh', '-c', 'sleep 600'], 1_500);
  assert.deepEqual(ran, { kind: 'hung', timeLimitMs: 1_500 });
  await until('removed', async () => (await left('hung')) === 0);
});

test('a stream gives its lines until it is called off', { skip }, async () => {
  const tool = await toolOf(NODE_IMAGE, 'stream');
  const lines: string[] = [];
  const ends: string[] = [];
  const callOff = tool.stream(['/bin/sh', '-c', 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done'], {
    line: (text) => lines.push(text),
    ended: (detail) => ends.push(detail),
  });
  await until('lines', () => lines.length >= 3);
  callOff();
  await until('removed', async () => (await left('stream')) === 0);
  assert.deepEqual(lines.slice(0, 3), ['1', '2', '3']);
  assert.deepEqual(ends, []);
  const ended = new Promise<string>((resolve) => {
    tool.stream(['/bin/sh', '-c', 'exit 4'], { line: () => undefined, ended: resolve });
  });
  assert.equal(await ended, 'it ended with code 4');
});

test('what a dead gateway left is removed by the next one', { skip }, async () => {
  const dead = await toolOf(NODE_IMAGE, 'dead');
  dead.stream(['/bin/sh', '-c', 'sleep 600'], { line: () => undefined, ended: () => undefined });
  await until('started', async () => (await left('dead')) === 1);
  const next = await toolOf(NODE_IMAGE, 'dead');
  await next.run(['/bin/true'], LIMIT_MS);
  await until('removed', async () => (await left('dead')) === 0);
});

test('a missing image is brought, once, and said; a missing tool is none', { skip }, async () => {
  const asked: string[] = [];
  const brought = Promise.withResolvers<string | null>();
  const tool = await toolOf('vgt:not-there', 'image', (image) => {
    asked.push(image);
    return brought.promise;
  });
  for (let round = 0; round < 2; round += 1) {
    const ran = await tool.run(['nvidia-smi'], LIMIT_MS);
    assert.ok(ran.kind === 'exited' && ran.code === 1);
    assert.match(ran.stderr, /vgt:not-there, .* is being pulled/);
  }
  assert.deepEqual(asked, ['vgt:not-there']);
  brought.resolve('there is no such image');
  await brought.promise;
  await until('told', async () => {
    const ran = await tool.run(['nvidia-smi'], LIMIT_MS);
    return ran.kind === 'exited' && ran.stderr === 'there is no such image';
  });
  const missing = await (await toolOf(NODE_IMAGE, 'missing')).run(['nvidia-smi'], LIMIT_MS);
  assert.equal(missing.kind, 'missing');
});

test('a daemon that hangs gets one container to make, and nothing is left when it goes on', {
  skip,
}, async () => {
  assert.ok(world !== null);
  const faulty = openFaultyDocker(world.daemon.socketPath);
  const tool = await toolOf(NODE_IMAGE, 'hangs', undefined, faulty.host);
  let creations = 0;
  faulty.faultOf = (call) => {
    if (!call.includes('/containers/create')) return null;
    creations += 1;
    return { kind: 'hang' };
  };
  for (let round = 0; round < 10; round += 1) {
    assert.equal((await tool.run(['/bin/true'], 50)).kind, 'hung');
  }
  assert.equal(creations, 1);
  // It was made, and nobody was told.
  await until('made', async () => (await left('hangs')) === 1);
  faulty.faultOf = () => null;
  faulty.release();
  const ran = await tool.run(['/bin/true'], LIMIT_MS);
  assert.deepEqual(ran, { kind: 'exited', code: 0, stdout: '', stderr: '' });
  await until('removed', async () => (await left('hangs')) === 0);
});

test('what could not be removed while Docker was away is removed by the next run', { skip }, async () => {
  assert.ok(world !== null);
  const faulty = openFaultyDocker(world.daemon.socketPath);
  const tool = await toolOf(NODE_IMAGE, 'away', undefined, faulty.host);
  let refused = 0;
  faulty.faultOf = (call) => {
    if (!call.startsWith('DELETE')) return null;
    refused += 1;
    return { kind: 'fail', text: 'it is away' };
  };
  assert.equal((await tool.run(['/bin/true'], LIMIT_MS)).kind, 'exited');
  await until('tried', () => refused > 0);
  assert.equal(await left('away'), 1);
  faulty.faultOf = () => null;
  await tool.run(['/bin/true'], LIMIT_MS);
  await until('removed', async () => (await left('away')) === 0);
});
