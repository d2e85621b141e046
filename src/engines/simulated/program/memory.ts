/**
 * The engine's memory on its devices: vLLM's order of checks and allocations (vLLM's budget is a share of the total, checked
 * against what is free) upon the ledger, so that over-commitment fails here with the texts it fails with there.
 *
 * M1. All claims are held by the engine core's process: they outlive the API server, as VRAM does.
 * M2. A failed claim on a device leaves the ledger as it was. One on the host kills the process, as the kernel does.
 */
import { type Ledger, type LedgerDevice, openLedger } from '../ledger.ts';
import type { Faults } from './faults.ts';
import type { SimOptions } from './options.ts';

const MIB = 1024 * 1024;
const TITLE = 'VLLM::EngineCore';
const GIB_MIB = 1024;
/** What the KV cache is worth where there is no device to share. */
const KV_WITHOUT_DEVICE_MIB = 4096;
const WEIGHTS_SHARE = 0.75;
const RESIDUAL_SHARE = 0.125;
const RESIDUAL_MAX_MIB = 400;

/** A start that fails in vLLM's words. `where` says whose traceback shows it. */
export class StartError extends Error {
  readonly exception: string;
  readonly where: 'api' | 'core';

  constructor(exception: string, message: string, where: 'api' | 'core' = 'core') {
    super(message);
    this.exception = exception;
    this.where = where;
  }
}

/** Memory that could not be had after the start. */
export class OutOfMemory extends Error {}

export type SleepTag = 'weights' | 'kv_cache';
export const SLEEP_TAGS: readonly SleepTag[] = ['weights', 'kv_cache'];

export interface KvCache {
  readonly bytes: number;
  readonly tokens: number;
}

/** MiB of one device. */
export interface SleptMemory {
  readonly freedMib: number;
  readonly usedMib: number;
  /** Copied to the host. */
  readonly backedUpMib: number;
}

/** What the memory needs of the process that it belongs to. */
export interface MemoryOwner {
  /** Process id by which memory is held. */
  readonly pid: number;
  /** Ends the whole engine at once, with nothing logged: the host has no memory left. */
  kill(): never;
}

export interface DeviceMemory {
  /** Name in vLLM's logs: `GPU` with a ledger, else `CPU`. */
  readonly kind: 'GPU' | 'CPU';
  /** The check of free memory against the utilisation. */
  initialise(): void;
  /** Returns the MiB that the weights took. */
  loadWeights(): number;
  /** Free on the first device before anything was taken, in MiB. */
  freeAtStartMib(): number;
  /** What is left for the KV cache after profiling, in bytes of one device. */
  profile(): number;
  allocateKv(bytes: number): void;
  /** Takes what captured graphs and workspaces need. Returns their MiB; null: not simulated. */
  allocateRest(): number | null;
  /** Does sleeping free memory at all? */
  readonly frees: boolean;
  /** Frees everything that sleep frees, the weights with or without a copy on the host. */
  sleep(keepsWeights: boolean): SleptMemory;
  /** Takes memory back. Throws OutOfMemory. */
  wake(tags: readonly SleepTag[]): void;
}

/** Throws StartError where the devices that the options name are not there. */
export function createDeviceMemory(options: SimOptions, faults: Faults, owner: MemoryOwner): DeviceMemory {
  const directory = options.environment.ledgerDirectory;
  if (directory === null) return withoutDevices(options);
  const ledger = openLedger(directory);
  const visible = visibleDevices(ledger.devices, options.environment.visibleDevices);
  const wanted = options.tensorParallelSize;
  if (wanted > visible.length) {
    throw new StartError(
      'pydantic_core._pydantic_core.ValidationError',
      `1 validation error for ParallelConfig\n  Value error, World size (${wanted}) is larger than the number of available GPUs (${visible.length}) in this node. If this is intentional and you are using:\n- ray, set '--distributed-executor-backend ray'.\n- multiprocessing, set '--nnodes' appropriately.`,
      'api',
    );
  }
  return new LedgerMemory(options, faults, ledger, visible.slice(0, wanted), owner);
}

/** CUDA_VISIBLE_DEVICES: indices or ids in order, up to the first that is unknown; unset: all. */
export function visibleDevices(devices: readonly LedgerDevice[], variable: string | null): LedgerDevice[] {
  if (variable === null) return [...devices];
  const visible: LedgerDevice[] = [];
  for (const word of variable.split(',').map((part) => part.trim())) {
    const found = /^\d+$/.test(word) ? devices[Number(word)] : devices.find((device) => device.id === word);
    if (found === undefined || visible.includes(found)) break;
    visible.push(found);
  }
  return visible;
}

function withoutDevices(options: SimOptions): DeviceMemory {
  const weightsMib = options.sim.weightsMib ?? 512;
  return {
    kind: 'CPU',
    initialise: () => {},
    loadWeights: () => weightsMib,
    freeAtStartMib: () => 0,
    profile: () => options.kvCacheMemoryBytes ?? KV_WITHOUT_DEVICE_MIB * MIB,
    allocateKv: () => {},
    allocateRest: () => null,
    frees: options.enableSleepMode,
    sleep: () => ({ freedMib: 0, usedMib: 0, backedUpMib: 0 }),
    wake: () => {},
  };
}

