/**
 * The inventory that the rest sees: devices of the configured source with their budgets and pools.
 *
 * D1. A budget is `fraction x min(total, configured limit)`, never more than the device has.
 * D2. What the configuration names and the machine has not is a condition, not a crash: GPUs come and go.
 * D3. A device that answered once and no longer does leaves the inventory, with a condition, and comes back by itself.
 */
import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import type { DevicesConfig } from '../config/resolved-config.ts';
import type { Clock } from '../core/clock.ts';
import type { DeviceId, LaunchId } from '../core/ids.ts';
import { LEDGER_VARIABLE, type Ledger } from '../engines/simulated/ledger.ts';
import { createAmdSource } from './amd.ts';
import type {
  Device,
  DeviceCondition,
  DeviceInventory,
  DeviceListener,
  DeviceSource,
  HostMemory,
  LaunchPhase,
  MemoryReading,
} from './device.ts';
import { type OpenTools, withFallback } from './fallback-tool.ts';
import { createHostSource, type HostFacts } from './host.ts';
import {
  createHostMemoryReader,
  createSimulatedHostReader,
  type ReadHostMemory,
  type ReadLaunchProcesses,
} from './host-memory.ts';
import { MemoryMonitor } from './memory-monitor.ts';
import { createNvidiaSource, QUIET_CODES } from './nvidia.ts';
import type { RawDevice, RawInventory, RawSource } from './raw-device.ts';
import { createToolRunner, type RunTool } from './run-tool.ts';
import { createSimulatedSource, simulatedLedger } from './simulated.ts';
import { createToolStreamer, type StreamTool } from './tool-stream.ts';

/** Devices that fall off and come back are looked at no more often than this. */
const REREAD_PAUSE_MS = 5_000;

/** What sources touch outside of this process; a port, so that recorded machines can be tested. */
export interface Machine {
  readonly host: HostFacts;
  readonly runTool: RunTool;
  readonly streamTool: StreamTool;
}

export interface DeviceSourceOptions {
  readonly config: DevicesConfig;
  /** The tool that reads devices gets it, and the ledger, because a simulated one may stand in for it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where the memory of simulated devices is kept; it is created when there are any. */
  readonly ledgerDirectory: string;
  readonly clock: Clock;
  /** The launch of ours that a process belongs to. */
  readonly ownerOf: (pid: number) => LaunchId | null;
  /** Processes of our launches, for what they use of the host; absent: nobody can say. */
  readonly processesOf?: ReadLaunchProcesses;
  /** Runs nvidia-smi where this machine has none. */
  readonly openUtilityTool?: OpenTools | undefined;
  /** This one unless a test says otherwise. */
  readonly machine?: Machine;
}

export function createDeviceSource(options: DeviceSourceOptions): DeviceSource {
  return new ConfiguredSource(options);
}

class ConfiguredSource implements DeviceSource {
  readonly engineEnvironment: Readonly<Record<string, string>>;
  readonly #config: DevicesConfig;
  readonly #clock: Clock;
  readonly #source: RawSource;
  readonly #monitor: MemoryMonitor;
  readonly #readHost: ReadHostMemory;
  #reading: Promise<RawInventory> | null = null;
  #hostReading: Promise<HostMemory | null> | null = null;
  #raw: RawInventory | null = null;
  /** Devices of earlier inventories that are missing in the latest, with their names. */
  readonly #gone = new Map<DeviceId, string>();
  #live: readonly DeviceCondition[] = [];
  #listener: DeviceListener | null = null;
  #lastRereadMs = Number.NEGATIVE_INFINITY;
  #told = '';

