/** GET /gateway/status: the original's keys and types (original.md section 2), and ours beside them under `models`. */
import type { ResolvedConfig } from '../config/resolved-config.ts';
import type { Clock } from '../core/clock.ts';
import type { LaunchId } from '../core/ids.ts';
import { DEATH_WINDOW_MS } from '../core/limits.ts';
import type { Device, DeviceCondition, HostMemory, MemoryReading } from '../devices/device.ts';
import { type EngineState, type FetchingState, reservationOf } from '../scheduler/engine-state.ts';
import { type Explanation, explainAll } from '../scheduler/explanation.ts';
import type { ModelState, SchedulerState } from '../scheduler/state.ts';
import type { RememberedDecision } from './decision-history.ts';
import { decisionView, explanationView, whyText } from './explanation-view.ts';
import type { SizingReport } from './sizer-ports.ts';

export interface StatusInput {
  readonly state: SchedulerState;
  readonly config: ResolvedConfig;
  readonly devices: readonly Device[];
  readonly conditions: readonly DeviceCondition[];
  readonly memory: readonly MemoryReading[];
  readonly host: HostMemory | null;
  readonly sizes: readonly SizingReport[];
  readonly remedyOf: (model: string) => string | null;
  /** The latest first. */
  readonly decisionsOf: (model: string) => readonly RememberedDecision[];
  /** Name of the container of a launch, where engines run in containers. */
  readonly containerOf: (launchId: LaunchId) => string | null;
  readonly clock: Clock;
  readonly version: string;
}

type Explanations = ReadonlyMap<string, Explanation>;

export function gatewayStatus(input: StatusInput): object {
  const { state, config } = input;
  const devices = managedDevices(input);
  const models = [...state.models.values()];
  const explanations = explainAll(state, input.clock.nowMs());
  // Measured where it was; else what is reserved for it now, as the original shows.
  const footprints = models.flatMap((model) => {
    const size = input.sizes.find(({ model: name }) => name === model.policy.name);
    const learnedMib = size?.source === 'learned' ? size.memoryMibPerDevice : null;
    const mib = learnedMib ?? reservationOf(model.engine)?.memoryMibPerDevice ?? null;
    return mib === null ? [] : [[model.policy.name, mib]];
  });
  return {
    total_gpu_vram_mib: devices.reduce((sum, device) => sum + device.totalMib, 0),
    placement_mode: config.scheduling.placementMode,
    gpu_budget_fraction: config.devices.budgetFraction,
    pools: poolsOf(devices),
    gpus: Object.fromEntries(devices.map((device) => [device.id, gpuStatus(input, device)])),
    known_footprints_mib: Object.fromEntries(footprints),
    active_containers: Object.fromEntries(
      models
        .filter((model) => reservationOf(model.engine) !== null)
        .map((model) => [model.policy.name, containerStatus(input, model, explanations)]),
    ),
    queue_status: Object.fromEntries(models.map((model) => [model.policy.name, queueStatus(model)])),
    version: input.version,
    conditions: input.conditions,
    host_memory:
      input.host === null
        ? null
        : {
            total_mib: input.host.totalMib,
            used_mib: input.host.usedMib,
            budget_mib: state.hostBudgetMib,
          },
    models: Object.fromEntries(
      models.map((model) => [model.policy.name, modelStatus(input, model, explanations)]),
    ),
  };
}

/** Where pools are configured, a device outside of them is not ours: no model can be placed on it. */
function managedDevices({ config, devices }: StatusInput): readonly Device[] {
  return config.devices.pools.size === 0 ? devices : devices.filter((device) => device.pool !== null);
}

function poolsOf(devices: readonly Device[]): Record<string, string[]> {
  const pools: Record<string, string[]> = {};
  for (const device of devices) {
    const pool = device.pool ?? 'default';
    pools[pool] = [...(pools[pool] ?? []), device.id];
  }
  return pools;
}

function gpuStatus({ state, memory, config }: StatusInput, device: Device): object {
  const residents = [...state.models.values()].filter((model) =>
    reservationOf(model.engine)?.deviceIds.includes(device.id),
  );
  const reservedMib = residents.reduce(
    (sum, model) => sum + (reservationOf(model.engine)?.memoryMibPerDevice ?? 0),
    0,
  );
  const reading = memory.find(({ id }) => id === device.id);
  return {
    pool: device.pool ?? 'default',
    total_mib: device.totalMib,
    used_mib: reading?.usedMib ?? 0,
    reserved_mib: reservedMib,
    budget_mib: config.scheduling.placementMode === 'budget' ? device.budgetMib : null,
    residents: residents.map((model) => model.policy.name),
    foreign_mib: reading?.foreignMib ?? null,
    foreign_source: reading?.foreignSource ?? null,
  };
}

