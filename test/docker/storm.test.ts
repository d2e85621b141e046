/** The storm of test/crash over containers: fifty gateways killed, containers and store compared after each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SIM_IMAGE } from '../../tools/docker-lab/images.ts';
import { orphans } from '../crash/checks.ts';
import { containerCensus, LABELS } from '../crash/container-census.ts';
import { containerRuntime } from '../crash/container-runtime.ts';
import { kills, seed, stormStands } from '../crash/storm-verdict.ts';
import { openDockerWorld } from './docker-world.ts';

const world = await openDockerWorld();
const skip = world === null ? 'no Docker here' : false;

test('the census sees each container with our mark, in whatever state, and nobody else’s', {
  skip,
}, async () => {
  assert.ok(world !== null);
  const { docker } = world;
  const census = containerCensus(docker, () => 'ours');
  const make = async (launchId: string, stateId: string, command: string) => {
    const container = await docker.createContainer({
      Image: SIM_IMAGE,
      Entrypoint: ['/bin/sh', '-c', command, 'vllm'],
      Cmd: ['--uds', '/run/there/e.sock'],
      Labels: { [LABELS.launchId]: launchId, [LABELS.stateId]: stateId, [LABELS.model]: 'm' },
      HostConfig: {
        NetworkMode: 'none',
        Mounts: [{ Type: 'bind', Source: world.daemon.root, Target: '/run/there' }],
      },
    });
    return container;
  };
  const running = await make('a-1', 'ours', 'while :; do sleep 0.2; done');
  const ended = await make('b-1', 'ours', 'exit 0');
  await make('c-1', 'ours', 'exit 0');
  const foreign = await make('d-1', 'theirs', 'while :; do sleep 0.2; done');
  for (const container of [running, ended, foreign]) await container.start();
  await ended.wait();

  const seen = await census.look();
  const [engine] = seen.engines;
  assert.deepEqual(
    seen.engines.map(({ launchId, model, socketPath }) => [launchId, model, socketPath]),
    [['a-1', 'm', `${world.daemon.root}/e.sock`]],
  );
  assert.match(engine?.identity ?? '', new RegExp(`^${running.id.slice(0, 12)} since 2`));
  assert.deepEqual(seen.remnants.map(({ launchId, what }) => `${launchId} ${what.split(', ')[1]}`).sort(), [
    'b-1 exited',
    'c-1 created',
  ]);
  assert.equal(await census.ask(engine ?? assert.fail()), 'silent');
  const stored = [{ launchId: 'b-1', model: 'm', stage: 'stopping', isFindable: true }];
  assert.deepEqual(
    orphans({ ...seen, stored }, new Set()).map((text) => text.slice(0, 11)),
    ['orphan: a-1', 'orphan: c-1'],
  );
  await running.restart({ t: 0 });
  const again = (await census.look()).engines[0];
  assert.notEqual(again?.identity, engine?.identity, 'the same container, started twice');
  await census.endAll();
  assert.deepEqual(await census.look(), { engines: [], remnants: [] });
  assert.ok((await foreign.inspect()).State.Running);
  await foreign.remove({ force: true });
});

test(`engines as containers: ${kills} kills, seed ${seed}`, { skip }, async () => {
  assert.ok(world !== null);
  const { host, socketPath } = world.daemon;
  await stormStands(containerRuntime({ host, socketPath, image: SIM_IMAGE }));
});