class LedgerMemory implements DeviceMemory {
  readonly kind = 'GPU';
  readonly frees: boolean;
  readonly #options: SimOptions;
  readonly #ledger: Ledger;
  readonly #devices: readonly LedgerDevice[];
  readonly #owner: MemoryOwner;
  readonly #resident = new Set<SleepTag>();
  #freeAtStartMib: readonly number[] = [];
  /** Context, activations and graphs, as far as they are taken. */
  #overheadMib = 0;
  #weightsMib = 0;
  #kvMib = 0;

  constructor(
    options: SimOptions,
    faults: Faults,
    ledger: Ledger,
    devices: readonly LedgerDevice[],
    owner: MemoryOwner,
  ) {
    this.frees = options.enableSleepMode && !faults.sleepFreesNothing;
    this.#options = options;
    this.#ledger = ledger;
    this.#devices = devices;
    this.#owner = owner;
  }

  initialise(): void {
    this.#holdHost(0);
    this.#freeAtStartMib = this.#freeMib();
    this.#devices.forEach((device, index) => {
      const free = this.#freeAtStartMib[index] ?? 0;
      const requested = this.#requestedMib(device);
      if (free >= requested) return;
      throw new StartError(
        'ValueError',
        `Free memory on device cuda:${index} (${gib(free)}/${gib(device.totalMib)} GiB) on startup is less than desired GPU memory utilization (${this.#options.gpuMemoryUtilization}, ${gib(requested)} GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.`,
      );
    });
  }

  loadWeights(): number {
    const { overheadMib, weightsMib } = this.#options.sim;
    this.#overheadMib = Math.floor(overheadMib / 2);
    this.#holdOrFail(this.#overheadMib, this.#overheadMib);
    this.#weightsMib = weightsMib ?? Math.floor((this.#wantedMib() - overheadMib) * WEIGHTS_SHARE);
    this.#holdOrFail(this.#overheadMib + this.#weightsMib, this.#weightsMib);
    this.#resident.add('weights');
    return this.#weightsMib;
  }

  freeAtStartMib(): number {
    return this.#freeAtStartMib[0] ?? 0;
  }

  profile(): number {
    if (this.#options.kvCacheMemoryBytes !== null) return this.#options.kvCacheMemoryBytes;
    const free = this.#freeMib();
    const available = this.#devices.map((device, index) => {
      const before = this.#freeAtStartMib[index] ?? 0;
      const now = free[index] ?? 0;
      if (before < now) {
        throw new StartError(
          'AssertionError',
          `Error in memory profiling. Initial free memory ${gib(before)} GiB, current free memory ${gib(now)} GiB. This happens when other processes sharing the same container release GPU memory while vLLM is profiling during initialization. To fix this, ensure consistent GPU memory allocation or isolate vLLM in its own container.`,
        );
      }
      // Device-wide, so a neighbour's growth counts as ours and shrinks the cache, as it does in vLLM.
      return this.#requestedMib(device) - (before - now) - this.#restMib();
    });
    const { memoryMib } = this.#options.sim;
    const own =
      memoryMib === null
        ? Number.POSITIVE_INFINITY
        : memoryMib - this.#weightsMib - this.#options.sim.overheadMib;
    return Math.min(...available, own) * MIB;
  }

  allocateKv(bytes: number): void {
    this.#kvMib = Math.ceil(bytes / MIB);
    this.#holdOrFail(this.#wholeMib(), this.#kvMib);
    this.#resident.add('kv_cache');
  }

  allocateRest(): number | null {
    const restMib = this.#restMib();
    if (restMib === 0) return null;
    this.#overheadMib += restMib;
    this.#holdOrFail(this.#wholeMib(), restMib);
    return restMib;
  }

  sleep(keepsWeights: boolean): SleptMemory {
    const before = this.#usedNowMib();
    // Without the flag nothing lies in the allocator that can let go of memory.
    if (!this.frees) return { freedMib: 0, usedMib: before, backedUpMib: 0 };
    const backedUpMib = keepsWeights ? this.#weightsMib : 0;
    // Copied before it is freed: for a moment both are held.
    this.#holdHost(backedUpMib * this.#devices.length);
    this.#resident.clear();
    const usedMib = this.#usedNowMib();
    this.#hold(usedMib);
    return { freedMib: before - usedMib, usedMib, backedUpMib };
  }

  wake(tags: readonly SleepTag[]): void {
    if (!this.frees) return;
    const before = this.#usedNowMib();
    const added = tags.filter((tag) => !this.#resident.has(tag));
    for (const tag of added) this.#resident.add(tag);
    const wanted = this.#usedNowMib();
    const refused = this.#hold(wanted);
    if (refused === null) {
      if (this.#resident.has('weights')) this.#holdHost(0);
      return;
    }
    for (const tag of added) this.#resident.delete(tag);
    throw new OutOfMemory(outOfMemoryText(wanted - before, refused));
  }

  #freeMib(): number[] {
    const uses = this.#ledger.read();
    return this.#devices.map((device) => {
      const use = uses.find((candidate) => candidate.device.id === device.id);
      return device.totalMib - (use?.usedMib ?? 0);
    });
  }

  #requestedMib(device: LedgerDevice): number {
    return Math.ceil(device.totalMib * this.#options.gpuMemoryUtilization);
  }

  /** What a ready engine holds on each device. */
  #wantedMib(): number {
    const { memoryMib } = this.#options.sim;
    return memoryMib ?? Math.min(...this.#devices.map((device) => this.#requestedMib(device)));
  }

  #usedNowMib(): number {
    const whole = this.#wholeMib();
    if (this.#resident.size === SLEEP_TAGS.length) return whole;
    const pool = this.#weightsMib + this.#kvMib;
    const resident =
      (this.#resident.has('weights') ? this.#weightsMib : 0) +
      (this.#resident.has('kv_cache') ? this.#kvMib : 0);
    const residual =
      this.#options.sim.sleepResidualMib ?? Math.min(RESIDUAL_MAX_MIB, Math.floor(pool * RESIDUAL_SHARE));
    return Math.min(whole, resident + residual);
  }

  /** All that is held now, with everything resident. */
  #wholeMib(): number {
    return this.#overheadMib + this.#weightsMib + this.#kvMib;
  }

  /** The overhead that comes after the cache, or is still to come. */
  #restMib(): number {
    return this.#options.sim.overheadMib - this.#overheadMib;
  }

  #holdHost(copiesMib: number): void {
    const wantedMib = this.#options.sim.hostMib + copiesMib;
    const result = this.#ledger.claimHost(this.#owner.pid, TITLE, wantedMib);
    if (result.kind === 'refused') this.#owner.kill();
  }

  #hold(usedMib: number): OutOfMemoryDetail | null {
    const requests = this.#devices.map((device) => ({ deviceId: device.id, usedMib }));
    const result = this.#ledger.claim(this.#owner.pid, TITLE, requests);
    if (result.kind === 'claimed') return null;
    return {
      index: this.#devices.findIndex((device) => device.id === result.deviceId),
      totalMib: result.totalMib,
      freeMib: result.freeMib,
    };
  }

  #holdOrFail(usedMib: number, allocatingMib: number): void {
    const refused = this.#hold(usedMib);
    if (refused === null) return;
    throw new StartError('torch.OutOfMemoryError', outOfMemoryText(allocatingMib, refused));
  }
}

