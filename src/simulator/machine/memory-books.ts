/**
 * What really lies where on the machine, whatever anybody believes: memory of each device and of the host, by launch.
 * Whoever takes more than there is, or more than may be reserved, is told to `violated`.
 */
import type { DeviceId, LaunchId } from '../../core/ids.ts';
import type { HostMemory, MemoryReading } from '../../devices/device.ts';
import type { World, WorldDevice } from '../world.ts';

interface DeviceBook {
  readonly device: WorldDevice;
  readonly budgetMib: number;
  readonly launches: Map<LaunchId, number>;
  oursMib: number;
  /** Of that, what engines hold that say that they have given it back. */
  deniedMib: number;
  /** Of programs that are not ours. */
  foreignMib: number;
}

export interface BookRules {
  /** False: readings of the devices are wrong at times, so that nobody can keep to the budget; only what there is counts. */
  readonly checksBudget: boolean;
}

export class MemoryBooks {
  readonly #devices: ReadonlyMap<DeviceId, DeviceBook>;
  readonly #hostMemoryMib: number;
  readonly #host = new Map<LaunchId, number>();
  #hostMib = 0;
  readonly #denied = new Set<LaunchId>();
  readonly #rules: BookRules;
  readonly #violated: (text: string) => void;

  constructor({ devices, hostMemoryMib }: World, rules: BookRules, violated: (text: string) => void) {
    this.#rules = rules;
    this.#violated = violated;
    this.#hostMemoryMib = hostMemoryMib;
    this.#devices = new Map(
      devices.map((device) => [
        device.id,
        {
          device,
          budgetMib: Math.floor(device.budgetFraction * device.memoryMib),
          launches: new Map(),
          oursMib: 0,
          deniedMib: 0,
          foreignMib: 0,
        },
      ]),
    );
  }

  /** What the launch holds of each of these devices from now on. */
  hold(launchId: LaunchId, deviceIds: readonly DeviceId[], mib: number): void {
    if (this.#denied.delete(launchId))
      for (const book of this.#devices.values()) book.deniedMib -= book.launches.get(launchId) ?? 0;
    for (const id of deviceIds) this.#holdOn(id, launchId, mib);
  }

  /** It says that it holds nothing any more of what it holds, until it holds something else: nobody else is to blame for that. */
  deny(launchId: LaunchId): void {
    this.#denied.add(launchId);
    for (const book of this.#devices.values()) book.deniedMib += book.launches.get(launchId) ?? 0;
  }

  /** What it holds of the host from now on. */
  holdHost(launchId: LaunchId, mib: number): void {
    const before = this.#host.get(launchId) ?? 0;
    this.#hostMib += mib - before;
    set(this.#host, launchId, mib);
    if (mib > before && this.#hostMib > this.#hostMemoryMib)
      this.#violated(
        `sleepers hold ${this.#hostMib} of ${this.#hostMemoryMib} MiB of the host, ${launchId} the last`,
      );
  }

  setForeign(deviceId: DeviceId, mib: number): void {
    this.#book(deviceId).foreignMib = mib;
  }

  foreignMib(deviceId: DeviceId): number {
    return this.#book(deviceId).foreignMib;
  }

  /** What nobody holds. Below 0: somebody took more than there was. */
  freeMib(deviceId: DeviceId): number {
    const { device, oursMib, foreignMib } = this.#book(deviceId);
    return device.memoryMib - oursMib - foreignMib;
  }

  readings(): readonly MemoryReading[] {
    return [...this.#devices.values()].map(({ device, launches, oursMib, foreignMib }) => ({
      id: device.id,
      usedMib: oursMib + foreignMib,
      foreignMib,
      foreignSource: 'per_process',
      launches: new Map([...launches].map(([id, usedMib]) => [id, { usedMib, source: 'per_process' }])),
    }));
  }

  host(): HostMemory {
    return { totalMib: this.#hostMemoryMib, usedMib: this.#hostMib, launches: new Map(this.#host) };
  }

  #holdOn(id: DeviceId, launchId: LaunchId, mib: number): void {
    const book = this.#book(id);
    const before = book.launches.get(launchId) ?? 0;
    book.oursMib += mib - before;
    set(book.launches, launchId, mib);
    if (mib <= before) return;
    const { device, budgetMib } = book;
    const knownMib = book.oursMib - book.deniedMib;
    if (knownMib > device.memoryMib)
      this.#violated(`${id} holds ${knownMib} of ${device.memoryMib} MiB, ${launchId} the last`);
    else if (this.#rules.checksBudget && knownMib > budgetMib)
      this.#violated(`${id} holds ${knownMib} MiB of a budget of ${budgetMib} MiB, ${launchId} the last`);
  }

  #book(id: DeviceId): DeviceBook {
    const book = this.#devices.get(id);
    if (book === undefined) throw new Error(`the machine has no device ${id}`);
    return book;
  }
}

function set(map: Map<LaunchId, number>, launchId: LaunchId, mib: number): void {
  if (mib === 0) map.delete(launchId);
  else map.set(launchId, mib);
}
