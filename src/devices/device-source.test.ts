import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { VLLM_SIM } from '../../test/fakes/vllm-sim.ts';
import type { DevicesConfig } from '../config/resolved-config.ts';
import { LEDGER_VARIABLE, openLedger, prepareLedger } from '../engines/simulated/ledger.ts';
import { createDeviceSource, type Machine } from './device-source.ts';
import { createNvidiaSource } from './nvidia.ts';
import { createToolRunner } from './run-tool.ts';

const MIB = 1024 * 1024;

function config(changes: Partial<DevicesConfig>): DevicesConfig {
  return {
    source: 'auto',
    simulated: [],
    memoryLimitMib: new Map(),
    budgetFraction: 0.9,
    pools: new Map(),
    nvidiaSmi: ['/no/such/nvidia-smi'],
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
  };
}

test('simulated devices: budgets by fraction and limit, pools, memory from the ledger', async (t) => {
  const directory = directoryOf(t);
  const source = createDeviceSource(
    config({
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
    }),
    {},
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
  assert.deepEqual(await source.memory(), [
    { id: 'sim-0', usedMib: 0 },
    { id: 'sim-1', usedMib: 1234 },
    { id: 'sim-2', usedMib: 0 },
  ]);
});

test('auto takes the simulated devices when some are listed', async (t) => {
  const source = createDeviceSource(config({ simulated: [{ id: 's', memoryMib: 1 }] }), {}, directoryOf(t));
  assert.equal((await source.read()).devices[0]?.source, 'simulated');
});

test('auto without the NVIDIA tool is the host, and that is no condition', async (t) => {
  const source = createDeviceSource(config({}), {}, directoryOf(t), machine(16_000));
  assert.deepEqual(await source.read(), {
    devices: [
      {
        id: 'host',
        name: 'host memory',
        source: 'host',
        index: 0,
        totalMib: 16_000,
        budgetMib: 14_400,
        pool: null,
      },
    ],
    conditions: [],
    complete: true,
  });
  assert.deepEqual(await source.memory(), [{ id: 'host', usedMib: 12_000 }]);
});

test('nvidia without its tool is a condition', async (t) => {
  const source = createDeviceSource(config({ source: 'nvidia' }), {}, directoryOf(t), machine(1));
  const { devices, conditions } = await source.read();
  assert.deepEqual([devices, conditions[0]?.code], [[], 'nvidia_tool_missing']);
  assert.deepEqual(await source.memory(), []);
});

test('nvidia through a tool: the simulated one shows the ledger', async (t) => {
  const directory = directoryOf(t);
  const ledger = prepareLedger(directory, [{ id: 'GPU-00aa', name: 'Simulated GPU', totalMib: 8000 }]);
  ledger.claim(process.pid, 'VLLM::EngineCore', [{ deviceId: 'GPU-00aa', usedMib: 500 }]);
  const source = createDeviceSource(
    config({ source: 'nvidia', nvidiaSmi: [process.execPath, VLLM_SIM, 'nvidia-smi'] }),
    process.env,
    directory,
  );
  const { devices, conditions } = await source.read();
  assert.deepEqual(conditions, []);
  assert.deepEqual(
    devices.map(({ id, totalMib, budgetMib, source: kind }) => [id, totalMib, budgetMib, kind]),
    [['GPU-00aa', 8000, 7200, 'nvidia']],
  );
  assert.deepEqual(await source.memory(), [{ id: 'GPU-00aa', usedMib: 500 }]);
  assert.equal(LEDGER_VARIABLE, 'VLLM_SIM_LEDGER');
});

/** A tool that prints this and ends with this code. */
function tool(t: TestContext, script: string): readonly string[] {
  const file = join(directoryOf(t), 'nvidia-smi');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return [file];
}

const CONDITIONS: readonly (readonly [string, string])[] = [
  [
    'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9',
    'nvidia_driver_unavailable',
  ],
  [
    'echo "Unable to determine the device handle for GPU0: GPU is lost.  Reboot the system to recover this GPU"; exit 15',
    'nvidia_device_lost',
  ],
  ['echo "No devices were found"', 'nvidia_output_unreadable nvidia_no_devices'],
  ['echo "0, GPU-1, [N/A], [N/A], [N/A], NVIDIA GB10"', 'nvidia_memory_unknown'],
  [
    'case "$1" in -L) printf "GPU 0: A (UUID: GPU-1)\\n  MIG 1g.5gb Device 0: (UUID: MIG-1)\\n";; *) echo "0, GPU-1, 40960, 0, Enabled, A";; esac',
    'nvidia_mig_enabled',
  ],
];

for (const [script, codes] of CONDITIONS) {
  test(`nvidia-smi that does not give devices: ${codes}`, async (t) => {
    const source = createNvidiaSource(tool(t, script), createToolRunner({ PATH: process.env['PATH'] }));
    const { devices, conditions } = await source.read();
    assert.deepEqual(devices, []);
    assert.equal(conditions.map(({ code }) => code).join(' '), codes);
  });
}

test('a tool that hangs is killed at its time limit', async () => {
  const run = createToolRunner({ PATH: process.env['PATH'] });
  assert.deepEqual(await run(['sleep', '600'], 50), { kind: 'hung', timeLimitMs: 50 });
});

test('a hung tool is a named condition', async () => {
  const source = createNvidiaSource(['nvidia-smi'], async (_argv, timeLimitMs) => ({
    kind: 'hung',
    timeLimitMs,
  }));
  assert.equal((await source.read()).conditions[0]?.code, 'nvidia_tool_hung');
});

const GROUPS: readonly (readonly [string, Readonly<Record<string, string>>, number, number])[] = [
  [
    'control group v2',
    {
      '/proc/self/cgroup': '0::/system.slice/gateway.service\n',
      '/sys/fs/cgroup/system.slice/gateway.service/memory.max': '4194304000\n',
      '/sys/fs/cgroup/system.slice/gateway.service/memory.current': '2097152000\n',
      '/sys/fs/cgroup/system.slice/gateway.service/memory.stat': 'anon 1\ninactive_file 1048576000\n',
    },
    4000,
    1000,
  ],
  [
    'a limit of a parent group, max of our own',
    {
      '/proc/self/cgroup': '0::/a/b\n',
      '/sys/fs/cgroup/a/b/memory.max': 'max\n',
      '/sys/fs/cgroup/a/memory.max': '1048576000\n',
      '/sys/fs/cgroup/a/memory.current': '524288000\n',
    },
    1000,
    500,
  ],
  [
    'in a container the mount itself has the limit',
    { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': '2097152000\n' },
    2000,
    0,
  ],
  [
    'control group v1',
    {
      '/proc/self/cgroup': '11:memory:/docker/x\n3:cpu:/docker/x\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '3145728000\n',
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': '1048576000\n',
      '/sys/fs/cgroup/memory/memory.stat': 'total_inactive_file 524288000\n',
    },
    3000,
    500,
  ],
  [
    'v1 without a limit',
    {
      '/proc/self/cgroup': '11:memory:/\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
      '/proc/meminfo': 'MemTotal: 16384000 kB\nMemAvailable:   10240000 kB\n',
    },
    16_000,
    6000,
  ],
];

for (const [name, files, totalMib, usedMib] of GROUPS) {
  test(`host memory: ${name}`, async (t) => {
    const source = createDeviceSource(config({ source: 'host' }), {}, directoryOf(t), machine(16_000, files));
    const { devices } = await source.read();
    assert.equal(devices[0]?.totalMib, totalMib);
    assert.deepEqual(await source.memory(), [{ id: 'host', usedMib }]);
  });
}

test('engines on simulated devices find the ledger in their environment, others find nothing', (t) => {
  const directory = directoryOf(t);
  const simulated = config({ source: 'simulated', simulated: [{ id: 'sim-0', memoryMib: 1_000 }] });
  assert.deepEqual(createDeviceSource(simulated, {}, directory).engineEnvironment, {
    [LEDGER_VARIABLE]: directory,
  });
  assert.deepEqual(createDeviceSource(config({ source: 'host' }), {}, directory).engineEnvironment, {});
});

test('auto with a driver that does not answer is no host: the reading is incomplete and worth another try', async (t) => {
  const directory = directoryOf(t);
  const tool = join(directory, 'nvidia-smi');
  writeFileSync(
    tool,
    '#!/bin/sh\necho "NVIDIA-SMI has failed because it could not communicate with the driver"; exit 9\n',
  );
  chmodSync(tool, 0o755);
  const { devices, conditions, complete } = await createDeviceSource(
    config({ nvidiaSmi: [tool] }),
    {},
    directory,
  ).read();
  assert.deepEqual([devices.length, conditions[0]?.code, complete], [0, 'nvidia_driver_unavailable', false]);
});
