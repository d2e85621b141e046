/**
 * The inventory that the rest sees: devices of the configured source with their budgets and pools.
 *
 * D1. A budget is `fraction x min(total, configured limit)`, never more than the device has.
 * D2. What the configuration names and the machine has not is a condition, not a crash: GPUs come and go.
 */
import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import type { DevicesConfig } from '../config/resolved-config.ts';
import { LEDGER_VARIABLE } from '../engines/simulated/ledger.ts';
import type { Device, DeviceCondition, DeviceInventory, DeviceSource, MemoryReading } from './device.ts';
import { createHostSource, type HostFacts } from './host.ts';
import { createNvidiaSource } from './nvidia.ts';
import type { RawDevice, RawInventory, RawSource } from './raw-device.ts';
import { createToolRunner, type RunTool } from './run-tool.ts';
import { createSimulatedSource } from './simulated.ts';

/** What sources touch outside of this process. */
export interface DeviceEnvironment {
  /** Where the ledger of simulated devices lies; created when needed. */
  readonly ledgerDirectory: string;
  readonly host: HostFacts;
  readonly runTool: RunTool;
}

/** The real machine. The ledger lies in the gateway's state directory. */
export function systemDeviceEnvironment(stateDirectory: string): DeviceEnvironment {
  const ledgerDirectory = ledgerDirectoryIn(stateDirectory);
  return {
    ledgerDirectory,
    host: { readFile: readOrNull, totalMemoryBytes: totalmem, freeMemoryBytes: freemem },
    // A simulated nvidia-smi may stand in for the real one, and then it needs to find the ledger.
    runTool: createToolRunner({ [LEDGER_VARIABLE]: ledgerDirectory }),
  };
}

/** Where a gateway with this state directory keeps the memory of its simulated devices. */
export function ledgerDirectoryIn(stateDirectory: string): string {
  return join(stateDirectory, 'devices');
}

export function createDeviceSource(config: DevicesConfig, environment: DeviceEnvironment): DeviceSource {
  const source = rawSource(config, environment);
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

function rawSource(config: DevicesConfig, environment: DeviceEnvironment): RawSource {
  switch (config.source) {
    case 'nvidia':
      return createNvidiaSource(config.nvidiaSmi, environment.runTool);
    case 'simulated':
      return createSimulatedSource(config, environment.ledgerDirectory);
    case 'host':
      return createHostSource(environment.host);
    case 'auto':
      return createAutomaticSource(
        createNvidiaSource(config.nvidiaSmi, environment.runTool),
        createHostSource(environment.host),
      );
  }
}

/** NVIDIA where it answers with a device, else the host. A machine without the tool is no condition, a broken tool is. */
function createAutomaticSource(nvidia: RawSource, host: RawSource): RawSource {
  return {
    async read() {
      const found = await nvidia.read();
      if (found.devices.length > 0) return found;
      const fallback = await host.read();
      const told = found.conditions.filter(({ code }) => !QUIET_CODES.has(code));
      return { devices: fallback.devices, conditions: [...told, ...fallback.conditions] };
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
  return { devices: raw.devices.map((device) => withBudget(config, device)), conditions };
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
