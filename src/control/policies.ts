/** The configuration and the devices as the scheduler sees them. */
import { createHash } from 'node:crypto';
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import type { DeviceId, ModelName } from '../core/ids.ts';
import type { Device } from '../devices/device.ts';
import type { Engine } from '../engines/engine.ts';
import type { ModelNeed } from '../scheduler/model-need.ts';
import type { DeviceBudget, ModelPolicy, SchedulingPolicy } from '../scheduler/model-policy.ts';
import { SLEEP_TIMEOUT_MS, WAKE_TIMEOUT_MS } from './engine-sleep.ts';
import { ROOM_LIMIT_MS } from './room.ts';

/** Between SIGTERM and SIGKILL of an engine: vLLM ends in under a second when nothing runs. */
const ENGINE_STOP_GRACE_MS = 10_000;
/** What readings of the devices and the warm-up add to the engine's own limits of sleeping and waking. */
const MOVE_SLACK_MS = 90_000;

export function modelPolicies(
  config: ResolvedConfig,
  engineOf: (model: ResolvedModel) => Engine,
  needOf: (name: ModelName) => ModelNeed | null,
): ModelPolicy[] {
  // An image comes first as well, also where there are no files.
  const hasImages = config.runtime.kind === 'docker';
  return [...config.models.values()].map((model) =>
    modelPolicy(model, engineOf(model), needOf(model.name), hasImages),
  );
}

function modelPolicy(
  model: ResolvedModel,
  engine: Engine,
  need: ModelNeed | null,
  hasImages: boolean,
): ModelPolicy {
  return {
    name: model.name,
    managed: model.url === null,
    pool: model.need.pool,
    need,
    alwaysOn: model.alwaysOn,
    inactivityTimeoutMs: model.inactivityTimeoutMs,
    minResidenceMs: model.minResidenceMs,
    loadTimeoutMs: model.loadTimeoutMs,
    fetchTimeoutMs: model.url === null && (hasImages || hasFiles(model)) ? model.downloadTimeoutMs : null,
    drainTimeoutMs: model.drainTimeoutMs,
    onDrainTimeout: model.onDrainTimeout,
    queueTimeoutMs: model.queueTimeoutMs,
    maxConcurrent: model.maxConcurrent,
    queueSize: model.queueSize,
    stopGraceMs: ENGINE_STOP_GRACE_MS,
    assumedStartMs: engine.capabilities.assumedStartMs,
    sleepTimeoutMs: SLEEP_TIMEOUT_MS + MOVE_SLACK_MS,
    wakeTimeoutMs:
      (model.sleep === 'level_2' ? model.loadTimeoutMs : WAKE_TIMEOUT_MS) + ROOM_LIMIT_MS + MOVE_SLACK_MS,
    signature: launchSignature(model),
  };
}

/** There are files to fetch; those of other engines are their own affair. */
export function hasFiles({ engine, fetch, repo, command, url }: ResolvedModel): boolean {
  return engine === 'vllm' && fetch && repo !== null && command === null && url === null;
}

/** Equal as long as a running engine still is what the configuration asks for. */
export function launchSignature(model: ResolvedModel): string {
  const launch = [
    model.engine,
    model.repo,
    model.image,
    model.command,
    model.servedName,
    model.need,
    model.environment,
    model.vllm,
    // Launched able to sleep, or not.
    model.sleep !== 'off',
    model.url === null ? null : [model.url.baseUrl, model.url.headers],
    // Absent where there are none, so that what was learned before adapters were known stays known.
    ...(Object.keys(model.adapters).length === 0 ? [] : [model.adapters]),
    // Only where it is on, so that engines of gateways that did not know it serve on.
    ...(model.responsesStore ? ['responses_store'] : []),
  ];
  return createHash('sha256').update(JSON.stringify(launch)).digest('hex').slice(0, 16);
}

/** `foreignMib` by device: what programs that are not ours use, where it is known. */
export function deviceBudgets(
  devices: readonly Device[],
  foreignMib: ReadonlyMap<DeviceId, number>,
): DeviceBudget[] {
  return devices.map(({ id, pool, totalMib, budgetMib, spareMib }) => ({
    id,
    pool,
    totalMib,
    budgetMib,
    spareMib,
    foreignMib: foreignMib.get(id) ?? 0,
  }));
}

export function schedulingPolicy(config: ResolvedConfig): SchedulingPolicy {
  return { switchShare: config.scheduling.switchShare, lingerMaxMs: config.scheduling.lingerMaxMs };
}
