/** NVIDIA devices through the driver's own tool. Every way in which it can fail is a named condition. */
import type { DeviceCondition, MemoryReading } from './device.ts';
import { NVIDIA_COLUMNS, type NvidiaGpu, parseMigInstances, parseNvidiaGpus } from './nvidia-parse.ts';
import type { RawDevice, RawInventory, RawSource } from './raw-device.ts';
import type { RunTool, ToolResult } from './run-tool.ts';

/** Without persistence mode a first call on a large machine takes seconds; a driver that hangs takes for ever. */
const TIME_LIMIT_MS = 15_000;

/** `command` is the tool's argv prefix. */
export function createNvidiaSource(command: readonly string[], run: RunTool): RawSource {
  const query = [...command, `--query-gpu=${NVIDIA_COLUMNS.join(',')}`, '--format=csv,noheader,nounits'];
  const list = async (): Promise<ToolResult> => run([...command, '-L'], TIME_LIMIT_MS);
  const name = command[0] ?? 'nvidia-smi';
  return {
    async read() {
      const result = await run(query, TIME_LIMIT_MS);
      const failed = conditionOf(name, result);
      if (failed !== null || result.kind !== 'exited')
        return { devices: [], conditions: failed ? [failed] : [], complete: false };
      const report = parseNvidiaGpus(result.stdout);
      const instances = report.gpus.some((gpu) => gpu.migEnabled) ? await readInstances(list) : new Map();
      return inventoryOf(name, report.gpus, report.unread, instances);
    },
    async memory(devices): Promise<readonly MemoryReading[]> {
      const result = await run(query, TIME_LIMIT_MS);
      const gpus = result.kind === 'exited' && result.code === 0 ? parseNvidiaGpus(result.stdout).gpus : [];
      return devices.map((device) => ({
        id: device.id,
        usedMib: gpus.find((gpu) => gpu.uuid === device.id)?.usedMib ?? null,
      }));
    },
  };
}

async function readInstances(
  list: () => Promise<ToolResult>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const result = await list();
  return result.kind === 'exited' ? parseMigInstances(result.stdout) : new Map();
}

function inventoryOf(
  name: string,
  gpus: readonly NvidiaGpu[],
  unread: readonly string[],
  instances: ReadonlyMap<string, readonly string[]>,
): RawInventory {
  const devices: RawDevice[] = [];
  const conditions: DeviceCondition[] = unread.map((line) => ({
    code: 'nvidia_output_unreadable',
    text: `${name} printed a line that describes no GPU: ${line}`,
  }));
  for (const gpu of gpus) {
    if (gpu.migEnabled) {
      const found = instances.get(gpu.uuid) ?? [];
      conditions.push({
        code: 'nvidia_mig_enabled',
        text: `GPU ${gpu.index} (${gpu.uuid}) is partitioned (MIG, ${found.length} instances) and is left out: its memory cannot be given as a whole.`,
      });
    } else if (gpu.totalMib === null) {
      conditions.push({
        code: 'nvidia_memory_unknown',
        text: `GPU ${gpu.index} (${gpu.uuid}, ${gpu.name}) does not tell its memory and is left out; a machine with unified memory needs \`devices.source: host\`.`,
      });
    } else {
      devices.push({
        id: gpu.uuid,
        name: gpu.name,
        source: 'nvidia',
        index: gpu.index,
        totalMib: gpu.totalMib,
      });
    }
  }
  if (gpus.length === 0) conditions.push({ code: 'nvidia_no_devices', text: `${name} found no GPU.` });
  return { devices, conditions, complete: true };
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
      const [line = ''] = `${result.stdout}\n${result.stderr}`.trim().split('\n');
      const lost = /lost|reset|fallen off the bus/i.test(line);
      return {
        code: lost ? 'nvidia_device_lost' : 'nvidia_driver_unavailable',
        text: `${name} failed with code ${result.code}: ${line.slice(0, 300)}`,
      };
    }
  }
}
