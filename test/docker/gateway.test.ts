/** The whole gateway with vllm-sim in containers: requests start, swap and outlive it. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { prepareLedger } from '../../src/engines/simulated/ledger.ts';
import { LAUNCH_ID_LABEL } from '../../src/runtimes/docker/marks.ts';
import { SIM_IMAGE } from '../../tools/docker-lab/images.ts';
import { until } from '../fakes/waiting.ts';
import { startGateway } from '../fixtures/gateway.ts';
import { sendChat } from '../fixtures/requests.ts';
import { openDockerWorld, temporaryDirectory } from './docker-world.ts';

const DEVICE = { id: 'sim-gpu-0', memory_mib: 16_384 };
const MEMORY_MIB = 10_000;

const world = await openDockerWorld();

test('requests start and swap containers; a killed gateway’s engine serves the next one', {
  skip: world === null ? 'no Docker here' : false,
}, async (t) => {
  assert.ok(world !== null);
  const directory = temporaryDirectory();
  const ledger = join(directory, 'state', 'ledger');
  mkdirSync(join(directory, 'state'), { mode: 0o700 });
  prepareLedger(ledger, [{ id: DEVICE.id, name: 'Simulated', totalMib: DEVICE.memory_mib }]);
  const model = (name: string) => ({
    engine: 'vllm',
    repo: `org/${name}`,
    fetch: false,
    memory_mib: MEMORY_MIB,
    extra_args: ['--sim-load-seconds', '0.2', '--sim-memory-mib', String(MEMORY_MIB)],
  });
  const setup = {
    directory,
    config: {
      server: { shutdown_delay: 0, shutdown_drain: 5 },
      devices: { source: 'simulated', simulated: [DEVICE] },
      runtime: {
        kind: 'docker',
        docker: {
          host: world.daemon.host,
          image: SIM_IMAGE,
          pull: 'never',
          hugging_face_cache: 'vgt-huggingface',
          // Where the gateway tells simulated engines that it is.
          volumes: [`${ledger}:${ledger}`],
        },
      },
      models: { a: model('a'), b: model('b') },
    },
    environment: { DOCKER_HOST: world.daemon.host },
  };
  const containers = async (): Promise<readonly string[]> => {
    const found = await world.docker.listContainers({ all: true, filters: { label: [LAUNCH_ID_LABEL] } });
    return found.map(({ Names }) => Names[0] ?? '');
  };
  const first = await startGateway(setup);
  t.after(() => first.kill());
  for (const name of ['a', 'b', 'a']) {
    const answer = await sendChat(first.url, name);
    const text = await answer.text();
    assert.equal(answer.status, 200, `${text}\n${first.log.map(({ msg }) => msg).join('\n')}`);
    assert.equal((JSON.parse(text) as { model: string }).model, name);
  }
  const before = await containers();
  assert.equal(before.length, 1);
  assert.match(before[0] ?? '', /^\/vllm_server_a_/);
  await first.kill({ keep: true });

  const next = await startGateway(setup);
  t.after(() => next.kill());
  await until('the engine is taken over', async () => (await next.status()).models.a?.state === 'awake');
  const hot = await sendChat(next.url, 'a');
  assert.equal(hot.status, 200);
  assert.equal(hot.headers.get('x-load'), 'hot');
  await hot.text();
  assert.deepEqual(await containers(), before);
  assert.equal(await next.stop({ keep: true }), 0);
  assert.deepEqual(await containers(), []);
});
