import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { VLLM_SIM } from '../../test/fakes/vllm-sim.ts';
import { recorded, shellTool } from '../../test/fixtures/device-tools.ts';
import { until } from '../../test/fixtures/gateway.ts';
import type { DevicesConfig } from '../config/resolved-config.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import { LEDGER_VARIABLE, openLedger, prepareLedger } from '../engines/simulated/ledger.ts';
import type { DeviceInventory, DeviceSource } from './device.ts';
import { createDeviceSource, type DeviceSourceOptions, type Machine } from './device-source.ts';
import { createToolRunner } from './run-tool.ts';
import { createToolStreamer } from './tool-stream.ts';

const MIB = 1024 * 1024;

function config(changes: Partial<DevicesConfig>): DevicesConfig {
  return {
    source: 'auto',
    simulated: [],
    memoryLimitMib: new Map(),
    budgetFraction: 0.9,
    pools: new Map(),
    hostMemoryMib: null,
    hostMemoryFloorMib: 0,
    simulatedHostMemoryMib: 64_000,
    nvidiaSmi: ['/no/such/nvidia-smi'],
    amdSmi: ['/no/such/amd-smi'],
    ...changes,
  };
}

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'devices-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A machine of files: `/proc` and `/sys` by path. */
function machine(totalMib: number, files: Readonly<Record<string, string>> = {}): Machine {
  return {
    host: {
      readFile: (path) => files[path] ?? null,
      totalMemoryBytes: () => totalMib * MIB,
      freeMemoryBytes: () => (totalMib / 4) * MIB,
    },
    runTool: createToolRunner({}),
    streamTool: createToolStreamer({}),
  };
}

/** Time stands still: nothing is read that the test does not ask for. */
function sourceOf(
  settings: Partial<DevicesConfig>,
  ledgerDirectory: string,
  more: Partial<DeviceSourceOptions> = {},
): DeviceSource {
  return createDeviceSource({
    config: config(settings),
    environment: process.env,
    ledgerDirectory,
    clock: new VirtualClock(),
    ownerOf: () => null,
    ...more,
  });
}

async function usedMib(source: DeviceSource): Promise<(readonly [string, number | null])[]> {
  return (await source.memory()).map((reading) => [reading.id, reading.usedMib] as const);
}

test('simulated devices: budgets by fraction and limit, pools, memory from the ledger', async (t) => {
  const directory = directoryOf(t);
  const source = sourceOf(
    {
      source: 'simulated',
      simulated: [
        { id: 'sim-0', memoryMib: 24_000 },
        { id: 'sim-1', memoryMib: 10_000 },
        { id: 'sim-2', memoryMib: 10_000 },
      ],
      memoryLimitMib: new Map([
        ['sim-0', 20_000],
        ['*', 9_000],
        ['gone', 1],
      ]),
      pools: new Map([
        ['big', ['sim-0']],
        ['small', ['sim-1', 'sim-9']],
      ]),
    },
    directory,
  );
  const { devices, conditions } = await source.read();
  assert.deepEqual(
    devices.map(({ id, index, totalMib, budgetMib, pool }) => [id, index, totalMib, budgetMib, pool]),
    [
      ['sim-0', 0, 24_000, 18_000, 'big'],
      ['sim-1', 1, 10_000, 8_100, 'small'],
      ['sim-2', 2, 10_000, 8_100, null],
    ],
  );
  assert.deepEqual(
    conditions.map(({ code }) => code),
    ['pool_device_missing', 'limit_device_missing'],
  );
  openLedger(directory).claim(process.pid, 'us', [{ deviceId: 'sim-1', usedMib: 1234 }]);
  assert.deepEqual(await usedMib(source), [
    ['sim-0', 0],
    ['sim-1', 1234],
    ['sim-2', 0],
  ]);
});

test('auto takes the simulated devices when some are listed', async (t) => {
  const source = sourceOf({ simulated: [{ id: 's', memoryMib: 1 }] }, directoryOf(t));
  assert.equal((await source.read()).devices[0]?.source, 'simulated');
});

