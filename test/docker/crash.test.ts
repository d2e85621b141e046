/** A gateway that is killed at some moment of a launch: the next one takes the engine over or ends it, and nothing is left. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createPrng } from '../../src/core/prng.ts';
import { STATE_ID_LABEL } from '../../src/runtimes/docker/marks.ts';
import { createRecordingObserver } from '../../src/runtimes/recording-observer.ts';
import { openDockerWorld, program, specOf, temporaryDirectory } from './docker-world.ts';
import { remembered } from './file-records.ts';
import { openGateway } from './gateway-options.ts';

const GATEWAY = fileURLToPath(new URL('crashing-gateway.fixture.ts', import.meta.url));
const ROUNDS = 15;
const SEED = 20_261_124;
/** A fixture opens in about half a second and launches in about as long. */
const MOMENT_MS_MAX = 1_400;

const world = await openDockerWorld();

test('killed at any moment of a launch: adopted or ended, never orphaned', {
  skip: world === null ? 'no Docker here' : false,
}, async (t) => {
  assert.ok(world !== null);
  const random = createPrng(SEED);
  const options = { host: world.daemon.host, stateId: 'crash', directory: temporaryDirectory() };
  const label = [`${STATE_ID_LABEL}=crash`];
  let adopted = 0;
  for (let round = 0; round < ROUNDS; round++) {
    let runtime = await openGateway(options);
    const spec = await specOf(runtime, program('trap "exit 0" TERM; echo up; while :; do sleep 0.05; done'));
    await runtime.close();
    const gateway = spawn(process.execPath, [GATEWAY, JSON.stringify(options), JSON.stringify(spec)], {
      stdio: 'ignore',
    });
    const exit = once(gateway, 'exit');
    await sleep(random.integer(MOMENT_MS_MAX));
    gateway.kill('SIGKILL');
    await exit;

    runtime = await openGateway(options);
    const engines = await runtime.adopt(() => createRecordingObserver());
    const running: readonly unknown[] = await world.docker.listContainers({ filters: { label } });
    assert.equal(running.length, engines.length, `round ${round}`);
    assert.deepEqual(
      remembered(join(options.directory, 'launches')),
      engines.map(({ handle }) => handle.launchId),
    );
    for (const { handle } of engines) {
      adopted += 1;
      assert.equal((await runtime.stop(handle, 5_000)).kind, 'gone');
    }
    assert.deepEqual(await world.docker.listContainers({ all: true, filters: { label } }), []);
    assert.deepEqual(remembered(join(options.directory, 'launches')), []);
    assert.deepEqual(readdirSync(join(options.directory, 's')), []);
    // Of looking whether Docker sees our files.
    assert.deepEqual(await world.docker.listImages({ filters: { dangling: ['true'] } }), []);
    await runtime.close();
  }
  t.diagnostic(`${adopted} of ${ROUNDS} engines were taken over`);
});
