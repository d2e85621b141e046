/** The configuration and the devices as the scheduler sees them. */
import { createHash } from 'node:crypto';
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import type { DeviceId } from '../core/ids.ts';
import type { Device } from '../devices/device.ts';
import type { Engine } from '../engines/engine.ts';
import type { DeviceBudget, ModelPolicy, SchedulingPolicy } from '../scheduler/model-policy.ts';

/** Between SIGTERM and SIGKILL of an engine: vLLM ends in under a second when nothing runs. */
const ENGINE_STOP_GRACE_MS = 10_000;

export function modelPolicies(
  config: ResolvedConfig,
  engineOf: (model: ResolvedModel) => Engine,
): ModelPolicy[] {
  return [...config.models.values()].map((model) => modelPolicy(model, engineOf(model)));
}

function modelPolicy(model: ResolvedModel, engine: Engine): ModelPolicy {
  return {
    name: model.name,
    managed: model.url === null,
    deviceCount: model.need.deviceCount,
    pool: model.need.pool,
    memoryMibPerDevice: model.need.memoryMibPerDevice,
    alwaysOn: model.alwaysOn,
    inactivityTimeoutMs: model.inactivityTimeoutMs,
    minResidenceMs: model.minResidenceMs,
    loadTimeoutMs: model.loadTimeoutMs,
    drainTimeoutMs: model.drainTimeoutMs,
    onDrainTimeout: 'cut',
    queueTimeoutMs: model.queueTimeoutMs,
    maxConcurrent: model.maxConcurrent,
    queueSize: model.queueSize,
    stopGraceMs: ENGINE_STOP_GRACE_MS,
    assumedStartMs: engine.capabilities.assumedStartMs,
    signature: launchSignature(model),
  };
}

/** Equal as long as a running engine still is what the configuration asks for. */
export function launchSignature(model: ResolvedModel): string {
  const launch = [
    model.engine,
    model.repo,
    model.command,
    model.servedName,
    model.need,
    model.environment,
    model.vllm,
    model.url === null ? null : [model.url.baseUrl, model.url.headers],
  ];
  return createHash('sha256').update(JSON.stringify(launch)).digest('hex').slice(0, 16);
}

/** `foreignMib` by device: what programs that are not ours use, where it is known. */
export function deviceBudgets(
  devices: readonly Device[],
  foreignMib: ReadonlyMap<DeviceId, number>,
): DeviceBudget[] {
  return devices.map(({ id, pool, totalMib, budgetMib }) => ({
    id,
    pool,
    totalMib,
    budgetMib,
    foreignMib: foreignMib.get(id) ?? 0,
  }));
}

export function schedulingPolicy(config: ResolvedConfig): SchedulingPolicy {
  return { switchShare: config.scheduling.switchShare, lingerMaxMs: config.scheduling.lingerMaxMs };
}
