/**
 * The engine's memory on its devices: vLLM's order of checks and allocations (vLLM's budget is a share of the total, checked
 * against what is free) upon the ledger, so that over-commitment fails here with the texts it fails with there.
 *
 * M1. All claims are held by the engine core's process: they outlive the API server, as VRAM does.
 * M2. A failed claim leaves the ledger as it was.
 */
import { type Ledger, type LedgerDevice, openLedger } from '../ledger.ts';
import type { SimOptions } from './options.ts';

const MIB = 1024 * 1024;
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

export interface DeviceMemory {
  /** Name in vLLM's logs: `GPU` with a ledger, else `CPU`. */
  readonly kind: 'GPU' | 'CPU';
  /** The check of free memory against the utilisation. */
  initialise(): void;
  /** Returns the MiB that the weights took. */
  loadWeights(): number;
  /** What is left for the KV cache after profiling, in bytes of one device. */
  profile(): number;
  allocateKv(bytes: number): void;
  /** Frees everything that sleep frees. Returns freed and remaining MiB of one device. */
  sleep(): { readonly freedMib: number; readonly usedMib: number };
  /** Takes memory back. Throws OutOfMemory. */
  wake(tags: readonly SleepTag[]): void;
  release(): void;
}

/** Throws StartError where the devices that the options name are not there. */
export function createDeviceMemory(options: SimOptions, holder: () => number): DeviceMemory {
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
  return onDevices(options, ledger, visible.slice(0, wanted), holder);
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
    profile: () => options.kvCacheMemoryBytes ?? KV_WITHOUT_DEVICE_MIB * MIB,
    allocateKv: () => {},
    sleep: () => ({ freedMib: 0, usedMib: 0 }),
    wake: () => {},
    release: () => {},
  };
}

function onDevices(
  options: SimOptions,
  ledger: Ledger,
  devices: readonly LedgerDevice[],
  holder: () => number,
): DeviceMemory {
  const { sim } = options;
  let freeAtStartMib: readonly number[] = [];
  let weightsMib = 0;
  let kvMib = 0;
  const resident = new Set<SleepTag>();
  const freeMib = (): number[] => {
    const uses = ledger.read();
    return devices.map((device) => {
      const use = uses.find((candidate) => candidate.device.id === device.id);
      return device.totalMib - (use?.usedMib ?? 0);
    });
  };
  const requestedMib = (device: LedgerDevice): number =>
    Math.ceil(device.totalMib * options.gpuMemoryUtilization);
  const hold = (usedMib: number): OutOfMemoryDetail | null => {
    const requests = devices.map((device) => ({ deviceId: device.id, usedMib }));
    const result = ledger.claim(holder(), 'VLLM::EngineCore', requests);
    if (result.kind === 'claimed') return null;
    return {
      index: devices.findIndex((device) => device.id === result.deviceId),
      totalMib: result.totalMib,
      freeMib: result.freeMib,
    };
  };
  const residualMib = (): number =>
    sim.sleepResidualMib ?? Math.min(RESIDUAL_MAX_MIB, Math.floor((weightsMib + kvMib) * RESIDUAL_SHARE));
  const usedNow = (): number => {
    const parts = (resident.has('weights') ? weightsMib : 0) + (resident.has('kv_cache') ? kvMib : 0);
    return resident.size === SLEEP_TAGS.length ? parts : Math.min(weightsMib + kvMib, parts + residualMib());
  };
  return {
    kind: 'GPU',
    initialise() {
      freeAtStartMib = freeMib();
      devices.forEach((device, index) => {
        const free = freeAtStartMib[index] ?? 0;
        if (free >= requestedMib(device)) return;
        throw new StartError(
          'ValueError',
          `Free memory on device cuda:${index} (${gib(free)}/${gib(device.totalMib)} GiB) on startup is less than desired GPU memory utilization (${options.gpuMemoryUtilization}, ${gib(requestedMib(device))} GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.`,
        );
      });
    },
    loadWeights() {
      weightsMib = sim.weightsMib ?? Math.floor(wantedMib(options, devices) * WEIGHTS_SHARE);
      const refused = hold(weightsMib);
      if (refused !== null)
        throw new StartError('torch.OutOfMemoryError', outOfMemoryText(weightsMib, refused));
      resident.add('weights');
      return weightsMib;
    },
    profile() {
      if (options.kvCacheMemoryBytes !== null) return options.kvCacheMemoryBytes;
      const free = freeMib();
      const available = devices.map((device, index) => {
        const before = freeAtStartMib[index] ?? 0;
        const now = free[index] ?? 0;
        if (before < now) {
          throw new StartError(
            'AssertionError',
            `Error in memory profiling. Initial free memory ${gib(before)} GiB, current free memory ${gib(now)} GiB. This happens when other processes sharing the same container release GPU memory while vLLM is profiling during initialization. To fix this, ensure consistent GPU memory allocation or isolate vLLM in its own container.`,
          );
        }
        // Device-wide, so a neighbour's growth counts as ours and shrinks the cache, as it does in vLLM.
        return requestedMib(device) - (before - now);
      });
      const wanted = wantedMib(options, devices) - weightsMib;
      return Math.min(...available, sim.memoryMib === null ? Number.POSITIVE_INFINITY : wanted) * MIB;
    },
    allocateKv(bytes) {
      kvMib = Math.ceil(bytes / MIB);
      const refused = hold(weightsMib + kvMib);
      if (refused !== null) throw new StartError('torch.OutOfMemoryError', outOfMemoryText(kvMib, refused));
      resident.add('kv_cache');
    },
    sleep() {
      const before = usedNow();
      // Without the flag nothing lies in the allocator that can let go of memory.
      if (!options.enableSleepMode) return { freedMib: 0, usedMib: before };
      resident.clear();
      hold(usedNow());
      return { freedMib: before - usedNow(), usedMib: usedNow() };
    },
    wake(tags) {
      if (!options.enableSleepMode) return;
      const before = usedNow();
      const added = tags.filter((tag) => !resident.has(tag));
      for (const tag of added) resident.add(tag);
      const refused = hold(usedNow());
      if (refused === null) return;
      const wanted = usedNow() - before;
      for (const tag of added) resident.delete(tag);
      throw new OutOfMemory(outOfMemoryText(wanted, refused));
    },
    release: () => ledger.release(holder()),
  };
}

/** What a ready engine holds on each device. */
function wantedMib(options: SimOptions, devices: readonly LedgerDevice[]): number {
  if (options.sim.memoryMib !== null) return options.sim.memoryMib;
  const smallest = Math.min(...devices.map((device) => device.totalMib));
  return Math.ceil(smallest * options.gpuMemoryUtilization);
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
