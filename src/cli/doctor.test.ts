import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Check } from '../doctor/check.ts';
import { acquireStateLock } from '../store/state-lock.ts';
import { runDoctor } from './doctor.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const SIMULATOR = fileURLToPath(new URL('../../bin/vllm-sim.mjs', import.meta.url));
const TOKEN = 'hf_averyveryverysecrettoken';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-doctor-'));
});
after(() => rm(directory, { recursive: true }));

interface Told {
  readonly code: number;
  readonly text: string;
  readonly checks: readonly Check[];
}

/** The command of that name, with a home of its own. The configuration is JSON, which is YAML. */
async function doctor(config: unknown, environment: Readonly<Record<string, string>> = {}): Promise<Told> {
  const file = join(directory, 'models.yaml');
  await writeFile(file, JSON.stringify(config));
  const child = spawn(process.execPath, [MAIN, 'doctor', '--config', file, '--json'], {
    env: { PATH: process.env['PATH'], HOME: directory, HF_TOKEN: TOKEN, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const parts: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (part: string) => parts.push(part));
  const [code] = (await once(child, 'close')) as [number];
  const text = parts.join('');
  const { checks } = JSON.parse(text) as { readonly checks: readonly Check[] };
  return { code, text, checks };
}

function statusOf({ checks }: Told, id: string): string {
  const check = checks.find((one) => one.id === id);
  return check === undefined ? 'absent' : check.status;
}

const ONE_CARD = { source: 'simulated', simulated: [{ id: 'sim', memory_mib: 24_000 }] };
const SERVER = { port: 0 };

async function program(name: string, text: string): Promise<string> {
  const file = join(directory, name);
  await writeFile(file, text);
  await chmod(file, 0o755);
  return file;
}

test('this machine with an engine that tells its version: nothing fails, and no secret is told', async () => {
  const vllm = await program('vllm', '#!/bin/sh\necho a warning of some library\necho 0.32.0\n');
  await mkdir(join(directory, 'model'), { recursive: true });
  const told = await doctor({
    server: SERVER,
    devices: ONE_CARD,
    models: { m: { repo: join(directory, 'model'), vllm_executable: [vllm] } },
  });
  // A crowded test machine may have little disk or a low limit, or be a container: then those and nothing else may be told.
  const own = told.checks.filter(
    ({ id }) => !/^(disk|memory|open_files|processes|inotify|clock|survival)/.test(id),
  );
  assert.deepEqual(
    own.filter(({ status }) => status !== 'ok'),
    [],
  );
  assert.match(own.find(({ id }) => id === 'vllm')?.found ?? '', /^vLLM 0\.32\.0 /);
  assert.match(own.find(({ id }) => id === 'token')?.found ?? '', /is set/);
  assert.ok(!told.text.includes(TOKEN));
});

test('a missing engine, a driver that does not answer, a used port and an owned directory are told with remedies', async () => {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  assert.ok(address !== null && typeof address === 'object');
  const state = join(directory, 'owned');
  await mkdir(state, { recursive: true });
  const config = {
    server: { port: address.port },
    runtime: { state_directory: state },
    devices: { source: 'nvidia', nvidia_smi: [process.execPath, SIMULATOR, 'nvidia-smi'] },
    models: {
      m: { repo: join(directory, 'gone'), vllm_executable: [join(directory, 'no-vllm')] },
    },
  };
  try {
    const alone = await doctor(config, { VLLM_SIM_LEDGER: '' });
    assert.equal(alone.code, 1);
    for (const id of ['vllm', 'devices', 'port', 'models']) assert.equal(statusOf(alone, id), 'fail', id);
    for (const { status, remedy } of alone.checks)
      assert.equal(remedy === null, status === 'ok', 'who is not well gets a remedy');
    const held = await acquireStateLock(state);
    assert.ok(held.kind === 'acquired');
    const beside = await doctor(config);
    assert.equal(statusOf(beside, 'state_directory'), 'warn');
    assert.equal(statusOf(beside, 'port'), 'warn');
    await held.lock.release();
  } finally {
    listener.close();
  }
});

test('an engine that fails to tell its version is told with its last line', async () => {
  const vllm = await program('broken', '#!/bin/sh\necho "ImportError: libcuda.so.1" >&2\nexit 1\n');
  const told = await doctor({
    server: SERVER,
    devices: ONE_CARD,
    models: { m: { repo: 'acme/m', vllm_executable: [vllm] } },
  });
  assert.equal(told.code, 1);
  assert.match(told.checks.find(({ id }) => id === 'vllm')?.found ?? '', /ImportError: libcuda/);
});

test('with faults in the configuration the machine is judged all the same', async () => {
  const told = await doctor({ models: { m: { repoo: 'x' } } });
  assert.equal(told.code, 1);
  const [configuration] = told.checks;
  assert.match(configuration?.found ?? '', /repoo/);
  assert.equal(statusOf(told, 'node'), 'ok');
});

test('a Docker engine that does not answer is told, and engines in containers need no vLLM here', async () => {
  const told = await doctor({
    server: SERVER,
    devices: ONE_CARD,
    runtime: { kind: 'docker', docker: { host: `unix://${join(directory, 'no-docker.sock')}` } },
    models: { m: { repo: 'acme/m' } },
  });
  assert.equal(statusOf(told, 'docker'), 'fail');
  assert.equal(statusOf(told, 'devices'), 'ok');
  assert.equal(statusOf(told, 'vllm'), 'ok');
  assert.equal(statusOf(told, 'survival'), 'ok');
});

test('a Docker engine that is away is one failure, also where the devices are read in a container', async () => {
  const told = await doctor({
    server: SERVER,
    devices: { source: 'nvidia', nvidia_smi: [join(directory, 'no-nvidia-smi')] },
    runtime: { kind: 'docker', docker: { host: `unix://${join(directory, 'no-docker.sock')}` } },
    models: { m: { repo: 'acme/m' } },
  });
  assert.deepEqual([statusOf(told, 'docker'), statusOf(told, 'devices')], ['fail', 'warn']);
  assert.match(told.checks.find(({ id }) => id === 'devices')?.remedy ?? '', /^Mend Docker first/);
});

test('the state directory can be named, with faults in the configuration too', async () => {
  const state = join(directory, 'named');
  for (const models of [{ m: { url: 'http://127.0.0.1:1' } }, { m: { repoo: 'x' } }]) {
    const file = join(directory, 'named.yaml');
    await writeFile(file, JSON.stringify({ server: SERVER, devices: ONE_CARD, models }));
    let text = '';
    const output = { write: (part: string) => (text += part) };
    await runDoctor({ file, stateDirectory: state, json: true, environment: { HOME: directory } }, output);
    const { checks } = JSON.parse(text) as { readonly checks: readonly Check[] };
    assert.equal(checks.find(({ id }) => id === 'state_directory')?.found, `${state} will be made`);
  }
});
