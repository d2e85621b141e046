/**
 * Follows the devices and the host for the control loop: reads them until it succeeds, then tells what changes. Coarse
 * where every breath would cost an engine.
 */
import type { ResolvedConfig } from '../config/resolved-config.ts';
import type { ControlLoop } from '../control/control-loop.ts';
import type { Clock } from '../core/clock.ts';
import type { DeviceId } from '../core/ids.ts';
import type { DeviceInventory, DeviceSource, HostMemory, MemoryReading } from '../devices/device.ts';
import type { Log } from '../telemetry/log.ts';
import { untilAborted } from './until-aborted.ts';

/** Pause after a reading of the devices that failed; it doubles up to the maximum. */
const DEVICES_RETRY_MS = 1_000;
const DEVICES_RETRY_MS_MAX = 30_000;
/** Changes of foreign memory below this are not heeded. */
const FOREIGN_STEP_MIB = 256;
/** The host's processes are not counted more often than this. */
const HOST_PERIOD_MS = 2_000;

export interface WatchPorts {
  readonly config: ResolvedConfig;
  readonly devices: DeviceSource;
  readonly control: ControlLoop;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborts when the gateway ends. */
  readonly ending: AbortSignal;
}

export class DeviceWatch {
  readonly #ports: WatchPorts;
  inventory: DeviceInventory = { devices: [], conditions: [], complete: false };
  memory: readonly MemoryReading[] = [];
  host: HostMemory | null = null;
  /** As the scheduler was told last. */
  readonly #foreignMib = new Map<DeviceId, number>();
  #following = false;
  #hostReadMs = Number.NEGATIVE_INFINITY;

  constructor(ports: WatchPorts) {
    this.#ports = ports;
  }

  /** The devices are read and engines of an earlier gateway taken over. */
  get isFollowing(): boolean {
    return this.#following;
  }

  /** Reads the devices, again and again until it succeeds or the gateway ends; then adopts and follows. Never rejects. */
  async open(): Promise<void> {
    const { control, log, ending, devices } = this.#ports;
    const isRead = await this.#untilDone('the devices could not be read', () => this.#readOnce());
    if (!isRead) {
      log(
        'warn',
        'the gateway ends before its devices were read: engines of an earlier one are as they were',
      );
      return;
    }
    this.#logDevices();
    let adopted = 0;
    const isAdopted = await this.#untilDone(
      'engines of an earlier gateway could not be looked for',
      async () => {
        try {
          adopted = await control.adopt(this.inventory.devices, ending);
          return true;
        } catch (error) {
          log('error', String(error));
          return false;
        }
      },
    );
    if (!isAdopted) return;
    if (adopted > 0) log('info', `${adopted} engine(s) of an earlier gateway serve on`);
    this.#following = !ending.aborted;
    devices.follow({
      memory: (readings) => this.#memoryRead(readings),
      inventory: (inventory) => this.#inventoryChanged(inventory),
    });
  }

  /** Again and again, with growing pauses. False: the gateway ends. */
  async #untilDone(problem: string, action: () => Promise<boolean>): Promise<boolean> {
    const { log, ending } = this.#ports;
    for (let retryMs = DEVICES_RETRY_MS; ; retryMs = Math.min(2 * retryMs, DEVICES_RETRY_MS_MAX)) {
      if (ending.aborted) return false;
      if (await action()) return true;
      log('error', `${problem}; trying again in ${retryMs / 1000} s`);
      await untilAborted(retryMs, ending);
    }
  }

  /** Says what there is to share, and warns where engines for GPUs would run on the host's memory unasked. */
  #logDevices(): void {
    const { config, log } = this.#ports;
    for (const { id, name, totalMib, budgetMib } of this.inventory.devices) {
      log('info', `device ${id}: ${name}, ${totalMib} MiB, of which ${budgetMib} MiB may be reserved`);
    }
    const onHost = this.inventory.devices.some(({ source }) => source === 'host');
    const vllm = [...config.models.values()].some(({ engine }) => engine === 'vllm');
    if (!onHost || !vllm || config.devices.source !== 'auto') return;
    log(
      'warn',
      "no GPU was found, so vLLM will run on the host's memory; if there is a GPU, nvidia-smi must be on the PATH of the gateway, or in a container in the image that runtime.docker.utility_image names, with NVIDIA's container toolkit on Docker's host; if this is meant, set devices.source to host",
    );
  }

  #inventoryChanged(inventory: DeviceInventory): void {
    const told = new Set(this.inventory.conditions.map(({ text }) => text));
    this.inventory = inventory;
    for (const { code, text } of inventory.conditions) {
      if (!told.has(text)) this.#ports.log('warn', text, { condition: code });
    }
    if (this.#following && inventory.complete) {
      this.#ports.control.devicesChanged(inventory.devices, this.#foreignMib);
    }
  }

  #memoryRead(readings: readonly MemoryReading[]): void {
    const { ending, control, clock } = this.#ports;
    this.memory = readings;
    if (ending.aborted) return;
    this.#heedForeignMemory(readings);
    control.memoryRead(readings, this.host);
    if (clock.nowMs() - this.#hostReadMs >= HOST_PERIOD_MS) void this.#readHost();
  }

  async #readHost(): Promise<void> {
    const { clock, control, devices, ending } = this.#ports;
    this.#hostReadMs = clock.nowMs();
    this.host = await devices.host();
    if (!ending.aborted) control.memoryRead(this.memory, this.host);
  }

  /**
   * Tells the scheduler what foreign programs leave, in coarse steps (their every breath must not cost an engine), and
   * only where the driver names the processes: a mere difference of the device could be our own engines' growth.
   */
  #heedForeignMemory(readings: readonly MemoryReading[]): void {
    let changed = false;
    for (const { id, foreignMib, foreignSource } of readings) {
      const known = this.#foreignMib.get(id) ?? 0;
      if (foreignMib === null || foreignSource !== 'per_process') continue;
      if (Math.abs(foreignMib - known) < FOREIGN_STEP_MIB) continue;
      this.#foreignMib.set(id, foreignMib);
      changed = true;
    }
    if (changed) this.#ports.control.devicesChanged(this.inventory.devices, this.#foreignMib);
  }

  async #readOnce(): Promise<boolean> {
    const { config, devices, log } = this.#ports;
    let inventory: DeviceInventory;
    try {
      inventory = await devices.read();
    } catch (error) {
      log('error', `reading the devices failed: ${String(error)}`);
      return false;
    }
    this.#inventoryChanged(inventory);
    // Servers that others run need no device: with nothing else configured there is nothing to wait for.
    const needsDevices = [...config.models.values()].some((model) => model.need.deviceCount > 0);
    return inventory.complete || !needsDevices;
  }
}
