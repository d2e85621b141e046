/**
 * Putting one engine to sleep and waking it, with what the devices and the host say of it. Nothing here decides; every
 * step has a time limit, and whatever is not sure to have gone well is told as failed.
 */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { Clock } from '../core/clock.ts';
import type { DeviceId, LaunchId } from '../core/ids.ts';
import type { HostMemory, MemoryReading } from '../devices/device.ts';
import type { Engine, EngineHttp, SleepLevel } from '../engines/engine.ts';
import { settledUse, sleepFreed } from './memory-settling.ts';
import { type RoomWant, untilRoom } from './room.ts';

/** The published times are below 6 s for the largest models (scheduling.md section 4). */
export const SLEEP_TIMEOUT_MS = 60_000;
/** From level 1 the weights come from host memory; from level 2 they are read like at a start, for which `load_timeout` stands. */
export const WAKE_TIMEOUT_MS = 120_000;
const WARM_UP_TIMEOUT_MS = 60_000;
/** A sleep that frees no larger share of what the engine held has not happened. */
const FREED_SHARE_MIN = 0.1;
/** So long it may take until a device shows that anything was freed. */
const FREED_LIMIT_MS = 1_000;
const FREED_PAUSE_MS = 100;

export interface SleepPorts {
  readonly clock: Clock;
  readonly engine: Engine;
  readonly http: EngineHttp;
  readonly model: ResolvedModel;
  readonly launchId: LaunchId;
  readonly deviceIds: readonly DeviceId[];
  readonly readMemory: () => Promise<readonly MemoryReading[]>;
  readonly readHost: () => Promise<HostMemory | null>;
  /** Aborts when the launch ends. */
  readonly signal: AbortSignal;
}

export type Slept =
  | { readonly kind: 'asleep'; readonly residueMib: number | null; readonly hostMib: number | null }
  | { readonly kind: 'failed'; readonly detail: string };

export type Woken =
  | { readonly kind: 'awake' }
  | { readonly kind: 'failed'; readonly detail: string }
  /** It was not asked to wake: its devices have only so much. */
  | { readonly kind: 'no_room'; readonly freeMib: ReadonlyMap<DeviceId, number> };

/**
 * Only with nothing in flight. Never rejects. `resumedMib`: an earlier gateway asked it already and had reserved so much on
 * each device, so that its memory may be free by now, and no difference proves anything.
 */
export async function putToSleep(
  ports: SleepPorts,
  level: SleepLevel,
  resumedMib: number | null = null,
): Promise<Slept> {
  const { engine, http, readMemory, readHost, signal } = ports;
  const [before, hostBefore] = await Promise.all([readMemory(), readHost()]);
  const result = await engine.sleep(http, { level, timeoutMs: SLEEP_TIMEOUT_MS, signal });
  if (result.kind === 'failed') return result;
  const { after, fault } =
    resumedMib === null ? await afterSleep(ports, before) : await afterResumed(ports, resumedMib);
  const hostAfter = await readHost();
  if (fault !== null) return { kind: 'failed', detail: fault };
  return {
    kind: 'asleep',
    residueMib: largestUse(ports, after),
    hostMib: resumedMib !== null ? null : hostUse(ports.launchId, hostBefore, hostAfter),
  };
}

/** `wants`: what its devices must show free. Never rejects. */
export async function wakeUp(
  ports: SleepPorts,
  level: SleepLevel,
  wants: readonly RoomWant[],
): Promise<Woken> {
  const { clock, engine, http, model, readMemory, signal } = ports;
  const room = await untilRoom(readMemory, wants, clock);
  if (room.kind === 'short') return { kind: 'no_room', freeMib: room.freeMib };
  const timeoutMs = level === 1 ? WAKE_TIMEOUT_MS : model.loadTimeoutMs;
  const result = await engine.wake(http, { level, timeoutMs, signal });
  if (result.kind === 'failed') return result;
  if (model.warmUp) {
    const warm = await engine.warmUp(http, model, { timeoutMs: WARM_UP_TIMEOUT_MS, signal });
    if (warm.kind === 'failed') return { kind: 'failed', detail: `after waking: ${warm.detail}` };
  }
  return { kind: 'awake' };
}

/** Where the driver names processes, an engine that still holds what was reserved for it does not sleep. */
async function afterResumed(ports: SleepPorts, reservedMib: number): Promise<AfterSleep> {
  const { clock, deviceIds, readMemory } = ports;
  const { readings: after } = await settledUse(readMemory, deviceIds, clock);
  const heldMib = largestUse(ports, after);
  const freesLittle = heldMib !== null && heldMib > (1 - FREED_SHARE_MIN) * reservedMib;
  const fault = freesLittle
    ? `it says that it sleeps, and still holds ${heldMib} of ${reservedMib} MiB`
    : null;
  return { after, fault };
}

interface AfterSleep {
  readonly after: readonly MemoryReading[];
  readonly fault: string | null;
}

/** A driver may free late, and a figure that does not fall yet looks settled: it is looked at again before it condemns. */
async function afterSleep(ports: SleepPorts, before: readonly MemoryReading[]): Promise<AfterSleep> {
  const { clock, deviceIds, readMemory } = ports;
  const deadlineMs = clock.nowMs() + FREED_LIMIT_MS;
  for (;;) {
    const { readings: after } = await settledUse(readMemory, deviceIds, clock);
    const fault = freedFault(ports, before, after);
    if (fault === null || clock.nowMs() >= deadlineMs) return { after, fault };
    await new Promise<void>((resolve) => clock.setTimer(clock.nowMs() + FREED_PAUSE_MS, resolve));
  }
}

/**
 * vLLM answers 200 to a sleep that frees nothing (vllm.md section 2), so the devices have the last word. Null: it freed
 * memory, or nobody can tell.
 */
function freedFault(
  { launchId, deviceIds }: SleepPorts,
  before: readonly MemoryReading[],
  after: readonly MemoryReading[],
): string | null {
  const freedMib = sleepFreed({ launchId, deviceIds, before, after });
  const uses = deviceIds.map((id) => before.find((reading) => reading.id === id)?.launches.get(launchId));
  const heldMib = uses.reduce((sum, use) => sum + (use?.usedMib ?? 0), 0);
  if (freedMib === null || heldMib === 0 || freedMib >= FREED_SHARE_MIN * heldMib) return null;
  return `it says that it sleeps, and freed only ${freedMib} of ${heldMib} MiB on ${deviceIds.join(', ')}`;
}

/** What it still holds on the device on which it holds most; null where the driver does not name its processes. */
function largestUse({ launchId, deviceIds }: SleepPorts, after: readonly MemoryReading[]): number | null {
  const uses = deviceIds.map((id) => {
    const use = after.find((reading) => reading.id === id)?.launches.get(launchId);
    return use?.source === 'per_process' ? use.usedMib : null;
  });
  return uses.length === 0 || uses.some((use) => use === null)
    ? null
    : Math.max(...uses.map((use) => use ?? 0));
}

/** Pinned memory may not count as its processes': what the sleep took of the host counts too. */
function hostUse(launchId: LaunchId, before: HostMemory | null, after: HostMemory | null): number | null {
  const shownMib = after?.launches.get(launchId) ?? null;
  if (before === null || after === null || shownMib === null) return shownMib;
  const earlierMib = before.launches.get(launchId);
  if (earlierMib === undefined) return shownMib;
  return Math.max(shownMib, earlierMib + after.usedMib - before.usedMib);
}
