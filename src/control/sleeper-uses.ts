/**
 * Sleepers that hold more of their devices than is reserved for them, from a reading and the scheduler's state. A sleep is
 * believed where the devices cannot be read at its end; the next reading that names processes shows what became of it. Pure.
 * Host memory says nothing: a sleeper's weights are there.
 */
import type { DeviceId, LaunchId, ModelName } from '../core/ids.ts';
import type { MemoryReading } from '../devices/device.ts';
import type { SchedulerState } from '../scheduler/state.ts';
import { SETTLE_LIMIT_MS } from './memory-settling.ts';

/** Less than this more is no matter: what a sleeper keeps breathes. */
const STEP_MIB = 256;

export interface SleeperUse {
  readonly launchId: LaunchId;
  readonly model: ModelName;
  /** On the device on which it holds most. */
  readonly usedMib: number;
}

/** `shared`: devices that are host memory. */
export function sleeperUses(
  state: SchedulerState,
  readings: readonly MemoryReading[],
  shared: ReadonlySet<DeviceId>,
  nowMs: number,
): SleeperUse[] {
  const found: SleeperUse[] = [];
  for (const { engine, policy } of state.models.values()) {
    // The reading may be older than its sleep.
    if (engine.kind !== 'asleep' || nowMs - engine.sinceMs < SETTLE_LIMIT_MS) continue;
    const { launchId, deviceIds, memoryMibPerDevice } = engine.reservation;
    let usedMib = 0;
    for (const id of deviceIds) {
      if (shared.has(id)) continue;
      const use = readings.find((reading) => reading.id === id)?.launches.get(launchId);
      if (use?.source === 'per_process') usedMib = Math.max(usedMib, use.usedMib);
    }
    if (usedMib > memoryMibPerDevice + STEP_MIB) found.push({ launchId, model: policy.name, usedMib });
  }
  return found;
}
