/**
 * AMD devices through `amd-smi` or its predecessor `rocm-smi`. Never run on a card by us: a condition says so for as long
 * as that is the case. Processes are not asked for; what launches use is told by the devices' difference.
 */
import { basename } from 'node:path';
import { type AmdGpu, parseAmdSmi, parseRocmSmi } from './amd-parse.ts';
import type { DeviceCondition } from './device.ts';
import type { RawDevice, RawSource, RawUses } from './raw-device.ts';
import type { RunTool, ToolResult } from './run-tool.ts';

/** The tools are Python programs that load the driver's library: a second is usual. */
const TIME_LIMIT_MS = 15_000;

const UNVERIFIED: DeviceCondition = {
  code: 'amd_unverified',
  text: 'AMD devices are read by the documented formats of its tools, which were never tried on a card: compare the figures with your own before you trust them.',
};

/** `command` is the tool's argv prefix; one whose program is called rocm-smi is asked as that one. */
export function createAmdSource(command: readonly string[], run: RunTool): RawSource {
  const name = command[0] ?? 'amd-smi';
  const readCards = async (signal?: AbortSignal): Promise<readonly AmdGpu[] | DeviceCondition> => {
    const ask = (...words: readonly string[]): Promise<ToolResult> =>
      run([...command, ...words, '--json'], TIME_LIMIT_MS, signal);
    if (/rocm.smi/i.test(basename(name))) {
      const told = await ask('--showuniqueid', '--showproductname', '--showmeminfo', 'vram');
      return conditionOf(name, told) ?? parseRocmSmi(textOf(told)) ?? unreadable(name, told);
    }
    const metric = await ask('metric', '--mem-usage');
    const failed = conditionOf(name, metric);
    if (failed !== null) return failed;
    const asic = await ask('static', '--asic');
    return parseAmdSmi(textOf(asic), textOf(metric)) ?? unreadable(name, metric);
  };
  return {
    async read() {
      const gpus = await readCards();
      if (!isList(gpus)) return { devices: [], conditions: [gpus], complete: false, uses: new Map() };
      const devices: RawDevice[] = [];
      const conditions: DeviceCondition[] = [UNVERIFIED];
      for (const { id, name: card, index, totalMib } of gpus) {
        if (totalMib !== null)
          devices.push({ id, name: card, source: 'amd', index, totalMib, unified: false });
        else {
          const text = `GPU ${index} (${id}, ${card}) does not tell its memory and is left out.`;
          conditions.push({ code: 'amd_memory_unknown', text });
        }
      }
      if (gpus.length === 0) conditions.push({ code: 'amd_no_devices', text: `${name} found no GPU.` });
      return { devices, conditions, complete: true, uses: usesOf(gpus) };
    },
    async memory(_devices, signal) {
      const gpus = await readCards(signal);
      return isList(gpus) ? { uses: usesOf(gpus), failure: null } : { uses: new Map(), failure: gpus };
    },
    processes: async () => ({ byDevice: null, conditions: [] }),
    stream: () => null,
  };
}

function isList(found: readonly AmdGpu[] | DeviceCondition): found is readonly AmdGpu[] {
  return Array.isArray(found);
}

function usesOf(gpus: readonly AmdGpu[]): RawUses {
  return new Map(gpus.map(({ id, usedMib }) => [id, usedMib]));
}

function textOf(result: ToolResult): string {
  return result.kind === 'exited' ? result.stdout : '';
}

function unreadable(name: string, result: ToolResult): DeviceCondition {
  const text = `${name} printed something that is no list of GPUs: ${textOf(result).trim().slice(0, 200)}`;
  return { code: 'amd_output_unreadable', text };
}

/** Null when the tool answered. */
function conditionOf(name: string, result: ToolResult): DeviceCondition | null {
  if (result.kind === 'missing') {
    return { code: 'amd_tool_missing', text: `${name} cannot be run: ${result.detail}` };
  }
  if (result.kind === 'hung') {
    const text = `${name} did not answer within ${result.timeLimitMs / 1000} s: the driver or a GPU hangs.`;
    return { code: 'amd_tool_hung', text };
  }
  if (result.code === 0) return null;
  const [line = ''] = `${result.stderr}\n${result.stdout}`.trim().split('\n');
  const text = `${name} failed with code ${result.code}: ${line.slice(0, 300)}`;
  return { code: 'amd_driver_unavailable', text };
}
