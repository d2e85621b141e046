/** Views of devices and engines for the tests of this folder. */
import type { DeviceView, ResidentView, WayOut } from './place.ts';

export function device(id: string, changes: Partial<DeviceView> = {}): DeviceView {
  return {
    id,
    pool: null,
    totalMib: 24_000,
    budgetMib: 20_000,
    availableMib: changes.budgetMib ?? 20_000,
    reservedMib: 0,
    restMib: 0,
    leaving: [],
    moving: false,
    held: false,
    residents: [],
    ...changes,
  };
}

export function resident(model: string, changes: Partial<ResidentView> = {}): ResidentView {
  return { model, deviceIds: ['a'], yieldsInMs: 0, ways: [stop(10_000, 100)], ...changes };
}

export function stop(freesMib: number, lossMs: number): WayOut {
  return { how: 'stop', freesMib, lossMs, takesMs: 500 };
}

export function sleep(freesMib: number, lossMs: number): WayOut {
  return { how: 'sleep', freesMib, lossMs, takesMs: 500 };
}
