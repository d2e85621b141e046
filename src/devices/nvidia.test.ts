import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { recorded, shellTool } from '../../test/fixtures/device-tools.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import type { HostFacts } from './host.ts';
import { createNvidiaSource } from './nvidia.ts';
import type { RawSource } from './raw-device.ts';
import { createToolRunner, type RunTool } from './run-tool.ts';
import { createToolStreamer } from './tool-stream.ts';

const ENVIRONMENT = { PATH: process.env['PATH'] };
const MIB = 1024 * 1024;

function host(files: Readonly<Record<string, string>> = {}): HostFacts {
  return {
    readFile: (path) => files[path] ?? null,
    totalMemoryBytes: () => 128_000 * MIB,
    freeMemoryBytes: () => 100_000 * MIB,
  };
}

function source(
  command: readonly string[],
  more: { readonly run?: RunTool; readonly host?: HostFacts } = {},
): RawSource {
  return createNvidiaSource(command, {
    run: createToolRunner(ENVIRONMENT),
    stream: createToolStreamer(ENVIRONMENT),
    clock: new VirtualClock(),
    host: host(),
    ...more,
  });
}

function scripted(t: TestContext, script: string, facts: HostFacts = host()): RawSource {
  return source([shellTool(t, 'nvidia-smi', script).file], { host: facts });
}

const codesOf = (conditions: readonly { readonly code: string }[]): string =>
  conditions.map(({ code }) => code).join(' ');

const NO_DEVICES: readonly (readonly [script: string, codes: string, complete: boolean])[] = [
  [
    'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9',
    'nvidia_driver_unavailable',
    false,
  ],
  [
    'echo "Failed to initialize NVML: Driver/library version mismatch"; echo "NVML library version: 575.57"; exit 18',
    'nvidia_driver_mismatch',
    false,
  ],
  [
    'echo "Unable to determine the device handle for GPU0: GPU is lost.  Reboot the system to recover this GPU"; exit 15',
    'nvidia_device_lost',
    false,
  ],
  ['echo "No devices were found"', 'nvidia_output_unreadable nvidia_no_devices', true],
  ['echo "0, GPU-1, [Unknown Error], [Unknown Error], [N/A], NVIDIA L4"', 'nvidia_device_lost', true],
  [
    'case "$1" in -L) printf "GPU 0: A (UUID: GPU-1)\\n";; -q) echo "<xml/>";; *) echo "0, GPU-1, 40960, 0, Enabled, A";; esac',
    'nvidia_mig_enabled',
    true,
  ],
];

for (const [script, codes, complete] of NO_DEVICES) {
  test(`nvidia-smi that does not give devices: ${codes} (${script.slice(0, 40)})`, async (t) => {
    const found = await scripted(t, script).read();
    assert.deepEqual([found.devices, codesOf(found.conditions), found.complete], [[], codes, complete]);
  });
}

test('a driver that was updated is told in whole sentences, with the remedy', async (t) => {
  const script = 'echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18';
  const [condition] = (await scripted(t, script).read()).conditions;
  assert.match(
    condition?.text ?? '',
    /code 18: Failed .* version mismatch\. The driver was updated .*machine\.$/,
  );
});

test('a tool that is missing or hangs is a condition of inventory and reading', async () => {
  assert.equal((await source(['/no/nvidia-smi']).read()).conditions[0]?.code, 'nvidia_tool_missing');
  const hung = source(['nvidia-smi'], { run: async (_argv, timeLimitMs) => ({ kind: 'hung', timeLimitMs }) });
  assert.equal((await hung.read()).conditions[0]?.code, 'nvidia_tool_hung');
  assert.equal((await hung.memory([])).failure?.code, 'nvidia_tool_hung');
});

test('a card that fell off takes only itself away, also when the tool fails over it', async (t) => {
  const script = `echo "Unable to determine the device handle for GPU0000:3B:00.0: Unknown Error" >&2
echo "0, GPU-a, 24564, 12, [N/A], NVIDIA L4"; exit 255`;
  const { devices, conditions, complete, uses } = await scripted(t, script).read();
  assert.deepEqual(
    devices.map(({ id }) => id),
    ['GPU-a'],
  );
  assert.deepEqual([codesOf(conditions), complete, [...uses]], ['nvidia_device_lost', true, [['GPU-a', 12]]]);
});

