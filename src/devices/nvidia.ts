/**
 * NVIDIA devices through the driver's own tool. Every way in which it can fail is a named condition.
 *
 *  N1. Each instance of a partitioned card (MIG) is a device; the card itself is none.
 *  N2. A card without memory of its own shares the host's: then the two are one device, and only one card can be it.
 *  N3. A card that is lost has no use in a reading, as if it were not there.
 */
import type { Clock } from '../core/clock.ts';
import type { DeviceId } from '../core/ids.ts';
import type { DeviceCondition } from './device.ts';
import { type HostFacts, hostTotalMib, hostUsedMib } from './host.ts';
import { type MigInstance, readMigInstances } from './nvidia-mig.ts';
import {
  NVIDIA_COLUMNS,
  NVIDIA_PROCESS_COLUMNS,
  type NvidiaGpu,
  parseNvidiaGpus,
  parseNvidiaProcesses,
} from './nvidia-parse.ts';
import { openNvidiaStream, STREAM_PERIOD_MS } from './nvidia-stream.ts';
import type { ProcessReport, ProcessUse, RawDevice, RawSource, RawUses } from './raw-device.ts';
import type { RunTool, ToolResult } from './run-tool.ts';
import type { StreamTool } from './tool-stream.ts';

/** Without persistence mode a first call on a large machine takes seconds; a driver that hangs takes for ever. */
const TIME_LIMIT_MS = 15_000;

const FORMAT = '--format=csv,noheader,nounits';
/** The codes that say: this machine has no such card. */
export const QUIET_CODES: ReadonlySet<string> = new Set(['nvidia_tool_missing', 'nvidia_no_devices']);

export interface NvidiaPorts {
  readonly run: RunTool;
  readonly stream: StreamTool;
  readonly clock: Clock;
  readonly host: HostFacts;
}

/** What one call of the tool, or two where cards are partitioned, told. */
interface Reading {
  readonly gpus: readonly NvidiaGpu[];
  readonly instances: readonly MigInstance[];
  readonly conditions: readonly DeviceCondition[];
  /** Not null: nothing was told. */
  readonly failure: DeviceCondition | null;
}

/** `command` is the tool's argv prefix. */
export function createNvidiaSource(command: readonly string[], ports: NvidiaPorts): RawSource {
  const { run, host } = ports;
  const name = command[0] ?? 'nvidia-smi';
  const query = [...command, `--query-gpu=${NVIDIA_COLUMNS.join(',')}`, FORMAT];
  const usesOf = (gpus: readonly NvidiaGpu[], instances: readonly MigInstance[] = []): RawUses =>
    new Map([
      ...gpus.flatMap((gpu) => useOf(gpu, host)),
      ...instances.map(({ id, usedMib }) => [id, usedMib] as const),
    ]);
  let rowsPrinted = 0;
  const readCards = async (signal?: AbortSignal): Promise<Reading> => {
    const reading = readingOf(name, await run(query, TIME_LIMIT_MS, signal));
    if (reading.failure === null) rowsPrinted = reading.gpus.length;
    const partitioned = reading.gpus.filter((gpu) => gpu.migEnabled);
    if (partitioned.length === 0) return reading;
    const mig = await readMigInstances(partitioned, (words) =>
      run([...command, ...words], TIME_LIMIT_MS, signal),
    );
    return { ...reading, instances: mig.instances, conditions: [...reading.conditions, ...mig.conditions] };
  };
  return {
    async read() {
      const { gpus, instances, conditions, failure } = await readCards();
      const uses = usesOf(gpus, instances);
      if (failure !== null) return { devices: [], conditions: [failure], complete: false, uses };
      const found = devicesOf(name, gpus, instances, host);
      return {
        devices: found.devices,
        conditions: [...conditions, ...found.conditions],
        complete: true,
        uses,
      };
    },
    async memory(_devices, signal) {
      const { gpus, instances, failure } = await readCards(signal);
      return { uses: usesOf(gpus, instances), failure };
    },
    async processes(devices, signal) {
      if (isWsl2(host)) return { byDevice: null, conditions: [WSL2] };
      const argv = [...command, `--query-compute-apps=${NVIDIA_PROCESS_COLUMNS.join(',')}`, FORMAT];
      return processReport(name, devices, await run(argv, TIME_LIMIT_MS, signal));
    },
    stream(devices, sink) {
      // The query tells nothing of instances, and the report that does is too slow to be asked several times a second.
      if (devices.length === 0 || devices.some(({ id }) => id.startsWith('MIG-'))) return null;
      const argv = [...query, '-lms', String(STREAM_PERIOD_MS)];
      const { stream: open, clock } = ports;
      return openNvidiaStream({ argv, open, clock, gpuCount: () => rowsPrinted, usesOf, sink });
    },
  };
}

function readingOf(name: string, result: ToolResult): Reading {
  const none = { gpus: [], instances: [], conditions: [] };
  const condition = conditionOf(name, result);
  if (result.kind !== 'exited') return { ...none, failure: condition };
  const { gpus, unread } = parseNvidiaGpus(result.stdout);
  // A tool that names a lost card and exits with an error may still have told of the others.
  if (condition !== null) {
    const partial = condition.code === 'nvidia_device_lost' && gpus.length > 0;
    return partial
      ? { ...none, gpus, conditions: [condition], failure: null }
      : { ...none, failure: condition };
  }
  const conditions = unread.map((line) => ({
    code: 'nvidia_output_unreadable',
    text: `${name} printed a line that describes no GPU: ${line}`,
  }));
  return { ...none, gpus, conditions, failure: null };
}