function containerStatus(input: StatusInput, model: ModelState, explanations: Explanations): object {
  const { config, devices, clock } = input;
  const explanation = explanations.get(model.policy.name);
  const reservation = reservationOf(model.engine);
  const container = reservation === null ? null : input.containerOf(reservation.launchId);
  const deviceIds = reservation?.deviceIds ?? [];
  const reservedMib = reservation?.memoryMibPerDevice ?? 0;
  const totalMib = devices.find((device) => device.id === deviceIds[0])?.totalMib ?? 0;
  // The original shows the time of its start where nothing was asked yet.
  const lastUseMs =
    model.lastServedMs ?? (model.engine.kind === 'awake' ? model.engine.lastUseMs : clock.nowMs());
  return {
    model_id: config.models.get(model.policy.name)?.repo ?? model.policy.name,
    // The original's clients know engines by these names, also where they are processes.
    container_name: container ?? `${config.runtime.docker.containerPrefix}_${model.policy.name}`,
    status: model.engine.kind === 'awake' ? 'running' : model.engine.kind,
    gpu_uuids: deviceIds,
    active_requests: model.running.size,
    last_request_time: (clock.wallMs() - (clock.nowMs() - lastUseMs)) / 1000,
    reserved_mib: reservedMib * deviceIds.length,
    vram_footprint: reservedMib,
    effective_util: totalMib === 0 ? 0 : Math.round((reservedMib / totalMib) * 1000) / 1000,
    ready_in_seconds: secondsOf(explanation?.readyInMs ?? null),
    why: explanation === undefined ? '' : whyText(explanation, clock),
  };
}

function queueStatus(model: ModelState): object {
  return {
    queue_depth: model.queue.size,
    max_concurrent: model.policy.maxConcurrent,
    max_queue_size: model.policy.queueSize,
  };
}

function secondsOf(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms) / 1000;
}

/** What it takes on each device, from what it is reckoned, and how that is known. */
function memoryStatus(size: SizingReport): object {
  return {
    devices: size.deviceCount,
    per_device_mib: size.memoryMibPerDevice,
    source: size.source,
    why: size.why,
    never_fits: size.neverFits,
    kv_cache_mib: size.kvCacheBytes === null ? null : Math.round(size.kvCacheBytes / (1024 * 1024)),
    weights_mib: size.parts?.weightsMib ?? null,
    overhead_mib: size.parts?.overheadMib ?? null,
    facts: size.factsOrigin,
  };
}

function modelStatus(
  { clock, sizes, remedyOf, decisionsOf }: StatusInput,
  model: ModelState,
  explanations: Explanations,
): object {
  const { engine } = model;
  const size = sizes.find(({ model: name }) => name === model.policy.name);
  const explanation = explanations.get(model.policy.name);
  return {
    state: engine.kind,
    ...(explanation === undefined ? {} : explained(explanation, clock)),
    waiting: model.queue.size,
    running: model.running.size,
    context_length: model.contextLength,
    start_seconds: secondsOf(model.startMs),
    stop_seconds: secondsOf(model.stopMs),
    sleep_seconds: secondsOf(model.sleepMs),
    wake_seconds: secondsOf(model.wakeMs),
    sleep_level: model.need?.sleepLevel ?? null,
    host_mib: engine.kind === 'asleep' ? engine.hostMib : null,
    fetch: engine.kind === 'fetching' ? fetchStatus(engine) : null,
    memory: size === undefined ? null : memoryStatus(size),
    remedy: remedyOf(model.policy.name),
    deaths_in_window: model.deathsMs.filter((atMs) => atMs > clock.nowMs() - DEATH_WINDOW_MS).length,
    failure: failureOf(engine),
    last_decisions: decisionsOf(model.policy.name).map(decisionView),
  };
}

function explained(explanation: Explanation, clock: Clock): object {
  return {
    phase: explanation.phase,
    percent: explanation.percent,
    why: whyText(explanation, clock),
    ready_in_seconds: secondsOf(explanation.readyInMs),
    estimate_basis: explanation.basis,
    explanation: explanationView(explanation, clock),
  };
}

function fetchStatus({ bytesDone, bytesTotal }: FetchingState): object {
  return { bytes_done: bytesDone, bytes_total: bytesTotal };
}

/** Also of a failed engine of which something is still being ended. */
function failureOf(engine: EngineState): string | null {
  const state = engine.kind === 'stopping' ? engine.next : engine;
  return state.kind === 'failed' || state.kind === 'cold' ? (state.failure?.text ?? null) : null;
}