test('auto without the NVIDIA tool is the host, and that is no condition', async (t) => {
  const source = sourceOf({}, directoryOf(t), { machine: machine(16_000) });
  assert.deepEqual(await source.read(), {
    devices: [
      {
        id: 'host',
        name: 'host memory',
        source: 'host',
        index: 0,
        totalMib: 16_000,
        unified: true,
        budgetMib: 14_400,
        spareMib: 1_600,
        pool: null,
      },
    ],
    conditions: [],
    complete: true,
  });
  assert.deepEqual(await usedMib(source), [['host', 12_000]]);
});

test('nvidia without its tool is a condition', async (t) => {
  const source = sourceOf({ source: 'nvidia' }, directoryOf(t), { machine: machine(1) });
  const { devices, conditions } = await source.read();
  assert.deepEqual([devices, conditions[0]?.code], [[], 'nvidia_tool_missing']);
  assert.deepEqual(await source.memory(), []);
});

test('nvidia through a tool: the simulated one shows the ledger', async (t) => {
  const directory = directoryOf(t);
  const ledger = prepareLedger(directory, [{ id: 'GPU-00aa', name: 'Simulated GPU', totalMib: 8000 }]);
  ledger.claim(process.pid, 'VLLM::EngineCore', [{ deviceId: 'GPU-00aa', usedMib: 500 }]);
  const nvidiaSmi = [process.execPath, VLLM_SIM, 'nvidia-smi'];
  const source = sourceOf({ source: 'nvidia', nvidiaSmi }, directory);
  const { devices, conditions } = await source.read();
  assert.deepEqual(conditions, []);
  assert.deepEqual(
    devices.map(({ id, totalMib, budgetMib, source: kind }) => [id, totalMib, budgetMib, kind]),
    [['GPU-00aa', 8000, 7200, 'nvidia']],
  );
  assert.deepEqual(await usedMib(source), [['GPU-00aa', 500]]);
  assert.equal(LEDGER_VARIABLE, 'VLLM_SIM_LEDGER');
});

test('a tool that hangs is killed at its time limit', async () => {
  const run = createToolRunner({ PATH: process.env['PATH'] });
  assert.deepEqual(await run(['sleep', '600'], 50), { kind: 'hung', timeLimitMs: 50 });
});

test('a tool that is called off is killed at once', async () => {
  const run = createToolRunner({ PATH: process.env['PATH'] });
  const call = new AbortController();
  const running = run(['sleep', '600'], 600_000, call.signal);
  call.abort();
  assert.equal((await running).kind, 'hung');
  assert.equal((await run(['sleep', '600'], 600_000, AbortSignal.abort())).kind, 'hung');
  assert.equal((await run(['/no/such/tool'], 600_000, AbortSignal.abort())).kind, 'hung');
});

test('host(): processes of our launches by what only memory can hold, as far as they can be read', async (t) => {
  const status = (rss: number, lines: string) => `Name:\tVLLM::Worker\nVmRSS:\t ${rss * 1024} kB\n${lines}`;
  const files = {
    '/proc/meminfo': `MemTotal: ${64_000 * 1024} kB\nMemAvailable:   ${40_000 * 1024} kB\n`,
    '/proc/7/status': status(
      9_000,
      `RssAnon:\t ${2_000 * 1024} kB\nRssFile:\t ${4_000 * 1024} kB\nRssShmem:\t ${3_000 * 1024} kB\n`,
    ),
    '/proc/8/status': status(500, ''),
  };
  const processesOf = async () =>
    new Map([
      ['a', [7, 8, 9]],
      ['gone', [9]],
    ]);
  const source = sourceOf({ source: 'host' }, directoryOf(t), {
    machine: machine(64_000, files),
    processesOf,
  });
  const [first, second] = await Promise.all([source.host(), source.host()]);
  assert.deepEqual(first, { totalMib: 64_000, usedMib: 24_000, launches: new Map([['a', 5_500]]) });
  assert.equal(first, second);
  const failing = sourceOf({ source: 'host' }, directoryOf(t), {
    machine: machine(64_000, files),
    processesOf: () => Promise.reject(new Error('no table')),
  });
  assert.equal(await failing.host(), null);
});

test('host() of this machine: our own process is seen', async (t) => {
  const source = sourceOf({ source: 'host' }, directoryOf(t), {
    processesOf: async () => new Map([['us', [process.pid]]]),
  });
  const host = await source.host();
  const ownMib = host?.launches.get('us') ?? 0;
  assert.ok(
    host !== null && ownMib > 10 && ownMib < host.usedMib && host.usedMib < host.totalMib,
    `${ownMib}`,
  );
});