  constructor(options: DeviceSourceOptions) {
    const { config, environment, ledgerDirectory, clock, ownerOf } = options;
    const isSimulated =
      config.source === 'simulated' || (config.source === 'auto' && config.simulated.length > 0);
    this.engineEnvironment = isSimulated ? { [LEDGER_VARIABLE]: ledgerDirectory } : {};
    this.#config = config;
    this.#clock = clock;
    const machine = options.machine ?? thisMachine({ ...environment, [LEDGER_VARIABLE]: ledgerDirectory });
    const ledger = simulatedLedger(config, ledgerDirectory);
    this.#source = rawSource(options, ledger, machine);
    this.#readHost = isSimulated
      ? createSimulatedHostReader(ledger, ownerOf)
      : createHostMemoryReader(machine.host, options.processesOf ?? (async () => new Map()));
    this.#monitor = new MemoryMonitor({
      source: this.#source,
      clock,
      ownerOf,
      told: (readings) => this.#listener?.memory(readings),
      conditions: (conditions) => {
        this.#live = conditions;
        this.#tell();
      },
      changed: () => void this.#reread(),
    });
  }

  async read(): Promise<DeviceInventory> {
    const raw = await this.#readRaw();
    if (raw.complete || this.#raw === null) this.#take(raw);
    const inventory = this.#inventory(raw.complete ? this.#raw : raw);
    this.#told = JSON.stringify(inventory);
    return inventory;
  }

  async memory(): Promise<readonly MemoryReading[]> {
    if (this.#raw === null) await this.read();
    return this.#monitor.measure();
  }

  host(): Promise<HostMemory | null> {
    this.#hostReading ??= this.#readHost()
      .catch(() => null)
      .finally(() => {
        this.#hostReading = null;
      });
    return this.#hostReading;
  }

  launchMoved(launchId: LaunchId, phase: LaunchPhase, deviceIds: readonly DeviceId[]): void {
    this.#monitor.launchMoved(launchId, phase, deviceIds);
  }

  follow(listener: DeviceListener): void {
    this.#listener = listener;
    this.#monitor.follow();
  }

  close(): void {
    this.#listener = null;
    this.#monitor.close();
  }

  #readRaw(): Promise<RawInventory> {
    this.#reading ??= this.#source.read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  /** Another set of devices answers than before. A reading that fails changes nothing: the next one asks again. */
  async #reread(): Promise<void> {
    if (this.#clock.nowMs() - this.#lastRereadMs < REREAD_PAUSE_MS) return;
    this.#lastRereadMs = this.#clock.nowMs();
    const raw = await this.#readRaw().catch(() => null);
    if (raw?.complete !== true) return;
    this.#take(raw);
    this.#tell();
  }

  #take(raw: RawInventory): void {
    for (const { id, name } of this.#raw?.devices ?? []) this.#gone.set(id, name);
    for (const { id } of raw.devices) this.#gone.delete(id);
    this.#raw = raw;
    this.#monitor.setDevices(raw.devices, raw.uses);
  }

  #tell(): void {
    if (this.#raw === null || this.#listener === null) return;
    const inventory = this.#inventory(this.#raw);
    const text = JSON.stringify(inventory);
    if (text === this.#told) return;
    this.#told = text;
    this.#listener.inventory(inventory);
  }

  #inventory(raw: RawInventory | null): DeviceInventory {
    if (raw === null) return { devices: [], conditions: [], complete: false };
    const made = applyConfig(this.#config, raw);
    const gone = [...this.#gone].map(([id, name]) => ({
      code: 'device_gone',
      text: `The device ${id} (${name}) was there and does not answer any more: nothing can run on it until it is back.`,
    }));
    return { ...made, conditions: [...made.conditions, ...gone, ...this.#live] };
  }
}

function thisMachine(environment: Readonly<Record<string, string | undefined>>): Machine {
  return {
    host: { readFile: readOrNull, totalMemoryBytes: totalmem, freeMemoryBytes: freemem },
    runTool: createToolRunner(environment),
    streamTool: createToolStreamer(environment),
  };
}

function rawSource(
  { config, clock, openUtilityTool }: DeviceSourceOptions,
  ledger: () => Ledger,
  machine: Machine,
): RawSource {
  const { runTool: run, streamTool: stream } = machine;
  const tools = { run, stream };
  const nvidia = (): RawSource =>
    createNvidiaSource(config.nvidiaSmi, {
      ...(openUtilityTool === undefined ? tools : withFallback(tools, openUtilityTool)),
      clock,
      host: machine.host,
    });
  const host = (): RawSource => createHostSource(machine.host);
  const simulated = (): RawSource => createSimulatedSource(config, ledger);
  switch (config.source) {
    case 'nvidia':
      return nvidia();
    case 'amd':
      return createAmdSource(config.amdSmi, run);
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
  const chosen = (devices: readonly RawDevice[]): RawSource =>
    devices.some(({ source }) => source === 'nvidia') ? nvidia : host;
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
    memory: (devices, signal) => chosen(devices).memory(devices, signal),
    processes: (devices, signal) => chosen(devices).processes(devices, signal),
    stream: (devices, sink) => chosen(devices).stream(devices, sink),
  };
}

export function applyConfig(config: DevicesConfig, raw: RawInventory): DeviceInventory {
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
  const budgetMib = Math.floor(config.budgetFraction * usableMib);
  const spareMib = device.totalMib - Math.floor(config.budgetFraction * device.totalMib);
  return { ...device, budgetMib, spareMib, pool };
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
