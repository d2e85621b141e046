/** What engines at rest use of their devices and of the host, from a reading and the scheduler's state. Pure. */
import type { DeviceId, LaunchId, ModelName } from '../core/ids.ts';
import type { HostMemory, MemoryReading, UseSource } from '../devices/device.ts';
import type { SchedulerState } from '../scheduler/state.ts';

export interface RestingUse {
  readonly launchId: LaunchId;
  readonly model: ModelName;
  readonly signature: string;
  readonly deviceCount: number;
  /** On the device on which it uses most. */
  readonly usedMib: number;
  /** What is reserved for it on each device. */
  readonly reservedMib: number;
  readonly source: UseSource;
  readonly hostMib: number | null;
}

/** Of each awake engine whose use is known on all of its devices. */
export function restingUses(
  state: SchedulerState,
  readings: readonly MemoryReading[],
  host: HostMemory | null,
  /** Everybody takes and gives there all the time: the device's difference says nothing of one engine. */
  shared: ReadonlySet<DeviceId>,
): RestingUse[] {
  const found: RestingUse[] = [];
  for (const { engine, policy } of state.models.values()) {
    if (engine.kind !== 'awake') continue;
    const { launchId, deviceIds, signature } = engine.reservation;
    if (deviceIds.some((id) => shared.has(id))) continue;
    const uses = deviceIds.flatMap((id) => {
      const use = readings.find((reading) => reading.id === id)?.launches.get(launchId);
      return use === undefined ? [] : [use];
    });
    if (uses.length === 0 || uses.length < deviceIds.length) continue;
    const [largest] = uses.toSorted((a, b) => b.usedMib - a.usedMib);
    if (largest === undefined || largest.usedMib === 0) continue;
    const byDifference = uses.some(({ source }) => source === 'device_difference');
    found.push({
      launchId,
      model: policy.name,
      signature,
      deviceCount: deviceIds.length,
      usedMib: largest.usedMib,
      reservedMib: engine.reservation.memoryMibPerDevice,
      source: byDifference ? 'device_difference' : 'per_process',
      hostMib: host?.launches.get(launchId) ?? null,
    });
  }
  return found;
}

/** The host with what is known of sleepers beyond their processes: pinned memory does not always count as theirs. */
export function withSleepers(state: SchedulerState, host: HostMemory): HostMemory {
  const launches = new Map(host.launches);
  for (const { engine } of state.models.values()) {
    if (engine.kind !== 'asleep') continue;
    const { launchId } = engine.reservation;
    launches.set(launchId, Math.max(launches.get(launchId) ?? 0, engine.hostMib));
  }
  return { ...host, launches };
}

/** An engine falls asleep or wakes: weights are on their way into the host or out of it. */
export function movesInHost(state: SchedulerState): boolean {
  for (const { engine } of state.models.values())
    if (engine.kind === 'falling_asleep' || engine.kind === 'waking') return true;
  return false;
}
