/** vllm-sim in vLLM's place: several containers over one ledger of simulated memory. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { prepareLedger } from '../../src/engines/simulated/ledger.ts';
import type { RecordingObserver } from '../../src/runtimes/recording-observer.ts';
import { createRecordingObserver } from '../../src/runtimes/recording-observer.ts';
import type { EngineHandle, Runtime } from '../../src/runtimes/runtime.ts';
import { SIM_IMAGE } from '../../tools/docker-lab/images.ts';
import { openDockerWorld, specOf, temporaryDirectory } from './docker-world.ts';
import { openGateway } from './gateway-options.ts';

const READY = /Application startup complete/;
const MEMORY_MIB = 6_000;

const world = await openDockerWorld();

test('engines in containers hold simulated memory, and give it back however they end', {
  skip: world === null ? 'no Docker here' : false,
}, async (t) => {
  assert.ok(world !== null);
  const directory = temporaryDirectory();
  const ledgerDirectory = join(directory, 'ledger');
  const ledger = prepareLedger(ledgerDirectory, [{ id: 'SIM-0', name: 'Simulated', totalMib: 10_000 }]);
  const runtime = await openGateway({
    host: world.daemon.host,
    stateId: 'sim',
    directory,
    config: { image: SIM_IMAGE, volumes: [`${ledgerDirectory}:/ledger`] },
  });
  t.after(() => runtime.close());

  const first = await launch(t, runtime);
  await first.heard.waitForLine(READY);
  assert.equal(await health(first.handle), 200);
  const [use] = ledger.read();
  assert.equal(use?.usedMib, MEMORY_MIB);
  // Its process has another number in its container; here it is one of the launch's.
  assert.deepEqual(
    use.claims.map(({ pid }) => runtime.ownerOf(pid)),
    [first.handle.launchId],
  );

  const second = await launch(t, runtime);
  await second.heard.waitForLine(/Free memory on device .* is less than desired GPU memory utilization/);
  assert.equal((await second.heard.waitForExit()).code, 1);
  assert.equal(ledger.read()[0]?.usedMib, MEMORY_MIB);

  assert.ok((await runtime.kill(first.handle)).kind === 'gone');
  assert.equal(ledger.read()[0]?.usedMib, 0);
  const third = await launch(t, runtime);
  await third.heard.waitForLine(READY);
  assert.ok((await runtime.stop(third.handle, 10_000)).kind === 'gone');
});

async function launch(
  t: TestContext,
  runtime: Runtime,
): Promise<{ readonly handle: EngineHandle; readonly heard: RecordingObserver }> {
  const spec = await specOf(runtime, {
    argv: [],
    environment: { VLLM_SIM_LEDGER: '/ledger', CUDA_VISIBLE_DEVICES: 'SIM-0' },
  });
  assert.ok(spec.listen.kind === 'unix');
  const flags = ['--uds', spec.listen.socketPath, '--gpu-memory-utilization', '0.6'];
  const simulated = ['--sim-memory-mib', String(MEMORY_MIB), '--sim-load-seconds', '0.2'];
  const heard = createRecordingObserver();
  const argv = ['vllm', 'serve', 'org/model', ...flags, ...simulated];
  const result = await runtime.launch({ ...spec, argv }, heard);
  assert.ok(result.kind === 'launched', JSON.stringify(result));
  t.after(() => runtime.kill(result.handle));
  return { handle: result.handle, heard };
}

function health({ listen }: EngineHandle): Promise<number | undefined> {
  assert.ok(listen.kind === 'unix');
  const { socketPath } = listen;
  return new Promise((resolve, reject) => {
    request({ socketPath, path: '/health' }, (response) => resolve(response.resume().statusCode))
      .once('error', reject)
      .end();
  });
}