/** N1, N2, N3. */
function useOf(gpu: NvidiaGpu, host: HostFacts): (readonly [DeviceId, number | null])[] {
  if (gpu.migEnabled) return [[gpu.uuid, null]];
  if (gpu.memory === 'lost') return [];
  return [[gpu.uuid, gpu.memory === 'unified' ? hostUsedMib(host) : gpu.usedMib]];
}

function devicesOf(
  name: string,
  gpus: readonly NvidiaGpu[],
  instances: readonly MigInstance[],
  host: HostFacts,
): { readonly devices: readonly RawDevice[]; readonly conditions: readonly DeviceCondition[] } {
  const devices: RawDevice[] = [];
  const conditions: DeviceCondition[] = [];
  const unified = gpus.find((gpu) => gpu.memory === 'unified' && !gpu.migEnabled);
  for (const gpu of gpus) {
    if (gpu.migEnabled) {
      for (const { id, name: instance, gpuUuid, totalMib } of instances) {
        if (gpuUuid === gpu.uuid)
          devices.push({ id, name: instance, source: 'nvidia', index: gpu.index, totalMib, unified: false });
      }
      continue;
    }
    if (gpu.memory !== 'own') conditions.push(memoryCondition(gpu, unified));
    if (gpu.memory === 'lost' || (gpu.memory === 'unified' && gpu !== unified)) continue;
    const totalMib = gpu.totalMib ?? hostTotalMib(host);
    devices.push({
      id: gpu.uuid,
      name: gpu.name,
      source: 'nvidia',
      index: gpu.index,
      totalMib,
      unified: gpu === unified,
    });
  }
  if (gpus.length === 0) conditions.push({ code: 'nvidia_no_devices', text: `${name} found no GPU.` });
  return { devices, conditions };
}

function memoryCondition(gpu: NvidiaGpu, unified: NvidiaGpu | undefined): DeviceCondition {
  const who = `GPU ${gpu.index} (${gpu.uuid}, ${gpu.name})`;
  if (gpu.memory === 'lost') {
    const text = `${who} does not answer: it has fallen off the bus or needs a reset, and is left out.`;
    return { code: 'nvidia_device_lost', text };
  }
  if (gpu === unified) {
    const text = `${who} tells no memory of its own: it shares the host's, and the two are one budget. Set \`devices.memory_limit_mib\` to leave room for other programs.`;
    return { code: 'nvidia_unified_memory', text };
  }
  const text = `${who} shares the host's memory with GPU ${unified?.index}, which stands for it, and is left out.`;
  return { code: 'nvidia_unified_memory_shared', text };
}

const WSL2: DeviceCondition = {
  code: 'nvidia_wsl2',
  text: "Under WSL2 the driver does not tell the memory of processes: what engines use is measured by the device's difference over their start.",
};

function isWsl2(host: HostFacts): boolean {
  return /microsoft/i.test(host.readFile('/proc/sys/kernel/osrelease') ?? '');
}

function processReport(name: string, devices: readonly RawDevice[], result: ToolResult): ProcessReport {
  const failed = conditionOf(name, result);
  const processes = failed === null && result.kind === 'exited' ? parseNvidiaProcesses(result.stdout) : null;
  if (processes === null) {
    const why = failed === null ? `${name} lists no processes in a form that is known.` : failed.text;
    const text = `The memory of processes cannot be told; it is measured by the devices' difference instead. ${why}`;
    return { byDevice: null, conditions: [{ code: 'nvidia_processes_unknown', text }] };
  }
  const byDevice = new Map<DeviceId, ProcessUse[] | null>();
  for (const { id, unified } of devices) {
    const rows = processes.filter(({ uuid }) => uuid === id);
    // Whether processes of an instance are listed under it or under its card is not documented: only the first is used.
    // Of shared memory the driver counts only what was asked of it, and nothing else that a process holds.
    const untold = unified || (id.startsWith('MIG-') && rows.length === 0);
    byDevice.set(id, untold ? null : rows.map(({ pid, usedMib }) => ({ pid, usedMib })));
  }
  const hidden = processes.some(({ usedMib }) => usedMib === null);
  const text = `${name} lists processes without their memory ([N/A]): what engines use is measured by the devices' difference over their start.`;
  return { byDevice, conditions: hidden ? [{ code: 'nvidia_processes_unknown', text }] : [] };
}

/** Null when the tool answered. */
function conditionOf(name: string, result: ToolResult): DeviceCondition | null {
  switch (result.kind) {
    case 'missing':
      return { code: 'nvidia_tool_missing', text: `${name} cannot be run: ${result.detail}` };
    case 'hung':
      return {
        code: 'nvidia_tool_hung',
        text: `${name} did not answer within ${result.timeLimitMs / 1000} s: the driver or a GPU hangs.`,
      };
    case 'exited': {
      if (result.code === 0) return null;
      const output = `${result.stdout}\n${result.stderr}`.trim();
      const telling = output.split('\n').find((line) => FAULTS.some(([fault]) => fault.test(line)));
      const line = telling ?? output.split('\n')[0] ?? '';
      const [, code, remedy] = FAULTS.find(([fault]) => fault.test(line)) ?? OTHER_FAULT;
      const told = line.slice(0, 300);
      return {
        code,
        text: `${name} failed with code ${result.code}: ${remedy === '' ? told : `${told.replace(/\.?$/, '.')} ${remedy}`}`,
      };
    }
  }
}

const OTHER_FAULT = [/$/, 'nvidia_driver_unavailable', ''] as const;
const FAULTS: readonly (readonly [RegExp, string, string])[] = [
  [/lost|reset|fallen off the bus|unable to determine the device handle/i, 'nvidia_device_lost', ''],
  [
    /version mismatch/i,
    'nvidia_driver_mismatch',
    'The driver was updated under a running kernel module: reload the module, or restart the machine.',
  ],
];