test('unified memory: card and host are one device, within the limit of the control group', async (t) => {
  const script = 'echo "0, GPU-gb, [N/A], [N/A], [N/A], NVIDIA GB10"';
  const facts = host({
    '/proc/self/cgroup': '0::/gateway\n',
    '/sys/fs/cgroup/gateway/memory.max': String(64_000 * MIB),
    '/sys/fs/cgroup/gateway/memory.current': String(4_000 * MIB),
  });
  const { devices, conditions, uses } = await scripted(t, script, facts).read();
  assert.deepEqual(devices, [
    { id: 'GPU-gb', name: 'NVIDIA GB10', source: 'nvidia', index: 0, totalMib: 64_000, unified: true },
  ]);
  assert.equal(codesOf(conditions), 'nvidia_unified_memory');
  assert.deepEqual([...uses], [['GPU-gb', 4_000]]);
  const listed = scripted(t, 'echo "17, GPU-gb, 1000"', facts);
  assert.deepEqual([...((await listed.processes(devices)).byDevice ?? [])], [['GPU-gb', null]]);
});

test('of two cards that share the host memory one stands for both', async (t) => {
  const script =
    'echo "0, GPU-x, [N/A], [N/A], [N/A], Orin"; echo "1, GPU-y, [Not Supported], [N/A], [N/A], Orin"';
  const { devices, conditions } = await scripted(t, script).read();
  assert.deepEqual(
    devices.map(({ id }) => id),
    ['GPU-x'],
  );
  assert.equal(codesOf(conditions), 'nvidia_unified_memory nvidia_unified_memory_shared');
});

const MIG = `case "$1" in
  -L) cat '${recorded('nvidia-mig/list.txt')}';;
  -q) cat '${recorded('nvidia-mig/report.xml')}';;
  *) cat '${recorded('nvidia-mig/query.csv')}';;
esac`;
const MIG_3G = 'MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f';
const MIG_2G = 'MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb';
const WHOLE = 'GPU-9a2e7b9f-5f0b-4cbe-8f0a-1f3c6a1b2c3d';

test('MIG: instances are devices, the card is none, shared and untold memory is left out', async (t) => {
  const mig = scripted(t, MIG);
  const { devices, conditions } = await mig.read();
  assert.deepEqual(
    devices.map(({ id, totalMib, name }) => [id, totalMib, name]),
    [
      [MIG_3G, 19_968, 'NVIDIA A100-SXM4-40GB MIG 3g.20gb'],
      [MIG_2G, 9_856, 'NVIDIA A100-SXM4-40GB MIG 1c.2g.10gb'],
      [WHOLE, 40_960, 'NVIDIA A100-SXM4-40GB'],
    ],
  );
  assert.equal(codesOf(conditions), 'nvidia_mig_enabled nvidia_mig_memory_shared nvidia_mig_memory_unknown');
  const { uses } = await mig.memory(devices);
  assert.deepEqual([uses.get(MIG_3G), uses.get(MIG_2G), uses.get(WHOLE)], [37, 25, 4]);
  const sink = { uses: () => assert.fail(), trouble: () => assert.fail() };
  assert.equal(mig.stream(devices, sink), null);
});

const L4 = {
  id: 'GPU-a',
  name: 'L4',
  source: 'nvidia',
  index: 0,
  totalMib: 24_564,
  unified: false,
} as const;

test('processes by device; those of an instance that are not listed under it are unknown', async (t) => {
  const script = 'echo "17, GPU-a, 1000"; echo "18, GPU-a, 24"; echo "19, GPU-other, 1"';
  const { byDevice, conditions } = await scripted(t, script).processes([L4, { ...L4, id: MIG_3G }]);
  assert.deepEqual(byDevice?.get('GPU-a'), [
    { pid: 17, usedMib: 1000 },
    { pid: 18, usedMib: 24 },
  ]);
  assert.equal(byDevice?.get(MIG_3G), null);
  assert.deepEqual(conditions, []);
});

const UNKNOWN_PROCESSES: readonly (readonly [script: string, files: Record<string, string>, code: string])[] =
  [
    ['echo never', { '/proc/sys/kernel/osrelease': '6.6.87.2-microsoft-standard-WSL2\n' }, 'nvidia_wsl2'],
    ['echo "17, GPU-a, [N/A]"', {}, 'nvidia_processes_unknown'],
    ['echo "[Insufficient Permissions], GPU-a, [Insufficient Permissions]"', {}, 'nvidia_processes_unknown'],
    ['echo "Not Supported"; exit 3', {}, 'nvidia_processes_unknown'],
  ];

for (const [script, files, code] of UNKNOWN_PROCESSES) {
  test(`processes that cannot be told: ${code} (${script})`, async (t) => {
    const { byDevice, conditions } = await scripted(t, script, host(files)).processes([L4]);
    assert.equal(codesOf(conditions), code);
    assert.equal(byDevice?.get('GPU-a')?.[0]?.usedMib ?? null, null);
  });
}
