/** The time before the devices are read: requests wait, nothing is lost, and an end in the middle of it is orderly. */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  processesNaming,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';
import { chatResult } from '../fixtures/requests.ts';

let tools: string;

before(async () => {
  tools = await mkdtemp(join(tmpdir(), 'vg-tools-'));
});

after(() => rm(tools, { recursive: true, force: true }));

/** An nvidia-smi of the test's own: a shell script, as the configuration names it. */
async function tool(name: string, script: string): Promise<Record<string, unknown>> {
  const file = join(tools, name);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
  return { devices: { source: 'nvidia', nvidia_smi: [file] } };
}

/** As the tool prints the columns that the gateway asks for. */
const GPU = 'echo "0, GPU-1, 16384, 100, [N/A], Some GPU"';

async function readyStatus(url: string): Promise<number> {
  return (await fetch(`${url}/ready`)).status;
}

test('a driver that does not answer at first is asked again, and requests wait for it', async () => {
  const marker = join(tools, 'answers');
  const flaky = await tool('flaky', `if [ -e ${marker} ]; then ${GPU}; else exit 9; fi`);
  const gateway = await startGateway({ config: simulatedConfig({ a: simulatedModel() }, flaky) });
  try {
    await until('the failure is logged', () => gateway.log.some(({ msg }) => /could not be read/.test(msg)));
    assert.equal(await readyStatus(gateway.url), 503);
    assert.equal((await fetch(`${gateway.url}/health`)).status, 200);
    const waiting = chatResult(gateway.url, 'a');
    await until('it waits', async () => (await gateway.status()).models.a?.waiting === 1);
    await writeFile(marker, '');
    await until('ready', async () => (await readyStatus(gateway.url)) === 200);
    assert.equal((await waiting).status, 200);
  } finally {
    await gateway.stop();
  }
});

test('SIGTERM while the devices are read: never ready, and the end is orderly', async () => {
  const slow = await tool('slow', `sleep 2; ${GPU}`);
  const gateway = await startGateway({ config: simulatedConfig({ a: simulatedModel() }, slow) });
  const beganMs = Date.now();
  const ended = gateway.stop({ keep: true });
  const seen = new Set<number>();
  await until('it has ended', async () => {
    const status = await readyStatus(gateway.url).catch(() => 0);
    seen.add(status);
    return status === 0;
  });
  assert.equal(await ended, 0);
  assert.equal(seen.has(200), false);
  assert.ok(Date.now() - beganMs < 15_000, 'it ended long after the reading');
  assert.deepEqual(await processesNaming(gateway.directory), []);
  await gateway.kill();
});

test('engines of an earlier gateway survive a driver that does not answer, and are served on when it does', async () => {
  const config = simulatedConfig({ a: simulatedModel() });
  const first = await startGateway({ config, args: ['--leave-engines'] });
  await chatResult(first.url, 'a');
  assert.equal(await first.stop({ keep: true }), 0);
  const broken = await tool('broken', 'exit 9');
  const second = await startGateway({
    config: { ...config, ...broken },
    directory: first.directory,
    args: ['--leave-engines'],
  });
  await until('the failure is logged', () => second.log.some(({ msg }) => /could not be read/.test(msg)));
  assert.equal(await second.stop({ keep: true }), 0);
  const third = await startGateway({ config, directory: first.directory });
  await until('ready', async () => (await readyStatus(third.url)) === 200);
  assert.equal((await chatResult(third.url, 'a')).load, 'hot');
  assert.equal(await third.stop(), 0);
});
