/**
 * The inventory that the rest sees: devices of the configured source with their budgets and pools.
 *
 * D1. A budget is `fraction x min(total, configured limit)`, never more than the device has.
 * D2. What the configuration names and the machine has not is a condition, not a crash: GPUs come and go.
 */
import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import type { DevicesConfig } from '../config/resolved-config.ts';
import { LEDGER_VARIABLE } from '../engines/simulated/ledger.ts';
import type { Device, DeviceCondition, DeviceInventory, DeviceSource, MemoryReading } from './device.ts';
import { createHostSource, type HostFacts } from './host.ts';
import { createNvidiaSource } from './nvidia.ts';
import type { RawDevice, RawInventory, RawSource } from './raw-device.ts';
import { createToolRunner, type RunTool } from './run-tool.ts';
import { createSimulatedSource } from './simulated.ts';

/** What sources touch outside of this process; a port, so that recorded machines can be tested. */
export interface Machine {
  readonly host: HostFacts;
  readonly runTool: RunTool;
}

/**
 * `ledgerDirectory` is where the memory of simulated devices is kept; it is created when there are any. The tool that
 * reads NVIDIA devices gets `environment` and the ledger, because a simulated one may stand in for it.
 */
export function createDeviceSource(
  config: DevicesConfig,
  environment: Readonly<Record<string, string | undefined>>,
  ledgerDirectory: string,
  machine: Machine = {
    host: { readFile: readOrNull, totalMemoryBytes: totalmem, freeMemoryBytes: freemem },
    runTool: createToolRunner({ ...environment, [LEDGER_VARIABLE]: ledgerDirectory }),
  },
): DeviceSource {
  const source = rawSource(config, ledgerDirectory, machine);
  let known: readonly RawDevice[] | null = null;
  let reading: Promise<RawInventory> | null = null;
  let measuring: Promise<readonly MemoryReading[]> | null = null;
  const readRaw = (): Promise<RawInventory> => {
    reading ??= source.read().finally(() => {
      reading = null;
    });
    return reading;
  };
  const measure = async (): Promise<readonly MemoryReading[]> => {
    known ??= (await readRaw()).devices;
    return source.memory(known);
  };
  return {
    engineEnvironment: config.source === 'simulated' ? { [LEDGER_VARIABLE]: ledgerDirectory } : {},
    async read() {
      const raw = await readRaw();
      known = raw.devices;
      return applyConfig(config, raw);
    },
    memory() {
      measuring ??= measure().finally(() => {
        measuring = null;
      });
      return measuring;
    },
  };
}

function rawSource(config: DevicesConfig, ledgerDirectory: string, machine: Machine): RawSource {
  const nvidia = (): RawSource => createNvidiaSource(config.nvidiaSmi, machine.runTool);
  const host = (): RawSource => createHostSource(machine.host);
  const simulated = (): RawSource => createSimulatedSource(config, ledgerDirectory);
  switch (config.source) {
    case 'nvidia':
      return nvidia();
    case 'simulated':
      return simulated();
    case 'host':
      return host();
    case 'auto':
      return config.simulated.length > 0 ? simulated() : createAutomaticSource(nvidia(), host());
  }
}

/** NVIDIA where it answers with a device, the host where there is no such tool or it finds none. */
function createAutomaticSource(nvidia: RawSource, host: RawSource): RawSource {
  return {
    async read() {
      const found = await nvidia.read();
      const isQuiet = found.conditions.every(({ code }) => QUIET_CODES.has(code));
      // A driver that does not answer now may answer later: to start engines on the host meanwhile would be wrong.
      if (found.devices.length > 0 || (!found.complete && !isQuiet)) return found;
      const fallback = await host.read();
      const told = found.conditions.filter(({ code }) => !QUIET_CODES.has(code));
      return { ...fallback, conditions: [...told, ...fallback.conditions] };
    },
    memory: (devices) => (devices.some(({ source }) => source === 'nvidia') ? nvidia : host).memory(devices),
  };
}

const QUIET_CODES = new Set(['nvidia_tool_missing', 'nvidia_no_devices']);

function applyConfig(config: DevicesConfig, raw: RawInventory): DeviceInventory {
  const conditions: DeviceCondition[] = [...raw.conditions];
  const ids = new Set(raw.devices.map((device) => device.id));
  for (const [pool, members] of config.pools) {
    for (const id of members) {
      if (ids.has(id)) continue;
      conditions.push({
        code: 'pool_device_missing',
        text: `Pool \`${pool}\` names the device ${id}, which this machine does not have.`,
      });
    }
  }
  for (const id of config.memoryLimitMib.keys()) {
    if (id === '*' || ids.has(id)) continue;
    conditions.push({
      code: 'limit_device_missing',
      text: `A memory limit names the device ${id}, which this machine does not have.`,
    });
  }
  return {
    devices: raw.devices.map((device) => withBudget(config, device)),
    conditions,
    complete: raw.complete,
  };
}

function withBudget(config: DevicesConfig, device: RawDevice): Device {
  const limitMib = config.memoryLimitMib.get(device.id) ?? config.memoryLimitMib.get('*');
  const usableMib = Math.min(device.totalMib, limitMib ?? device.totalMib);
  const pool = [...config.pools].find(([, members]) => members.includes(device.id))?.[0] ?? null;
  return { ...device, budgetMib: Math.floor(config.budgetFraction * usableMib), pool };
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