test('host() of simulated devices is the ledger’s', async (t) => {
  const directory = directoryOf(t);
  const source = sourceOf({ simulated: [{ id: 's', memoryMib: 8_000 }] }, directory, {
    ownerOf: (pid) => (pid === process.pid ? 'a' : null),
  });
  assert.deepEqual(await source.host(), { totalMib: 64_000, usedMib: 0, launches: new Map() });
  const ledger = openLedger(directory);
  ledger.claimHost(process.pid, 'us', 5_000);
  ledger.claimHost(process.ppid, 'stranger', 700);
  assert.deepEqual(await source.host(), {
    totalMib: 64_000,
    usedMib: 5_700,
    launches: new Map([['a', 5_000]]),
  });
});

test('engines on simulated devices find the ledger in their environment, others find nothing', (t) => {
  const directory = directoryOf(t);
  const simulated = { source: 'simulated' as const, simulated: [{ id: 'sim-0', memoryMib: 1_000 }] };
  assert.deepEqual(sourceOf(simulated, directory).engineEnvironment, {
    [LEDGER_VARIABLE]: directory,
  });
  assert.deepEqual(sourceOf({ source: 'host' }, directory).engineEnvironment, {});
});

test('auto with a driver that does not answer is no host: the reading is incomplete and worth another try', async (t) => {
  const directory = directoryOf(t);
  const tool = join(directory, 'nvidia-smi');
  writeFileSync(
    tool,
    '#!/bin/sh\necho "NVIDIA-SMI has failed because it could not communicate with the driver"; exit 9\n',
  );
  chmodSync(tool, 0o755);
  const { devices, conditions, complete } = await sourceOf({ nvidiaSmi: [tool] }, directory).read();
  assert.deepEqual([devices.length, conditions[0]?.code, complete], [0, 'nvidia_driver_unavailable', false]);
});

test('D3: a card that falls off leaves the inventory with a condition, and comes back by itself', async (t) => {
  const { file, directory } = shellTool(
    t,
    'nvidia-smi',
    'case "$1" in --query-compute-apps*) ;; *) cat "$HERE/cards";; esac',
  );
  const cards = (...ids: readonly string[]): void =>
    writeFileSync(
      join(directory, 'cards'),
      ids.map((id, index) => `${index}, ${id}, 8000, 0, [N/A], L4\n`).join(''),
    );
  cards('GPU-a', 'GPU-b');
  const clock = new VirtualClock();
  const source = sourceOf({ source: 'nvidia', nvidiaSmi: [file] }, directory, { clock });
  t.after(() => source.close());
  const view = (inventory: DeviceInventory): string =>
    [...inventory.devices, ...inventory.conditions.map(({ code }) => ({ id: code }))]
      .map(({ id }) => id)
      .join(' ');
  const told: string[] = [];
  assert.equal(view(await source.read()), 'GPU-a GPU-b');
  source.follow({ memory: () => {}, inventory: (inventory) => told.push(view(inventory)) });
  const untilTold = (count: number): Promise<unknown> =>
    until(`${count} changes are told`, () => {
      clock.advanceTo(clock.nowMs() + 1_000);
      return told.length >= count;
    });
  cards('GPU-a');
  await untilTold(1);
  cards('GPU-a', 'GPU-b');
  await untilTold(2);
  assert.deepEqual(told, ['GPU-a device_gone', 'GPU-a GPU-b']);
});

test('AMD devices by configuration', async (t) => {
  const { file, directory } = shellTool(t, 'rocm-smi', `cat '${recorded('amd/rocm-smi.json')}'`);
  const source = sourceOf({ source: 'amd', amdSmi: [file] }, directory);
  const { devices, conditions } = await source.read();
  assert.deepEqual(
    devices.map((device) => [device.id, device.source, device.budgetMib]),
    [
      ['GPU-18f68e602b8a790f', 'amd', 58_968],
      ['1', 'amd', 22_104],
    ],
  );
  assert.equal(conditions[0]?.code, 'amd_unverified');
  const [first] = await source.memory();
  assert.deepEqual([first?.foreignMib, first?.foreignSource], [26_208, 'device_difference']);
});
