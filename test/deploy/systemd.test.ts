/**
 * deploy/systemd/vllm-gateway.service. What systemd does to a service's processes at a restart is imitated: KillMode decides
 * who gets the signal, and the next gateway starts while what is left of the first one still runs.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadConfig } from '../../src/config/load.ts';
import {
  processesNaming,
  type RunningGateway,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';
import { chatResult } from '../fixtures/requests.ts';
import { readUnitFile } from './unit-file.ts';

const FILE = fileURLToPath(new URL('../../deploy/systemd/vllm-gateway.service', import.meta.url));
const unit = readUnitFile(FILE);
const run = promisify(execFile);

/** Flags of `serve` in the unit, without the configuration, which is the test's own. */
const FLAGS = unit
  .one('ExecStart')
  .split(' ')
  .filter((word) => word === '--leave-engines');

const config = simulatedConfig({ a: simulatedModel(), b: simulatedModel({ memoryMib: 4_000 }) });

/** The processes of the service but for the gateway itself, as its control group would list them. */
async function engineProcesses(gateway: RunningGateway): Promise<readonly number[]> {
  return (await processesNaming(gateway.directory)).filter((pid) => pid !== gateway.pid);
}

async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/^\d+ \(.*\) [ZX]/s.test(stat);
}

/** What `systemctl stop` does with this KillMode; the gateway's exit code. */
async function stopAs(killMode: string, gateway: RunningGateway): Promise<number | null> {
  const others = killMode === 'process' ? [] : await engineProcesses(gateway);
  const ended = gateway.stop({ keep: true });
  for (const pid of others) {
    try {
      process.kill(pid, 'SIGTERM');
    } catch {
      // It has ended meanwhile.
    }
  }
  return ended;
}

test('a restart of the service keeps engines, and the next gateway serves with them at once', async () => {
  const first = await startGateway({ config, args: FLAGS });
  await chatResult(first.url, 'a');
  const engines = await engineProcesses(first);
  assert.ok(engines.length > 0);
  assert.equal(await stopAs(unit.one('KillMode'), first), 0);
  for (const pid of engines) assert.ok(await isAlive(pid), `engine process ${pid} lives on`);
  const second = await startGateway({ config, directory: first.directory, args: FLAGS });
  await until('ready', async () => (await fetch(`${second.url}/ready`)).status === 200);
  assert.equal((await chatResult(second.url, 'a')).load, 'hot');
  for (const pid of engines) assert.ok(await isAlive(pid), `engine process ${pid} was adopted`);
  await second.stop();
});

test('a gateway that was killed by the kernel is started again and finds its engines', async () => {
  assert.equal(unit.one('Restart'), 'on-failure');
  const first = await startGateway({ config, args: FLAGS });
  await chatResult(first.url, 'a');
  const engines = await engineProcesses(first);
  await first.kill({ keep: true });
  const second = await startGateway({ config, directory: first.directory, args: FLAGS });
  await until('ready', async () => (await fetch(`${second.url}/ready`)).status === 200);
  assert.equal((await chatResult(second.url, 'a')).load, 'hot');
  assert.ok((await Promise.all(engines.map(isAlive))).some(Boolean));
  await second.stop();
});

test('with another KillMode engines would be lost: the imitation tells the difference', async () => {
  const first = await startGateway({ config, args: FLAGS });
  await chatResult(first.url, 'a');
  const engines = await engineProcesses(first);
  await stopAs('control-group', first);
  await until('engines gone', async () => !(await Promise.all(engines.map(isAlive))).some(Boolean));
  const second = await startGateway({ config, directory: first.directory });
  assert.notEqual((await chatResult(second.url, 'a')).load, 'hot');
  await second.stop();
});

test('the unit says what keeps engines alive, and waits longer than the gateway drains', async () => {
  assert.deepEqual(FLAGS, ['--leave-engines']);
  assert.equal(unit.one('KillMode'), 'process');
  assert.equal(unit.one('OOMPolicy'), 'continue');
  assert.equal(unit.one('Delegate'), 'yes');
  const loaded = await loadConfig({ object: { models: { m: { repo: 'r' } } }, environment: {} });
  assert.ok(loaded.ok);
  const { shutdownDelayMs, shutdownDrainMs } = loaded.value.server;
  assert.ok(Number(unit.one('TimeoutStopSec')) * 1000 > shutdownDelayMs + shutdownDrainMs);
  // Each of these would take the GPUs, the engines' /tmp or their sockets away.
  for (const key of ['PrivateTmp', 'PrivateDevices', 'DevicePolicy', 'ProtectClock', 'RuntimeDirectory'])
    assert.deepEqual(unit.all(key), [], key);
});

test('systemd accepts the unit', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'vg-unit-'));
  t.after(() => rm(directory, { recursive: true }));
  const copy = join(directory, 'vllm-gateway.service');
  // The program is not installed on a machine that tests.
  const text = (await readFile(FILE, 'utf8')).replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`);
  await writeFile(copy, text);
  try {
    const { stderr } = await run('systemd-analyze', ['verify', copy]);
    assert.equal(stderr.trim(), '');
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!isMissing) throw error;
    t.skip('no systemd-analyze on this machine (Debian: apt-get install systemd)');
  }
});