interface OutOfMemoryDetail {
  readonly index: number;
  readonly totalMib: number;
  readonly freeMib: number;
}

export function outOfMemoryText(wantedMib: number, detail: OutOfMemoryDetail): string {
  return `CUDA out of memory. Tried to allocate ${torchSize(wantedMib)}. GPU ${detail.index} has a total capacity of ${torchSize(detail.totalMib)} of which ${torchSize(detail.freeMib)} is free. Including non-PyTorch memory, this process has 0 bytes memory in use. Of the allocated memory 0 bytes is allocated by PyTorch, and 0 bytes is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)`;
}

function torchSize(mib: number): string {
  return mib >= GIB_MIB ? `${(mib / GIB_MIB).toFixed(2)} GiB` : `${mib.toFixed(2)} MiB`;
}

/** Python's `round(x, 2)` as text: 24 is `24.0`. */
export function gib(mib: number): string {
  const rounded = Math.round((mib / GIB_MIB) * 100) / 100;
  return Number.isInteger(rounded) ? `${rounded}.0` : String(rounded);
}

/** Checks of the KV cache against the model's length, in vLLM's words. Returns the cache and the length that fits. */
export function sizeKvCache(
  options: SimOptions,
  availableBytes: number,
): { kv: KvCache; maxModelLen: number } {
  if (availableBytes <= 0) {
    throw new StartError(
      'ValueError',
      'No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine (this flag also controls CPU memory reservation on the CPU backend, despite its name). See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.',
    );
  }
  const tokens = Math.floor(availableBytes / options.sim.kvBytesPerToken);
  const auto = options.maxModelLen === -1;
  const wanted = auto ? options.sim.modelLength : (options.maxModelLen ?? options.sim.modelLength);
  const kv = { bytes: availableBytes, tokens };
  if (tokens >= wanted) return { kv, maxModelLen: wanted };
  if (auto) return { kv, maxModelLen: tokens };
  throw new StartError(
    'ValueError',
    `To serve at least one request with the model's max seq len (${wanted}), (${gib((wanted * options.sim.kvBytesPerToken) / MIB)} GiB KV cache is needed, which is larger than the available KV cache memory (${gib(availableBytes / MIB)} GiB). Based on the available memory, the estimated maximum model length is ${tokens}. Try increasing \`gpu_memory_utilization\` (which also controls CPU memory on the CPU backend) or decreasing \`max_model_len\` when initializing the engine. See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.`,
  );
}
