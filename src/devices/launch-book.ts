/**
 * What we know of our own launches on the devices: which of them move, and what each one took by the devices' own
 * figures. Pure: figures come in as arguments.
 *
 *  B1. A difference is made of a reading before the move and one that began after it; it is null (unknown) when another
 *      launch moved on a device of it meanwhile, because the two cannot be told apart.
 *  B2. A launch counts as moving until a reading that began after its move has been booked.
 *  B3. When the next move on a device begins before that, the latest reading then ends the one's difference and begins
 *      the other's: the two add up to what the device shows. Who wants them exact reads before telling the end of a move.
 */
import type { DeviceId, LaunchId } from '../core/ids.ts';
import type { LaunchPhase } from './device.ts';
import type { RawUses } from './raw-device.ts';

/** A launch as one device sees it. */
export interface LaunchOnDevice {
  readonly launchId: LaunchId;
  readonly moving: boolean;
  /** What it took here by the device's figures; null: unknown. */
  readonly differenceMib: number | null;
}

interface Entry {
  readonly deviceIds: readonly DeviceId[];
  /** `settling` and `leaving` wait for the reading that closes the move (B2). */
  phase: 'moving' | 'settling' | 'settled' | 'leaving';
  /** Number of the latest end of a move; only readings that began later may close it. */
  endedAt: number;
  disturbed: boolean;
  before: RawUses;
  /** Not null: ends the move, whatever is booked (B3). */
  after: RawUses | null;
  readonly differences: Map<DeviceId, number | null>;
}

export class LaunchBook {
  readonly #entries = new Map<LaunchId, Entry>();
  #ends = 0;

  /** Something moves, or waits for the reading that closes its move. */
  get moving(): boolean {
    return [...this.#entries.values()].some(({ phase }) => phase !== 'settled');
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** To be asked for when a reading begins, and given to `book` with its figures. */
  get position(): number {
    return this.#ends;
  }

  /** `uses` is the latest reading. */
  moved(launchId: LaunchId, phase: LaunchPhase, deviceIds: readonly DeviceId[], uses: RawUses): void {
    const known = this.#entries.get(launchId);
    // Of an unknown launch on no device there is nothing to tell apart.
    if (known === undefined && deviceIds.length === 0) return;
    if (phase === 'moving') this.#begin(launchId, known ?? null, deviceIds, uses);
    else if (known !== undefined) {
      known.phase = phase === 'gone' ? 'leaving' : 'settling';
      this.#ends += 1;
      known.endedAt = this.#ends;
    } else if (phase === 'settled') {
      // Adopted: it took its memory before our time.
      const differences = new Map(deviceIds.map((id) => [id, null] as const));
      const entry: Entry = {
        deviceIds,
        phase: 'settled',
        endedAt: 0,
        disturbed: false,
        before: uses,
        after: null,
        differences,
      };
      this.#entries.set(launchId, entry);
    }
  }

  #begin(launchId: LaunchId, known: Entry | null, deviceIds: readonly DeviceId[], uses: RawUses): void {
    if (known?.phase === 'moving') return;
    if (known !== null) this.#close(launchId, known, uses);
    const entry: Entry = known ?? {
      deviceIds,
      phase: 'moving',
      endedAt: 0,
      disturbed: false,
      before: uses,
      after: null,
      differences: new Map(deviceIds.map((id) => [id, 0] as const)),
    };
    entry.phase = 'moving';
    entry.before = uses;
    entry.after = null;
    entry.disturbed = false;
    for (const [otherId, other] of this.#entries) {
      if (otherId === launchId || !other.deviceIds.some((id) => entry.deviceIds.includes(id))) continue;
      if (other.phase !== 'moving') {
        other.after ??= uses;
        continue;
      }
      other.disturbed = true;
      entry.disturbed = true;
    }
    this.#entries.set(launchId, entry);
  }

  #close(launchId: LaunchId, entry: Entry, uses: RawUses): void {
    if (entry.phase === 'leaving') this.#entries.delete(launchId);
    if (entry.phase !== 'settling') return;
    entry.phase = 'settled';
    const after = entry.after ?? uses;
    for (const id of entry.deviceIds) entry.differences.set(id, differenceOf(entry, id, after));
  }

  /** A whole reading that began at `position` closes the moves that had ended by then. */
  book(uses: RawUses, position: number): void {
    for (const [launchId, entry] of this.#entries) {
      if (entry.endedAt <= position) this.#close(launchId, entry, uses);
    }
  }

  on(deviceId: DeviceId): LaunchOnDevice[] {
    const found: LaunchOnDevice[] = [];
    for (const [launchId, { deviceIds, phase, differences }] of this.#entries) {
      if (!deviceIds.includes(deviceId)) continue;
      const differenceMib = differences.get(deviceId) ?? null;
      found.push({ launchId, moving: phase !== 'settled', differenceMib });
    }
    return found;
  }
}

/** B1. */
function differenceOf(entry: Entry, deviceId: DeviceId, uses: RawUses): number | null {
  const earlier = entry.differences.get(deviceId) ?? null;
  const before = entry.before.get(deviceId) ?? null;
  const after = uses.get(deviceId) ?? null;
  if (entry.disturbed || earlier === null || before === null || after === null) return null;
  return Math.max(0, earlier + after - before);
}
